from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from mounts import mounted_exfat
from oneglance.models.tasks import FOUR_TASKS, LIGHT_COLOURS, SIGN_SUBCLASSES, Task
from oneglance.models.training.data.datasets import read_dataset
from oneglance.models.training.data.merging import labelled_classes, merge, partial_tasks
from oneglance.streams.errors import DataError, SinkError
from oneglance.streams.output_folder import OutputFolder
from trees import tree

PERSON, CAR, SIGN, LIGHT = (f"{number} 0.5 0.5 0.2 0.2" for number in range(4))
SIGN = "2 0.5 0.5 0.2 0.2"
COLOURS = ["green", "red", "yellow"]
WITH_COLOURS = FOUR_TASKS + LIGHT_COLOURS


def merged(folder: Any, files: Any, classes: Any = FOUR_TASKS, **how: Any) -> Any:
    merge([read_dataset(file) for file in files], classes, folder, **how)
    return folder


def by_name(found: Any) -> Any:
    """Facts by the images' own names, which end what they are merged as."""
    return {stem.rsplit("_", 1)[1]: value for stem, value in found.items()}


def labels_of(folder: Any, split: Any = "train") -> Any:
    files = (folder / "labels" / split).iterdir()
    return by_name({file.stem: file.read_text() for file in files})


def test_each_image_says_which_classes_its_source_labels(make_set: Any, tmp_path: Path) -> None:
    people = make_set("people", train={"p": PERSON}, names=["person", "car"])
    lights = make_set("lights", train={"l": "1 0.5 0.5 0.2 0.2"}, names=COLOURS)
    whole = make_set("whole", train={"w": SIGN}, val={"v": ""})
    folder = merged(tmp_path / "out", [people, lights, whole])
    assert by_name(labelled_classes(folder)) == {
        "p": {"pedestrian", "car"},
        "l": {"light"},
        "w": {"pedestrian", "car", "sign", "light"},
        "v": {"pedestrian", "car", "sign", "light"},
    }


def test_boxes_get_the_numbers_of_the_models_classes(make_set: Any, tmp_path: Path) -> None:
    text = "0 0.5 0.5 0.2 0.2\n1 0.25 0.5 0.1 0.2\n2 0.5 0.25 0.2 0.1\n"
    lights = make_set(train={"l": text}, names=COLOURS)
    labels = "3 0.500000 0.500000 0.200000 0.200000\n"
    parents = labels_of(merged(tmp_path / "parents", [lights], (FOUR_TASKS[3],)))["l"]
    assert [line[0] for line in parents.splitlines()] == ["0", "0", "0"]
    both = [FOUR_TASKS[3], *LIGHT_COLOURS]  # light, red, yellow, green
    assigned = labels_of(merged(tmp_path / "assigned", [lights], both))["l"]
    assert assigned.splitlines()[0] == labels.strip()
    assert [line[0] for line in assigned.splitlines()] == ["3", "1", "2"]


def test_names_of_no_task_are_left_out_of_the_labels(make_set: Any, tmp_path: Path) -> None:
    mixed = make_set(train={"a": "0 0.5 0.5 0.2 0.2\n1 0.5 0.5 0.2 0.2"}, names=["dog", "car"])
    assert labels_of(merged(tmp_path / "out", [mixed], FOUR_TASKS[1:2]))["a"].count("\n") == 1


def test_colours_are_labelled_where_a_set_has_them_and_the_parent_class_everywhere(
    make_set: Any, tmp_path: Path
) -> None:
    coloured = make_set("lights", train={"c": "0 0.5 0.5 0.2 0.2"}, names=COLOURS)
    parent = make_set("parent", train={"p": LIGHT})
    labelled = by_name(labelled_classes(merged(tmp_path / "out", [coloured, parent], WITH_COLOURS)))
    assert labelled["c"] == {"light", "light_red", "light_yellow", "light_green"}
    assert labelled["p"] == {"pedestrian", "car", "sign", "light"}


