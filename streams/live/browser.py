"""MJPEG cameras that only browsers can play, made such that libav can.

What comes (compressed or not) is split into JPEGs by their markers and handed to
libav as the multipart stream that it should have been.
"""

from __future__ import annotations

import errno

from oneglance.streams.live.answers import HttpAnswer
from oneglance.streams.live.jpeg_splitter import JpegSplitter

_CHUNK = 1 << 16
_FIRST_BYTES = 1 << 20
"""An MJPEG stream begins with an image within so many bytes."""


class SplitStream:
    """A file as libav reads one (``read``): the images behind an HTTP address, each a part of its
    own with its length.

    Each read waits ``timeout_s`` at most, and ends when this thread is cancelled. ``answer``: what
    they are found in, which shows how it ended.
    """

    def __init__(self, url: str, timeout_s: float) -> None:
        """Connect, and read up to the first image.

        Raises:
            OSError: no answer, a refusal, or no image at the beginning.
        """
        self.answer = HttpAnswer(url, timeout_s, unpacks=True)
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
        self.answer.close()

    def _read_first_image(self) -> None:
        came = 0
        while not self._ready:
            content = self._more()
            came += len(content)
            failure = self.answer.failure
            if failure is not None and failure.errno != errno.EIO:
                raise failure
            if not content or came > _FIRST_BYTES:
                raise OSError("no image at the beginning")

    def _more(self) -> bytes:
        content = self.answer.read(_CHUNK)
        for image in self._splitter.feed(content):
            head = f"--image\r\nContent-Type: image/jpeg\r\nContent-Length: {len(image)}\r\n\r\n"
            self._ready += head.encode() + image + b"\r\n"
        return content
