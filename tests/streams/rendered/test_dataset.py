"""Rendered frames written as a labelled data set."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from nobody import as_nobody, public_folder
from oneglance.streams import SinkError, UsageError
from oneglance.streams.files.images import read_image
from oneglance.streams.rendered.dataset import FRAMES_A_DRIVE, write_dataset
from present import present

SIZE = (160, 96)


def write(folder: Path, **how: object) -> Path:
    """A small set; returns its folder."""
    arguments = {"frames": 8, "seed": 3, "size": SIZE, **how}
    return write_dataset(folder, **arguments).parent  # type: ignore[arg-type]


def images(root: Path, split: str) -> list[Path]:
    return sorted((root / "images" / split).iterdir())


def labels(root: Path) -> dict[str, list[list[float]]]:
    """The numbers of every line, by ``split/name``."""
    return {
        f"{file.parent.name}/{file.stem}": [
            [float(word) for word in line.split()] for line in file.read_text().splitlines()
        ]
        for file in (root / "labels").rglob("*.txt")
    }


def digests(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file()
    }


def test_every_image_has_its_labels_and_every_label_its_image(tmp_path: Path) -> None:
    root = write(tmp_path / "set", frames=10)
    for split in ("train", "val"):
        names = {path.stem for path in images(root, split)}
        assert names == {path.stem for path in (root / "labels" / split).iterdir()}
    assert len(images(root, "train")) + len(images(root, "val")) == 10


def test_images_are_whole_and_of_the_size_asked_for(tmp_path: Path) -> None:
    root = write(tmp_path / "set", frames=2)
    for path in images(root, "train"):
        image = read_image(path)
        assert image is not None
        assert image.shape == (96, 160, 3)
        assert image.std() > 5


@pytest.mark.slow
def test_labels_are_normalised_in_range_and_of_the_four_classes(tmp_path: Path) -> None:
    root = write(tmp_path / "set", frames=40)
    lines = [line for found in labels(root).values() for line in found]
    assert len(lines) > 100
    table = np.array(lines)
    assert table.shape[1] == 5
    assert set(table[:, 0]) == {0, 1, 2, 3}
    centre, extent = table[:, 1:3], table[:, 3:]
    assert extent.min() > 0
    # Six decimals: half a millionth may be lost on either side.
    assert (centre - extent / 2).min() >= -1e-6
    assert (centre + extent / 2).max() <= 1 + 1e-6


def test_the_description_names_what_training_reads(tmp_path: Path) -> None:
    file = write_dataset(tmp_path / "set", frames=1, seed=0, size=SIZE)
    assert file == tmp_path / "set" / "data.yaml"
    assert yaml.safe_load(file.read_text(encoding="utf-8")) == {
        "path": ".",
        "train": "images/train",
        "val": "images/val",
        "names": {0: "pedestrian", 1: "car", 2: "sign", 3: "light"},
    }


@pytest.mark.parametrize("frames", [4, 5, 8, pytest.param(30, marks=pytest.mark.slow)])
@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.99])
def test_no_drive_is_in_two_splits(tmp_path: Path, frames: int, share: float) -> None:
    root = write(tmp_path / "set", frames=frames, val_share=share, size=(64, 64))
    drives = {
        split: {path.stem.split("_")[0] for path in images(root, split)}
        for split in ("train", "val")
    }
    assert not drives["train"] & drives["val"]
    count = -(-frames // FRAMES_A_DRIVE)
    assert len(drives["train"] | drives["val"]) == count
    assert drives["train"]
    assert bool(drives["val"]) == (share > 0 and count > 1)


@pytest.mark.slow
def test_drives_look_different(tmp_path: Path) -> None:
    # Of one drive, the first and the last frame are closer in colour than frames of two drives
    # are on the average: weather, houses and camera are a drive's own.
    root = write(tmp_path / "set", frames=32, val_share=0)
    colours = {
        path.stem: present(cv2.imread(str(path))).mean(axis=(0, 1))
        for path in images(root, "train")
    }
    within = [np.abs(colours[f"{d:05d}_0"] - colours[f"{d:05d}_3"]).mean() for d in range(8)]
    between = [np.abs(colours[f"{d:05d}_0"] - colours[f"{d + 1:05d}_0"]).mean() for d in range(7)]
    assert np.mean(within) < np.mean(between)


def test_the_same_arguments_give_the_same_files(tmp_path: Path) -> None:
    first, again = write(tmp_path / "first"), write(tmp_path / "again")
    assert digests(first) == digests(again)


def test_another_seed_gives_other_images(tmp_path: Path) -> None:
    first, other = write(tmp_path / "first", seed=1), write(tmp_path / "other", seed=2)
    images = [
        {digest for name, digest in digests(root).items() if name.endswith(".jpg")}
        for root in (first, other)
    ]
    assert [len(found) for found in images] == [8, 8]
    assert not images[0] & images[1]


def test_a_folder_that_holds_images_is_left_alone(tmp_path: Path) -> None:
    root = write(tmp_path / "set")
    before = digests(root)
    with pytest.raises(SinkError, match=r"already holds images: give another folder"):
        write(tmp_path / "set", seed=9)
    assert digests(root) == before


def test_a_folder_of_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(SinkError, match=r"did not make \(notes.txt\); nothing was written"):
        write(tmp_path, frames=1)
    assert digests(tmp_path).keys() == {"notes.txt"}


def test_a_set_that_was_stopped_half_way_is_drawn_anew(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole", seed=9)
    part = write(tmp_path / "part", seed=3, frames=20)
    (part / "data.yaml").unlink()  # it is written last
    write(tmp_path / "part", seed=9)
    names = {name: digest for name, digest in digests(whole).items() if "oneglance" not in name}
    assert names.items() <= digests(part).items()
    assert {name for name in digests(part) if name.startswith(("images", "labels"))} <= set(names)


@pytest.mark.parametrize(
    "how",
    [
        {"frames": 0},
        {"frames": -1},
        {"seed": -1},
        {"val_share": -0.1},
        {"val_share": 1.0},
        {"val_share": float("nan")},
        {"size": (63, 64)},
    ],
)
def test_arguments_that_cannot_be_used_are_reported_before_anything_is_written(
    tmp_path: Path, how: dict[str, object]
) -> None:
    with pytest.raises(UsageError, match="cannot"):
        write(tmp_path / "set", **how)
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("rights", [0o555, 0o000], ids=["look", "nothing"])
def test_a_folder_that_cannot_be_written_is_reported(rights: int) -> None:
    with public_folder() as folder:
        (folder / "closed").mkdir(mode=rights)
        with as_nobody(), pytest.raises(SinkError) as caught:
            write(folder / "closed" / "set")
    assert str(caught.value).startswith(
        f"cannot write to {folder / 'closed' / 'set'}: permission denied"
    )


def test_a_file_in_the_place_of_the_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "set").write_text("a file")
    with pytest.raises(SinkError, match=f"cannot write to {tmp_path / 'set'}: it is a file"):
        write(tmp_path / "set")
