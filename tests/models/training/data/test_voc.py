from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from oneglance.models.training.data.datasets import read_dataset
from oneglance.models.training.data.labels import LabelledBox
from oneglance.models.training.data.voc import scan_voc

NAMES = {0: "person", 1: "car"}
SIZE = "<size><width>64</width><height>48</height><depth>3</depth></size>"


def thing(name: Any = "car", box: Any = (17, 13, 48, 36), more: Any = "") -> Any:
    edges = "".join(
        f"<{edge}>{side}</{edge}>"
        for edge, side in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    )
    return f"<object><name>{name}</name>{more}<bndbox>{edges}</bndbox></object>"


def scan(tmp_path: Any, *parts: Any, root: Any = "annotation", image: Any = None) -> Any:
    file = tmp_path / "a.xml"
    file.write_text(f"<{root}>{''.join(parts)}</{root}>")
    return scan_voc(file, NAMES, image)


def test_pixels_are_counted_from_one_and_include_the_last(tmp_path: Path) -> None:
    found = scan(tmp_path, SIZE, thing())
    assert found.boxes == (LabelledBox(1, 0.5, 0.5, 0.5, 0.5),)
    assert found.problems == ()


@pytest.mark.parametrize(
    ("flag", "crowd"), [("1", True), ("True", True), (" 1 ", True), ("0", False), ("", False)]
)
def test_difficult_is_read_however_it_is_written(tmp_path: Path, flag: str, crowd: bool) -> None:
    found = scan(tmp_path, SIZE, thing(more=f"<difficult>{flag}</difficult>"))
    assert [box.crowd for box in found.boxes] == [crowd]


def test_a_box_counted_from_zero_does_not_leave_the_image(tmp_path: Path) -> None:
    found = scan(tmp_path, SIZE, thing(box=(0, 0, 32, 24)))
    assert found.boxes == (LabelledBox(1, 0.25, 0.25, 0.5, 0.5),)
    assert found.problems == ()


def test_names_are_compared_without_case_and_difficult_objects_are_regions(tmp_path: Path) -> None:
    found = scan(tmp_path, SIZE, thing("Person", more="<difficult>1</difficult>"))
    assert [(box.class_id, box.crowd) for box in found.boxes] == [(0, True)]


@pytest.mark.parametrize("size", ["", "<size><width>0</width><height>0</height></size>"])
def test_a_size_that_is_not_reported_is_the_images(
    tmp_path: Path, make_set: Any, size: str
) -> None:
    image = make_set(train={"a": None}).parent / "images" / "train" / "a.jpg"
    assert scan(tmp_path, size, thing(), image=image).boxes[0].width == 0.5
    (problem,) = scan(tmp_path, size, thing()).problems
    assert "says no <size>" in problem.what


@pytest.mark.parametrize(
    ("part", "what"),
    [
        (thing("dog"), "object 1 is a 'dog', which 'names:' does not have"),
        (thing(box=(1, 2, "x", 4)), "object 1, a 'car', has no <bndbox> with four numbers"),
        (thing(box=(1, 2, "nan", 4)), "object 1, a 'car', has no <bndbox> with four numbers"),
        ("<object><name>car</name></object>", "object 1, a 'car', has no <bndbox>"),
    ],
)
def test_an_object_that_cannot_be_understood_is_reported(
    tmp_path: Path, part: Any, what: str
) -> None:
    (problem,) = scan(tmp_path, SIZE, part).problems
    assert problem.what.startswith(what)
    assert not problem.usable


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("<annotation>", "is not XML"),
        ("", "is not XML"),
        ("<html></html>", "is not Pascal VOC's: <html>"),
        (
            '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><annotation>&b;</annotation>',
            "is not XML",
        ),
    ],
)
def test_a_file_that_is_none_of_vocs_is_reported(tmp_path: Path, text: str, what: str) -> None:
    (tmp_path / "a.xml").write_text(text)
    (problem,) = scan_voc(tmp_path / "a.xml", NAMES).problems
    assert problem.what.startswith(what)
    assert not problem.usable


def test_a_set_laid_out_as_vocs_own_is_read(make_set: Any) -> None:
    file = make_set(train={"a": None}, names=["person", "car"], annotations="Annotations")
    root = file.parent
    (root / "images" / "train").rename(root / "JPEGImages")
    (root / "Annotations").mkdir()
    (root / "Annotations" / "a.xml").write_text(f"<annotation>{SIZE}{thing()}</annotation>")
    file.write_text(file.read_text().replace("images/train", "JPEGImages"))
    dataset = read_dataset(file)
    (image,) = dataset.images("train")
    assert dataset.has_labels(image)
    assert [box.class_id for box in dataset.read_labels(image).boxes] == [1]
