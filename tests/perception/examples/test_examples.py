"""The examples are started as their docstrings say, and do what they say."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

pytest.importorskip("onnx", reason="one example runs a graph made here")

from oneglance.models import Detector
from oneglance.models.training.end_to_end import end_to_end
from oneglance.models.zoo import resolve_model
from oneglance.perception import examples
from oneglance.streams import open_stream
from present import present

FOLDER = Path(examples.__file__).parent
NAMES = sorted(file.stem for file in FOLDER.glob("*.py") if file.stem != "__init__")
ROOT = Path(__file__).resolve().parents[3]


def printed(name: str, *words: str, cwd: Path) -> list[str]:
    """The lines that an example prints, started as a program of its own in ``cwd``."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", f"oneglance.perception.examples.{name}", *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_short_says_how_it_is_started_and_stands_in_the_readme(name: str) -> None:
    text = (FOLDER / f"{name}.py").read_text()
    assert len(text.splitlines()) < 60
    assert f"python -m oneglance.perception.examples.{name}" in text.split('"""')[1]
    assert f"`{name}" in (ROOT / "README.md").read_text()


def test_image(tmp_path: Path) -> None:
    lines = printed("image", "rendered:?frames=1&seed=7", cwd=tmp_path)
    assert all(" at [" in line for line in lines)
    assert present(cv2.imread(str(tmp_path / "seen.jpg"))).shape == (720, 1280, 3)


def test_own_loop(tmp_path: Path) -> None:
    lines = printed("own_loop", cwd=tmp_path)
    assert [line.split(maxsplit=1)[0] for line in lines] == [str(i) for i in range(5)]


def test_two_cameras(tmp_path: Path) -> None:
    lines = printed("two_cameras", cwd=tmp_path)
    counts = [line.split(": ")[1].split()[0] for line in lines if "delivered" in line]
    assert len(counts) == 2
    assert sum(": age " in line for line in lines) == sum(map(int, counts)) > 0


def test_own_source(tmp_path: Path) -> None:
    lines = printed("own_source", cwd=tmp_path)
    assert [line.rsplit(maxsplit=2)[0] for line in lines] == [
        f"{i} {{'shift': {8 * i}}}" for i in range(5)
    ]


def test_own_sink(tmp_path: Path) -> None:
    assert printed("own_sink", cwd=tmp_path) == ["5 frames counted in counts.csv"]
    with (tmp_path / "counts.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 5
    assert all(int(row[task]) >= 0 for row in rows for task in ("pedestrian", "light"))


def test_in_asyncio(tmp_path: Path) -> None:
    lines = printed("in_asyncio", cwd=tmp_path)
    assert [line.split()[0] for line in lines[:-1]] == [str(i) for i in range(5)]
    assert int(lines[-1].split()[-2]) > 0


def test_end_to_end(tmp_path: Path) -> None:
    with open_stream("rendered:?frames=31&seed=2") as stream:
        *_, frame = stream
    cv2.imwrite(str(tmp_path / "street.png"), frame.image)
    cv2.imwrite(str(tmp_path / "small.png"), frame.image[:400])
    model = resolve_model("road4-n-416")
    end_to_end(model, tmp_path / "boxes.onnx", size=(1280, 720))
    lines = printed("end_to_end", "boxes.onnx", "street.png", cwd=tmp_path)
    seen = Detector.load("road4-n-416")(frame.image)
    assert [float(line.split()[1]) for line in lines] == pytest.approx(seen.confidence, abs=0.011)
    assert any(line.startswith("car ") for line in lines)
    command = [sys.executable, "-m", "oneglance.perception.examples.end_to_end"]
    for other in ("small.png", "absent.png"):
        done = subprocess.run(
            [*command, "boxes.onnx", other], cwd=tmp_path, capture_output=True, text=True,
            timeout=110, check=False,
        )  # fmt: skip
        assert done.returncode == 2
        assert f"boxes.onnx takes frames of 1280x720, and {other} is none" in done.stderr
