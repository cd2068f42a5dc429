"""Sinks by name, and what can be plugged in here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from oneglance.perception.plugins import SinkChoice, SinkContext, installed
from oneglance.streams.errors import UsageError


@pytest.mark.parametrize(
    ("text", "name", "target"),
    [
        ("jsonl", "jsonl", ""),
        ("jsonl:a.jsonl", "jsonl", "a.jsonl"),
        ("rerun:grpc://host:9876/x", "rerun", "grpc://host:9876/x"),
        (r"video:C:\drive.mp4", "video", r"C:\drive.mp4"),
    ],
)
def test_a_choice_is_a_name_and_what_follows_the_first_colon(
    text: str, name: str, target: str
) -> None:
    assert SinkChoice.parse(text) == SinkChoice(name, target)


@pytest.mark.parametrize("text", ["", ":", ":file", "  :x"])
def test_a_choice_without_a_name_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"a sink is NAME or NAME:TARGET"):
        SinkChoice.parse(text)


def test_a_sink_is_opened_by_its_name(tmp_path: Path) -> None:
    sink = SinkChoice.parse(f"jsonl:{tmp_path / 'a.jsonl'}").open(SinkContext())
    sink.close()
    assert (tmp_path / "a.jsonl").read_bytes() == b""


def test_a_video_needs_a_file() -> None:
    with pytest.raises(UsageError, match=r"needs a file: video:seen\.mp4"):
        SinkChoice.parse("video").open(SinkContext())


def test_what_is_installed_is_listed_with_its_package() -> None:
    found = {(each.kind, each.offer.name): each for each in installed()}
    assert found["sink", "jsonl"].offer.package == "oneglance"
    assert found["sink", "jsonl"].problem == ""
    assert ("source", "rtsp") in found


def test_listing_ours_imports_none_of_them() -> None:
    program = """
import json, sys
from oneglance.perception.plugins import installed
before = set(sys.modules)
installed()
new = {name.split(".")[0] for name in set(sys.modules) - before}
print(json.dumps(sorted(new - set(sys.stdlib_module_names))))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == []
