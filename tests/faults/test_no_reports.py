"""Nothing phones home: no name is looked up and nothing connected to, by whatever command."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the 'train' extra")
pytest.importorskip("ultralytics", reason="needs the 'train' extra")
pytest.importorskip("onnxslim", reason="needs the 'train' extra")

from media import make_video
from oneglance.models.tasks import FOUR_TASKS
from oneglance.models.training.checkpoints import write_checkpoint
from oneglance.models.training.fit.heads import from_scratch
from oneglance.streams.rendered.dataset import write_dataset
from onnx_models import seeing_model
from program import COMMAND

pytestmark = pytest.mark.filterwarnings("default")

RECORDER = Path(__file__).resolve().parents[1] / "running" / "recorded_network.py"


def in_a_network_of_its_own(
    folder: Path, *command: object, **more: str
) -> tuple[dict[str, list[str]], str]:
    """What ``command`` asked of the network, and what it said; a home of its own as well."""
    home, notes = folder / "home", folder / "notes.json"
    home.mkdir(exist_ok=True)
    leave = ("YOLO", "ULTRALYTICS", "XDG", "MPL", "PYTEST")  # as a user's shell has it
    environment = {k: v for k, v in os.environ.items() if not k.startswith(leave)}
    done = subprocess.run(
        [
            *("unshare", "--net", "--mount", sys.executable, RECORDER, notes),
            *map(str, command),
        ],
        env=environment | {"HOME": str(home)} | more,
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = json.loads(notes.read_text())
    return found, done.stdout


@pytest.fixture(autouse=True)
def _own_network() -> None:
    able = shutil.which("unshare") and shutil.which("ip")
    tried = able and subprocess.run(
        ["unshare", "--net", "--mount", "ip", "link", "set", "lo", "up"],
        check=False,
        capture_output=True,
    )
    if not tried or tried.returncode:
        pytest.skip("a network of its own needs root on Linux")


def test_the_recorder_hears_ultralytics_when_nobody_hushes_it(tmp_path: Path) -> None:
    found, _ = in_a_network_of_its_own(tmp_path, sys.executable, "-c", "import ultralytics")
    assert "one.one.one.one" in found["names"]


def test_whoever_wants_ultralytics_online_has_it_so(tmp_path: Path) -> None:
    program = "import oneglance.models.training.checkpoints"
    found, _ = in_a_network_of_its_own(
        tmp_path, sys.executable, "-c", program, YOLO_OFFLINE="false"
    )
    assert "one.one.one.one" in found["names"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_command_asks_anything_of_the_network(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "set", frames=8, seed=5, size=(96, 64))
    base, run = tmp_path / "base.pt", tmp_path / "run"
    torch.manual_seed(0)
    torch.save({"model": from_scratch(FOUR_TASKS).as_ultralytics().half(), "train_args": {}}, base)
    model = tmp_path / "model.onnx"
    small = ("--size", "96x64")
    for words in (
        ("train", data, "--base", base, "--out", run, "--epochs", 1, *small),
        ("average", run, run, "--out", tmp_path / "mean"),
        ("export", run / "model.pt", "--out", model, *small),
        ("audit", data, *small),
        ("audit", data, *small, "--model", model, "--candidates", tmp_path / "unlabelled"),
        (
            *("study", data, "--base", base, "--out", tmp_path / "study", *small, "--epochs", 1),
            *("--seeds", "0", "--questions", "2", "--without", "one-scratch"),
        ),
        ("eval", model, data),
        ("run", "rendered:?frames=3&size=96x64", "--model", model, "--video", tmp_path / "a.mp4"),
        ("run", "rendered:?frames=3&size=96x64", "--engine", "openvino", "--model", model),
        ("models",),
    ):
        if "openvino" in words:
            pytest.importorskip("openvino", reason="needs openvino")
        found, _ = in_a_network_of_its_own(tmp_path, *COMMAND, *words)
        assert found == {"names": [], "connections": []}, words
        # Its identity of the device, and events that are sent when there is a network.
        kept = list((tmp_path / "home").rglob("*onnxruntime*"))
        assert kept == [], words


UNTIL_IT_SERVES = """
import re, signal, subprocess, sys, urllib.request
with subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as served:
    said = ""
    for line in served.stdout:
        said += line.decode()
        address = re.search(r"http://127[.]0[.]0[.]1:[0-9]+", said)
        if address:
            urllib.request.urlopen(address[0] + "/healthz").read()
            served.send_signal(signal.SIGINT)
            break
    said += served.stdout.read().decode()
