"""Labels by hand, in a set that a study can score on."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import cv2
import pytest

pytest.importorskip("ultralytics", reason="needs the 'train' extra")

from benchmarks.labelling.hand_labels import COLUMNS, main
from oneglance.models import Task
from oneglance.models.training.data.datasets import read_dataset
from oneglance.streams.rendered.dataset import write_dataset
from present import present

ROOT = Path(__file__).parents[3]
NUMBERS = [Task.PEDESTRIAN, Task.CAR, Task.SIGN, Task.LIGHT]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a rendered set."""
    folder = tmp_path_factory.mktemp("drawn")
    write_dataset(folder, frames=12, seed=3, size=(544, 320), val_share=0.67)
    return folder


def boxes_of(image: Path) -> list[tuple[Task, list[float]]]:
    """Task and x, y, width, height in shares, as the label file beside the image has them."""
    file = image.parents[2] / "labels" / "val" / f"{image.stem}.txt"
    rows = [line.split() for line in file.read_text().splitlines()]
    return [(NUMBERS[int(row[0])], [float(word) for word in row[1:]]) for row in rows]


def write_table(file: Path, rows: list[list[object]]) -> Path:
    lines = [COLUMNS, *rows]
    file.write_text("".join(",".join(map(str, line)) + "\n" for line in lines))  # type: ignore[call-overload]
    return file


def test_boxes_come_out_as_they_went_in_and_images_without_any_stay(
    drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = sorted((drawn / "images" / "val").iterdir())
    rows: list[list[object]] = []
    for image in images[:-2]:
        height, width = present(cv2.imread(str(image))).shape[:2]
        for task, (x, y, w, h) in boxes_of(image):
            if task in (Task.CAR, Task.SIGN):
                sides = [(x - w / 2) * width, (y - h / 2) * height]
                sides += [(x + w / 2) * width, (y + h / 2) * height]
                edges = [width, height, width, height]
                tidy = [min(max(side, 0), end) for side, end in zip(sides, edges, strict=True)]
                rows.append([task, image.relative_to(drawn), *tidy])
    table = write_table(tmp_path / "table.csv", rows)
    out = tmp_path / "out"
    assert main([str(table), "--images", str(drawn), "--out", str(out)]) == 0
    reported = capsys.readouterr().out
    assert f"of {len(images)} images in {out}" in reported
    made = read_dataset(out / "data.yaml")
    assert made.labelled_tasks == {Task.CAR, Task.SIGN}
    assert "train" not in made.folders
    found = sorted(made.images("val"))
    assert [image.resolve() for image in found] == [image.resolve() for image in images]
    for image, original in zip(found[:-2], images[:-2], strict=True):
        expected = [(t, b) for t, b in boxes_of(original) if t in (Task.CAR, Task.SIGN)]
        assert [task for task, _ in boxes_of(image)] == [task for task, _ in expected]
        for (_, box), (_, wanted) in zip(boxes_of(image), expected, strict=True):
            assert box == pytest.approx(wanted, abs=2e-6)
    assert [boxes_of(image) for image in found[-2:]] == [[], []]


def test_a_wrong_table_is_reported_by_file_and_line(
    drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = next((drawn / "images" / "val").iterdir()).relative_to(drawn)

    def refused(rows: list[list[object]]) -> str:
        table = write_table(tmp_path / "table.csv", rows)
        assert main([str(table), "--images", str(drawn), "--out", str(tmp_path / "out")]) == 2
        assert not (tmp_path / "out").exists()
        return capsys.readouterr().err

    good = ["car", image, 1, 2, 30, 40]
    assert "table.csv labels nothing" in refused([])
    assert "table.csv:3: cannot read image" in refused([good, ["car", "no.jpg", 1, 2, 3, 4]])
    assert "table.csv:2: a task and four numbers" in refused([["cat", image, 1, 2, 3, 4]])
    assert "table.csv:2: a task and four numbers" in refused([["car", image, 1, 2]])
    assert "table.csv:2: the box is empty or leaves" in refused([["car", image, 1, 2, 1, 4]])
    assert "of 544×320" in refused([["car", image, 1, 2, 545, 4]])
    missing = tmp_path / "none.csv"
    assert main([str(missing), "--images", str(drawn), "--out", str(tmp_path / "out")]) == 2
    assert "cannot read" in capsys.readouterr().err
    missing.write_text("name,x,y\n")
    assert main([str(missing), "--images", str(drawn), "--out", str(tmp_path / "out")]) == 2
    assert "the columns must be task,image,left" in capsys.readouterr().err
    assert main([str(missing), "--images", str(drawn), "--out", str(tmp_path)]) == 2
    assert "give another --out" in capsys.readouterr().err


def test_two_images_of_one_name_are_reported(
    drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = next((drawn / "images" / "val").iterdir())
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / image.name).symlink_to(image)
    rows: list[list[object]] = [["car", f"{f}/{image.name}", 1, 2, 30, 40] for f in ("a", "b")]
    table = write_table(tmp_path / "table.csv", rows)
    assert main([str(table), "--images", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert f"several folders have an image {image.name}" in capsys.readouterr().err


def test_the_signs_labelled_by_hand_are_a_set(shared: Path, tmp_path: Path) -> None:
    table = ROOT / "benchmarks" / "data" / "unlabelled-signs.csv"
    data, out = shared / "data", tmp_path / "out"
    assert main([str(table), "--images", str(data), "--out", str(out)]) == 0
    made = read_dataset(out / "data.yaml")
    images = made.images("val")
    assert len(images) == 500
    assert made.count_boxes(images) == {Task.SIGN: 43}


def test_a_set_that_was_stopped_half_way_is_written_anew_and_a_whole_one_stays(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    image = sorted((drawn / "images" / "val").iterdir())[0].relative_to(drawn)
    table = write_table(tmp_path / "table.csv", [["car", image, 1, 2, 30, 40]])
    words = [str(table), "--images", str(drawn), "--out", str(tmp_path / "out")]

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "labels")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", full)
        assert main(words) == 2
    assert "labels: " in capsys.readouterr().err
    assert not (tmp_path / "out" / "data.yaml").exists()
    assert main(words) == 0
    assert len(read_dataset(tmp_path / "out" / "data.yaml").images("val")) == 8
    assert main(words) == 2
    assert "exists: give another --out" in capsys.readouterr().err