def test_a_light_without_colour_has_no_box_in_a_model_of_colours_alone(
    make_set: Any, tmp_path: Path
) -> None:
    parent = make_set("parent", train={"p": f"{LIGHT}\n{CAR}"})
    folder = merged(tmp_path / "out", [parent], (FOUR_TASKS[1], *LIGHT_COLOURS))
    assert labels_of(folder)["p"].splitlines() == ["0 0.500000 0.500000 0.200000 0.200000"]
    assert by_name(labelled_classes(folder))["p"] == {"car"}


def test_what_labels_leaves_out_is_unknown_and_has_no_box(make_set: Any, tmp_path: Path) -> None:
    file = make_set(train={"a": f"{PERSON}\n{SIGN}"}, labels=["pedestrian", "car"])
    signs = make_set("signs", train={"s": f"{SIGN}\n{LIGHT}"})
    folder = merged(tmp_path / "out", [file, signs])
    assert labels_of(folder)["a"].splitlines() == ["0 0.500000 0.500000 0.200000 0.200000"]
    assert by_name(labelled_classes(folder))["a"] == {"pedestrian", "car"}


def test_one_image_in_two_sets_is_merged_once_with_what_both_know(
    make_set: Any, tmp_path: Path
) -> None:
    road = make_set(train={"a": f"{PERSON}\n{SIGN}"}, labels=["pedestrian", "car", "light"])
    labels = road.parent / "labels_sign" / "train"
    labels.mkdir(parents=True)
    (labels / "a.txt").write_text("14 0.5 0.5 0.2 0.2")  # 14: stop, of the subclass "other"
    signs = road.parent / "signs.yaml"
    content = {"train": "images/train", "names": list(range(43)), "classes": "gtsdb"}
    signs.write_text(yaml.safe_dump({**content, "annotations": "labels_sign"}))
    classes = FOUR_TASKS[:2] + FOUR_TASKS[3:] + SIGN_SUBCLASSES
    folder = merged(tmp_path / "out", [road, signs], classes)
    assert len(list((folder / "images" / "train").iterdir())) == 1
    assert [line.split()[0] for line in labels_of(folder)["a"].splitlines()] == ["0", "6"]
    assert by_name(labelled_classes(folder))["a"] == {cls.name for cls in classes}


def test_two_sets_that_label_one_task_of_one_image_are_refused(
    make_set: Any, tmp_path: Path
) -> None:
    file = make_set(train={"a": PERSON})
    with pytest.raises(DataError, match=r"both label car, light, pedestrian, sign in .*a\.jpg"):
        merged(tmp_path / "out", [file, file])


def test_oversampling_repeats_the_training_images_of_a_set(make_set: Any, tmp_path: Path) -> None:
    small = make_set("small", train={"s": SIGN}, val={"v": SIGN})
    large = make_set("large", train={"l": CAR, "m": CAR})
    folder = merged(tmp_path / "out", [small, large], oversample=[3, 1])
    images = sorted((folder / "images" / "train").iterdir())
    assert len(images) == len(set(images)) == 3 + 2
    assert len({image.resolve() for image in images}) == 3
    assert len(list((folder / "images" / "val").iterdir())) == 1
    assert {image.stem for image in images} < labelled_classes(folder).keys()
    for image in images:
        assert (folder / "labels" / "train" / f"{image.stem}.txt").is_file()


@pytest.mark.parametrize("oversample", [[1], [0, 1], [1, 1, 1]])
def test_oversampling_must_be_one_positive_count_a_set(
    make_set: Any, tmp_path: Path, oversample: Any
) -> None:
    files = [make_set("a", train={"a": SIGN}), make_set("b", train={"b": SIGN})]
    with pytest.raises(DataError, match="2 data sets need 2 counts for oversampling"):
        merged(tmp_path / "out", files, oversample=oversample)


def test_images_that_are_trained_on_are_not_held_out(make_set: Any, tmp_path: Path) -> None:
    coad = make_set("coad", train={"a": PERSON}, val=None)
    coad.write_text(coad.read_text() + "val: images/train\n")
    other = make_set("other", train={"b": SIGN}, val={"v": SIGN})
    folder = merged(tmp_path / "out", [coad, other])
    assert [image.stem[-1] for image in (folder / "images" / "val").iterdir()] == ["v"]


