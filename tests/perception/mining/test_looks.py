"""What frames look like, by statistics of their pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from oneglance.models.training.audit.image_stats import SAME_LOOK_BITS, ImageStats
from oneglance.models.training.audit.image_stats import look_at as look_at_file
from oneglance.perception.mining.looks import Look, bits_apart, conditions, look_at, to_jpeg
from oneglance.perception.mining.reasons import Reason
from oneglance.streams.frame import Image


def image(level: float = 120.0, contrast: float = 50.0, seed: int = 0) -> Image:
    noise = np.random.default_rng(seed).normal(level, contrast, (24, 32, 1))
    blocks = np.kron(noise, np.ones((20, 20, 1)))
    return np.repeat(np.clip(blocks, 0, 249), 3, axis=2).astype(np.uint8)


def reasons(odd: Image) -> set[Reason]:
    """Of one frame among ordinary ones."""
    looks = [look_at(image(seed=seed)) for seed in range(20)]
    found = conditions([*looks, look_at(odd)])
    assert not any(found[:-1])
    return set(found[-1])


def test_an_ordinary_frame_has_no_condition() -> None:
    assert reasons(image(seed=99)) == set()


def test_night_is_dark_and_not_hazy() -> None:
    assert Reason.DARK in reasons(image(30, 10))
    assert Reason.HAZE not in reasons(image(30, 10))


def test_fog_is_hazy() -> None:
    assert Reason.HAZE in reasons(image(160, 8))


def test_a_sun_in_the_lens_is_glare() -> None:
    sunny = image()
    sunny[100:300, 200:500] = 255
    assert Reason.GLARE in reasons(sunny)


def test_a_colour_that_no_other_frame_has_is_unusual() -> None:
    green = image()
    green[..., 1] = 255 - green[..., 1] // 2
    assert Reason.UNUSUAL in reasons(green)


def test_what_many_frames_share_is_not_rare() -> None:
    looks = [look_at(image(30 if n % 3 else 120, 10 if n % 3 else 50, n)) for n in range(30)]
    assert not any(Reason.DARK in each for each in conditions(looks))
    assert conditions([]) == []


def test_a_fixed_camera_is_not_unusual_to_itself() -> None:
    looks = [look_at(image()) for _ in range(10)]
    barely = image()
    barely[:10, :10] += 1
    assert not any(conditions([*looks, look_at(barely)]))


@pytest.mark.parametrize("seed", range(3))
def test_the_hash_is_the_one_that_audit_will_find(tmp_path: Path, seed: int) -> None:
    (tmp_path / "a.jpg").write_bytes(to_jpeg(image(seed=seed)))
    found = look_at_file(tmp_path / "a.jpg")
    assert isinstance(found, ImageStats)
    assert look_at(image(seed=seed)).bits == np.packbits(found.bits).tobytes()


def test_frames_that_look_the_same_have_hashes_that_hardly_differ() -> None:
    one = look_at(image())
    noisy = np.clip(
        image().astype(int) + np.random.default_rng(1).integers(-3, 4, (480, 640, 3)), 0, 255
    ).astype(np.uint8)
    assert bits_apart(one.bits, look_at(noisy).bits) <= SAME_LOOK_BITS
    assert bits_apart(one.bits, look_at(image(seed=5)).bits) > SAME_LOOK_BITS


def test_the_numbers_are_in_their_ranges() -> None:
    white = look_at(np.full((48, 64, 3), 255, np.uint8))
    assert isinstance(white, Look)
    assert white.numbers == (255, 0, 1, 0, 0)
