"""The GPU benchmark where there is no GPU: its plan, its errors, and its measures on the CPU."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.gpu import measure, running
from benchmarks.gpu.parts import PARTS, Part
from oneglance.models.engines.onnxruntime import import_onnxruntime
from oneglance.models.engines.self_check import self_check
from oneglance.models.zoo import resolve_model
from oneglance.streams.errors import DataError, SinkError, UsageError

ROOT = Path(__file__).resolve().parents[3]
FACTS = {"commit": "abc", "device": "a card", "model": "road4-n"}


def benchmark(*words: object, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | ({} if path is None else {"PATH": str(path)})
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", *map(str, words)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def card(folder: Path, script: str) -> Path:
    """A folder with an ``nvidia-smi`` that does so."""
    folder.mkdir()
    file = folder / "nvidia-smi"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return folder


def asked(what: str, **more: Any) -> Namespace:
    usual = {"runtime": "onnxruntime", "device": "cpu", "precision": "fp32", "frames": 2}
    usual |= {"model": resolve_model("road4-n-416"), "clip": "rendered:?frames=4&size=320x180"}
    return Namespace(what=what, **usual | more)


def test_a_plan_says_what_would_be_measured_and_measures_nothing(tmp_path: Path) -> None:
    done = benchmark("--plan", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    for part in PARTS:
        assert f"- {part.name}: {part.title}" in done.stdout
    assert "not what oneglance runs" in done.stdout
    assert re.search(r"^road4-n: .*; about \d+ s in all$", done.stdout.splitlines()[0])
    of_torch = next(part for part in PARTS if part.runtime == "torch")
    if not of_torch.missing() and not running.torch_gpu().name:
        assert f"not here: {running.torch_gpu().problem}" in done.stdout
    if "CUDAExecutionProvider" not in import_onnxruntime().get_available_providers():
        assert "not here: device cuda cannot be used" in done.stdout
    assert not (tmp_path / "out").exists()


def test_without_a_gpu_it_is_one_sentence_and_nothing_is_written(tmp_path: Path) -> None:
    if shutil.which("nvidia-smi"):
        pytest.skip("there may be one here")
    done = benchmark("--out", tmp_path / "out")
    assert done.returncode == 2
    assert done.stderr.startswith("error: there is no NVIDIA GPU here that can be used")
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(os.name == "nt", reason="a program that is a script")
def test_a_driver_that_finds_no_card_is_one_sentence(tmp_path: Path) -> None:
    folder = card(tmp_path / "bin", "echo 'No devices were found'; exit 6")
    done = benchmark("--out", tmp_path / "out", path=folder)
    assert done.returncode == 2
    assert "nvidia-smi says: No devices were found" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_unknown_model_is_one_sentence() -> None:
    done = benchmark("--plan", "--model", "raod4-n")
    assert done.returncode == 2
    assert "no model named 'raod4-n'" in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="a program that is a script")
def test_parts_that_cannot_be_measured_say_why_and_the_results_are_written(tmp_path: Path) -> None:
    """As on a machine with a card and nothing to use it: each part is tried, none is made up."""
    tools = card(tmp_path / "bin", "echo 'Fake, 1.0, 80 GiB'")
    for name in ("git", "uname"):
        if found := shutil.which(name):
            (tools / name).symlink_to(found)
    done = benchmark("--out", tmp_path / "out", "--seconds", 0, path=tools)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out" / "gpu.json").read_text())
    assert found["facts"]["device"] == "Fake, 1.0, 80 GiB"
    assert [part.name for part in PARTS] == list(found["parts"])
    assert all("figures" not in part and part["missing"] for part in found["parts"].values())
    page = (tmp_path / "out" / "gpu.md").read_text()
    assert page.count("not measured:") == len(PARTS)
    assert "Not shown:" in page


def test_a_part_that_fails_is_a_sentence_of_its_own() -> None:
    part = Part("none", "none", "one", "no-such-device")
    found = running.measured(part, resolve_model("road4-n-416"), 60.0)
    assert "figures" not in found
    assert "no-such-device" in found["missing"]


def test_what_was_measured_before_is_kept_and_the_rest_goes_on(tmp_path: Path) -> None:
    done = {"facts": FACTS, "parts": {"cuda": {"figures": {"p50_ms": 1.0}}}, "not shown": ""}
    file = tmp_path / "gpu.json"
    file.write_text(json.dumps(done))
    assert running.begin(file, FACTS, again=False) == done
    assert running.begin(file, FACTS, again=True)["parts"] == {}
    for key in FACTS:
        assert running.begin(file, FACTS | {key: "other"}, again=False)["parts"] == {}
    assert running.begin(tmp_path / "none.json", FACTS, again=False)["parts"] == {}


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"facts": {}}', '{"parts": 1}'])
def test_results_that_are_none_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "gpu.json").write_text(content)
    with pytest.raises(DataError, match=r"gpu\.json is not what this benchmark writes"):
        running.begin(tmp_path / "gpu.json", FACTS, again=False)


def test_a_folder_of_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    monkeypatch.setattr(running, "find_gpu", lambda: "a card")
    given = Namespace(model="road4-n-416", plan=False, out=tmp_path, again=False, seconds=0.0)
    with pytest.raises(SinkError, match="holds what oneglance did not make"):
        running.run(given)
    assert [each.name for each in tmp_path.iterdir()] == ["notes.txt"]


@pytest.fixture
def other_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], running.TorchGpu]]:
    """``other_torch(source)``: what a torch of that source says of its card."""

    def ask(source: str) -> running.TorchGpu:
        (tmp_path / "torch.py").write_text(source)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        running.torch_gpu.cache_clear()
        return running.torch_gpu()

    yield ask
    running.torch_gpu.cache_clear()


WITH_A_CARD = """
class cuda:
    is_available = staticmethod(lambda: True)
    get_device_name = staticmethod(lambda number: "Fake H100")
