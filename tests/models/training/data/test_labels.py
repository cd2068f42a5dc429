from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from oneglance.models.training.data.labels import (
    LabelledBox,
    Problem,
    label_file,
    refuse,
    scan_labels,
)
from oneglance.streams.errors import DataError

NAMES = {0: "person", 1: "car"}


def scan(tmp_path: Any, text: Any) -> Any:
    file = tmp_path / "a.txt"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return scan_labels(file, NAMES)


def test_good_lines_are_boxes_and_blank_ones_are_nothing(tmp_path: Path) -> None:
    found = scan(tmp_path, "0 0.5 0.5 0.2 0.4\r\n\n1.0 0.25 0.25 0.5 0.5\n")
    assert found.boxes == (
        LabelledBox(0, 0.5, 0.5, 0.2, 0.4),
        LabelledBox(1, 0.25, 0.25, 0.5, 0.5),
    )
    assert found.problems == ()


def test_a_link_that_leads_nowhere_is_no_image_without_boxes(tmp_path: Path) -> None:
    (tmp_path / "a.txt").symlink_to("nowhere.txt")
    (problem,) = scan_labels(tmp_path / "a.txt", NAMES).problems
    assert (problem.what, problem.usable) == ("is a link that leads nowhere", False)


def test_a_missing_file_is_an_image_without_boxes(tmp_path: Path) -> None:
    found = scan_labels(tmp_path / "none.txt", NAMES)
    assert (found.boxes, found.problems) == ((), ())


@pytest.mark.parametrize(
    ("line", "what"),
    [
        *(
            (
                f"0 0.5 0.5 {extent}",
                "has a width or height below zero: where the object is cannot be known",
            )
            for extent in ("0.2 -0.2", "-0.2 0.2", "-0.2 -1e-9")
        ),
        ("0 0.5 0.5 0.2", "expected 'class x y w h', got '0 0.5 0.5 0.2'"),
        ("0 0.5 0.5 0.2 0.2 0.9", "expected 'class x y w h', got '0 0.5 0.5 0.2 0.2 0.9'"),
        ("car 0.5 0.5 0.2 0.2", "expected 'class x y w h', got 'car 0.5 0.5 0.2 0.2'"),
        ("0 nan 0.5 0.2 0.2", "a number is not finite: '0 nan 0.5 0.2 0.2'"),
        ("0 0.5 0.5 inf 0.2", "a number is not finite: '0 0.5 0.5 inf 0.2'"),
        ("2 0.5 0.5 0.2 0.2", "class 2 is not one of 0, 1"),
        ("-1 0.5 0.5 0.2 0.2", "class -1 is not one of 0, 1"),
        ("0.5 0.5 0.5 0.2 0.2", "class 0.5 is not one of 0, 1"),
        ("0 320 240 20 20", "pixels, not 0..1: '0 320 240 20 20'"),
        ("0 0 0 1 0 1 nan", "a number is not finite: '0 0 0 1 0 1 …'"),
        ("0 0 0 640 0 640 480", "pixels, not 0..1: '0 0 0 640 0 640 …'"),
    ],
)
def test_a_line_that_cannot_be_understood_is_reported_and_not_used(
    tmp_path: Path, line: str, what: str
) -> None:
    found = scan(tmp_path, f"0 0.5 0.5 0.2 0.4\n{line}\n")
    assert len(found.boxes) == 1
    assert found.problems == (Problem(tmp_path / "a.txt", 2, what, usable=False),)
    assert str(found.problems[0]) == f"{tmp_path / 'a.txt'}:2: {what}"


def test_a_box_that_leaves_the_image_is_cut_to_it_and_reported(tmp_path: Path) -> None:
    found = scan(tmp_path, "0 0.95 0.5 0.2 0.4")  # 0.85 … 1.05
    (box,) = found.boxes
    assert (box.x, box.y, box.width, box.height) == pytest.approx((0.925, 0.5, 0.15, 0.4))
    (problem,) = found.problems
    assert problem.usable
    assert problem.what == "the box leaves the image (0..1): cut to it"


def test_rounding_at_the_edge_is_no_problem(tmp_path: Path) -> None:
    found = scan(tmp_path, "0 0.9 0.5 0.2005 0.4")
    assert found.problems == ()
    assert found.boxes == (LabelledBox(0, 0.9, 0.5, 0.2005, 0.4),)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("0 0.5 0.5 0 0.2", "the box has no area: left out"),
        ("0 0.5 0.5 4e-7 0.2", "the box has no area: left out"),  # six digits are written
        ("0 1.5 0.5 0.2 0.2", "the box is outside the image (0..1): left out"),
    ],
)
def test_a_box_without_area_in_the_image_is_left_out_and_reported(
    tmp_path: Path, line: str, what: str
) -> None:
    found = scan(tmp_path, line)
    assert found.boxes == ()
    assert found.problems == (Problem(tmp_path / "a.txt", 1, what, usable=True),)


def test_a_line_written_twice_counts_once_and_is_reported(tmp_path: Path) -> None:
    found = scan(tmp_path, "0 0.5 0.5 0.2 0.4\n1 0.5 0.5 0.2 0.4\n0 0.50 0.5 0.2 0.4\n")
    assert [box.class_id for box in found.boxes] == [0, 1]
    (problem,) = found.problems
    assert (problem.line, problem.what) == (3, "the same box as in line 1: left out")


