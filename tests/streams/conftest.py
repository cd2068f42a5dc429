"""Real servers for the tests of sources."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from http_server import http_server
from media import make_video
from rtsp_server import RtspServer, rtsp_server


@pytest.fixture(scope="session")
def rtsp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RtspServer]:
    """An RTSP server that plays 25 frames of ``media.numbered_image`` at ``/clip``."""
    clip = make_video(tmp_path_factory.mktemp("rtsp") / "clip.mp4", options={"bf": "0", "g": "5"})
    with rtsp_server(clip) as server:
        yield server


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """The address of an HTTP server of the test's folder; see ``http_server``."""
    with http_server(tmp_path) as (address, _):
        yield address
