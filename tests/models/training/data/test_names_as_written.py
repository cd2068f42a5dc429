"""Names in a data set's file: as written, almost ours, background, regions."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from data_files import BOX, meanings, problem_of
from oneglance.models.tasks import Task, class_of
from oneglance.models.training.data.datasets import read_dataset
from oneglance.models.training.data.naming import near_class, region_of
from oneglance.streams.errors import DataError

NO_NAMES = ":2: 'names:' must be a list of names or a map of number to name"


@pytest.mark.parametrize(
    "name",
    [
        *("off", "on", "no", "Yes", "True", "null", "~", "00010", "0x1f", "1_000", "1e3", "1:30"),
        *(".5", "2024-01-01", "=", "<<", "NaN", ".inf", "0o17", "+1", "-0", "None"),
    ],
)
@pytest.mark.parametrize(
    "form", ["names: [car, {0}]", "names: [car, '{0}']", "names: {{0: car, 1: {0}}}"]
)
def test_a_name_is_what_stands_there_and_no_value_of_yaml(
    tmp_path: Path, form: str, name: Any
) -> None:
    file = tmp_path / "data.yaml"
    file.write_text(f"train: x\n{form.format(name)}\n")
    dataset = read_dataset(file)
    assert dataset.names[1] == name
    assert dataset.unmapped == {1}


@given(st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1))
def test_a_quoted_name_of_any_spelling_is_kept_and_what_it_is_is_never_left_unsaid(
    name: Any,
) -> None:
    assume(name.strip())
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "data.yaml"
        file.write_text(
            f"train: x\nnames: [car, {json.dumps(name, ensure_ascii=False)}]\n", encoding="utf-8"
        )
        if near_class(name) and not class_of(name) and not region_of(name):
            with pytest.raises(DataError, match="background"):
                read_dataset(file)
            return
        dataset = read_dataset(file)
    assert dataset.names == {0: "car", 1: name}
    reported = (dataset.classes[1] is not None) + (1 in dataset.regions) + (1 in dataset.unmapped)
    assert reported == 1


def test_keys_of_classes_are_read_as_written_too(make_set: Any) -> None:
    file = make_set(train={"a": BOX}, names=["car"])
    file.write_text(
        "train: images/train\nnames: [off, 00010, null, no]\n"
        "classes: {off: light, 00010: sign, null: car, no: background}\n"
    )
    assert meanings(file) == {"off": "light", "00010": "sign", "null": "car", "no": None}
    assert read_dataset(file).unmapped == frozenset()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "names: [car]\ntrain: x\nnames: [person]\n",
            ":3: 'names' stands in line 1 already: keep one",
        ),
        (
            "train: x\nnames:\n  0: car\n  1: person\n  0: light\n",
            ":5: '0' stands in line 3 already: keep one",
        ),
        (
            "train: x\nnames: {0: car, 00: person}\n",
            ":2: class 0 has two names: 'car' and 'person'",
        ),
        (
            "train: x\nnames: [a, car]\nclasses: {a: sign, a: light}\n",
            ":3: 'a' stands in line 3 already: keep one",
        ),
        ("train: x\nnames: [car, '']\n", ":2: class 1 has no name"),
        ("train: x\nnames: [car, [a]]\n", NO_NAMES),
        ("train: x\nnames: {a: car}\n", NO_NAMES),
        ("train: x\nnames: {-1: car}\n", NO_NAMES),
    ],
)
def test_what_stands_twice_or_has_no_name_is_reported(
    tmp_path: Path, text: str, expected: Any
) -> None:
    assert problem_of(tmp_path / "data.yaml", text) == expected


@pytest.mark.parametrize("key", ["names", "labels", "classes", "train", "path", "annotations"])
def test_aliases_of_aliases_end_in_a_sentence(tmp_path: Path, key: str) -> None:
    bomb = "a0: &a0 [x]\n"
    bomb += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
    rest = {"train": "x", "names": "[car]"} | {key: "*a11"}
    file = tmp_path / "data.yaml"
    for text in (bomb, "a11: &a11 [x, *a11]\n"):
        file.write_text(text + "".join(f"{name}: {value}\n" for name, value in rest.items()))
        with pytest.raises(DataError, match="is not YAML: its aliases repeat themselves"):
            read_dataset(file)


@pytest.mark.parametrize(
    "text",
    ['path: "a\\0"\ntrain: x\n', 'train: ["x", "y\\0"]\n', 'train: "\\0"\n', "train: l.txt\n"],
)
def test_a_zero_byte_in_a_path_is_a_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "l.txt").write_bytes(b"images/a\0.jpg\n")
    (tmp_path / "data.yaml").write_text(f"{text}names: [car]\n")
    with pytest.raises(DataError, match=r"a zero character|there are zero bytes in it"):
        read_dataset(tmp_path / "data.yaml").images("train")


def test_other_tools_keys_are_left_alone_beside_those_that_are_read(make_set: Any) -> None:
    file = make_set(train={"a": "0 0.5 0.5 0.2 0.2"}, val={"b": None})
    file.write_text(file.read_text() + "valid: elsewhere\nVal: 3\nroboflow: {version: 3}\n")
    assert [image.name for image in read_dataset(file).images("val")] == ["b.jpg"]


def test_a_merge_key_is_no_key_that_stands_twice(tmp_path: Path) -> None:
    file = tmp_path / "data.yaml"
    file.write_text("train: x\nnames: &n {0: car, 1: dog}\nval: {<<: *n, <<: *n}\n")
    assert read_dataset(file).names == {0: "car", 1: "dog"}


@pytest.mark.parametrize(
    ("names", "proposed"),
    [
        (
            ["car", "cars", "persons", "Pedestrians", "trafficlights"],
            "{cars: car, persons: pedestrian, Pedestrians: pedestrian, trafficlights: light}",
        ),
        (["Traffic-Signs", "dog"], "{Traffic-Signs: sign}"),
        (["car", "traffic signal"], "{traffic signal: light}"),
    ],
)
def test_a_name_that_is_almost_ours_is_an_error_that_proposes_what_it_means(
    make_set: Any, names: Any, proposed: str
) -> None:
    file = make_set(train={"a": BOX}, names=names)
    with pytest.raises(DataError, match=re.escape(f"'classes: {proposed}'")):
        read_dataset(file)
    chosen = yaml.safe_load(proposed)
    reported = make_set("reported", train={"a": BOX}, names=names, classes=chosen)
    assert meanings(reported) == {n: chosen.get(n, n if n == "car" else None) for n in names}


def test_background_is_said_in_words_and_stays_background(make_set: Any) -> None:
    file = make_set(
        train={"a": BOX}, names=["car", "car wheel", "dog"], classes={"car wheel": "background"}
    )
    dataset = read_dataset(file)
    assert dataset.background == ("car wheel", "dog")
    assert dataset.unmapped == {2}


def test_regions_are_known_by_their_names_and_can_be_said(make_set: Any) -> None:
    names = ["car", "person", "DontCare", "persongroup", "crowd", "blur", "far"]
    file = make_set(
        train={"a": BOX}, names=names, classes={"blur": "ignore", "far": "ignore_pedestrian"}
    )
    dataset = read_dataset(file)
    everything, people = frozenset(Task), frozenset({Task.PEDESTRIAN})
    assert dataset.regions == {2: everything, 3: people, 4: everything, 5: everything, 6: people}
    assert dataset.background == ()
    assert dataset.unmapped == frozenset()
