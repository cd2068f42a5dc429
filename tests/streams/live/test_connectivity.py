"""Which proxy an address is reached through."""

from __future__ import annotations

import pytest

from oneglance.streams.live.connectivity import proxy_of


@pytest.mark.parametrize(
    ("url", "no_proxy", "is_asked"),
    [
        ("http://cam.local/x", "", True),
        ("https://cam.local/x", "", True),
        ("rtsp://cam.local/x", "", False),
        ("http://cam.local/x", "*", False),
        ("http://cam.local/x", "a.org, .local", False),
        ("http://cam.local/x", "cam.local", False),
        ("http://mycam.local/x", "cam.local", True),
    ],
)
def test_the_proxy_of_an_address_is_the_one_that_libav_asks(
    url: str, no_proxy: str, is_asked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    monkeypatch.setenv("no_proxy", no_proxy)
    assert proxy_of(url) == ("http://proxy:3128" if is_asked else None)
