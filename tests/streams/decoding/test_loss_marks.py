"""Marks among the bytes of coded frames."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneglance.streams.decoding.loss_marks import LossMark, can_mark, coded_mark, find_marks

codecs = st.sampled_from(["h264", "hevc", "mpeg4"])
a_mark = st.builds(LossMark, st.booleans(), st.booleans(), st.integers(1, 255))


@given(codec=codecs, before=st.binary(max_size=40), found=st.lists(a_mark, max_size=3))
def test_marks_come_out_as_they_went_in_and_where_they_went_in(
    codec: str, before: bytes, found: list[LossMark]
) -> None:
    data = before + b"more".join(coded_mark(mark, codec) for mark in found)
    assert find_marks(data, codec) == (len(before) if found else len(data), found)


@given(codec=codecs, mark=a_mark, size=st.integers(0, 40))
def test_a_mark_that_was_cut_is_none(codec: str, mark: LossMark, size: int) -> None:
    whole = coded_mark(mark, codec)
    assert find_marks(whole[: min(size, len(whole) - 3)], codec)[1] == []


@given(codec=codecs, mark=a_mark)
def test_a_mark_makes_no_start_code(codec: str, mark: LossMark) -> None:
    assert b"\0" not in coded_mark(mark, codec)


@pytest.mark.parametrize("codec", ["vp8", "mjpeg", "av1", ""])
def test_other_codings_have_no_place_for_marks(codec: str) -> None:
    assert not can_mark(codec)
