"""Sinks by name, and what can be plugged in here."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from oneglance.perception.plugins import SinkChoice, SinkContext, installed
from oneglance.streams import entry_points
from oneglance.streams.errors import UsageError
from program import Program, lines_of


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


@pytest.mark.parametrize(
    ("sink", "extra"),
    [
        *(("mcap", "mcap"), ("rerun", "rerun"), ("parquet", "batch")),
        *(("mqtt", "mqtt"), ("mqtts", "mqtt")),
    ],
)
def test_a_sink_whose_extra_is_missing_says_how_to_install_it(
    sink: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entry_points, "_is_installed", lambda name: False)
    with pytest.raises(UsageError, match=rf"pip install 'oneglance\[{extra}\]'"):
        SinkChoice(sink, "anywhere").open(SinkContext())


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


def test_the_command_that_lists_imports_nothing_that_is_listed() -> None:
    program = """
import json, sys
sys.argv = ["oneglance", "plugins"]
from oneglance.perception.cli.main import main
try:
    main()
except SystemExit:
    pass
print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    imported = set(json.loads(done.stdout.splitlines()[-1]))
    for_runs = {"cv2", "av", "onnxruntime", "openvino", "supervision", "trackers", "scipy"}
    extras = {"rerun", "mcap", "rosbags", "foxglove", "paho", "pyarrow", "starlette", "torch"}
    assert not imported & (for_runs | extras)


def test_a_run_writes_to_every_sink_it_is_given(
    tmp_path: Path, oneglance: Program, model: Path
) -> None:
    files = [tmp_path / name for name in ("a.jsonl", "b.jsonl")]
    words = [word for file in files for word in ("--sink", f"jsonl:{file}")]
    outcome = oneglance("run", "rendered:?frames=3", "--model", model, *words)
    assert outcome.code == 0, outcome.err
    one, other = (lines_of(file) for file in files)
    assert one == other
    assert [line["frame"] for line in one] == [0, 1, 2]


@pytest.mark.parametrize(
    ("sink", "sentence"),
    [
        ("jsnl:x", "unknown sink 'jsnl'; did you mean 'jsonl'?"),
        (":x", "a sink is NAME or NAME:TARGET"),
        ("video", "needs a file"),
    ],
)
def test_a_sink_that_is_none_ends_a_run_in_one_sentence(
    sink: str, sentence: str, oneglance: Program, model: Path
) -> None:
    outcome = oneglance("run", "rendered:?frames=2", "--model", model, "--sink", sink)
    assert outcome.code == 2
    assert sentence in outcome.message


def test_a_sink_never_writes_over_the_source_or_another_output(
    tmp_path: Path, oneglance: Program, model: Path, video: Callable[..., Path]
) -> None:
    clip = video("a.mp4", frames=3)
    before = clip.read_bytes()
    outcome = oneglance("run", clip, "--model", model, "--sink", f"jsonl:{clip}")
    assert "is the source: writing there would destroy it" in outcome.message
    assert clip.read_bytes() == before
    out = tmp_path / "o.jsonl"
    outcome = oneglance("run", clip, "--model", model, "--jsonl", out, "--sink", f"jsonl:{out}")
    assert "is given for two outputs" in outcome.message


def test_the_list_is_printed(oneglance: Program) -> None:
    outcome = oneglance("plugins")
    assert outcome.code == 0
    assert "jsonl" in outcome.out
    assert "ready" in outcome.out


CODE = """
class Sink:
    def __init__(self, target, context): pass
    def write(self, result): {write}
    def close(self): {close}
def nothing(target, context): pass
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """``plugin("mine:Sink", write=…)`` installs the sink ``bad`` of a package ``mine``."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(value: str, *, write: str = "pass", close: str = "pass") -> None:
        (tmp_path / "mine.py").write_text(CODE.format(write=write, close=close))
        info = tmp_path / "mine-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[oneglance.sinks]\nbad = {value}\n")
        monkeypatch.delitem(sys.modules, "mine", raising=False)

    return install


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"value": "mine:nothing"}, "cannot be used: it gave a NoneType, which is no Sink"),
        (
            {"value": "mine:Sink", "write": "1 / 0", "close": "raise RuntimeError('again')"},
            "failed: ZeroDivisionError: division by zero",
        ),
        ({"value": "mine:Sink", "write": "raise SystemExit(0)"}, "failed: it asks the program"),
        ({"value": "mine:Sink", "close": "raise OverflowError('late')"}, "failed: OverflowError"),
    ],
)
def test_a_plugin_that_fails_ends_a_run_in_a_sentence_that_blames_it(
    given: dict[str, str],
    sentence: str,
    plugin: Callable[..., None],
    oneglance: Program,
    model: Path,
) -> None:
    plugin(**given)
    outcome = oneglance("run", "rendered:?frames=3", "--model", model, "--sink", "bad")
    assert outcome.code == 2
    (line,) = (line for line in outcome.err.splitlines() if line.startswith("error: "))
    assert line.startswith(f"error: the plugin bad of mine 1.2 {sentence}")
    assert "internal error" not in outcome.err


def test_what_a_damaged_package_offers_is_listed_as_unknown(
    tmp_path: Path, plugin: Callable[..., None], oneglance: Program
) -> None:
    plugin("mine:Sink")
    (tmp_path / "mine-1.2.dist-info" / "entry_points.txt").write_bytes(b"[a]\n\xff")
    outcome = oneglance("plugins")
    assert outcome.code == 0
    assert "mine 1.2" in outcome.out
    assert "jsonl" in outcome.out
