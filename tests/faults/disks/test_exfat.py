"""Outputs on exFAT, which memory cards and USB disks have: no links, and not every name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from media import make_video
from mounts import mounted_exfat
from oneglance.perception.sinks.files import check_writable
from oneglance.streams.errors import SinkError
from oneglance.streams.outputs import is_part, odd_characters, write_file
from program import Program
from trees import tree

ODD = ["a:b", "what?", "back\\slash", 'a|b*"<>', "bytes\udcff", "tab\t"]


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with mounted_exfat(tmp_path_factory.mktemp("disk") / "card") as folder:
        yield folder


@pytest.mark.parametrize("name", ODD)
def test_a_name_that_the_file_system_does_not_take_is_refused_at_once(
    card: Path, name: str
) -> None:
    with pytest.raises(SinkError, match=r"this file system takes no name with .*another name"):
        check_writable(card / name)
    with pytest.raises(SinkError, match="this file system takes no name with"):
        write_file(card / name, "all")
    assert tree(card) == {}


@pytest.mark.parametrize("name", ODD)
def test_where_it_is_taken_nothing_is_left_of_the_look(tmp_path: Path, name: str) -> None:
    check_writable(tmp_path / name)
    assert tree(tmp_path) == {}
    assert is_part(tmp_path / f".oneglance-0123456789ab{odd_characters(name)}.part")


@pytest.mark.parametrize(
    "words", [("--sink", "coco:{}/a:b.json"), ("--json-summary", "{}/a:b.json")]
)
def test_a_run_is_refused_before_its_first_frame(
    card: Path, oneglance: Program, model: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    source = make_video(tmp_path / "drive.mp4", frames=1)
    kept = card / "kept.jsonl"
    kept.write_text("of an earlier run")
    outputs = [word.format(card) for word in words]
    refused = oneglance("run", source, "--model", model, "--jsonl", kept, *outputs)
    assert refused.code == 2
    assert "this file system takes no name with ':'" in refused.message
    assert kept.read_text() == "of an earlier run"
    kept.unlink()


def test_every_output_of_a_run_is_written_there(
    card: Path, oneglance: Program, model: Path, tmp_path: Path
) -> None:
    source = make_video(tmp_path / "drive.mp4", frames=2)
    names = ("seen.jsonl", "seen.mp4", "seen.csv", "seen.json")
    jsonl, video, csv, coco = (card / name for name in names)
    sinks = ("--sink", f"csv:{csv}", "--sink", f"coco:{coco}")
    outputs = ("--jsonl", jsonl, "--video", video, *sinks)
    for _ in range(2):  # over an earlier run's
        done = oneglance("run", source, "--model", model, *outputs)
        assert done.code == 0, done.message
    assert sorted(each.name for each in card.iterdir()) == sorted(names)
    for each in card.iterdir():
        assert each.stat().st_size
        each.unlink()