def test_images_of_one_name_in_two_folders_do_not_meet(make_set: Any, tmp_path: Path) -> None:
    one, two = make_set("one", train={"a": PERSON}), make_set("two", train={"a": CAR})
    folder = merged(tmp_path / "out", [one, two])
    texts = [file.read_text()[0] for file in sorted((folder / "labels" / "train").iterdir())]
    assert texts == ["0", "1"]


def test_merging_again_leaves_nothing_of_the_last_time(make_set: Any, tmp_path: Path) -> None:
    merged(tmp_path / "out", [make_set("one", train={"a": PERSON, "b": PERSON})])
    folder = merged(tmp_path / "out", [make_set("two", train={"c": PERSON})])
    assert list(labels_of(folder)) == ["c"]
    assert list(by_name(labelled_classes(folder))) == ["c"]


def test_the_sources_are_linked_and_stay_as_they_are(make_set: Any, tmp_path: Path) -> None:
    file = make_set(train={"a": PERSON})
    before = {p: p.read_bytes() for p in file.parent.rglob("*") if p.is_file()}
    folder = merged(tmp_path / "out", [file])
    (image,) = (folder / "images" / "train").iterdir()
    assert image.resolve() == file.parent / "images" / "train" / "a.jpg"
    assert {p: p.read_bytes() for p in file.parent.rglob("*") if p.is_file()} == before


def test_a_jpeg_that_ultralytics_would_rewrite_is_copied(make_set: Any, tmp_path: Path) -> None:
    file = make_set(train={"a": PERSON})
    pixels = file.parent / "images" / "train" / "a.jpg"
    pixels.write_bytes(pixels.read_bytes() + b"padding")  # whole, but its end mark is not last
    (image,) = (merged(tmp_path / "out", [file]) / "images" / "train").iterdir()
    assert not image.is_symlink()
    assert cv2.imread(str(image)) is not None


def test_a_jpeg_of_another_name_that_ultralytics_would_rewrite_is_copied_too(
    make_set: Any, tmp_path: Path
) -> None:
    file = make_set(train={"a": CAR})
    image = file.parent / "images" / "train" / "a.jpg"
    image.write_bytes(image.read_bytes() + b"more")
    image.rename(image.with_suffix(".png"))
    (staged,) = (merged(tmp_path / "out", [file]) / "images" / "train").iterdir()
    assert not staged.is_symlink()


def test_a_training_without_a_single_box_is_refused(make_set: Any, tmp_path: Path) -> None:
    empty = make_set("empty", train={"a": "", "b": "\n  \n"})
    with pytest.raises(DataError, match=r"not one of 2 training images .* has a box"):
        merged(tmp_path / "out", [empty])
    assert not (tmp_path / "out").exists()
    boxed = make_set("boxed", train={"c": CAR}, names=["pedestrian", "car"], labels=["car"])
    people = make_set(
        "people", train={"a": "", "d": ""}, names=["pedestrian", "car"], labels=["pedestrian"]
    )
    merged(tmp_path / "out", [boxed, people], (*FOUR_TASKS[:2],))


def test_every_unusable_line_of_every_set_is_reported_and_nothing_is_merged(
    make_set: Any, tmp_path: Path
) -> None:
    one = make_set("one", train={"a": "9 0.5 0.5 0.2 0.2", "b": PERSON})
    two = make_set("two", train={"c": f"{CAR}\n0 nan 0.5 0.2 0.2"}, val={"d": "hello"})
    with pytest.raises(DataError) as caught:
        merged(tmp_path / "out", [one, two])
    lines = str(caught.value).splitlines()
    places = [line.split(": ")[0].removeprefix(f"{tmp_path}/") for line in lines[1:]]
    assert places == [
        "one/labels/train/a.txt:1",
        "two/labels/train/c.txt:2",
        "two/labels/val/d.txt:1",
    ]
    assert not (tmp_path / "out").exists()


