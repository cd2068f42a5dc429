"""When a run's objects are searched for garbage, and when not."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from oneglance.perception.cli.garbage import collecting_later
from oneglance.perception.result import Result
from oneglance.perception.sinks.jsonl import JsonLinesSink
from program import Program


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    """Each test finds it enabled and leaves it so."""
    assert gc.isenabled()
    yield
    gc.unfreeze()
    gc.enable()


def test_nothing_is_searched_before_the_start_nor_what_was_there_by_then() -> None:
    with collecting_later() as started:
        assert not gc.isenabled()
        before = len(gc.get_objects())
        started()
        assert gc.isenabled()
        assert gc.get_freeze_count() >= before
        assert len(gc.get_objects()) < before / 10
    assert gc.get_freeze_count() == 0


def test_a_second_source_freezes_nothing_of_the_first_run() -> None:
    with collecting_later() as started:
        started()
        frozen = gc.get_freeze_count()
        made: list[list[int]] = [[] for _ in range(1000)]
        started()
        assert gc.get_freeze_count() < frozen + len(made)


def test_what_fails_before_it_has_started_leaves_the_collector_as_it_was() -> None:
    with pytest.raises(ValueError, match="no model"), collecting_later():
        raise ValueError("no model")
    assert gc.isenabled()


def test_a_program_without_collector_stays_so() -> None:
    gc.disable()
    with collecting_later() as started:
        started()
        assert not gc.isenabled()
        assert gc.get_freeze_count() == 0
    assert not gc.isenabled()


def test_a_run_is_searched_from_its_first_frame_on(
    oneglance: Program,
    video: Callable[..., Path],
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[bool, int]] = []
    write = JsonLinesSink.write

    def noting(sink: JsonLinesSink, result: Result) -> None:
        seen.append((gc.isenabled(), gc.get_freeze_count()))
        write(sink, result)

    monkeypatch.setattr(JsonLinesSink, "write", noting)
    clip = video("a.mp4", frames=4)
    assert oneglance("run", clip, "--model", model, "--jsonl", tmp_path / "a.jsonl").code == 0
    assert len(seen) == 4
    assert all(is_enabled and frozen for is_enabled, frozen in seen)
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
