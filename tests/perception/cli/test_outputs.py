"""Outputs that would destroy what is read, or one another."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from media import make_video
from oneglance.perception.cli.outputs import check_outputs, is_on_standard_output
from oneglance.streams.errors import UsageError
from program import Program

NEEDS_PYARROW = pytest.mark.skipif(find_spec("pyarrow") is None, reason="needs the extra batch")
NEEDS_MCAP = pytest.mark.skipif(find_spec("mcap") is None, reason="needs the extra mcap")

WOULD_DESTROY = "is the source: writing there would destroy it"

SOURCES = {
    "drive.foxglove.mcap": ("drive.foxglove.mcap", "mcap:drive.mcap"),
    "a topic of a bag": ("drive.mcap", "mcap:drive.mcap?format=ros2", "?topic=/camera/front"),
    "one video of several": ("drive.mkv", "jsonl:drive.mkv", "?video=1"),
    "a name with a question mark": ("drive?.mp4", "jsonl:drive?.mp4"),
}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def check(source: str, *sinks: str, video: str | None = None) -> None:
    place = None if video is None else Path(video)
    check_outputs([source], sinks=sinks, video=place)


@pytest.mark.parametrize("case", SOURCES)
def test_no_sink_writes_over_the_source_however_it_is_named(case: str, tmp_path: Path) -> None:
    file, sink, *more = SOURCES[case]
    (tmp_path / file).write_bytes(b"what was recorded")
    with pytest.raises(UsageError, match=WOULD_DESTROY):
        check("".join([file, *more]), sink)


@pytest.mark.parametrize("source", ["clips", "clips/*.mp4"])
def test_no_clip_of_a_folder_is_written_over(source: str, tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "a.mp4").write_bytes(b"a clip")
    with pytest.raises(UsageError, match=WOULD_DESTROY):
        check(source, video="clips/a.mp4")
    (tmp_path / "clips" / "run.jsonl").write_bytes(b"of an earlier run")
    check(source, "jsonl:clips/run.jsonl")
    check(source, "jsonl:clips/new.jsonl")


def test_no_file_of_a_bags_folder_is_written_over(tmp_path: Path) -> None:
    bag = tmp_path / "drive"
    bag.mkdir()
    (bag / "drive_0.mcap").write_bytes(b"what was recorded")
    (bag / "metadata.yaml").write_text("rosbag2_bagfile_information: {}\n")
    for file in ("drive_0.mcap", "metadata.yaml"):
        with pytest.raises(UsageError, match=WOULD_DESTROY):
            check("drive", f"jsonl:drive/{file}")


@pytest.mark.parametrize(
    "sinks",
    [
        ("mcap:a.mcap", "mcap:a.foxglove.mcap?format=ros2"),
        ("mcap:a.mcap?format=both&image=copy", "jsonl:a.foxglove.mcap"),
        ("coco:a.json", "jsonl:./a.json"),
        ("parquet:out", "parquet:out/"),
    ],
)
def test_no_two_sinks_write_one_file(sinks: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="is given for two outputs"):
        check("rendered:", *sinks)


def test_no_file_is_written_into_the_folder_of_another_output(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("out")
    (tmp_path / "out").mkdir()
    for sink in ("jsonl:out/a.jsonl", "coco:link/a.json", "csv:out/sub/a.csv"):
        with pytest.raises(UsageError, match=r"lies in out, which another output fills"):
            check("rendered:", sink, "parquet:out")
    check("rendered:", "jsonl:out/a.jsonl")


def test_a_file_that_a_sink_does_not_write_is_anothers_to_write() -> None:
    check("rendered:", "mcap:a.mcap?format=ros2", "jsonl:a.foxglove.mcap")
    check("rendered:", "jsonl:a.jsonl", "jsonl:b.jsonl")


def test_only_what_has_no_file_or_names_it_is_on_standard_output() -> None:
    assert all(map(is_on_standard_output, ["jsonl", "csv", "jsonl:-", "coco:/dev/stdout"]))
    assert not any(map(is_on_standard_output, ["jsonl:a", "parquet:out", "mqtt://host"]))


def test_a_run_refuses_before_the_source_is_touched(
    tmp_path: Path, oneglance: Program, model: Path, video: Callable[..., Path]
) -> None:
    clip = video("drive.mp4", frames=3)
    kept = clip.rename(tmp_path / "drive.foxglove.mcap")
    before = kept.read_bytes()
    outcome = oneglance("run", kept, "--model", model, "--sink", f"mcap:{tmp_path / 'drive.mcap'}")
    assert outcome.code == 2
    assert WOULD_DESTROY in outcome.message
    assert kept.read_bytes() == before


@pytest.mark.parametrize(
    "words", [("eval", "absent.onnx", "absent.yaml"), ("audit", "absent.yaml")]
)
def test_figures_that_cannot_be_written_are_refused_before_the_work(
    words: tuple[str, ...], oneglance: Program
) -> None:
    outcome = oneglance(*words, "--json", "nowhere/figures.json")
    assert outcome.code == 2
    assert "cannot write nowhere/figures.json" in outcome.message


def test_figures_go_to_standard_output_and_what_is_for_people_does_not(
    oneglance: Program, model: Path, tmp_path: Path
) -> None:
    clip = make_video(tmp_path / "drive.mp4", frames=3)
    run = tmp_path / "run.jsonl"
    assert oneglance("run", clip, "--model", model, "--jsonl", run).code == 0
    for name in ("-", "/dev/stdout"):
        done = oneglance("replay", run, "--model", model, "--json", name)
        assert done.code == 0, done.err
        assert json.loads(done.out)["frames"] == 3
        assert "3 frames compared" in done.err
    assert not Path("-").exists()
    assert "3 frames compared" in oneglance("replay", run, "--model", model).out


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("run", "drive.mp4", "--sink", "parquet:-"), marks=NEEDS_PYARROW),
        ("render", "--out", "-", "--frames", "2"),
        ("convert", "run.jsonl", "--to", "csv", "--out", "-"),
    ],
)
def test_no_folder_is_called_standard_output(
    oneglance: Program, model: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    make_video(tmp_path / "drive.mp4", frames=1)
    assert oneglance("run", "drive.mp4", "--model", model, "--jsonl", "run.jsonl").code == 0
    more = ("--model", model) if words[0] == "run" else ()
    done = oneglance(*words, *more)
    assert (done.code, Path("-").exists()) == (2, False)
    assert done.message == "'-' is standard output, where no folder can be written: name one"


@pytest.mark.parametrize(
    ("sink", "why"),
    [
        ("mcap:away/seen.mcap", "there is no folder away"),
        ("csv:away/seen.csv", "there is no folder away"),
        pytest.param("mcap:seen.mcap?format=odd", "format is one of", marks=NEEDS_MCAP),
        ("nosuch:seen.x", "unknown sink 'nosuch'"),
        ("parquet:strange", "holds what oneglance did not make"),
    ],
)
def test_an_output_that_is_refused_leaves_the_others_as_they_were(
    oneglance: Program, model: Path, tmp_path: Path, sink: str, why: str
) -> None:
    make_video(tmp_path / "drive.mp4", frames=1)
    (tmp_path / "strange" / "mine").mkdir(parents=True)
    outputs = [tmp_path / "seen.jsonl", tmp_path / "seen.mp4", tmp_path / "seen.coco.json"]
    words = ("run", "drive.mp4", "--model", model, "--jsonl", "seen.jsonl", "--video", "seen.mp4")
    more = ("--sink", "coco:seen.coco.json", "--sink", sink)
    refused = oneglance(*words, *more)
    assert refused.code == 2
    assert why in refused.message
    assert not [each for each in outputs if each.exists()]
    for output in outputs:
        output.write_text("of an earlier run")
    assert oneglance(*words, *more).code == 2
    assert {output.read_text() for output in outputs} == {"of an earlier run"}


@pytest.mark.parametrize(
    "out", ["set/images/train/a.jpg", "set/data.yaml", "file/model.onnx", "set"]
)
def test_a_model_is_not_exported_over_what_its_colours_are_learnt_from(
    out: str, oneglance: Program, tmp_path: Path
) -> None:
    pytest.importorskip("ultralytics", reason="needs the extra train")
    image = tmp_path / "set" / "images" / "train" / "a.jpg"
    image.parent.mkdir(parents=True)
    for file in (image, tmp_path / "set" / "data.yaml", tmp_path / "file"):
        file.write_bytes(b"mine")
    words = ("--out", out, "--colours", "set/data.yaml")
    outcome = oneglance("export", "absent.pt", *words)  # said before anything is read
    assert outcome.code == 2
    assert f"cannot write {out}: " in outcome.message
    assert image.read_bytes() == (tmp_path / "set" / "data.yaml").read_bytes() == b"mine"
