from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from media import photograph
from oneglance.models.training.audit.image_stats import (
    SAME_LOOK_BITS,
    look_at,
    look_at_all,
    same_looks,
)

SIZE = (320, 240)


def seen(folder: Any, name: Any, image: Any, *options: Any) -> Any:
    file = folder / name
    assert cv2.imwrite(str(file), image, list(options))
    found = look_at(file)
    assert not isinstance(found, str)
    return found


def test_a_copy_at_another_size_and_quality_looks_the_same(tmp_path: Path) -> None:
    image = photograph(1, SIZE)
    one = seen(tmp_path, "one.png", image)
    small = cv2.resize(image, (200, 150), interpolation=cv2.INTER_AREA)
    copy = seen(tmp_path, "copy.jpg", small, cv2.IMWRITE_JPEG_QUALITY, 40)
    ((_, copied, bits),) = same_looks([one], [copy])
    assert copied is copy
    assert bits <= SAME_LOOK_BITS


def test_a_mirrored_copy_looks_the_same(tmp_path: Path) -> None:
    image = photograph(2, SIZE)
    pair = seen(tmp_path, "a.jpg", image), seen(tmp_path, "b.jpg", image[:, ::-1])
    assert len(same_looks([pair[0]], [pair[1]])) == 1


def test_other_images_look_different(tmp_path: Path) -> None:
    images = [seen(tmp_path, f"{i}.jpg", photograph(i, SIZE)) for i in range(30)]
    assert same_looks(images[:10], images[10:]) == []


def test_an_image_is_not_its_own_twin(tmp_path: Path) -> None:
    images = [seen(tmp_path, f"{i}.jpg", photograph(i, SIZE)) for i in range(3)]
    copy = seen(tmp_path, "copy.png", photograph(1, SIZE))
    pairs = same_looks([*images, copy], [*images, copy])
    assert {(one.file.name, other.file.name) for one, other, _ in pairs} == {
        ("1.jpg", "copy.png"),
        ("copy.png", "1.jpg"),
    }


def test_nothing_has_no_twin(tmp_path: Path) -> None:
    one = seen(tmp_path, "a.jpg", photograph(1))
    assert same_looks([], [one]) == []
    assert same_looks([one], []) == []


def test_colour_brightness_and_contrast_are_measured(tmp_path: Path) -> None:
    halves = np.zeros((64, 64, 3), np.uint8)
    halves[:, 32:] = 255  # half black, half white: mean 1/2, deviation 1/2
    found = seen(tmp_path, "halves.png", halves)
    assert found.mean == pytest.approx((0.5, 0.5, 0.5), abs=0.01)
    assert found.contrast == pytest.approx(0.5, abs=0.01)
    assert found.grey
    red = seen(tmp_path, "red.png", np.full((64, 64, 3), (0, 0, 255), np.uint8))
    assert red.mean == (1, 0, 0)
    assert not red.grey


def test_the_size_is_the_one_that_is_shown(tmp_path: Path) -> None:
    from PIL import Image

    exif = Image.Exif()
    exif[274] = 6  # lies on its right side, as phones write it
    Image.fromarray(photograph(1, (64, 48))).save(tmp_path / "a.jpg", exif=exif)
    found = look_at(tmp_path / "a.jpg")
    assert not isinstance(found, str)
    assert found.size == (48, 64)


def test_an_image_cut_short_is_no_image(tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    content = cv2.imencode(".jpg", photograph(1, SIZE))[1].tobytes()
    file.write_bytes(content[: len(content) // 2])
    found = look_at(file)
    assert isinstance(found, str)
    assert found.startswith("cannot be decoded (")


def test_images_come_in_the_order_of_the_files_and_each_is_counted(tmp_path: Path) -> None:
    files = [seen(tmp_path, f"{i}.jpg", photograph(i)).file for i in range(9)]
    counted = []
    found = list(look_at_all(files, lambda: counted.append(1)))
    assert [image.file for image in found if not isinstance(image, str)] == files
    assert len(counted) == 9