class version:
    cuda = "12.8"
__version__ = "2.9"
"""


def test_nvidia_smi_that_cannot_be_run_is_no_gpu_unless_torch_finds_one(
    monkeypatch: pytest.MonkeyPatch, other_torch: Callable[[str], running.TorchGpu]
) -> None:
    pytest.importorskip("torch", reason="another one is put in its place")
    monkeypatch.setenv("PATH", "")
    assert not other_torch(WITH_A_CARD.replace("True", "False")).name
    with pytest.raises(UsageError, match="nvidia-smi cannot be run"):
        running.find_gpu()
    assert other_torch(WITH_A_CARD).name == "Fake H100"
    assert running.find_gpu() == "Fake H100"


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (WITH_A_CARD.replace("True", "False"), "torch 2.9 for CUDA 12.8 finds no card that it can"),
        ("raise OSError('libcudart.so.12: cannot open')", "OSError: libcudart.so.12: cannot open"),
        ("import os; os._exit(3)", "torch finds no card: it says nothing"),
    ],
)
def test_a_torch_without_a_card_says_why_for_every_part_of_it(
    other_torch: Callable[[str], running.TorchGpu], source: str, problem: str
) -> None:
    pytest.importorskip("torch", reason="another one is put in its place")
    pytest.importorskip("onnx", reason="every part of torch needs it")
    assert problem in other_torch(source).problem
    for part in PARTS:
        if part.runtime != "onnxruntime" and not part.missing():
            found = running.measured(part, resolve_model("road4-n-416"), 60.0)
            assert problem in found["missing"]


def test_an_older_python_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks.gpu import __main__ as program

    monkeypatch.setattr(program, "LEAST", (9, 0))
    assert program.main(["--plan"]) == 2
    assert capsys.readouterr().err.startswith("error: needs Python 9.0 or newer, and ")


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Torch's threads fight those of whatever else the machine does."""
    torch = pytest.importorskip("torch", reason="computes the graph in torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("runtime", ["onnxruntime", "torch"])
def test_every_measure_runs_on_the_cpu_too(request: pytest.FixtureRequest, runtime: str) -> None:
    if runtime == "torch":
        request.getfixturevalue("one_thread")
    pytest.importorskip("onnx", reason="makes a graph for several images")
    one = measure.measure_one(asked("one", runtime=runtime))
    assert one["largest difference in score"] <= one["allowed in score"]
    assert one["p50_ms"] <= one["p99_ms"]
    frame = measure.measure_frame(asked("frame", runtime=runtime))
    assert frame["boxes"] > 0
    batch = measure.measure_batch(asked("batch", runtime=runtime))
    assert batch["image_ms"] == pytest.approx(batch["p50_ms"] / 8, abs=0.01)
    if runtime == "onnxruntime":
        four = measure.measure_four(asked("four"))
        assert four["one_over_the_quickest_four"] > 0


def test_the_loop_is_measured_from_a_recording_of_1080p() -> None:
    found = measure.measure_loop(asked("loop"))
    assert found["frames"] == 2
    assert "inference_p50_ms" in found


def test_a_graph_for_several_images_gives_each_what_it_gets_alone() -> None:
    pytest.importorskip("onnx", reason="makes a graph for several images")
    ort = pytest.importorskip("onnxruntime")
    from benchmarks.gpu.batched import batched

    file = resolve_model("road4-n-416")
    images = np.random.default_rng(0).random((3, 3, 256, 416), np.float32)
    how = {"providers": ["CPUExecutionProvider"]}
    together = ort.InferenceSession(batched(file, 3), **how).run(None, {"images": images})[0]
    alone = ort.InferenceSession(str(file), **how)
    for image, found in zip(images, together, strict=True):
        np.testing.assert_allclose(found, alone.run(None, {"images": image[None]})[0][0], atol=1e-4)


@pytest.mark.usefixtures("one_thread")
def test_the_graph_in_torch_finds_what_the_file_says() -> None:
    from benchmarks.gpu.torch_graph import TorchGraph, load

    file = resolve_model("road4-n-416")
    checked = self_check(load(file, device="cpu", precision="fp32"), origin="torch")
    assert checked is not None
    assert checked.score < 1e-3
    onnx = pytest.importorskip("onnx")
    other = onnx.load(file)
    other.graph.node[0].op_type = "Mystery"
    with pytest.raises(NotImplementedError, match="Mystery"):
        TorchGraph(other.SerializeToString(), device="cpu", precision="fp32", origin="x")


BARE = """
import importlib.abc, sys

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        gone = {"av", "supervision", "trackers", "typer", "rich", "simplejpeg", "openvino"}
        if name == "oneglance" or name.partition(".")[0] in gone:
            raise ModuleNotFoundError(name, name=name)
        return None

sys.meta_path.insert(0, Missing())
from benchmarks.gpu.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def test_it_runs_in_a_clone_beside_little_more_than_onnx_runtime() -> None:
    """Not even oneglance is installed there."""
    for what in ("one", "frame"):
        words = ["measure", what, "--device", "cpu", "--frames", "3"]
        words += ["--model", str(resolve_model("road4-n-416"))]
        command = [sys.executable, "-c", BARE, *words]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "p50_ms" in done.stdout
