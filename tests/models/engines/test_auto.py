"""The fastest engine that computes what it should, measured on this machine."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oneglance.models import Detector
from oneglance.models.engines import trial
from oneglance.models.engines.auto import Choice, choose_engine
from oneglance.models.engines.loading import choices, load_engine
from oneglance.models.engines.onnxruntime import OnnxRuntimeEngine
from oneglance.models.engines.trial import Candidate, Tried, try_apart
from oneglance.models.zoo import resolve_model
from oneglance.streams.errors import ModelError, UsageError

SLOW = """
import time
from oneglance.models.engines.onnxruntime import OnnxRuntimeEngine
from oneglance.models.engines.trial import Candidate, Tried, try_apart

class Slow(OnnxRuntimeEngine):
    name = "slow"
    def run(self, tensor):
        time.sleep(0.02)  # what makes it slow
        output, _ = super().run(tensor)
        return output, 60.0

class Wrong(OnnxRuntimeEngine):
    name = "wrong"
    precisions = ("fp32", "int8")
    def run(self, tensor):
        output, _ = super().run(tensor)
        return output * 0, 0.0

class Crashing(OnnxRuntimeEngine):
    name = "crashing"
    def run(self, tensor):
        import os
        print("dying", end="", flush=True)
        os.abort()

class Stuck(OnnxRuntimeEngine):
    name = "stuck"
    def run(self, tensor):
        import threading
        threading.Event().wait()
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """``plugin(slow="Slow")`` installs a package that offers such engines."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(**offers: str) -> None:
        (tmp_path / "engines_of_mine.py").write_text(SLOW)
        info = tmp_path / "engines_of_mine-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: engines_of_mine\nVersion: 1\n")
        lines = [f"{name} = engines_of_mine:{value}" for name, value in offers.items()]
        (info / "entry_points.txt").write_text("\n".join(["[oneglance.engines]", *lines]))
        monkeypatch.delitem(sys.modules, "engines_of_mine", raising=False)

    return make


def test_what_is_chosen_was_the_fastest_of_all_that_were_tried(model: Path) -> None:
    choice = choose_engine(model, threads=1)
    times_ms = [each.median_ms for each in choice.tried if each.median_ms is not None]
    assert times_ms == sorted(times_ms)
    assert (choice.engine.name, choice.engine.precision) == (
        choice.tried[0].engine,
        choice.tried[0].precision,
    )
    tried = {(each.engine, each.precision) for each in choice.tried if each.device == "cpu"}
    assert tried == set(choices())
    assert choice.reason.startswith("fastest here: ")


def test_a_detector_says_what_was_chosen_and_why(model: Path) -> None:
    detector = Detector.load(model, engine="auto", threads=1)
    assert f"{detector.engine} {detector.precision}" in detector.engine_reason
    assert Detector.load(model, threads=1).engine_reason == ""
    assert re.search(r"\(tried in \d+\.\d s\)$", detector.engine_reason)
    assert len(detector(np.zeros((48, 64, 3), np.uint8))) == 3


def test_only_the_precision_asked_for_is_tried(model: Path) -> None:
    choice = choose_engine(model, precision="fp32", threads=1)
    assert {each.precision for each in choice.tried} == {"fp32"}
    with pytest.raises(ModelError, match="no engine here computes in fp4"):
        choose_engine(model, precision="fp4")


def test_another_packages_engine_is_loaded_by_name_and_tried(
    model: Path, plugin: Callable[..., None]
) -> None:
    plugin(slow="Slow")
    engine = load_engine(model, engine="slow")
    assert engine.name == "slow"
    choice = choose_engine(model, threads=1)
    assert ("slow", "fp32") in {(each.engine, each.precision) for each in choice.tried}
    assert choice.engine.name != "slow"
    assert Detector.load(model, engine="slow").engine == "slow"


def test_what_computes_something_else_is_left_out_and_reported(plugin: Callable[..., None]) -> None:
    plugin(wrong="Wrong")
    file = resolve_model("road4-n-416")
    choice = choose_engine(file, threads=1)
    wrong = [each for each in choice.tried if each.engine == "wrong"]
    assert [each.median_ms for each in wrong] == [None, None]
    assert all("computes something else" in each.problem for each in wrong)
    assert choice.engine.name != "wrong"
    with pytest.raises(ModelError, match="engine wrong in int8 computes something else"):
        load_engine(file, engine="wrong", precision="int8")


def test_an_engine_that_crashes_takes_nothing_with_it(plugin: Callable[..., None]) -> None:
    plugin(crashing="Crashing", slow="Slow")
    choice = choose_engine(resolve_model("road4-n-416"), precision="fp32", threads=1)
    crashed = [each for each in choice.tried if each.engine == "crashing"]
    assert [each.median_ms for each in crashed] == [None]
    assert "ended the process that tried it" in crashed[0].problem
    timed = {each.engine for each in choice.tried if each.median_ms is not None}
    assert {"onnxruntime", "slow"} <= timed


@pytest.mark.slow
def test_an_engine_that_never_answers_is_given_up(
    plugin: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin(stuck="Stuck")
    monkeypatch.setattr(trial, "LONGEST_S", 5.0)
    stuck = [Candidate("stuck", "fp32", resolve_model("road4-n-416"))]
    found = try_apart(stuck, threads=1, check=True)
    assert found[0].median_ms is None
    assert "not answered after 5 s" in found[0].problem


def test_only_what_is_taken_is_loaded_here(model: Path) -> None:
    program = (
        "import sys; from pathlib import Path; "
        "from oneglance.models.engines.auto import choose_engine; "
        "choice = choose_engine(Path(sys.argv[1]), threads=1); "
        "libraries = {'onnxruntime', 'openvino'} & set(sys.modules); "
        "assert libraries == {choice.engine.name}, (libraries, choice)"
    )
    subprocess.run([sys.executable, "-c", program, str(model)], check=True, timeout=200)


def test_without_an_interpreter_they_are_tried_in_this_process(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for executable in ("", str(model), sys.executable + "-absent"):
        monkeypatch.setattr(sys, "executable", executable)
        choice = choose_engine(model, precision="fp32", threads=1)
        assert choice.tried[0].median_ms is not None


def test_an_unknown_engine_is_reported_with_all_there_are(
    model: Path, plugin: Callable[..., None]
) -> None:
    plugin(slow="Slow")
    with pytest.raises(UsageError, match=r"unknown engine 'slowest'; did you mean 'slow'\?"):
        load_engine(model, engine="slowest")
    with pytest.raises(UsageError, match="does not compute in bf16"):
        load_engine(model, engine="slow", precision="bf16")


def test_a_file_that_no_engine_can_load_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "notes.onnx"
    file.write_text("shopping list")
    with pytest.raises(ModelError, match=r"notes\.onnx") as error:
        choose_engine(file)
    assert "\n" not in str(error.value)


def test_timing_has_an_end_on_a_slow_machine(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[float] = []

    class Counted(OnnxRuntimeEngine):
        def run(self, tensor: Any) -> Any:
            counted.append(time.perf_counter())
            return super().run(tensor)

    monkeypatch.setattr(trial, "MOST_S", 0.0)
    trial.timed([Counted(model)])
    assert len(counted) == 1 + trial._LEAST


def test_a_choice_reads_well(model: Path) -> None:
    tried = (Tried("a", "bf16", 12.34), Tried("b", "fp32", 20.0), Tried("c", "int8", None, "no"))
    assert (
        Choice(load_engine(model), tried).reason == "fastest here: a bf16 12.3 ms, b fp32 20.0 ms"
    )
    assert str(tried[2]) == "c int8: no"


def test_the_commands_say_what_was_found(oneglance: Any, model: Path) -> None:
    listed = oneglance("engines", "--model", model)
    assert listed.code == 0
    assert "onnxruntime" in listed.out
    assert "CPU(s): " in listed.out
    ran = oneglance("run", "rendered:?frames=2", "--model", model, "--engine", "auto")
    assert ran.code == 0, ran.err
    assert "engine: fastest here: " in ran.out
