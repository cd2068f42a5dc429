from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from oneglance.models.tasks import CLASSES
from oneglance.models.training.data.checks import check
from oneglance.models.training.data.datasets import read_dataset
from oneglance.models.training.data.merging import merge

CAR = "1 0.5 0.5 0.2 0.2"
ALL = "0 0.5 0.5 0.2 0.2\n1 0.5 0.5 0.3 0.2\n2 0.5 0.5 0.4 0.2\n3 0.5 0.5 0.5 0.2"


def reported(file: Any) -> Any:
    """What ``check`` says of ``file``, paths below its folder; ! is usable, x is not."""
    return [
        ("! " if p.usable else "x ") + str(p).replace(f"{file.parent}/", "")
        for p in check(read_dataset(file))
    ]


def test_a_good_set_has_no_problem(make_set: Any) -> None:
    assert reported(make_set(train={"a": ALL, "empty": ""}, val={"b": CAR})) == []


def test_images_without_labels_and_labels_without_images_are_reported(make_set: Any) -> None:
    file = make_set(train={"a": ALL, "b": None})
    (file.parent / "labels" / "train" / "gone.txt").write_text(CAR)
    assert reported(file) == [
        (
            "! images/train/b.jpg: no label file labels/train/b.txt: taken for an image without "
            "objects"
        ),
        "! labels/train/gone.txt: no image belongs to this label file: unused",
    ]


def test_a_task_without_a_training_box_is_reported(make_set: Any) -> None:
    assert reported(make_set(train={"a": CAR}, val={"b": ALL}, names=["person", "car"])) == [
        "x labels/val/b.txt:3: class 2 is not one of 0, 1",
        "x labels/val/b.txt:4: class 3 is not one of 0, 1",
        "! data.yaml: labels pedestrian, but no training image has one: it is taught as negative",
    ]


def test_a_wrong_count_of_classes_is_reported_with_its_line(make_set: Any) -> None:
    file = make_set(train={"a": ALL})
    file.write_text("nc: 5\n" + file.read_text())
    assert reported(file) == ["! data.yaml:1: 'nc: 5' but 4 names: the names are believed"]


def test_a_val_folder_that_is_trained_on_is_reported_and_its_labels_once(make_set: Any) -> None:
    file = make_set(train={"a": f"{ALL}\n9 0.5 0.5 0.1 0.1"})
    file.write_text(file.read_text() + "val: images/train\n")
    line = file.read_text().splitlines().index("val: images/train") + 1
    assert reported(file) == [
        "x labels/train/a.txt:5: class 9 is not one of 0..3",
        (
            f"! data.yaml:{line}: 'val:' is a folder that is trained on: it says nothing about "
            "new images"
        ),
    ]


def test_val_images_below_the_training_folder_are_reported(make_set: Any) -> None:
    file = make_set(train={"a": ALL, "b": ALL}, val={"c": ALL})
    (file.parent / "images" / "train" / "sub").symlink_to(file.parent / "images" / "val")
    file.write_text(file.read_text().replace("val: images/val", "val: images/all"))
    (file.parent / "images" / "all").mkdir()
    for name in ("train/a.jpg", "val/c.jpg"):
        (file.parent / "images" / "all" / Path(name).name).symlink_to(file.parent / "images" / name)
    file.write_text(file.read_text().replace("train: images/train", "train: [images/train]"))
    (problem,) = [line for line in reported(file) if "trained on" in line]
    assert "'val:' is a folder that is trained on" in problem
    (file.parent / "images" / "train" / "sub").unlink()
    (problem,) = [line for line in reported(file) if "trained on" in line]
    assert "'val:' has 1 images of 2 that are trained on" in problem


def test_val_images_that_are_hard_links_to_training_images_are_reported_and_not_held_out(
    make_set: Any, tmp_path: Path
) -> None:
    file = make_set(train={"a": CAR, "b": CAR}, val={"c": CAR, "d": CAR})
    images = file.parent / "images"
    (images / "val" / "c.jpg").unlink()
    os.link(images / "train" / "a.jpg", images / "val" / "c.jpg")
    (problem,) = [p.what for p in check(read_dataset(file)) if "trained on" in p.what]
    assert problem.startswith("'val:' has 1 images of 2 that are trained on")
    merge([read_dataset(file)], [CLASSES["car"]], tmp_path / "merged")
    held = [f.name for f in (tmp_path / "merged" / "images" / "val").iterdir()]
    assert [name[-5:] for name in held] == ["d.jpg"]


