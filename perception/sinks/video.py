"""Annotated H.264 video at true speed, in a file that survives a crash."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from oneglance.models.cpus import available_cpus
from oneglance.models.letterbox import Letterbox
from oneglance.perception.result import Result
from oneglance.perception.sinks.drawing import annotate
from oneglance.perception.sinks.files import closed_already, open_output, refuse_removed
from oneglance.perception.sinks.mp4 import FragmentedMp4
from oneglance.perception.sinks.timeline import Timeline
from oneglance.streams.errors import SinkError, UsageError, cause
from oneglance.streams.frame import Image
from oneglance.streams.outputs import fixed_path, is_at, output_error

if TYPE_CHECKING:
    from av.container import OutputContainer

    from oneglance.perception.plugins import SinkContext

CONTAINERS = {".mp4": "mp4", ".mov": "mov"}
"""libav's format for each suffix. Not .mkv: its times are whole milliseconds."""

LONGEST_SIDE = 3840
"""Larger images are scaled down: H.264 has no level for them and few players play them."""

FRAGMENT_S = 1.0
"""A file that was not finished plays up to its last complete fragment of about this length."""

# An MP4 keeps its index at the end, where a killed run never gets. A hybrid file is written in
# fragments that play as they are, and becomes a normal MP4 when it is closed.
_FLAGS = {"movflags": "hybrid_fragmented"}

# Measured at 1280x720 on one core: superfast 3.0 ms a frame, veryfast 5.4 for a file one fifth
# smaller, ultrafast 1.1 for one half as large again. Without B-frames the video begins at 0 and
# not two frames later. Without adaptive quantisation, on four road clips: 6 to 25 % less CPU time,
# the same SSIM at the same size.
_ENCODER = {"preset": "superfast", "crf": "23", "bf": "0", "aq-mode": "0"}
_MOST_THREADS = 4
_BT601, _LIMITED_RANGE = 6, 1  # what cv2's BGR2YUV_I420 makes


class VideoSink:
    """Draws detections on frames and encodes them.

    Presentation times are the frames' own, counted from the first: a variable rate stays
    variable, dropped frames leave a pause, and 30000/1001 frames a second stay just that. In a
    pause of many minutes the frame before it is written again now and then; see ``Timeline``.
    The first frame decides the size, made even by repeating an edge and never more than
    ``LONGEST_SIDE``; later frames of another size are fitted into it with bars.
    """

    def __init__(self, path: str | os.PathLike[str], *, frame_rate: Fraction | None = None) -> None:
        """Open the file; what it held before stays until the first frame.

        ``frame_rate``: what the source declares; None where it does not.

        Raises:
            SinkError: a suffix other than .mp4 and .mov, a place that cannot be written, or a
                PyAV without an H.264 encoder.
        """
        self._path, self._place = Path(path), fixed_path(path)
        self._format = _format(self._path)
        self._file = FragmentedMp4(open_output(self._path, keep=True))
        self._timeline = Timeline(frame_rate)
        self._encoder: _Encoder | None = None
        self._closed = self._is_broken = False

    def write(self, result: Result) -> None:
        """Encode one annotated frame.

        Raises:
            SinkError: the disk is full, or the file cannot be written for another reason. What
                was written before stays and plays; with less than ``FRAGMENT_S`` there is
                no file.
        """
        if self._closed:
            raise closed_already(self._path)
        self._check_kept()
        image = annotate(result.frame.image, result.detections)
        with self._encoding():
            if self._encoder is None:
                self._encoder = _Encoder(self._file, self._format, image, self._timeline)
            self._encoder.encode(image, self._timeline.tick(result.frame.timestamp_s))
        if self._file.error is not None:
            self.close()

    def close(self) -> None:
        """Finish the file; without a frame there is none. May be called twice.

        Raises:
            SinkError: the end of the file could not be written; what is there plays. Or it was
                removed.
        """
        if self._closed:
            return
        self._check_kept()
        self._closed = True
        failed: SinkError | None = None
        if self._encoder is not None:
            try:
                with self._encoding():
                    if not self._is_broken:
                        self._encoder.finish()
            except SinkError as error:
                failed = error
        is_bad = self._is_broken or self._file.error is not None
        is_empty = (self._file.truncate_to_fragment() if is_bad else self._file.size) == 0
        is_ours = is_at(self._place, self._file.file.fileno())
        self._file.close()
        if is_empty and is_ours:
            with suppress(OSError):  # the disk is gone
                self._place.unlink(missing_ok=True)
        if self._file.error is not None:
            kept = "Too little was written to keep" if is_empty else "What is there plays"
            raise output_error(self._path, self._file.error, kept=kept)
        if failed is not None:
            raise failed

    def _check_kept(self) -> None:
        if self._encoder is None:  # nothing was written yet
            return
        try:
            refuse_removed(self._file.file, self._path)
        except SinkError:
            self._closed = True
            self._file.error = OSError("removed")  # libav writes no more
            raise

    @contextmanager
    def _encoding(self) -> Iterator[None]:
        """What the encoder lacks (memory, threads) is no bug of ours; what failed to be written is
        raised by itself."""
        import av

        try:
            yield
        except av.error.FFmpegError as error:
            if self._file.error is None:
                self._is_broken = True
                raise SinkError(
                    f"cannot write {self._path}: the video encoder failed, mostly for lack of "
                    f"memory ({cause(error)})"
                ) from None


