"""Labels that are not where they are looked for: an error in audit, train and eval."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from oneglance.models.tasks import FOUR_TASKS
from oneglance.models.training.data.checks import check
from oneglance.models.training.data.datasets import read_dataset
from oneglance.models.training.data.merging import merge
from oneglance.streams.errors import DataError

BOX = "1 0.5 0.5 0.2 0.2"


@pytest.fixture
def bare(make_set: Any) -> Any:
    """A set of two splits whose labels have been taken away, and their folder."""
    file = make_set(train={"a": BOX, "b": BOX}, val={"c": BOX})
    labels = file.parent / "taken"
    (file.parent / "labels").rename(labels)
    return file, labels


def reported(file: Any) -> Any:
    """The one thing that makes training refuse ``file``, as an audit and as training say it."""
    (problem,) = [p for p in check(read_dataset(file)) if "train:" in p.what and not p.usable]
    with pytest.raises(DataError) as caught:
        merge([read_dataset(file)], FOUR_TASKS, file.parent / "out")
    assert problem.what in str(caught.value)
    assert not (file.parent / "out").exists()
    return problem.what


@pytest.mark.parametrize("name", ["Labels", "annotations", "label", "labels [yolo]", "images"])
def test_labels_in_a_folder_of_another_name_are_found_and_proposed(bare: Any, name: str) -> None:
    file, labels = bare
    shutil.copytree(labels, file.parent / name, dirs_exist_ok=True)
    shutil.rmtree(labels)
    what = reported(file)
    assert what.startswith("train: not one of 2 images has a label file; looked for ")
    assert what.endswith(f"{file.parent}/{name}/train: say 'annotations: {name}'")
    proposed = what.rsplit("say '", 1)[1].removesuffix("'")
    file.write_text(file.read_text() + yaml.safe_dump(dict([proposed.split(": ")])))
    assert all(problem.usable for problem in check(read_dataset(file)))


@pytest.mark.parametrize("name", ["B.txt", "b.TXT", "b.jpg.txt", "b.JPG.txt", "B.xml"])
def test_a_label_file_called_almost_right_is_an_error_beside_good_ones(
    make_set: Any, name: str
) -> None:
    file = make_set(train={"a": BOX, "b": BOX})
    labels = file.parent / "labels" / "train"
    (labels / "b.txt").rename(labels / name)
    image = file.parent / "images" / "train" / "b.jpg"
    right = f"b{name[-4:].lower()}"
    what = f"{image}: has no label file, but {labels / name} seems to be it: call it {right}"
    assert what in map(str, check(read_dataset(file)))
    with pytest.raises(DataError, match=re.escape(what)):
        merge([read_dataset(file)], FOUR_TASKS, file.parent / "out")


def test_a_label_file_that_belongs_to_another_image_is_nobody_else_s(make_set: Any) -> None:
    file = make_set(train={"a": BOX, "b": BOX, "B": None, "b.jpg": BOX})
    problems = [
        problem for problem in check(read_dataset(file)) if "seems to be it" in problem.what
    ]
    assert problems == []


def test_two_images_with_one_label_file_are_named(make_set: Any) -> None:
    file = make_set(train={"a": BOX, "b": BOX})
    images = file.parent / "images" / "train"
    shutil.copy(images / "b.jpg", images / "a.png")
    (problem,) = [found for found in check(read_dataset(file)) if "for both" in found.what]
    label = file.parent / "labels" / "train" / "a.txt"
    assert problem.file == images / "a.png"
    assert problem.what == f"has the label file of a.jpg, {label}: is that right for both?"
    assert problem.usable


def test_labels_that_no_word_names_are_found_where_they_lie(bare: Any) -> None:
    file, labels = bare
    flat = file.parent / "labels"
    flat.mkdir()
    for text in sorted(labels.rglob("*.txt")):
        text.rename(flat / text.name)
    shutil.rmtree(labels)
    assert f"they seem to lie in {flat}: move or link them" in reported(file)


def test_xml_files_are_found_and_read(bare: Any) -> None:
    file, labels = bare
    shutil.rmtree(labels)
    thing = "<name>car</name><bndbox><xmin>9</xmin><ymin>9</ymin><xmax>30</xmax><ymax>30</ymax>"
    for image in (file.parent / "images").rglob("*.jpg"):
        xml = file.parent / "Annotations" / image.parent.name / f"{image.stem}.xml"
        xml.parent.mkdir(parents=True, exist_ok=True)
        xml.write_text(
            "<annotation><size><width>64</width><height>48</height></size>"
            f"<object>{thing}</bndbox></object></annotation>"
        )
    assert "say 'annotations: Annotations'" in reported(file)
    file.write_text(file.read_text() + "annotations: Annotations\n")
    assert all(problem.usable for problem in check(read_dataset(file)))


def test_a_coco_file_is_found_and_read(bare: Any) -> None:
    file, labels = bare
    shutil.rmtree(labels)
    coco = file.parent / "images" / "train" / "_annotations.coco.json"
    names = [(1, "a.jpg"), (2, "b.jpg"), (3, "c.jpg")]
    content = {
        "images": [{"id": n, "file_name": f, "width": 64, "height": 48} for n, f in names],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 0, "bbox": [1, 1, 9, 9]}],
        "categories": [{"id": 0, "name": "car"}],
    }
    coco.write_text(json.dumps(content))
    (file.parent / "package.json").write_text("{}")
    word = "images/train/_annotations.coco.json"
    assert f"COCO's files name them: say 'annotations: {word}'" in reported(file)
    file.write_text(file.read_text() + f"annotations: {word}\n")
    assert all(problem.usable for problem in check(read_dataset(file)))


def test_a_set_without_any_labels_asks_for_empty_files(bare: Any) -> None:
    file, labels = bare
    shutil.rmtree(labels)
    assert "none were seen; where images really show nothing, empty label files say so" in reported(
        file
    )
    for split, stem in (("train", "a"), ("val", "c")):
        text = file.parent / "labels" / split / f"{stem}.txt"
        text.parent.mkdir(parents=True, exist_ok=True)
        text.write_text("")
    assert all(problem.usable for problem in check(read_dataset(file)))


def test_the_program_says_so_in_audit_and_eval(bare: Any, oneglance: Any, model: Path) -> None:
    file, labels = bare
    labels.rename(file.parent / "annotations")
    audit = oneglance("audit", file)
    assert "2 of which training refuses" in audit.out
    assert "say 'annotations: annotations'" in audit.out
    scored = oneglance("eval", model, file)
    assert scored.code == 2
    assert "say 'annotations: annotations'" in scored.message


@pytest.mark.parametrize(
    ("ending", "right"), [("{stem}.TXT", "a.txt"), ("{stem}.jpg.txt", "a.txt")]
)
def test_label_files_of_an_odd_name_are_called_by_it(bare: Any, ending: str, right: str) -> None:
    file, labels = bare
    labels.rename(file.parent / "labels")
    for label in (file.parent / "labels" / "train").iterdir():
        label.rename(label.with_name(ending.format(stem=label.stem)))
    assert f"call it {right}" in reported(file)
