"""Video files, decoded by PyAV at their true presentation times."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av

from oneglance.streams.decoding import AvSource, decoded, upright
from oneglance.streams.errors import SourceBroken, SourceNotFound, SourceUnreadable
from oneglance.streams.frame import Frame

_FALLBACK_RATE = Fraction(25)


class VideoFile(AvSource):
    """A recorded video: mp4, mkv, avi, mov; whatever libav decodes.

    ``timestamp_s`` is the presentation time from the start of the video stream, so variable
    frame rates stay as filmed; rotation metadata is honoured. A file that ends too early or
    holds damaged frames yields every whole one and then raises.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open a file and find its video stream.

        Raises:
            SourceNotFound: there is no such file.
            SourceUnreadable: a folder, no permission, empty, no video or not one libav knows.
        """
        file = Path(path)
        super().__init__(_open(file), str(file))

    def _frames(self) -> Iterator[Frame]:
        stream, tally = self._stream, self.tally
        period = 1 / (self.frame_rate or _FALLBACK_RATE)
        start = stream.start_time or 0
        due = Fraction(0)
        try:
            for frame in decoded(self._container, stream, tally):
                if frame.pts is not None and frame.time_base is not None:
                    due = (frame.pts - start) * frame.time_base
                image = upright(frame)
                yield Frame(image, tally.delivered, float(due), self.source)
                tally.delivered += 1
                due += period
                tally.end_s = float(due)
        except av.error.FFmpegError as error:
            raise SourceBroken(self._story(f"reading failed ({_reason(error)})")) from None
        self._check_whole()

    def _check_whole(self) -> None:
        tally = self.tally
        if not tally.delivered and not tally.corrupt:
            raise SourceUnreadable(f"{self.source} has no frames")
        if tally.corrupt:
            frames = "1 frame is" if tally.corrupt == 1 else f"{tally.corrupt} frames are"
            raise SourceBroken(self._story(f"{frames} damaged and were left out"))
        if self._ends_early():
            raise SourceBroken(self._story("the file ends too early, it was cut off"))

    def _ends_early(self) -> bool:
        """Fewer packets than the container promised, and the missing ones are at the end.

        Both, because edit lists make good files deliver fewer, and because a declared duration
        may be rounded up.
        """
        missing = self._stream.frames - self.tally.packets if self._stream.frames else None
        if missing is not None and missing <= 0:
            return False
        declared_s = self._declared_s()
        if declared_s is None:
            return missing is not None
        period_s = float(1 / (self.frame_rate or _FALLBACK_RATE))
        slack_s = 1.5 * period_s if missing is not None else max(0.5, 5 * period_s)
        return self.tally.end_s < declared_s - slack_s

    def _declared_s(self) -> float | None:
        stream = self._stream
        if stream.duration is not None and stream.time_base is not None:
            return float(stream.duration * stream.time_base)
        for key in ("DURATION", "DURATION-eng"):  # Matroska keeps it in a tag, as h:m:s
            parts = stream.metadata.get(key, "").split(":")
            if len(parts) == 3:
                return int(parts[0]) * 3600 + int(parts[1]) * 60 + float(parts[2])
        return None

    def _story(self, what: str) -> str:
        tally = self.tally
        of = f" of {self._stream.frames}" if self._stream.frames else ""
        return (
            f"{self.source} broke after {tally.delivered}{of} frames, at {tally.end_s:.2f} s: {what}. "
            "Every frame before was delivered"
        )


def _open(file: Path) -> av.container.InputContainer:
    try:
        size = file.stat().st_size
    except FileNotFoundError:
        raise SourceNotFound(f"no file {file}") from None
    except OSError as error:
        raise SourceUnreadable(f"cannot open {file}: {error.strerror}") from None
    if file.is_dir():
        raise SourceUnreadable(f"{file} is a folder without images")
    if size == 0:
        raise SourceUnreadable(f"{file} is empty (0 bytes)")
    try:
        container = av.open(str(file), mode="r", metadata_errors="replace")
    except PermissionError:
        raise SourceUnreadable(f"cannot open {file}: permission denied") from None
    except av.error.FFmpegError as error:
        raise SourceUnreadable(
            f"{file} is not a video that can be played ({_reason(error)}): it may be another kind "
            "of file, or a recording that was never finished"
        ) from None
    if not container.streams.video:
        container.close()
        raise SourceUnreadable(f"{file} has no video in it")
    return container


def _reason(error: av.error.FFmpegError) -> str:
    return (error.strerror or type(error).__name__).lower()