def test_what_is_mended_is_logged_and_strict_makes_it_an_error(
    make_set: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = make_set(train={"a": f"{PERSON}\n0 1.0 0.5 0.2 0.2"})
    with caplog.at_level(logging.WARNING):
        folder = merged(tmp_path / "out", [file])
    reported = f"{file.parent}/labels/train/a.txt:2: the box leaves the image (0..1): cut to it"
    assert caplog.messages == [reported]
    assert labels_of(folder)["a"].splitlines()[1] == "0 0.950000 0.500000 0.100000 0.200000"
    with pytest.raises(DataError, match="cut to it"):
        merged(tmp_path / "strict", [file], strict=True)


def test_a_task_that_no_set_labels_cannot_be_trained(make_set: Any, tmp_path: Path) -> None:
    people = make_set(train={"p": PERSON}, names=["person", "car"])
    with pytest.raises(DataError, match=r"no training image for sign: none of .*data\.yaml labels"):
        merged(tmp_path / "out", [people])


def test_sets_without_training_images_cannot_be_trained(make_set: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no training images"):
        merged(tmp_path / "out", [make_set(val={"v": PERSON})])


def test_a_missing_image_of_a_list_is_reported(make_set: Any, tmp_path: Path) -> None:
    file = make_set(train={"a": PERSON})
    (file.parent / "list.txt").write_text("images/train/a.jpg\nimages/train/gone.jpg\n")
    file.write_text(file.read_text().replace("train: images/train", "train: list.txt"))
    with pytest.raises(DataError, match=r"gone\.jpg: missing, but named by .*data\.yaml"):
        merged(tmp_path / "out", [file])


def test_a_folder_that_is_not_merged_has_no_label_mask(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no merged data set: it has no label_mask\.json"):
        labelled_classes(tmp_path)


def test_the_label_mask_is_json_of_lists_and_names(make_set: Any, tmp_path: Path) -> None:
    folder = merged(tmp_path / "out", [make_set(train={"a": PERSON})])
    (names,) = json.loads((folder / "label_mask.json").read_text()).values()
    assert names == ["pedestrian", "car", "sign", "light"]


def test_regions_are_merged_as_classes_after_the_models_own(make_set: Any, tmp_path: Path) -> None:
    names = ["car", "person", "DontCare", "persongroup"]
    region, group = "2 0.3 0.5 0.2 0.2", "3 0.7 0.5 0.2 0.2"
    file = make_set(train={"a": f"0 0.5 0.5 0.2 0.2\n{region}\n{group}"}, names=names)
    folder = merged(tmp_path / "out", [file], FOUR_TASKS[:2])
    assert [line[:5] for line in labels_of(folder)["a"].splitlines()] == [
        *("1 0.5", "3 0.3", "2 0.3", "2 0.7")
    ]
    assert list(yaml.safe_load((folder / "data.yaml").read_text())["names"].values()) == [
        *("pedestrian", "car", "ignore_pedestrian", "ignore_car")
    ]


def test_a_region_hides_nothing_of_what_another_set_labels(make_set: Any, tmp_path: Path) -> None:
    people = make_set(train={"a": "1 0.3 0.5 0.2 0.2"}, names=["person", "ignore"])
    signs = people.parent / "signs.yaml"
    (people.parent / "labels_sign" / "train").mkdir(parents=True)
    (people.parent / "labels_sign" / "train" / "a.txt").write_text("0 0.5 0.5 0.2 0.2")
    signs.write_text("train: images/train\nnames: [traffic sign]\nannotations: labels_sign\n")
    folder = merged(tmp_path / "out", [people, signs], (FOUR_TASKS[0], FOUR_TASKS[2]))
    assert sorted(line[0] for line in labels_of(folder)["a"].splitlines()) == ["1", "2"]


@pytest.mark.parametrize("name", ["x" * 246, "\N{HIRAGANA LETTER A}" * 82, "[a] b, c (1)"])
def test_images_of_any_name_are_merged(make_set: Any, tmp_path: Path, name: Any) -> None:
    file = make_set(train={name: PERSON, "b": PERSON})
    folder = merged(tmp_path / "out", [file], oversample=[2])
    images = sorted(path.stem for path in (folder / "images" / "train").iterdir())
    assert images == sorted(path.stem for path in (folder / "labels" / "train").iterdir())
    assert images == sorted(labelled_classes(folder))
    assert len(images) == 4


def test_an_image_that_a_set_shows_twice_by_links_is_merged_twice(
    make_set: Any, tmp_path: Path
) -> None:
    file = make_set(train={"a": PERSON, "b": CAR})
    images = file.parent / "images" / "train"
    (images / "b.jpg").unlink()
    (images / "b.jpg").symlink_to("a.jpg")
    assert labels_of(merged(tmp_path / "out", [file])).keys() == {"a", "b"}


@pytest.mark.parametrize("suffix", [".bmp", ".png", ".jpg", ".webp", ".tif"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_an_image_cut_short_is_refused_before_anything_is_merged(
    make_set: Any, tmp_path: Path, suffix: str, share: float
) -> None:
    file = make_set(train={"a": PERSON})
    image = file.parent / "images" / "train" / f"b{suffix}"
    pixels = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    content = cv2.imencode(suffix, pixels)[1].tobytes()
    image.write_bytes(content)
    merged(tmp_path / "whole", [file])
    image.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match=rf"b\{suffix}: not an image that can be read"):
        merged(tmp_path / "out", [file])
    assert not (tmp_path / "out").exists()


def test_what_is_labelled_in_part_is_noted_for_each_time_an_image_is_shown(
    make_set: Any, tmp_path: Path
) -> None:
    some = make_set("some", train={"a": SIGN}, labels={"sign": "partial"})
    all_of = make_set("all", train={"b": SIGN})
    datasets = [read_dataset(some), read_dataset(all_of)]
    merge(datasets, FOUR_TASKS, tmp_path / "merged", oversample=[2, 1])
    assert partial_tasks(tmp_path / "merged") == {
        "train0_00000_a": {Task.SIGN},
        "train0_00000_a_again1": {Task.SIGN},
    }
    assert labelled_classes(tmp_path / "merged")["train0_00000_a"] == {"sign"}


def test_a_task_labelled_in_part_without_a_box_is_refused(make_set: Any, tmp_path: Path) -> None:
    some = make_set(
        "some", train={"a": "1 0.5 0.5 0.2 0.2"}, labels={"car": "complete", "sign": "partial"}
    )
    with pytest.raises(DataError, match=r"sign is labelled in part, but no training image has"):
        merge([read_dataset(some)], FOUR_TASKS[1:3], tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


@pytest.mark.parametrize("leave", [1, 2, 4])
def test_a_full_disk_is_named_and_room_is_all_it_takes(
    make_set: Any, small_disk: Path, leave: int
) -> None:
    file = make_set(train={f"{'long' * 10}{number}": "1 0.5 0.5 0.2 0.4" for number in range(40)})
    room = os.statvfs(small_disk)
    filler = small_disk / "filler"
    filler.write_bytes(bytes((room.f_bavail - leave) * room.f_frsize))
    with pytest.raises(SinkError, match=rf"cannot write .*{small_disk}/out.*: the disk is full"):
        merge([read_dataset(file)], FOUR_TASKS, small_disk / "out")
    filler.unlink()
    merge([read_dataset(file)], FOUR_TASKS, small_disk / "out")
    assert len(list((small_disk / "out" / "images" / "train").iterdir())) == 40


def test_on_a_disk_without_links_images_are_copied_under_names_that_it_takes(
    make_set: Any, tmp_path: Path
) -> None:
    odd = make_set(train={"12:30?": CAR}, val={"plain": ""})
    with mounted_exfat(tmp_path / "card") as card:
        found = tree(merged(card / "data", [odd]))
        (image,) = (name for name in found if name.startswith("images/train/"))
        assert image.endswith("_12_30_.jpg")
        assert image.replace("images", "labels").replace(".jpg", ".txt") in found
        assert found[image] in tree(tmp_path / "set").values()
        OutputFolder(card / "data", "train").clear()
        assert tree(card) == {}
