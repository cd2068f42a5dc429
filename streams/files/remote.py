"""A video in a file object: what object stores and web servers give, read where it lies."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import BinaryIO

import av

from oneglance.streams.decoding.source import AvSource
from oneglance.streams.decoding.tracks import UNEDITED, shown_frames, shows_any, warn_unedited
from oneglance.streams.errors import SourceUnreadable, cause
from oneglance.streams.files.integrity import (
    broken,
    check_integrity,
    truncation_of,
)
from oneglance.streams.frame import Frame
from oneglance.streams.options import ConnectOptions

# Nothing but the object itself may be read: a playlist in it names no file of this machine.
_OPTIONS = {"protocol_whitelist": "data"}


class RemoteVideo(AvSource):
    """A recorded video behind a seekable file object; frames and errors as of ``VideoFile``.

    ``size``: bytes of the object.

    What goes wrong while the object is read is raised as it was, as an ``OSError`` or whatever
    else the object raises: libav would only say that reading failed.
    """

    def __init__(
        self,
        content: BinaryIO,
        source: str,
        options: ConnectOptions | None = None,
    ) -> None:
        """Take over ``content``, which is closed with the stream. ``source``: a name safe to print.

        Raises:
            SourceUnreadable: no length, empty, no video or not one that libav knows.
            Exception: whatever reading raised.
        """
        self._content = _Remembering(content)
        try:
            container = self._open(source)
            super().__init__(container, source, options)
            if not shows_any(self._stream):
                warn_unedited(source, self._stream)
                self._go_on_with(self._read(source, edited=False))
        except BaseException:
            self._content.close()
            raise

    def _open(self, source: str) -> av.container.InputContainer:
        if not self._content.seekable():
            raise SourceUnreadable(
                f"{source} cannot be read in parts (its server gives no length, as of a live "
                "stream): copy it, or play it by 'oneglance run'"
            )
        self.size = self._content.seek(0, io.SEEK_END)
        if self.size == 0:
            raise SourceUnreadable(f"{source} is empty (0 bytes)")
        container = self._read(source)
        if container.format.name == "tty":  # text files, drawn letter by letter
            container.close()
            raise SourceUnreadable(f"{source} holds text, not video")
        # Now, while its ends are at hand: they need not be asked for again.
        at = self._content.tell()
        self._cut = truncation_of(self._content, self.size)
        self._content.seek(at)  # libav reads on from there
        return container

    def _read(self, source: str, *, edited: bool = True) -> av.container.InputContainer:
        """It from its beginning, ``edited`` by its edit list or not."""
        self._content.seek(0)
        options = _OPTIONS if edited else {**_OPTIONS, **UNEDITED}
        try:
            return av.open(self._content, mode="r", options=options, metadata_errors="replace")
        except (av.error.FFmpegError, OSError) as error:
            self._content.reraise()
            missing = truncation_of(self._content, self.size).missing_bytes
            why = f"truncated: {missing} bytes are missing, copy it again" if missing else ""
            raise SourceUnreadable(
                f"{source} is {why or f'no video that can be played ({cause(error)})'}"
            ) from None

    def _frames(self) -> Iterator[Frame]:
        try:
            yield from self._presented()
        except av.error.FFmpegError as error:
            self._content.reraise()
            what = f"reading failed ({cause(error)})"
            raise broken(self.source, self._stream, self.stats, what) from None
        finally:
            if self._closed:
                self._content.close()
        self._content.reraise()
        if not self._closed:
            if self._part is None:
                expected = shown_frames(self._stream, lambda: self._read(self.source, edited=False))
            self._content.close()
            if self._part is None:
                check_integrity(self.source, self._stream, self.stats, self._cut, expected=expected)

    def cuts_s(self, limit_s: float, *, most: int | None = None) -> list[float]:
        return [] if self._cut.missing_bytes else super().cuts_s(limit_s, most=most)

    def _release(self) -> None:
        super()._release()
        self._content.close()


class _Remembering(io.RawIOBase, BinaryIO):
    """A file object that remembers what its reading raised: libav forgets it."""

    def __init__(self, content: BinaryIO) -> None:
        super().__init__()
        self._inner = content
        self._error: Exception | None = None

    def reraise(self) -> None:
        """Raise what reading raised, if anything."""
        if self._error is not None:
            raise self._error

    def read(self, size: int = -1, /) -> bytes:
        try:
            return self._inner.read(size)
        except Exception as error:
            self._error = error
            raise

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._inner.seek(offset, whence)

    def tell(self) -> int:
        return self._inner.tell()

    def seekable(self) -> bool:
        return self._inner.seekable()

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        super().close()
        self._inner.close()
