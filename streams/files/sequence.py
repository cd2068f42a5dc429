"""Clips of one drive, one after the other: cameras begin a new file every few minutes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

from oneglance.streams.errors import SourceBroken, SourceUnreadable, StreamError
from oneglance.streams.files.images import DEFAULT_RATE, ImageFiles, is_image
from oneglance.streams.files.video import VideoFile
from oneglance.streams.frame import Frame
from oneglance.streams.outputs import fixed_path
from oneglance.streams.playing import Closing

logger = logging.getLogger(__name__)

_FALLBACK_RATE = Fraction(25)
_NAMED = 3


class FileSequence(Closing):
    """Clips, and images among them, played one after the other as one recording.

    A frame's ``source`` is its own file; ``index`` and ``timestamp_s`` go on from file to file:
    a clip begins one period after the last frame before it, whatever time passed in between. A
    file that cannot be played, is truncated or has damaged frames gives what it has; it does not
    end the run, and is raised when all others have been played.
    """

    live = False

    def __init__(
        self,
        files: Sequence[Path],
        *,
        source: str,
        open_clip: Callable[[Path, Path], VideoFile],
        image_rate: Fraction = DEFAULT_RATE,
    ) -> None:
        """``files`` in the order to play them; ``open_clip`` opens each that is no image,
        by its place and its name. ``image_rate``: frames a second that images lie apart.

        Raises:
            UsageError: an accelerator that cannot be used here.
        """
        self._files, self._folder = tuple(files), fixed_path("")
        self._open_clip = open_clip
        self._image_rate = image_rate
        self.source = source
        self.frame_count: int | None = None  # of each file, when it is opened
        self.frame_rate: Fraction | None = self._first_rate()
        self.failed: list[tuple[Path, StreamError]] = []
        self._lock = threading.Lock()
        self._playing: VideoFile | ImageFiles | None = None
        self._closed = False

    def __iter__(self) -> Iterator[Frame]:
        """Frames of every file; see ``Stream``.

        Raises:
            SourceBroken: at the end, when some files could not be played completely.
            SourceUnreadable: at the end, when no file gave a frame.
        """
        self.failed.clear()
        index, time_s, any_frame = 0, 0.0, False
        for file in self._files:
            begin_s, begin = time_s, index
            try:
                stream = self._open(file)
                if stream is None:
                    return
                period_s = float(1 / (stream.frame_rate or _FALLBACK_RATE))
                for frame in stream:
                    any_frame = True
                    index, timestamp_s = begin + frame.index + 1, begin_s + frame.timestamp_s
                    time_s = max(time_s, timestamp_s + period_s)
                    yield frame.changed(index=begin + frame.index, timestamp_s=timestamp_s)
            except StreamError as error:
                logger.warning("%s", error)
                self.failed.append((file, error))
            finally:
                playing, self._playing = self._playing, None
                if playing is not None:
                    playing.close()
            if isinstance(playing, VideoFile):  # frames damaged after the last intact one count too
                index = max(index, begin + playing.stats.produced)
        if self.failed and not self._closed:
            raise self._not_whole(any_frame=any_frame)

    def close(self) -> None:
        """End iteration at its next frame."""
        with self._lock:
            self._closed = True
            if self._playing is not None:
                self._playing.close()

    def _open(self, file: Path) -> VideoFile | ImageFiles | None:
        """The file as a stream; None after ``close``."""
        stream: VideoFile | ImageFiles
        if is_image(self._folder / file):
            stream = ImageFiles(
                [file], source=str(file), frame_rate=self._image_rate, folder=self._folder
            )
        else:
            stream = self._open_clip(self._folder / file, file)
        with self._lock:
            if self._closed:
                stream.close()
                return None
            self._playing = stream
        return stream

    def _first_rate(self) -> Fraction | None:
        """The rate of the first file that can be opened."""
        for file in self._files:
            if is_image(self._folder / file):
                return self._image_rate
            try:
                with self._open_clip(self._folder / file, file) as clip:
                    clip.name_others()
                    return clip.frame_rate
            except StreamError:
                continue  # reported when it is played
        return None

    def _not_whole(self, *, any_frame: bool) -> SourceBroken | SourceUnreadable:
        lost, of = len(self.failed), len(self._files)
        named = "; ".join(str(error) for _, error in self.failed[:_NAMED])
        named += "; …" if lost > _NAMED else ""
        if not any_frame:
            return SourceUnreadable(
                f"none of the {of} files of {self.source} can be played: {named}"
            )
        return SourceBroken(
            f"{lost} of {of} files of {self.source} could not be played completely ({named}); "
            "everything else was delivered"
        )
