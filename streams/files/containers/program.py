"""An MPEG program stream's packets, and where something between them is missing.

libav looks for the next start code behind what it cannot read, without a word, and joins the bytes
before and after. The video is what its own packets hold, end to end, so a frame's place in that sum
shows in which of them it lies, and which times are its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from oneglance.streams.decoding.nal_units import SECTOR
from oneglance.streams.decoding.times.counted import CountedTimes, TimedPacket
from oneglance.streams.decoding.times.display_order import holds_frame
from oneglance.streams.files.containers.checked import CheckedPackets
from oneglance.streams.files.containers.program_walk import (
    FIRST_CODE,
    PREFIX,
    Chunk,
    ProgramWalk,
    Window,
)
from oneglance.streams.files.layout import Wrong

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

_LOST = Wrong.LAYOUT | Wrong.GAP
_WITH_ZERO = frozenset(("h264", "hevc"))
"""Codings whose frames begin with one zero more than a start code has."""
_CUT = frozenset(("hevc", "mpeg1video", "mpeg2video"))
"""Codings of which libav begins a new frame where another packet's head lies in one."""
_SECTOR, _ZEROS = bytes(SECTOR - len(PREFIX)), bytes(64)
"""What a lost one leaves at least of zeros, and more of them than coders write at once."""
_IN_STEP = 16
"""Bytes by which a frame is known to lie where it should."""


class ProgramPackets(CheckedPackets):
    """A container that gives the packets of a program stream's video; see ``look``."""

    knows_end = False

    def __init__(self, container: InputContainer, file: Path) -> None:
        super().__init__(container, file)
        self._chunks: deque[Chunk] = deque()  # from the one in which the next frame begins
        self._timed: Chunk | None = None  # the last one of which a frame has the times
        self._at = 0  # of the next frame among all bytes of the video
        self._began = -1  # likewise, of the last
        self._last: Packet[VideoStream] | None = None
        self._was_torn = False
        self._codec = ""

    def demux(self, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
        """Its packets.

        Raises:
            av.error.FFmpegError: the container cannot be read on.
        """
        times, self._codec = CountedTimes(stream), stream.codec_context.name
        with self._file.open("rb", buffering=0) as content:
            window = Window(content)
            walk = ProgramWalk(window, stream.id)
            chunks = walk.chunks()
            is_known, skipped = True, Wrong.NOTHING  # that libav reads what is read here
            for packet in self._container.demux(stream):
                if not packet.size:
                    continue
                frame = TimedPacket(packet, Wrong.NOTHING, None)
                try:
                    self._fetch(chunks, packet.size)
                    is_known = is_known and self._is_there(window, packet)
                except OSError:
                    is_known = False
                if is_known:
                    frame = self._seen(walk, packet)
                frame.wrong |= skipped
                skipped = Wrong.NOTHING
                if (frame.wrong or packet.is_corrupt) and self._is_rest(packet):
                    skipped = frame.wrong
                    continue
                for given in times.enters(frame):
                    self._wrong = given.wrong
                    yield given.packet
            for given in times.rest():
                self._wrong = given.wrong
                yield given.packet
            try:
                self._chunks.extend(chunks)
            except OSError:
                is_known = False
        is_behind = any(self._is_hole(chunk, self._began, chunk.at) for chunk in self._chunks)
        is_lost = is_known and (walk.is_end_lost or is_behind)
        self._wrong = _LOST if is_lost else Wrong.NOTHING

    def _fetch(self, chunks: Iterator[Chunk], size: int) -> None:
        """All that the next frame, of that size, lies in, and one more: what it lacks is known."""
        while not self._chunks or self._chunks[-1].end <= self._at + size:
            chunk = next(chunks, None)
            if chunk is None:
                return
            self._chunks.append(chunk)

    def _is_there(self, window: Window, packet: Packet[VideoStream]) -> bool:
        """Whether libav's next frame begins with what lies there."""
        chunk = next((chunk for chunk in self._chunks if chunk.end > self._at), None)
        if chunk is None:
            return False
        size = min(_IN_STEP, chunk.end - self._at, packet.size)
        lies = window.read(chunk.content + self._at - chunk.at, size)
        return lies == bytes(memoryview(packet)[:size])

    def _seen(self, walk: ProgramWalk, packet: Packet[VideoStream]) -> TimedPacket:
        last, self._began = self._began, self._at
        begin, end = self._at, self._at + packet.size
        self._at = end
        is_behind_hole = any(self._is_hole(chunk, last, begin) for chunk in self._chunks)
        while self._chunks[0].end <= begin:
            self._chunks.popleft()
        content = bytes(memoryview(packet))
        is_torn = any(chunk.is_torn and chunk.at < end for chunk in self._chunks)
        is_torn |= any(self._is_hole(chunk, begin, end) for chunk in self._chunks)
        is_torn |= walk.is_end_lost and end >= self._chunks[-1].end
        packet.is_corrupt = is_torn or _SECTOR in content
        # It may have swallowed others.
        wrong = Wrong.LAYOUT if self._was_torn else Wrong.NOTHING
        self._was_torn = packet.is_corrupt or _ZEROS in content
        if is_behind_hole:
            wrong = Wrong.BEGINNING if last < 0 else _LOST
        # Where its first slice is missing, the next frame is the first that begins there.
        is_headless = bool(wrong) and not holds_frame(self._codec, memoryview(packet))
        times = None if is_headless else self._own_times(packet)
        self._last = packet
        is_ill = self._timed is not None and self._timed.is_ill
        return TimedPacket(packet, wrong, times, is_ill=is_ill)

    def _is_hole(self, chunk: Chunk, begin: int, end: int) -> bool:
        return chunk.is_behind_hole and begin < chunk.at <= end

    def _is_rest(self, packet: Packet[VideoStream]) -> bool:
        """Whether it is nothing but the rest of a frame in which the head of another packet lies:
        libav may take that for where a frame begins."""
        data = memoryview(packet)
        is_cut = self._codec in _CUT or (
            bytes(data[: len(PREFIX)]) == PREFIX and data[len(PREFIX)] >= FIRST_CODE
        )
        return is_cut and not holds_frame(self._codec, data)

    def _own_times(self, packet: Packet[VideoStream]) -> tuple[int, int] | None:
        """When the frame is shown and decoded, if it is the first that begins in its chunk, and
        that says so."""
        chunk = self._chunks[0]
        if chunk is self._timed or chunk.at > self._began:
            return None
        self._timed = chunk
        if chunk.pts is None or chunk.dts is None or chunk.is_torn or chunk.is_ill:
            return None
        return None if self._is_second(chunk, packet) else (chunk.pts, chunk.dts)

    def _is_second(self, chunk: Chunk, packet: Packet[VideoStream]) -> bool:
        """Whether what is wrong there may have swallowed the head of the first that begins in it,
        the rest of which libav joins to what was before."""
        before, inside = self._last, self._began - chunk.at
        if inside == 0:
            is_late = bytes(memoryview(packet)[: len(PREFIX)]) == PREFIX
            return chunk.is_behind_hole and is_late and self._codec in _WITH_ZERO
        if before is None or not before.is_corrupt:
            return False
        part = memoryview(before)[-inside:]
        return _ZEROS in bytes(part) or holds_frame(self._codec, part)