def test_a_file_that_is_no_text_is_reported(tmp_path: Path) -> None:
    (problem,) = scan(tmp_path, b"\xff\xd8\xff\xe0").problems
    assert (problem.line, problem.what, problem.usable) == (None, "cannot be read: not text", False)


def test_every_bad_line_is_in_the_message_until_there_are_too_many(tmp_path: Path) -> None:
    found = scan(tmp_path, "\n".join(f"{7 + i} 0.5 0.5 0.2 0.2" for i in range(23)))
    with pytest.raises(DataError) as caught:
        refuse(found.problems[:20])
    lines = str(caught.value).splitlines()
    assert lines[0] == "20 things are wrong:"
    assert lines[20] == f"{tmp_path / 'a.txt'}:20: class 26 is not one of 0, 1"
    with pytest.raises(DataError, match=r"23 things.*\n(.*\n){20}… and 3 more: 'oneglance audit'"):
        refuse(found.problems)


def test_nothing_wrong_is_nothing_to_refuse() -> None:
    refuse([])


def test_labels_lie_beside_the_last_folder_called_images(tmp_path: Path) -> None:
    image = tmp_path / "images" / "city" / "images" / "train" / "a.png"
    at = tmp_path / "images" / "city"
    assert label_file(image) == at / "labels" / "train" / "a.txt"
    assert label_file(image, "kinds") == at / "kinds" / "train" / "a.txt"
    assert label_file(tmp_path / "a.b.jpg") == tmp_path / "a.b.txt"


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b""])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_marks_and_line_ends_of_any_editor_are_read(tmp_path: Path, mark: bytes, end: str) -> None:
    found = scan(tmp_path, mark + f"1 0.5 0.5 0.2 0.4{end}0 0.5 0.5 0.1 0.1{end}".encode())
    assert [box.class_id for box in found.boxes] == [1, 0]
    assert found.problems == ()


def test_utf_16_is_read(tmp_path: Path) -> None:
    assert len(scan(tmp_path, "1 0.5 0.5 0.2 0.4\r\n".encode("utf-16")).boxes) == 1


def test_a_polygon_is_its_box_and_counted(tmp_path: Path) -> None:
    found = scan(tmp_path, "1 0.1 0.2 0.4 0.2 0.4 0.6\n0 0.5 0.5 0.2 0.4\n1 0 0 1 0 1 1 0 1\n")
    first, _, last = found.boxes
    assert (first.x, first.y, first.width, first.height) == pytest.approx((0.25, 0.4, 0.3, 0.4))
    assert (last.x, last.y, last.width, last.height) == (0.5, 0.5, 1, 1)
    assert (found.polygons, found.problems) == (2, ())


@pytest.mark.parametrize(
    ("key_points", "after"),
    [(4, "0.1 0.2 0.9 0.8"), (6, "0.1 0.2 2 0.9 0.8 0"), (34, " ".join(["0.9 0.1"] * 17))],
)
def test_the_box_before_key_points_is_read_and_they_are_no_polygon(
    tmp_path: Path, key_points: int, after: str
) -> None:
    file = tmp_path / "a.txt"
    file.write_text(f"1 0.5 0.5 0.2 0.4 {after}\n0 0.5 0.5 0.2 0.4\n0 0.1 0.1 0.2 0.2 0.3 0.3\n")
    found = scan_labels(file, NAMES, key_points=key_points)
    assert found.boxes == (LabelledBox(1, 0.5, 0.5, 0.2, 0.4), LabelledBox(0, 0.5, 0.5, 0.2, 0.4))
    assert [problem.line for problem in found.problems] == [3]  # of another number
    assert found.polygons == 0


def test_marks_of_key_points_are_no_points_of_a_polygon(tmp_path: Path) -> None:
    found = scan(tmp_path, "1 0.5 0.5 0.2 0.4 0.1 0.2 2 0.9 0.8 2\n")
    assert found.boxes == ()
    assert "key points need 'kpt_shape:'" in found.problems[0].what


KITTI = "Car 0.00 0 -1.58 16.00 12.00 48.00 36.00 1.5 1.6 3.6 -2.0 1.6 29.0 -1.5"


@pytest.mark.parametrize("line", [KITTI, KITTI.replace("Car", "CAR"), f"{KITTI} 0.97"])
def test_kittis_own_lines_are_read(tmp_path: Path, line: Any) -> None:
    image = tmp_path / "a.png"
    cv2.imwrite(str(image), np.zeros((48, 64, 3), np.uint8))
    file = tmp_path / "a.txt"
    file.write_text(f"{line}\n1 0.5 0.5 0.1 0.1\n")
    found = scan_labels(file, {0: "Pedestrian", 1: "Car"}, image)
    assert found.problems == ()
    assert found.boxes[0] == LabelledBox(1, 0.5, 0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (KITTI, "KITTI's format ('Car' and 14 numbers), whose pixels cannot be placed"),
        (KITTI.replace("Car", "Tram"), "KITTI's format ('Tram' and 14 numbers), but 'names:' has"),
        (KITTI.replace("48.00", "x"), "KITTI's format ('Car' and 14 numbers) with a field that is"),
    ],
)
def test_kittis_lines_that_cannot_be_read_are_named_as_kittis(
    tmp_path: Path, line: Any, what: str
) -> None:
    (problem,) = scan(tmp_path, line).problems
    assert problem.what.startswith(what)
    assert not problem.usable