class _Encoder:
    """Images of any size into one stream of H.264."""

    def __init__(
        self, file: FragmentedMp4, container_format: str, first: Image, timeline: Timeline
    ) -> None:
        import av

        self._size = _size_for(first)
        self._timeline = timeline
        self._time_base = timeline.time_base
        self._fragment_ticks = round(FRAGMENT_S / timeline.time_base)
        self._next_fragment = 0
        self._shown: tuple[Image, int] | None = None
        file.empty()
        self._container: OutputContainer = av.open(
            file, "w", format=container_format, options=_FLAGS
        )
        width, height = self._size
        self._stream = self._container.add_stream(
            "libx264",
            rate=timeline.rate,
            options=_ENCODER,
            width=width,
            height=height,
            time_base=self._time_base,
        )
        context = self._stream.codec_context
        context.colorspace, context.color_range = _BT601, _LIMITED_RANGE
        context.thread_count = min(_MOST_THREADS, max(1, available_cpus() // 4))

    def encode(self, image: Image, tick: int) -> None:
        """Encode an image that is shown from ``tick`` on."""
        if self._shown is not None:
            planes, last = self._shown
            for again in self._timeline.repeats(last, tick):
                self._encode(planes, again)
        fitted = _fitted(image, self._size)
        planes = np.asarray(cv2.cvtColor(fitted, cv2.COLOR_BGR2YUV_I420), np.uint8)
        self._encode(planes, tick)
        self._shown = planes, tick

    def _encode(self, planes: Image, tick: int) -> None:
        import av
        from av.video.frame import PictureType

        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        frame.pts, frame.time_base = tick, self._time_base
        if tick >= self._next_fragment:  # a key frame begins a fragment
            frame.pict_type = PictureType.I
            self._next_fragment = tick + self._fragment_ticks
        self._container.mux(self._stream.encode(frame))

    def finish(self) -> None:
        """Write what the encoder still holds, and the index."""
        self._container.mux(self._stream.encode(None))
        self._container.close()


def _format(path: Path) -> str:
    import av

    found = CONTAINERS.get(path.suffix.lower())
    if found is None:
        raise SinkError(f"cannot write {path}: a video's name ends in {' or '.join(CONTAINERS)}")
    if _is_device_or_pipe(path):
        raise SinkError(f"cannot write {path}: a video needs a regular file, not a device or pipe")
    if "libx264" not in av.codecs_available:
        raise SinkError(f"cannot write {path}: this PyAV cannot encode H.264; pip install av")
    return found


def _is_device_or_pipe(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except OSError:
        return False  # there is none, or opening it will say why not
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _size_for(image: Image) -> tuple[int, int]:
    """Width and height of the video that begins with ``image``: even, as yuv420p asks."""
    height, width = image.shape[:2]
    scale = min(1.0, LONGEST_SIDE / max(width, height))
    width, height = (max(1, round(side * scale)) for side in (width, height))
    return width + width % 2, height + height % 2


def _fitted(image: Image, size: tuple[int, int]) -> Image:
    height, width = image.shape[:2]
    right, bottom = size[0] - width, size[1] - height
    if right == bottom == 0:
        return image
    if right in {0, 1} and bottom in {0, 1}:
        grown = cv2.copyMakeBorder(image, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
        return np.asarray(grown, np.uint8)
    place = Letterbox.fit((width, height), size)
    canvas = np.zeros((size[1], size[0], 3), np.uint8)
    (w, h), left, top = place.scaled, place.left, place.top
    canvas[top : top + h, left : left + w] = cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA)
    return canvas


def open_video(target: str, context: SinkContext) -> VideoSink:
    """The sink ``video:FILE.mp4``.

    Raises:
        UsageError: no file is named. SinkError: see ``VideoSink``.
    """
    if not target:
        raise UsageError("the sink video needs a file: video:seen.mp4")
    return VideoSink(target, frame_rate=context.frame_rate)
