"""A data set is known by what it holds, not by where it lies."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("yaml", reason="needs the 'eval' extra")
pytest.importorskip("PIL", reason="needs the 'eval' extra")

import yaml

from oneglance.models.training.data.datasets import read_dataset
from oneglance.models.training.data.fingerprint import fingerprint

SIGN = "2 0.5 0.5 0.2 0.2"


@pytest.fixture
def made(make_set: Callable[..., Path]) -> Path:
    return make_set(train={"a": SIGN, "b": "1 0.5 0.5 0.2 0.2"}, val={"c": SIGN})


def of(file: Path) -> str:
    return fingerprint(read_dataset(file))


def test_a_copy_elsewhere_is_the_same_set(made: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(made.parent, tmp_path / "elsewhere" / "renamed")
    for image in copied.rglob("*.jpg"):
        os.utime(image, (1, 1))
    assert of(copied / "data.yaml") == of(made)


def reorder_names(file: Path) -> None:
    content = yaml.safe_load(file.read_text())
    content["names"] = {0: "car", 1: "pedestrian", 2: "sign", 3: "light"}
    file.write_text(yaml.safe_dump(content))


def say_less(file: Path) -> None:
    file.write_text(file.read_text() + "labels: [sign, car, pedestrian]\n")


def move_a_box(file: Path) -> None:
    (file.parent / "labels" / "train" / "a.txt").write_text("2 0.6 0.5 0.2 0.2")


def lose_labels(file: Path) -> None:
    (file.parent / "labels" / "val" / "c.txt").unlink()


def add_an_image(file: Path) -> None:
    images = file.parent / "images" / "train"
    shutil.copy(images / "a.jpg", images / "d.jpg")


def rename_an_image(file: Path) -> None:
    for folder, suffix in (("images", "jpg"), ("labels", "txt")):
        (file.parent / folder / "train" / f"a.{suffix}").rename(
            file.parent / folder / "train" / f"z.{suffix}"
        )


def edit_a_byte_and_keep_size_and_date(file: Path) -> None:
    image = file.parent / "images" / "train" / "a.jpg"
    found = image.stat()
    content = bytearray(image.read_bytes())
    content[len(content) // 2] ^= 1
    image.unlink()
    image.write_bytes(content)
    os.utime(image, ns=(found.st_atime_ns, found.st_mtime_ns))


@pytest.mark.parametrize(
    "change",
    [
        reorder_names,
        say_less,
        move_a_box,
        lose_labels,
        add_an_image,
        rename_an_image,
    ],
)
def test_a_change_makes_another_set(made: Path, change: Callable[[Path], None]) -> None:
    before = of(made)
    change(made)
    assert of(made) != before


def test_an_edit_that_keeps_size_and_date_makes_another_set(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from oneglance.models.training.data import fingerprint as module

    before = of(made)
    edit_a_byte_and_keep_size_and_date(made)
    module._content_digest.cache_clear()  # as in the next process
    assert of(made) != before
