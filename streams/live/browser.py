"""MJPEG cameras that only browsers can play, made such that libav can.

What ``http.client`` fetches (compressed or not) is split into JPEGs by their markers and handed to
libav as the multipart stream that it should have been.
"""

from __future__ import annotations

import http.client
import zlib
from typing import TYPE_CHECKING

from oneglance.streams.live.answers import asked
from oneglance.streams.live.jpeg_splitter import JpegSplitter

if TYPE_CHECKING:
    from collections.abc import Callable

_CHUNK = 1 << 16
_FIRST_BYTES = 1 << 20
"""An MJPEG stream begins with an image within so many bytes."""


class SplitStream:
    """A file as libav reads one (``read``): the images behind an HTTP address, each a part of its
    own with its length.

    Each read waits ``timeout_s`` at most, and ends when this thread is cancelled.
    """

    def __init__(self, url: str, timeout_s: float) -> None:
        """Connect, and read up to the first image.

        Raises:
            OSError: no answer, a refusal, or no image at the beginning.
        """
        self._answer = asked(url, timeout_s)
        coding = (self._answer.getheader("Content-Encoding") or "").lower()
        self._unpacked: Callable[[bytes], bytes] = (
            zlib.decompressobj(47).decompress if coding in {"gzip", "x-gzip", "deflate"} else bytes
        )
        self._splitter = JpegSplitter()
        self._ready = bytearray()
        try:
            self._read_first_image()
        except BaseException:
            self.close()
            raise

    def read(self, size: int) -> bytes:
        """``size`` bytes at most, as soon as there are any; none at the end."""
        while not self._ready and self._more():
            pass
        found = bytes(self._ready[:size])
        del self._ready[:size]
        return found

    def close(self) -> None:
        """Hang up."""
        self._answer.close()

    def _read_first_image(self) -> None:
        came = 0
        while not self._ready:
            content = self._more()
            came += len(content)
            if not content or came > _FIRST_BYTES:
                raise OSError("no image at the beginning")

    def _more(self) -> bytes:
        try:
            content = self._answer.read1(_CHUNK)
            for image in self._splitter.feed(self._unpacked(content)):
                head = (
                    f"--image\r\nContent-Type: image/jpeg\r\nContent-Length: {len(image)}\r\n\r\n"
                )
                self._ready += head.encode() + image + b"\r\n"
        except (http.client.HTTPException, zlib.error) as error:
            raise OSError(type(error).__name__) from None
        return content