def test_pipes_devices_and_images_of_any_claimed_size_are_reported_and_hang_nothing(
    make_set: Any,
) -> None:
    file = make_set(train={"a": ALL})
    images, labels = file.parent / "images" / "train", file.parent / "labels" / "train"
    os.mkfifo(images / "pipe.jpg")
    (images / "endless.png").symlink_to("/dev/zero")
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + head + struct.pack(">I", zlib.crc32(b"IHDR" + head))
    nothing = struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    (images / "vast.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + nothing)
    os.mkfifo(labels / "pipe.txt")
    for name in ("endless", "vast"):
        (labels / f"{name}.txt").write_text(CAR)
    found = "\n".join(reported(file))
    assert found.count("a pipe or a device, not a file") == 3
    assert "vast.png: not an image that can be read (60000x60000 pixels, more than 200" in found


def test_a_jpeg_that_was_cut_and_given_an_end_is_reported(make_set: Any) -> None:
    file = make_set(train={"a": ALL, "b": ALL}, size=(320, 192))
    image = file.parent / "images" / "train" / "b.jpg"
    content = image.read_bytes()
    content = content[: len(content) // 2] + b"\xff\xd9"
    image.write_bytes(content)
    assert reported(file) == [
        "x images/train/b.jpg: not an image that can be read (a JPEG that was cut or damaged)"
    ]


def test_a_missing_folder_is_reported_with_its_line(make_set: Any) -> None:
    file = make_set(train={"a": ALL}, val={"b": ALL})
    (file.parent / "images" / "val" / "b.jpg").unlink()
    line = [text.split(":")[0] for text in file.read_text().splitlines()].index("val") + 1
    problem = f"x data.yaml:{line}: no image in val (images/val)"
    assert [text.replace(f"({file.parent}/", "(") for text in reported(file)] == [problem]


def test_a_missing_train_folder_is_reported_beside_the_rest(make_set: Any) -> None:
    file = make_set(train={"a": ALL}, val={"b": CAR})
    file.write_text(file.read_text().replace("images/train", "images/trian"))
    (first, *_) = reported(file)
    assert first.startswith("x data.yaml:")
    assert first.endswith("train folder images/trian does not exist")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "not an image that can be read (no JPEG, PNG, BMP, WebP or TIFF)"),
        (b"hello", "not an image that can be read (no JPEG, PNG, BMP, WebP or TIFF)"),
    ],
)
def test_a_file_that_is_no_image_is_reported(make_set: Any, content: bytes, what: str) -> None:
    file = make_set(train={"a": ALL, "b": CAR})
    (file.parent / "images" / "train" / "b.jpg").write_bytes(content)
    assert reported(file) == [f"x images/train/b.jpg: {what}"]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tiff"])
def test_an_image_cut_short_is_reported(make_set: Any, suffix: str) -> None:
    file = make_set(train={"a": ALL})
    image = file.parent / "images" / "train" / f"b{suffix}"
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    content = cv2.imencode(suffix, pixels)[1].tobytes()
    image.write_bytes(content[: len(content) // 2])
    (file.parent / "labels" / "train" / "b.txt").write_text("")
    (problem,) = reported(file)
    assert problem.startswith(f"x images/train/b{suffix}: not an image that can be read (")
    image.write_bytes(content)
    assert reported(file) == []


def test_an_image_too_small_to_train_on_is_reported(make_set: Any) -> None:
    file = make_set(train={"a": ALL}, size=(9, 30))
    assert reported(file) == [
        "x images/train/a.jpg: 9x30 pixels: too small to train on (10 at least)"
    ]


def test_a_class_that_nobody_speaks_of_is_reported_once_and_one_said_to_be_background_is_not(
    make_set: Any,
) -> None:
    file = make_set(train={"a": "0 0.5 0.5 0.2 0.2\n1 0.5 0.5 0.3 0.3"}, names=["car", "dog"])
    line = file.read_text().splitlines().index("names:") + 1
    assert reported(file) == [
        (
            f"! data.yaml:{line}: none of our classes, so their boxes are taken for background: "
            "dog ('classes:' may say that they are, or what they mean)"
        )
    ]
    file.write_text(file.read_text() + "classes: {dog: background}\n")
    assert reported(file) == []


def test_polygons_are_reported_once_however_many_there_are(make_set: Any) -> None:
    polygon = "1 0.1 0.1 0.4 0.1 0.4 0.4\n"
    file = make_set(train={"a": ALL + "\n" + polygon, "b": polygon}, val={"c": polygon})
    assert reported(file) == ["! data.yaml: 3 of its labels are polygons: their boxes are used"]


def test_a_test_folder_that_is_not_there_stops_no_training(make_set: Any) -> None:
    file = make_set(train={"a": ALL}, test="images/test")
    (problem,) = reported(file)
    assert problem.startswith("! data.yaml:")


def test_image_formats_that_are_not_read_are_named_once(make_set: Any) -> None:
    file = make_set(train={"a": ALL})
    for name in ("b.GIF", "c.heic", "d.heic", "notes.md"):
        (file.parent / "images" / "train" / name).write_bytes(b"GIF89a")
    assert reported(file) == [
        (
            "! data.yaml: 3 images of other kinds (.gif, .heic) are left out, images/train/b.GIF "
            "for instance: convert them to PNG or JPEG"
        )
    ]


def test_a_link_that_leads_nowhere_is_named_beside_the_rest(make_set: Any, tmp_path: Path) -> None:
    file = make_set(train={"a": ALL}, val={"b": ALL})
    (file.parent / "images" / "train" / "town").symlink_to(tmp_path / "gone")
    (first, *_) = reported(file)
    assert first.startswith("x data.yaml:")
    assert "town is a link that leads nowhere: images may lie behind it" in first


def test_images_and_labels_that_are_links_in_a_circle_are_reported(make_set: Any) -> None:
    file = make_set(train={"a": "1 0.5 0.5 0.2 0.2", "b": "1 0.5 0.5 0.2 0.2"})
    image = file.parent / "images" / "train" / "c.jpg"
    label = file.parent / "labels" / "train" / "b.txt"
    label.unlink()
    for link in (image, label):
        link.symlink_to(f"{link.name}.jpg")
        link.with_name(f"{link.name}.jpg").symlink_to(link.name)
    wrong = {problem.file for problem in check(read_dataset(file)) if not problem.usable}
    assert {image, label} <= wrong
