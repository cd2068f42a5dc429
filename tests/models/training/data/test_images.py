from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import pytest

from media import photograph
from oneglance.models.training.data.images import open_image


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
