"""Two cameras and their page, for all tests of a module."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from oneglance.models import Detector

if TYPE_CHECKING:  # needs the extra serve
    from pages import Page


@pytest.fixture(scope="module")
def site(detector: Detector) -> Iterator[Page]:
    """Two cameras, seen from this machine without a token."""
    from pages import page

    with page(detector) as shown:
        yield shown


@pytest.fixture(scope="module")
def locked(detector: Detector) -> Iterator[Page]:
    """Two cameras behind a token, to be seen from other machines too."""
    from pages import TOKEN, page

    with page(detector, token=TOKEN, host="0.0.0.0") as shown:
        yield shown
