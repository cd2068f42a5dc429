"""Video files, decoded by PyAV at their true presentation times."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import av
from av.codec.hwaccel import HWAccel

from oneglance.streams.decoding.hardware import hardware, incompatible
from oneglance.streams.decoding.options import FindLoss
from oneglance.streams.decoding.parallel import use_threads
from oneglance.streams.decoding.source import AvSource
from oneglance.streams.decoding.tracks import (
    UNEDITED,
    describe_tracks,
    shown_frames,
    shows_any,
    video_tracks,
    warn_unedited,
)
from oneglance.streams.errors import SourceNotFound, SourceUnreadable, cause
from oneglance.streams.files.avi_index import AviIndex
from oneglance.streams.files.containers.asf import AsfPackets
from oneglance.streams.files.containers.checked import CheckedPackets
from oneglance.streams.files.containers.nut import NutPackets
from oneglance.streams.files.containers.ogg import OggPackets
from oneglance.streams.files.containers.program import ProgramPackets
from oneglance.streams.files.flash import TagChecks
from oneglance.streams.files.image_count import lacks_end
from oneglance.streams.files.integrity import (
    Truncation,
    broken,
    check_integrity,
    find_truncation,
    lacks_index,
    what_is_cut,
)
from oneglance.streams.files.layout import FragmentChecks, Look, Wrong
from oneglance.streams.files.matroska import ClusterChecks
from oneglance.streams.files.transport import FEW, begins_inside, find_loss, is_tiny
from oneglance.streams.frame import Frame
from oneglance.streams.options import ConnectOptions
from oneglance.streams.outputs import fixed_path

if TYPE_CHECKING:
    from av.container import InputContainer

logger = logging.getLogger(__name__)

# A playlist is a list of other people's addresses: one in a file may name files beside it only.
_OPTIONS = {"protocol_whitelist": "file,crypto,data"}

_SILENT = frozenset(("mpegts", "mpeg", "asf", "ogg", "nut"))
"""Formats whose last packet libav gives out in part without a word."""

_PACKETS: dict[str, type[CheckedPackets]] = {
    "asf": AsfPackets,
    "mpeg": ProgramPackets,
    "nut": NutPackets,
    "ogg": OggPackets,
}
"""Formats whose packets are given with what is missing between them."""


class VideoFile(AvSource):
    """A recorded video: mp4, mkv, avi, mov; whatever libav decodes.

    ``timestamp_s`` is the presentation time from the start of the file's sound or video,
    whichever begins first; variable frame rates stay as filmed and rotation metadata is
    honoured. ``index`` counts damaged frames too. A file that ends too early or holds damaged
    frames yields every intact one (all, if ``damaged`` asks for them) and then raises.

    Of several videos in one file the largest is played, unless another is chosen.

    Not honoured: mirroring, pixels that are not square.
    Codings whose decoders notice no wrong bytes (H.265, VP8, VP9, AV1) are held to checksums:
    those of H.265's own images (MD5) or of the clusters of Matroska, which ffmpeg writes into
    ``.mkv`` and not into ``.webm``. They show which few seconds are wrong, and all frames of these
    are damaged. FFV1's slices have checksums of their own.

    Not noticed, because nothing shows it: wrong bytes within frames of those codings in other
    containers (but holes of zeros), and within images of a GIF; wrong bits of any coding that
    decode to other frames by chance; and frames of a Matroska file, or an AVI without an index,
    that were lost with their own chunk's header, or of an MPEG program stream with whole packets of
    it. A gap in the times of a transport stream counts as lost frames where packets are known to be
    missing at it and it does not begin with a key frame: that may be another recording, put behind
    it.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        options: ConnectOptions | None = None,
        *,
        video: int | None = None,
        name: Path | None = None,
    ) -> None:
        """Open a file and find its video stream; of the ``options`` it uses ``hwaccel``,
        ``damaged`` and ``fps``.

        ``video``: which of several, counted from 0; None: the largest. ``name``: what the file is
        called, if not by its path.

        Raises:
            SourceNotFound: there is no such file.
            SourceUnreadable: a folder, no permission, empty, no video or not one libav (or the
                accelerator) knows.
            UsageError: an accelerator that cannot be used here, or no video of that number.
        """
        self._file, self._name = fixed_path(path), Path(path) if name is None else name
        options = options or ConnectOptions()
        container = self._opened(hardware(options.hwaccel))
        source = os.fspath(path if name is None else name)
        super().__init__(container, source, options, number=video)
        if not shows_any(self._stream):
            warn_unedited(self.source, self._stream)
            self._go_on_with(self._opened(hardware(options.hwaccel), edited=False), video)
        if options.hwaccel is None:
            use_threads(self._stream)
        self._is_chosen = video is not None
        kind = _PACKETS.get(container.format.name)
        self._checked = None if kind is None else kind(container, self._file)
        self._clusters: ClusterChecks | None = None

    def name_others(self) -> None:
        """Warn of other videos in the file, unless one was asked for."""
        tracks = video_tracks(self._container)
        if len(tracks) > 1 and not self._is_chosen:
            logger.warning(
                "%s holds %d videos (%s): number %d is played; choose another with ?video=N behind "
                "its name, or --stream N",
                *(self.source, len(tracks), describe_tracks(tracks), tracks.index(self._stream)),
            )

    def _frames(self) -> Iterator[Frame]:
        try:
            yield from self._presented()
        except av.error.FFmpegError as error:
            truncation, failed = _truncation(self._file), f"reading failed ({cause(error)})"
            if isinstance(error, av.error.BlockingIOError):  # libav's, of a hole without an end
                failed = "what follows in the file is missing or damaged"
            what = what_is_cut(truncation) if truncation.missing_bytes else failed
            raise broken(self.source, self._stream, self.stats, what) from None
        if not self._closed and self._part is None:
            if self._clusters is not None and self._clusters.is_header_wrong():
                logger.warning(
                    "%s: its header is not as it was written, by its own checksum: times, sizes "
                    "and colours may have been others",
                    self.source,
                )
            check_integrity(
                self.source,
                self._stream,
                self.stats,
                _truncation(self._file),
                expected=self._expected(),
            )

    def _expected(self) -> int:
        return shown_frames(self._stream, lambda: self._opened(None, edited=False))

    def _opened(
        self, accelerator: HWAccel | None, *, edited: bool = True
    ) -> av.container.InputContainer:
        return _open(self._file, accelerator, name=self._name, edited=edited)

    def cuts_s(self, limit_s: float, *, most: int | None = None) -> list[float]:
        # What is truncated is played whole, which says so.
        return [] if _truncation(self._file).missing_bytes else super().cuts_s(limit_s, most=most)

    def _find_loss(self) -> FindLoss | None:
        if self._container.format.name != "mpegts":
            return None
        return lambda begin, end: find_loss(self._file, begin, end, self._stream.id)

    def _packets(self) -> InputContainer:
        return cast("InputContainer", self._checked or self._container)

    def _look(self) -> Look | None:
        name = self._container.format.name
        if self._checked is not None:
            return self._checked.look
        if name.startswith("matroska"):
            self._clusters = ClusterChecks(self._file)
            return self._clusters.look
        if name == "flv":
            return TagChecks(self._file).look
        if name == "apng":
            return self._look_at_end
        if name == "mpegts":
            return self._look_at_begin
        # What is not in fragments has an index.
        return FragmentChecks(self._file).look if name.startswith("mov") else None

    def _is_cut(self) -> bool:
        is_silent = self._container.format.name in _SILENT
        return is_silent and _truncation(self._file).missing_bytes > 0

    def _ends_early(self) -> bool:
        return _truncation(self._file).missing_bytes > 0

    def _find_end(self) -> int | None:
        if self._checked is not None and not self._checked.knows_end:
            return None
        end = None if self._checked is None else self._checked.end
        return super()._find_end() if end is None else end

    def _look_at_end(self, begin: int | None, end: int | None) -> Wrong:  # noqa: ARG002 - a Look
        is_cut = end is None and lacks_end(self._file)
        return Wrong.LAYOUT if is_cut else Wrong.NOTHING

    def _look_at_begin(self, begin: int | None, end: int | None) -> Wrong:
        is_first = begin is None and end is not None
        is_inside = is_first and begins_inside(self._file, end or 0, self._stream.id)
        return Wrong.BEGINNING if is_inside else Wrong.NOTHING

    def _index(self) -> AviIndex | None:
        is_avi = self._container.format.name == "avi"
        return AviIndex(self._file, self._stream.index) if is_avi else None


