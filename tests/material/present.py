"""What may be None, and is not in this test."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


def present(value: T | None) -> T:
    """The value; the test fails where there is none.

    >>> present(7)
    7
    """
    assert value is not None
    return value
