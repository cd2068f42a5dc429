from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from PIL.ExifTags import Base

from media import photograph
from oneglance.models.training.data.image_cache import read_at
from oneglance.models.training.data.images import open_image, read_image, shown_size
from program import COMMAND


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp"])
def test_an_image_is_known_by_its_content_whatever_its_name(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / "a.odd"
    file.write_bytes(cv2.imencode(suffix, photograph(1, (64, 48)))[1].tobytes())
    with open_image(file) as opened:
        assert opened.size == (64, 48)


@pytest.mark.parametrize("content", [b"", b"hello", b"BM", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_image_is_an_error_and_installs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    checks = pytest.importorskip("ultralytics.utils.checks", reason="it replaces Image.open")

    def install(*names: Any, **how: Any) -> None:
        raise AssertionError(f"would install {names}")

    monkeypatch.setattr(checks, "check_requirements", install)
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises((OSError, SyntaxError, ValueError)):
        open_image(tmp_path / "a.jpg")


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_an_image_that_its_camera_turned_is_read_as_training_reads_it(
    tmp_path: Path, suffix: str, orientation: int
) -> None:
    file = tmp_path / f"a{suffix}"
    image = Image.fromarray(photograph(1, (64, 48)))
    if suffix == ".tif":
        image.save(file, tiffinfo={Base.Orientation: orientation})
    else:
        exif = image.getexif()
        exif[Base.Orientation] = orientation
        image.save(file, exif=exif)
    trained, size = read_at(file, 64)
    assert np.array_equal(read_image(file), trained)
    assert size == ((64, 48) if orientation in {6, 8} else (48, 64))
    with open_image(file) as opened:
        assert shown_size(opened) == size[::-1]


ONE_EPOCH = ("--epochs", 1, "--size", "96x64", "--trainable-layers", "last")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_image_whose_name_is_no_text_is_an_image_to_every_command(
    tmp_path: Path, data: Path, base: Path, model: Path
) -> None:
    given = shutil.copytree(data.parent, tmp_path / "set") / "data.yaml"
    for file in [*given.parent.glob("*/*/*.*")]:
        try:
            file.rename(os.fsdecode(os.fsencode(file.with_suffix("")) + b"\xff") + file.suffix)
        except OSError:
            pytest.skip("this file system takes no such names")
    for words in (
        ("audit", given, "--model", model, "--candidates", tmp_path / "found"),
        ("eval", model, given),
        ("train", given, "--base", base, "--out", tmp_path / "run", *ONE_EPOCH),
    ):
        # A process of its own: OpenCV ended it.
        done = subprocess.run(
            [*COMMAND, *map(str, words)], capture_output=True, check=False, timeout=280
        )
        assert done.returncode == 0, (words, done.stderr)
