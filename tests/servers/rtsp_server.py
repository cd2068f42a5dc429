"""Starts the real RTSP server of ``rtsp_server_main.py`` in a process of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("rtsp_server_main.py")
USER, PASSWORD = "driver", "p@ss/w0rd"


@dataclass(frozen=True)
class RtspServer:
    """``host`` is ``127.0.0.1:PORT``; ``process`` may be stopped and killed, as servers are."""

    host: str
    process: subprocess.Popen[str]

    @property
    def port(self) -> int:
        return int(self.host.split(":")[1])

    def url(self, path: str, credentials: str = "") -> str:
        return f"rtsp://{credentials}{'@' if credentials else ''}{self.host}/{path}"


@contextmanager
def rtsp_server(
    clip: Path,
    *,
    port: int = 0,
    method: str = "basic",
    size: tuple[int, int] = (64, 48),
    codec: str = "h264",
    loses: Iterable[tuple[int, int]] = (),
) -> Iterator[RtspServer]:
    """Serve ``/clip``, ``/live`` and ``/locked``; skips the test where the server cannot run.

    ``port`` 0: any. ``method``: how the password is asked for. ``size``: of the live image.
    ``codec``: of the clip (h264, h265, mpeg4). ``loses``: frames and packets of them, both from 0:
    which RTP packets of the clip are lost on the way.
    """
    lost = ",".join(f"{frame}:{packet}" for frame, packet in loses)
    how = [str(clip), str(port), method, *map(str, size), codec, lost]
    try:
        process = subprocess.Popen(
            ["/usr/bin/python3", str(SCRIPT), *how],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    except OSError as error:
        pytest.skip(f"the RTSP server needs /usr/bin/python3: {error.strerror}")
    assert process.stdout is not None
    assert process.stderr is not None
    with process:
        try:
            port = process.stdout.readline().strip()  # type: ignore[assignment]
            if not port:
                why = (process.stderr.read().strip().splitlines() or ["it said nothing"])[-1]
                pytest.skip(f"no RTSP server ({why}); tests/check.py installs one on Debian")
            yield RtspServer(f"127.0.0.1:{port}", process)
        finally:
            process.kill()
