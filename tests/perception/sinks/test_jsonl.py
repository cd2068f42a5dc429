from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from oneglance.perception.result import Result
from oneglance.perception.sinks import JsonLinesSink
from oneglance.streams.errors import SinkError

Results = Callable[..., Result]


def read(path: Path) -> list[dict[str, object]]:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    return [json.loads(line, parse_constant=refuse) for line in path.read_bytes().splitlines()]


def test_a_line_says_all_of_a_frame(tmp_path: Path, result: Results) -> None:
    path = tmp_path / "out.jsonl"
    sink = JsonLinesSink(path)
    sink.write(
        result(
            1 / 3,
            index=7,
            dropped=2,
            found=[("car", 0.87, (10.126, 20, 30.5, 40), 12), ("sign", 0.5, (0, 0, 9, 9), -1)],
            timings={"decode": 0.0012345, "inference": 0.025},
        )
    )
    sink.close()
    assert path.read_text() == (
        '{"source":"drive.mp4","frame":7,"timestamp_s":0.333333,"dropped":2,"detections":['
        '{"task":"car","class":"car","confidence":0.87,"xyxy":[10.13,20.0,30.5,40.0],'
        '"track_id":12},'
        '{"task":"sign","class":"sign","confidence":0.5,"xyxy":[0.0,0.0,9.0,9.0],'
        '"track_id":null}],'
        '"timings_ms":{"decode":1.234,"inference":25.0}}\n'
    )


def test_a_live_frame_shows_its_age(tmp_path: Path, result: Results) -> None:
    path = tmp_path / "out.jsonl"
    sink = JsonLinesSink(path)
    sink.write(result(age_s=0.0421))
    sink.close()
    assert read(path)[0]["age_ms"] == 42.1


def test_a_frame_without_detections_has_an_empty_list(tmp_path: Path, result: Results) -> None:
    path = tmp_path / "out.jsonl"
    sink = JsonLinesSink(path)
    sink.write(result())
    sink.close()
    assert read(path)[0]["detections"] == []


def test_without_a_tracker_every_track_is_null(
    tmp_path: Path, result: Results, detections: Callable[..., object]
) -> None:
    path = tmp_path / "out.jsonl"
    sink = JsonLinesSink(path)
    sink.write(result(found=detections(("car", 0.9, (1, 2, 3, 4), 5), tracked=False)))
    sink.close()
    assert [d["track_id"] for d in read(path)[0]["detections"]] == [None]  # type: ignore[attr-defined]


def test_numbers_that_json_does_not_know_become_null(tmp_path: Path, result: Results) -> None:
    path = tmp_path / "out.jsonl"
    sink = JsonLinesSink(path)
    sink.write(result(math.nan, timings={"decode": math.inf, "track": 0.001}, age_s=-math.inf))
    sink.close()
    (line,) = read(path)
    assert (line["timestamp_s"], line["age_ms"]) == (None, None)
    assert line["timings_ms"] == {"decode": None, "track": 1.0}


def test_a_file_name_that_is_no_text_still_makes_valid_json(
    tmp_path: Path, result: Results
) -> None:
    path = tmp_path / "out.jsonl"
    sink = JsonLinesSink(path)
    sink.write(result(source=os.fsdecode(b"caf\xe9.mp4")))
    sink.write(result(source="café.mp4"))
    sink.close()
    assert [line["source"] for line in read(path)] == ["caf?.mp4", "café.mp4"]


def test_a_reader_sees_each_line_at_once(tmp_path: Path, result: Results) -> None:
    path = tmp_path / "out.jsonl"
    sink = JsonLinesSink(path)
    for index in range(3):
        sink.write(result(index=index))
        assert read(path)[-1]["frame"] == index
    sink.close()


def test_what_the_file_held_before_is_gone(tmp_path: Path, result: Results) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("an older and longer run\n" * 100)
    sink = JsonLinesSink(path)
    sink.write(result())
    sink.close()
    assert len(read(path)) == 1


def test_a_run_without_frames_leaves_an_empty_file(tmp_path: Path) -> None:
    JsonLinesSink(tmp_path / "out.jsonl").close()
    assert (tmp_path / "out.jsonl").read_bytes() == b""


def test_closing_twice_is_closing_once(tmp_path: Path, result: Results) -> None:
    sink = JsonLinesSink(tmp_path / "out.jsonl")
    sink.write(result())
    sink.close()
    sink.close()
    assert len(read(tmp_path / "out.jsonl")) == 1


def test_a_dash_is_standard_output_which_stays_open(
    capfd: pytest.CaptureFixture[str], result: Results
) -> None:
    sys.stdout.write("before\n")
    sink = JsonLinesSink("-")
    sink.write(result(index=4))
    sink.close()
    sys.stdout.write("after\n")
    sys.stdout.flush()
    before, line, after = capfd.readouterr().out.splitlines()
    assert (before, after) == ("before", "after")
    assert json.loads(line)["frame"] == 4


def test_standard_output_may_be_replaced_by_memory(
    capsys: pytest.CaptureFixture[str], result: Results
) -> None:
    sink = JsonLinesSink("-")
    sink.write(result(index=4))
    sink.close()
    assert json.loads(capsys.readouterr().out)["frame"] == 4


def test_without_a_standard_output_a_file_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", None)  # what pythonw and some services give
    with pytest.raises(SinkError, match="name a file"):
        JsonLinesSink("-")
