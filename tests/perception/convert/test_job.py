"""Results that were written before become another format, whole or with an error."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from program import Program

MakeVideo = Callable[..., Path]


@pytest.fixture
def lines(oneglance: Program, model: Path, video: MakeVideo, tmp_path: Path) -> Path:
    """JSON Lines of a real run: four frames, three boxes each."""
    file = tmp_path / "out.jsonl"
    assert oneglance("run", video("a.mp4", frames=4), "--model", model, "--jsonl", file).code == 0
    return file


def test_lines_and_parquet_of_one_clip_give_the_same_boxes(
    lines: Path, oneglance: Program, model: Path, tmp_path: Path
) -> None:
    pytest.importorskip("pyarrow", reason="needs the extra batch")
    clip, out = tmp_path / "a.mp4", tmp_path / "out"
    assert oneglance("batch", clip, "--model", model, "--out", out, "--workers", 1).code == 0
    results = []
    for number, source in enumerate((lines, out, out / "detections")):
        folder = tmp_path / str(number)
        run = oneglance("convert", source, "--to", "coco", "--out", folder)
        assert run.code == 0, run.err
        assert f"2 files in {folder}" in run.out
        results.append(json.loads((folder / "results.json").read_text()))
    assert len(results[0]) == 12
    assert results[1] == results[2]
    for a, b in zip(results[0], results[1], strict=True):
        assert a["bbox"] == pytest.approx(b["bbox"], abs=0.02)  # lines are rounded to 0.01
        assert (a["image_id"], a["category_id"]) == (b["image_id"], b["category_id"])
        assert a.get("track_id") == b.get("track_id")


def test_a_folder_is_made_anew_and_a_strangers_is_refused(
    lines: Path, oneglance: Program, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert oneglance("convert", lines, "--to", "kitti", "--out", out).code == 0
    assert len(list(out.rglob("*.txt"))) == 4
    assert oneglance("convert", lines, "--to", "mot", "--out", out).code == 0
    assert [file.name for file in out.rglob("*.txt")] == ["a.txt"]
    (out / "notes").write_text("mine")
    assert "did not make" in oneglance("convert", lines, "--to", "coco", "--out", out).message
    assert (out / "a.txt").exists()


def test_an_earlier_result_stays_where_the_new_one_fails_half_way(
    lines: Path, oneglance: Program, tmp_path: Path
) -> None:
    out, bad = tmp_path / "out", tmp_path / "bad.jsonl"
    assert oneglance("convert", lines, "--to", "kitti", "--out", out).code == 0
    before = {file: file.read_text() for file in out.rglob("*.txt")}
    bad.write_text(lines.read_text() + "{}\n")
    for to in ("kitti", "mot", "coco"):
        assert oneglance("convert", bad, "--to", to, "--out", out).code == 2
        assert {file: file.read_text() for file in out.rglob("*.txt")} == before


def test_yolo_takes_the_size_that_lines_do_not_have(
    lines: Path, oneglance: Program, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = ("convert", lines, "--to", "yolo", "--out", out)
    assert "--size WxH" in oneglance(*words).message
    assert not out.exists()
    assert "no frame is 0x48" in oneglance(*words, "--size", "0x48").message
    assert not out.exists()
    assert "is not that of" in oneglance(*words, "--size", "32x24").message
    assert not out.exists()
    assert oneglance(*words, "--size", "64x48").code == 0
    assert len(list((out / "labels").iterdir())) == 4


LINE = '{"source": "a", "frame": 0, "timestamp_s": 0, "size": [64, 48], "detections": []}\n'


@pytest.mark.parametrize(
    ("old", "new"), [("64", "0"), ("64", "9" * 400), ("[64", "[Infinity"), ('_s": 0', '_s": NaN')]
)
def test_numbers_that_are_none_are_one_sentence_with_their_line(
    oneglance: Program, tmp_path: Path, old: str, new: str
) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text(LINE + LINE.replace(old, new))
    run = oneglance("convert", bad, "--to", "bdd100k", "--out", tmp_path / "out")
    assert run.code == 2
    assert f"{bad}, line 2: no result" in run.message


BOX = {"task": "car", "class": "car", "confidence": 0.5, "track_id": None, "xyxy": [1, 2, 9, 8]}


@pytest.mark.parametrize(
    ("of_box", "of_frame"),
    [
        *(({"xyxy": box}, {}) for box in ([9, 2, 1, 8], [1, 8, 9, 2], [1, 2, 9], "abcd")),
        *(({"confidence": share}, {}) for share in (7, -0.1, "x")),
        *(({}, frame) for frame in ({"frame": -3}, {"source": None}, {"source": ["a"]})),
    ],
)
def test_a_result_that_no_run_writes_is_one_sentence_with_its_line(
    oneglance: Program, tmp_path: Path, of_box: dict[str, object], of_frame: dict[str, object]
) -> None:
    good = json.loads(LINE) | {"detections": [BOX]}
    file, out = tmp_path / "a.jsonl", tmp_path / "out"
    file.write_text(json.dumps(good) + "\n")
    assert oneglance("convert", file, "--to", "csv", "--out", out).code == 0
    bad = good | {"detections": [BOX | of_box]} | of_frame
    file.write_text(json.dumps(good) + "\n" + json.dumps(bad) + "\n")
    for words in (("convert", file, "--to", "csv"), ("mine", file)):
        run = oneglance(*words, "--out", tmp_path / "new")
        assert (run.code, f"{file}, line 2: no result" in run.message) == (2, True)
        assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("content", ["{}\n", "hello\n", "[]\n", '{"frame": 1}\n', "\xff\n"])
def test_what_is_no_result_is_one_sentence_with_its_line(
    oneglance: Program, tmp_path: Path, content: str
) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text(content)
    run = oneglance("convert", bad, "--to", "coco", "--out", tmp_path / "out")
    assert run.code == 2
    assert f"{bad}, line 1: no result" in run.message
    assert not (tmp_path / "out").exists()


def test_what_is_missing_or_no_table_is_one_sentence(oneglance: Program, tmp_path: Path) -> None:
    out = ("--to", "coco", "--out", tmp_path / "out")
    assert "no file or folder" in oneglance("convert", tmp_path / "gone", *out).message
    (tmp_path / "empty").mkdir()
    assert "no Parquet files" in oneglance("convert", tmp_path / "empty", *out).message
    pa = pytest.importorskip("pyarrow", reason="needs the extra batch")
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"clip": ["a"]}), tmp_path / "other.parquet")
    assert "has no frame" in oneglance("convert", tmp_path / "other.parquet", *out).message
    (tmp_path / "text.parquet").write_text("hello")
    assert "cannot be read as Parquet" in (
        oneglance("convert", tmp_path / "text.parquet", *out).message
    )
    assert not (tmp_path / "out").exists()
