from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import pytest

from oneglance.models.training.data.datasets import read_dataset
from oneglance.models.training.data.labels import LabelledBox
from oneglance.models.training.data.voc import scan_voc
from present import present

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


@pytest.mark.parametrize("mark", ["crowd", "iscrowd", "ignore"])
def test_what_others_call_a_region_is_one(tmp_path: Path, mark: str) -> None:
    found = scan(tmp_path, SIZE, thing(more=f"<{mark}>1</{mark}>"))
    assert [box.crowd for box in found.boxes] == [True]


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


@pytest.mark.parametrize(
    ("parts", "what"),
    [
        (
            (SIZE, thing(box=(48, 36, 17, 13))),
            (
                "object 1, a 'car', has a width or height below zero: where the object is cannot "
                "be known"
            ),
        ),
        (
            (SIZE, thing(box=(0.1, 0.1, 0.5, 0.5))),
            "object 1, a 'car', lies within the first pixel: 0..1, where pixels are expected",
        ),
        (
            (SIZE, thing().replace("</object>", "<bndbox/></object>")),
            "object 1, a 'car', has several <bndbox>",
        ),
        (
            ("<size><width>48</width><height>64</height></size>", thing()),
            "says that the image is 48x64 pixels, which is 64x48: its boxes cannot be placed",
        ),
    ],
    ids=["corners exchanged", "in 0..1", "two boxes", "another shape"],
)
def test_a_box_whose_place_is_not_known_is_reported_and_not_used(
    tmp_path: Path, make_set: Any, parts: Any, what: str
) -> None:
    image = make_set(train={"a": None}).parent / "images" / "train" / "a.jpg"
    found = scan(tmp_path, *parts, image=image)
    assert [(problem.what, problem.usable) for problem in found.problems] == [(what, False)]
    assert found.boxes == ()


def test_an_image_that_its_camera_turned_has_the_size_that_is_shown(
    tmp_path: Path, make_set: Any
) -> None:
    image = make_set(train={"a": None}).parent / "images" / "train" / "a.jpg"
    content = image.read_bytes()
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    turned = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    image.write_bytes(content[:2] + turned + content[2:])
    assert present(cv2.imread(str(image))).shape == (64, 48, 3)  # as it is trained on
    shown = "<size><width>48</width><height>64</height></size>"
    assert scan(tmp_path, shown, thing(box=(1, 1, 24, 32)), image=image).boxes == (
        LabelledBox(1, 0.25, 0.25, 0.5, 0.5),
    )
    assert not scan(tmp_path, SIZE, thing(), image=image).problems[0].usable


@pytest.mark.parametrize("text", ["1 0.5 0.5 0.5 0.5", "1 0.5 0.5 0.5 0.5\n0 0.5 0.5 0.5 0.5", ""])
def test_two_label_files_of_an_image_say_the_same_or_it_is_said(make_set: Any, text: str) -> None:
    file = make_set(train={"a": text}, names=NAMES)
    xml = file.parent / "labels" / "train" / "a.xml"
    unsure = thing("person", more="<difficult>1</difficult>")
    xml.write_text(f"<annotation>{SIZE}{thing()}{unsure}</annotation>")
    dataset = read_dataset(file)
    found = dataset.read_labels(dataset.images("train")[0])
    wrong = [problem for problem in found.problems if not problem.usable]
    if text.startswith("1"):
        assert wrong == []
        assert len(found.boxes) == len(text.splitlines())
    else:
        (problem,) = wrong
        assert problem.file == xml
        assert problem.what.endswith("a.txt: keep one of the two")