def _open(
    file: Path, accelerator: HWAccel | None, *, name: Path, edited: bool
) -> av.container.InputContainer:
    try:
        found = file.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise SourceNotFound(f"no file {name}") from None
    except OSError as error:
        raise _no_access(name, error) from None
    if stat.S_ISDIR(found.st_mode):
        raise SourceUnreadable(f"{name} is a folder, not a video")
    if not stat.S_ISREG(found.st_mode):
        raise SourceUnreadable(f"{name} is a pipe or a device: only files can be played")
    if found.st_size == 0:
        raise SourceUnreadable(f"{name} is empty (0 bytes)")
    try:
        # The absolute path: libav would take "concat:a.mp4" for a protocol of its own.
        container = av.open(
            str(file),
            mode="r",
            format="mpegts" if _is_tiny_transport(file) else None,
            options=_OPTIONS if edited else {**_OPTIONS, **UNEDITED},
            metadata_errors="replace",
            hwaccel=accelerator,
        )
    except RuntimeError:
        if accelerator is None:
            raise
        raise incompatible(str(name)) from None
    except PermissionError as error:
        raise _no_access(name, error) from None
    except (av.error.FFmpegError, OSError) as error:
        raise SourceUnreadable(_why_unreadable(file, name, error)) from None
    if container.format.name == "tty":  # text files, drawn letter by letter
        container.close()
        raise SourceUnreadable(f"{name} holds text, not video")
    return container


def _is_tiny_transport(file: Path) -> bool:
    with file.open("rb") as content:
        return is_tiny(content.read(FEW))


def _no_access(name: Path, error: OSError) -> SourceUnreadable:
    return SourceUnreadable(f"cannot open {name}: {(error.strerror or 'no access').lower()}")


def _truncation(file: Path) -> Truncation:
    try:
        return find_truncation(file)
    except OSError:  # gone or changed hands meanwhile: nothing can be said of its length
        return Truncation()


def _why_unreadable(file: Path, name: Path, error: Exception) -> str:
    if lacks_index(file):
        return (
            f"{name} lacks its index (the moov box): the recording was never finished, or the copy "
            "is truncated. Copy it again, or repair it with a tool such as untrunc"
        )
    found = find_truncation(file)
    if found.missing_bytes:
        return (
            f"{name} is truncated in its header: {found.missing_bytes} bytes are missing, copy it "
            "again"
        )
    if isinstance(error, EOFError):
        return f"{name} has no frames"
    with file.open("rb") as content:
        start = content.read(1024)
    if b"\0" not in start and start.decode("utf-8", "ignore").strip():
        return f"{name} holds text, not video"
    return f"{name} is no video that can be played, or is damaged at its start ({cause(error)})"
