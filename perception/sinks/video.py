"""Annotated H.264 video at true speed, in a file that survives a crash."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from oneglance.models.letterbox import Letterbox
from oneglance.perception.result import Result
from oneglance.perception.sinks.drawing import annotate
from oneglance.streams.errors import SinkError
from oneglance.streams.frame import Image

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.stream import VideoStream

SUFFIXES = frozenset({".mp4", ".mov", ".mkv"})

# An MP4 keeps its index at the end, and a run that is killed never gets there. A hybrid file
# is written in fragments that play as they are, and becomes a plain MP4 when it is closed.
_MP4_OPTIONS = {"movflags": "+hybrid_fragmented+frag_keyframe"}
_KEYFRAME_S = 2
_DEFAULT_TIME_BASE = Fraction(1, 90_000)
_FALLBACK_RATE = Fraction(30)


class VideoSink:
    """Draws detections on frames and encodes them.

    Presentation times are the frames' own, so variable rates stay variable, dropped frames
    leave a pause, and 30000/1001 frames a second stay just that. A frame of another size than
    the first is fitted into it with bars.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, frame_rate: Fraction | None = None
    ) -> None:
        """Check that ``path`` can be written; the file appears with the first frame.

        ``frame_rate``: what the source declares; None where it does not.

        Raises:
            SinkError: a suffix other than .mp4, .mov or .mkv, or a place that cannot be written.
        """
        self._path = Path(path)
        if self._path.suffix.lower() not in SUFFIXES:
            raise SinkError(
                f"cannot write {self._path}: video files end in {', '.join(sorted(SUFFIXES))}"
            )
        folder = self._path.parent
        if not folder.is_dir():
            raise SinkError(f"cannot write {self._path}: folder {folder} does not exist")
        taken = self._path.is_dir() or (self._path.exists() and not os.access(self._path, os.W_OK))
        if taken or not os.access(folder, os.W_OK):
            raise SinkError(f"cannot write {self._path}: a folder, or not permitted")
        self._rate = frame_rate or _FALLBACK_RATE
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None
        self._size = (0, 0)
        self._start_s = 0.0
        self._last_pts = -1
        self._time_base = _DEFAULT_TIME_BASE

    def write(self, result: Result) -> None:
        """Encode one annotated frame.

        Raises:
            SinkError: the file cannot be written any more; what is there plays.
        """
        import av

        picture = annotate(result.frame.image, result.detections)
        try:
            if self._container is None:
                self._open(result)
            assert self._stream is not None
            assert self._container is not None
            frame = av.VideoFrame.from_ndarray(_fitted(picture, self._size), format="bgr24")
            frame.pts = self._pts(result.frame.timestamp_s)
            frame.time_base = self._time_base
            self._container.mux(self._stream.encode(frame))
        except (av.error.FFmpegError, OSError) as error:
            self._give_up()
            raise self._failed(error) from None

    def close(self) -> None:
        """Finish the file. Without a frame there is none.

        Raises:
            SinkError: the end of the file could not be written; what is there plays.
        """
        import av

        if self._container is None or self._stream is None:
            return
        container, stream = self._container, self._stream
        self._container = None
        try:
            container.mux(stream.encode(None))
            container.close()
        except (av.error.FFmpegError, OSError) as error:
            raise self._failed(error) from None

    def _open(self, result: Result) -> None:
        import av

        width, height = result.frame.size
        self._size = (width + width % 2, height + height % 2)  # yuv420p has no odd sizes
        options = _MP4_OPTIONS if self._path.suffix.lower() != ".mkv" else {}
        self._container = av.open(str(self._path), "w", options=options)
        stream = self._container.add_stream("libx264", rate=self._rate)
        stream.width, stream.height = self._size
        stream.pix_fmt = "yuv420p"
        stream.options = {"preset": "veryfast", "crf": "23"}
        stream.gop_size = max(1, round(self._rate * _KEYFRAME_S))
        stream.codec_context.thread_count = 2
        # Half a frame apart at most: fine enough for the grid of a constant rate to be exact.
        self._time_base = 1 / (self._rate * 1000)
        stream.time_base = stream.codec_context.time_base = self._time_base
        self._stream = stream
        self._start_s = result.frame.timestamp_s

    def _pts(self, timestamp_s: float) -> int:
        """Ticks since the first frame; strictly growing, as players need."""
        pts = max(round((timestamp_s - self._start_s) / self._time_base), self._last_pts + 1)
        self._last_pts = pts
        return pts

    def _give_up(self) -> None:
        """Close what can be closed: after a full disk the end cannot be written either."""
        import av

        container, self._container = self._container, None
        if container is not None:
            try:
                container.close()
            except (av.error.FFmpegError, OSError):
                return

    def _failed(self, error: Exception) -> SinkError:
        reason = (getattr(error, "strerror", None) or type(error).__name__).lower()
        return SinkError(f"cannot write {self._path}: {reason}; what was written before plays")


def _fitted(picture: Image, size: tuple[int, int]) -> Image:
    height, width = picture.shape[:2]
    if (width, height) == size:
        return picture
    if size[0] - width in {0, 1} and size[1] - height in {0, 1}:
        return np.asarray(
            cv2.copyMakeBorder(
                picture, 0, size[1] - height, 0, size[0] - width, cv2.BORDER_REPLICATE
            ),
            np.uint8,
        )
    place = Letterbox.fit((width, height), size)
    canvas = np.zeros((size[1], size[0], 3), np.uint8)
    (w, h), left, top = place.scaled, place.left, place.top
    canvas[top : top + h, left : left + w] = cv2.resize(picture, (w, h))
    return canvas
