"""What every room's tests may ask for."""

from __future__ import annotations

import importlib.util
import os
import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, settings

from media import make_video
from mounts import mounted
from oneglance.streams.decoding.planes import DecodedImage
from oneglance.streams.frame import Image
from onnx_models import seeing_model
from program import Outcome, Program, run_here

# How long an example takes is the machine's business.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

collect_ignore = [
    "servers/rtsp_server_main.py"
]  # the system's Python runs it, with packages of its own


@pytest.fixture
def video(tmp_path: Path) -> Callable[..., Path]:
    """``video("a.mp4", frames=10)`` encodes a small real video in the test's folder."""

    def make(name: str, **how: object) -> Path:
        return make_video(tmp_path / name, **how)  # type: ignore[arg-type]

    return make


def _absent(why: str) -> NoReturn:
    """Skip, which nobody would see in CI: there it is a failure."""
    if os.environ.get("CI", "").lower() in {"", "0", "false"}:
        pytest.skip(why)
    pytest.fail(f"{why}; CI must have it", pytrace=False)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real material; without it a test skips, and in CI (``CI=true``) it fails."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    return folder if folder.is_dir() else _absent(f"needs {folder}")


@pytest.fixture(scope="session")
def clips(shared: Path) -> Path:
    """The folder of real clips."""
    return shared / "clips"


@pytest.fixture(scope="session")
def openvino() -> None:
    """For tests of that engine; skips where it is not installed, and imports nothing."""
    if importlib.util.find_spec("openvino") is None:
        pytest.skip("needs openvino: pip install 'oneglance[openvino]'")


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny real model that sees a car, a pedestrian and a sign in every image."""
    return seeing_model(tmp_path_factory.mktemp("model") / "seeing.onnx")


@pytest.fixture
def oneglance(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Program:
    """``oneglance("run", clip, "--jsonl", "-")`` runs the program here; see ``Outcome``."""

    def run(*words: object) -> Outcome:
        return run_here(monkeypatch, capfd, *words)

    return run


@pytest.fixture
def conversions(monkeypatch: pytest.MonkeyPatch) -> list[DecodedImage]:
    """Each decoded image whose planes are converted to BGR from here on."""
    made: list[DecodedImage] = []
    to_bgr = DecodedImage.to_bgr

    def noted(self: DecodedImage) -> Image:
        made.append(self)
        return to_bgr(self)

    monkeypatch.setattr(DecodedImage, "to_bgr", noted)
    return made


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 20 MB."""
    with mounted(tmp_path / "disk", "size=20m") as folder:
        yield folder


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A server's side of TLS, signed by itself, as cameras are."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    wish = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=camera"]
    subprocess.run(
        ["openssl", "req", *wish, "-keyout", str(key), "-out", str(cert)],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context