print(said)
sys.exit(0 if address and served.returncode in {0, 130} else said)
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_command_of_a_fleet_asks_anything_of_the_network(tmp_path: Path) -> None:
    for package in ("starlette", "uvicorn", "pyarrow"):
        pytest.importorskip(package, reason="needs the extras serve and batch")
    clips, lines, found = tmp_path / "clips", tmp_path / "a.jsonl", tmp_path / "found"
    clips.mkdir()
    make_video(clips / "a.mp4", frames=12, size=(96, 64))
    model = seeing_model(tmp_path / "seeing.onnx")
    seen = ("--model", model)
    until_it_serves = (sys.executable, "-c", UNTIL_IT_SERVES, *COMMAND)
    clip, unsure = clips / "a.mp4", tmp_path / "unsure.jsonl"
    sign = {"task": "sign", "class": "sign", "confidence": 0.26}
    sign |= {"track_id": None, "xyxy": [30.0, 20.0, 60.0, 50.0]}
    line = {"source": str(clip), "frame": 6, "timestamp_s": 0.24, "detections": [sign]}
    unsure.write_text(f"{json.dumps(line)}\n")
    for command in (
        (*until_it_serves, "serve", clip, *seen, "--port", 0),
        (*COMMAND, "batch", f"{clips}/*.mp4", "--out", found, *seen),
        (*COMMAND, "run", clip, *seen, "--jsonl", lines),
        (*COMMAND, "replay", lines, clip, *seen),
        (*COMMAND, "mine", unsure, "--out", tmp_path / "picked"),
        (*COMMAND, "convert", lines, "--to", "coco", "--out", tmp_path / "coco"),
        (*COMMAND, "engines"),
        (*COMMAND, "plugins"),
    ):
        heard, said = in_a_network_of_its_own(tmp_path, *command)
        assert heard == {"names": [], "connections": []}, (command, said)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_making_int8_asks_nothing_of_the_network(tmp_path: Path) -> None:
    pytest.importorskip("nncf", reason="needs the extra quantize")
    pytest.importorskip("openvino", reason="needs openvino")
    data = write_dataset(tmp_path / "set", frames=16, seed=5, size=(96, 64))
    weights, model, out = tmp_path / "a.pt", tmp_path / "a.onnx", tmp_path / "int8.zip"
    torch.manual_seed(0)
    write_checkpoint(from_scratch(FOUR_TASKS).as_ultralytics(), weights)
    in_a_network_of_its_own(
        tmp_path, *COMMAND, "export", weights, "--out", model, "--size", "96x64"
    )
    program = (  # the gate may well refuse such a model
        "import subprocess, sys; done = subprocess.run(sys.argv[1:], capture_output=True, "
        "text=True); print(done.stdout + done.stderr); sys.exit(done.returncode not in {0, 2})"
    )
    words = ("quantize", model, "--data", data, "--out", out, "--frames", 8)
    command = (sys.executable, "-c", program, *COMMAND, *words)
    heard, said = in_a_network_of_its_own(tmp_path, *command)
    assert "mAP50-95" in said, said  # it was made, and compared
    assert heard == {"names": [], "connections": []}


def test_rerun_and_what_it_is_sent_stay_here(tmp_path: Path) -> None:
    pytest.importorskip("rerun", reason="needs the extra rerun")
    for target in (tmp_path / "a.rrd", "grpc://127.0.0.1:9"):
        words = ("run", "rendered:?frames=3&size=96x64", "--sink", f"rerun:{target}")
        program = (
            "import subprocess, sys; done = subprocess.run(sys.argv[1:]); "
            "sys.exit(0 if done.returncode in {0, 2} else 1)"  # nobody listens at the second
        )
        command = (sys.executable, "-c", program, *COMMAND, *words)
        found, _ = in_a_network_of_its_own(tmp_path, *command)
        assert found == {"names": [], "connections": []}
        assert list((tmp_path / "home").rglob("*rerun*")) == []
