"""Packets into frames, every one of them accounted for."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import av
from av.codec.context import Flags
from av.video.frame import VideoFrame

from oneglance.streams.decoding.accounting import DecodedFrame, DecodeStats, Doubts, Entry, Verdict
from oneglance.streams.decoding.bitstream import CodedFrame, Refresh, has_hash, inspector
from oneglance.streams.decoding.loss_marks import LossMark, without_marks
from oneglance.streams.decoding.nal_units import H264_NUMBERS, ZEROS, numbers_show
from oneglance.streams.decoding.options import NOTICING, OF_PARTS, PARSED, STRICT, DecodeOptions
from oneglance.streams.decoding.references import FrameLedger, References
from oneglance.streams.decoding.times.avi import AviTimes
from oneglance.streams.decoding.tracks import empty_before, period_of
from oneglance.streams.errors import cause
from oneglance.streams.files.containers.checked import CheckedPackets, read_on
from oneglance.streams.files.jpeg import is_cut_jpeg
from oneglance.streams.files.layout import Wrong
from oneglance.streams.files.transport import Loss
from oneglance.streams.options import Damaged

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

_LONG_STEP = 1.5
"""Periods between two packets from which on one is missing, where damage was flagged."""

_LONGEST_LOSS = 30
"""Periods up to which a gap is a loss and no pause or splice."""

_LONGEST_START = 300
"""Periods that a lost beginning may have had; a clock that is further on began elsewhere."""

_LATE = 0.25
"""Share of an outage by which its end may come early or late."""

_AHEAD = 20
"""Packets that a source may be ahead of the decoder by."""


@dataclass(frozen=True, slots=True)
class _Taken:
    frame: VideoFrame
    arrival_s: float
    decode_s: float


class FrameDecoder:
    """Decodes a container's video stream; every frame that went in comes out or is counted.

    Everything is decoded, whatever the container thinks of it: a transport stream's damage flag
    lies on the packet before the damaged one, and also where the counters of a splice start anew.
    The decoders do not notice all damage (those of H.265, VP9 and AV1 notice none inside a frame),
    so what follows a flag is damaged unless its bytes, or a splice, show otherwise.
    """

    def __init__(
        self,
        container: InputContainer,
        stream: VideoStream,
        stats: DecodeStats,
        options: DecodeOptions = DecodeOptions(),  # noqa: B008 - it is frozen
    ) -> None:
        """``stats`` is kept up to date."""
        self._container, self._stream, self._stats = container, stream, stats
        self._clock, self._find_loss, self._look = options.clock, options.find_loss, options.look
        self._options, self._is_cut = options, options.is_cut
        self._last_pos: int | None = None
        self._keeps, self._marks = options.damaged != Damaged.SKIP, options.damaged == Damaged.MARK
        context = stream.codec_context
        context.flags |= Flags.copy_opaque  # each frame knows its packet
        self._codec = context.name
        self._is_hashed = self._codec in NOTICING
        if self._codec in STRICT:
            context.options = {"err_detect": STRICT[self._codec]}
        self._is_late = context.thread_count > 1  # errors are those of earlier packets
        extradata, intra_only = context.extradata, context.codec.intra_only
        self._inspect = inspector(self._codec, extradata, intra_only=intra_only)
        self._period, self._doubts = period_of(stream), Doubts(stats, stream.time_base)
        # AVI counts packets where others have times of frames.
        self._avi: AviTimes | None = None
        if container.format.name == "avi" and stream.time_base:
            self._avi = AviTimes(stream, options.index)
        references = References(intact=self._codec != "mpeg4")
        self._ledger: FrameLedger[_Taken] = FrameLedger(
            references, period=1 if self._avi else self._period, joins=options.joins
        )
        name, self._is_live = container.format.name, options.joins
        self._is_parsed, self._is_mp4 = name in PARSED, name.startswith("mov")
        self._shows_its_end = name == OF_PARTS
        self._has_holes = not self._is_live and name != "ogg"  # which is checked
        self._flagged = 0  # packets for which a flagged one matters still
        self._losses, self._marks_found, self._unmarked = options.losses, 0, 0
        self._near_loss = 0  # packets near which something was lost, by what its source says
        self._behind: list[LossMark] = []  # in the packet before
        self._suspect: tuple[Entry, int | None, bool, bool] | None = None
        self._last_dts: int | None = None
        self._came_s: deque[float] = deque(maxlen=3)  # of a live source's last packets

    def __iter__(self) -> Iterator[DecodedFrame]:
        """Frames in presentation order.

        Raises:
            av.error.FFmpegError: the container cannot be read on; what the decoder still held was
                given out first. The caller knows how to name it.
        """
        packets = read_on(self._container, self._stream)
        try:
            for packet in packets if self._avi is None else self._avi.ahead(packets):
                if packet.size or packet.pts is not None or packet.dts is not None:
                    self._decode(packet)
                    yield from self._given(self._ledger.verdicts())
        except av.error.FFmpegError:
            yield from self._rest()
            raise
        yield from self._rest()

    def _rest(self) -> Iterator[DecodedFrame]:
        self._count_empty(None)
        is_hole = Wrong.LAYOUT in (wrong := self._wrong_before(None))
        self._clear_last(is_hole=is_hole)
        self._take(lambda: self._stream.decode(None), None)
        if is_hole or self._options.ends_early():
            self._ledger.ends_early()
        if self._avi is not None and self._stats.packets:
            self._ledger.ends_before(*self._avi.ends())
            self._stats.packets = max(self._stats.packets, self._avi.packets)
        if is_hole:
            # Of MP4's fragments no more is declared than was found.
            end = None if self._is_mp4 else self._options.find_end()
            self._stats.is_end_lost = end is None or Wrong.END in wrong
            self._ledger.ends_before(end)
        yield from self._given(self._ledger.verdicts(ended=True))
        self._doubts.end()

    def _decode(self, packet: Packet[VideoStream]) -> None:
        stats = self._stats
        stats.packets += 1
        if stats.packets == 1 and self._codec == "hevc" and has_hash(memoryview(packet)):
            # Its decoder notices no other damage inside a frame.
            self._stream.codec_context.options = {"err_detect": "crccheck+explode"}
            self._is_hashed = True
        packet, marks = self._without_marks(packet)
        entry = self._entered(packet, marks)
        # Otherwise each frame's place is told by the decoder's order.
        has_times = self._avi is None or entry.pts is not None
        if entry.coded.fault and self._codec == "h264" and has_times and not self._keeps:
            # It would be left out, and in libav's decoder can spoil the key frame after it.
            self._ledger.fails(entry)
            return
        if not packet.size:
            stats.last_error = "an empty packet"
            self._ledger.fails(entry)
            return
        if self._codec == "mjpeg" and is_cut_jpeg(memoryview(packet)):
            stats.last_error = "a truncated image"
            entry.near_loss = entry.broken = True
        packet.opaque = entry
        self._take(packet.decode, entry)

    def _take(self, decode: Callable[[], list[VideoFrame]], entry: Entry | None) -> None:
        arrival_s, started = self._clock(), time.perf_counter()
        try:
            frames = decode()
        except av.error.EOFError:
            return
        except av.error.FFmpegError as error:
            # Not only invalid data: a flipped bit can ask for a coding that libav lacks.
            # Like its own player, go on whatever the decoder says; the next packet may be intact.
            self._stats.last_error = cause(error)
            if entry is not None and not self._is_late:
                self._ledger.fails(entry)
            return
        decode_s = time.perf_counter() - started
        for frame in frames:
            of = frame.opaque if isinstance(frame.opaque, Entry) else self._guess(frame.pts)
            if self._codec == "h264" and frame.pts is None and of.pts is not None:
                continue  # it stands in for another that was lost, and is none
            taken = _Taken(frame, arrival_s, decode_s / len(frames))
            self._ledger.comes(of, taken, corrupt=frame.is_corrupt)

    def _guess(self, pts: int | None) -> Entry:
        """Whose a frame is that does not know its packet, as some accelerators' do not."""
        return self._ledger.find(pts) or self._ledger.enters(CodedFrame(shows=False), pts)

    def _without_marks(
        self, packet: Packet[VideoStream]
    ) -> tuple[Packet[VideoStream], list[LossMark]]:
        """The packet, and what its source says was lost there."""
        losses = self._losses
        if losses is None or self._marks_found >= losses.marked:
            return packet, []
        packet, marks = without_marks(packet, self._codec)
        if marks:
            self._marks_found += len(marks)
            self._near_loss = 2
        return packet, marks

    def _near_unmarked(self) -> bool:
        """Whether its source lost something hereabouts that could not be marked: it is ahead."""
        losses = self._losses
        if losses is None or losses.unmarked == self._unmarked:
            return self._near_loss > 2
        self._unmarked, self._near_loss = losses.unmarked, _AHEAD
        return True

    def _entered(self, packet: Packet[VideoStream], marks: list[LossMark]) -> Entry:
        leap = self._leap(packet.dts)
        if is_far := leap >= _LONG_STEP or self._last_dts is None:
            self._count_empty(packet.dts)
        is_ahead, wrong = self._near_unmarked(), self._wrong_before(packet.pos)
        is_gap = Wrong.GAP in wrong or (Wrong.LAYOUT in wrong and is_far)
        near_loss = self._flagged > 0 or self._near_loss > 0 or is_gap
        if near_loss and _LONG_STEP <= leap <= _LONGEST_LOSS:
            self._ledger.misses(round(leap) - 1)
        coded = self._coded(packet, is_gap=is_gap)
        self._ledger.lost_first |= Wrong.BEGINNING in wrong
        pts = None if self._avi is not None else packet.pts
        if self._avi is not None:
            coded, pts = self._placed(coded, packet)
            near_loss |= self._near_loss > 0
        coded = self._clear_suspect(coded, packet)
        coded = self._behind_marks(coded, is_ahead=is_ahead)
        entry = self._ledger.enters(coded, pts, near_loss=near_loss or bool(coded.fault))
        entry.behind_loss = is_gap or any(mark.after for mark in self._behind)
        if near_loss and leap > _LONGEST_LOSS:
            entry.behind_loss |= self._took_as_long(packet.dts)
        entry.broken |= bool(marks and marks[0].inside) or (near_loss and not coded.begins)
        # At its end where it reaches into a hole, at its beginning where it lies in it.
        is_torn = bytes(memoryview(packet)[-len(ZEROS) :]) == ZEROS
        self._note_faults(entry, wrong, is_torn=is_torn and Wrong.LAYOUT in wrong)
        self._behind, self._near_loss = marks, max(0, self._near_loss - 1)
        if packet.is_discard:
            entry.settled, entry.coded = True, replace(coded, shows=False)
        is_torn = self._has_holes and bytes(memoryview(packet)[-1:]) == b"\0"
        if self._flagged == 2 or self._find_loss is not None or self._is_cut or is_torn:
            entry.suspect = True  # it may be the last; no flag lies before the first
            self._suspect = (entry, packet.pos, self._flagged == 2, is_torn)
        self._flagged = max(0, self._flagged - 1)
        if packet.is_corrupt and self._is_parsed:
            entry.near_loss, self._flagged = True, 2
        elif packet.is_corrupt and not self._shows_its_end:
            entry.near_loss = entry.broken = True
        self._last_dts = packet.dts
        if self._is_live:
            self._came_s.append(self._clock())
        return entry

    def _note_faults(self, entry: Entry, wrong: Wrong, *, is_torn: bool) -> None:
        """What the frame's own bytes, or its container, show to be wrong with it."""
        if is_torn:
            entry.coded = replace(entry.coded, fault="a hole in its data")
        if entry.coded.fault:
            self._stats.last_error = entry.coded.fault
            entry.near_loss = entry.broken = True
            entry.coded = replace(entry.coded, shows=entry.coded.shows is not False)
            entry.settled = not entry.coded.shows
        self._doubts.see(entry, is_wrong=Wrong.BYTES in wrong and self._codec in NOTICING)
        if Wrong.BYTES in wrong and not self._is_hashed:
            self._stats.last_error, entry.broken = "a wrong checksum", True

    def _took_as_long(self, dts: int | None) -> bool:
        """Whether a live source was silent for as long as its times say: an outage, no splice."""
        last, unit = self._last_dts, self._stream.time_base
        if dts is None or last is None or unit is None or len(self._came_s) < 3:
            return False
        step_s = float((dts - last) * unit)
        # The last packet before an outage is known to have ended when the next one comes.
        return abs(self._clock() - self._came_s[0] - step_s) <= _LATE * step_s

    def _placed(
        self, coded: CodedFrame, packet: Packet[VideoStream]
    ) -> tuple[CodedFrame, int | None]:
        """The frame of a packet of AVI, with what a hole swallowed before it, and its time."""
        assert self._avi is not None
        coded, lost, pts = self._avi.enters(packet, coded)
        self._stats.packets = max(self._stats.packets, self._avi.packets)
        if pts is None:
            self._ledger.forget_time()
        else:
            self._ledger.misses(lost)
        self._near_loss = max(self._near_loss, min(lost, 1))
        return coded, pts

    def _wrong_before(self, place: int | None) -> Wrong:
        """What the container shows to be wrong from the packet before to the one there."""
        last, self._last_pos = self._last_pos, place
        is_unknown = last is place is None and not isinstance(self._container, CheckedPackets)
        if self._look is None or is_unknown:
            return Wrong.NOTHING
        is_part = last is None and self._is_live  # it begins in the middle
        return self._look(place if is_part else last, place)

    def _coded(self, packet: Packet[VideoStream], *, is_gap: bool) -> CodedFrame:
        coded = self._inspect(memoryview(packet), packet.is_keyframe)
        coded = coded if packet.size else replace(coded, shows=True)
        leap = self._leap(packet.dts)
        is_gap |= self._flagged > 0 and leap >= _LONG_STEP
        if is_gap and self._stats.packets == 1 and self._period and packet.pts is not None:
            before = max(0, round(packet.pts / self._period))
            if before > _LONGEST_START:
                return replace(coded, lost_before=1)
            self._stats.is_start_lost = True
            self._ledger.begins_late()
            return replace(coded, lost_before=max(1, before))
        knows = self._codec == "h264" and numbers_show(coded.lost_before, leap)
        return replace(coded, lost_before=1) if is_gap and not knows else coded

    def _behind_marks(self, coded: CodedFrame, *, is_ahead: bool) -> CodedFrame:
        """The packet behind one in which something was marked as lost, or may have been."""
        lost = int(is_ahead)
        lost += sum(mark.count for mark in self._behind if mark.after or len(self._behind) > 1)
        # Of H.264 its own numbers show it better, unless they may have come round.
        if lost and not (self._codec == "h264" and lost < H264_NUMBERS):
            return replace(coded, lost_before=max(1, coded.lost_before))
        return coded

    def _leap(self, dts: int | None) -> float:
        """Periods from the last packet to that time."""
        if not self._period or dts is None or self._last_dts is None:
            return 0.0
        return (dts - self._last_dts) / self._period

    def _count_empty(self, before: int | None) -> None:
        """Frames of mp4 that were left empty between the last packet and that time (None: the
        end): libav's parsers pass them over without a word, the index shows them."""
        empty = empty_before(self._stream, self._last_dts, before) if self._is_mp4 else []
        coded = replace(self._inspect(memoryview(b""), False), shows=True)
        self._stats.packets += len(empty)
        for at_pts in empty:
            self._ledger.fails(self._ledger.enters(coded, at_pts))

    def _clear_suspect(self, coded: CodedFrame, packet: Packet[VideoStream]) -> CodedFrame:
        """The packet after the one that something may be lost of, and what is known by now."""
        if self._suspect is None:
            return coded
        (suspect, begin, is_flagged, is_torn), self._suspect = self._suspect, None
        loss, is_hole = None, False
        asks = is_flagged or is_torn or self._is_cut or self._stats.packets == 2
        if asks and self._find_loss is not None and begin is not None and packet.pos is not None:
            loss = self._find_loss(begin, packet.pos)
            is_hole = loss is None
        is_hole |= coded.lost_before > 0 or bytes(memoryview(packet)[: len(ZEROS)]) == ZEROS
        if is_torn and is_hole:
            loss = Loss.INSIDE
        if loss is None:
            is_splice = not is_flagged or self._is_splice(coded, packet)
            loss = Loss.NOTHING if is_splice else Loss.INSIDE
        suspect.suspect = False
        suspect.broken |= loss is Loss.INSIDE
        suspect.near_loss |= loss is not Loss.NOTHING
        return replace(coded, lost_before=1) if loss is Loss.AFTER else coded

    def _clear_last(self, *, is_hole: bool) -> None:
        """Likewise, where no packet followed."""
        if self._suspect is not None:
            suspect, begin, is_flagged, is_torn = self._suspect
            loss = self._find_loss(begin, None) if self._find_loss and begin is not None else None
            is_amiss = is_flagged or self._is_cut or (is_torn and is_hole)
            suspect.suspect = loss is Loss.INSIDE if loss else is_amiss

    def _is_splice(self, coded: CodedFrame, packet: Packet[VideoStream]) -> bool:
        """Whether streams were put together here: one begins anew, at another time. In HLS, whose
        segments come complete, also at the time that was to be expected."""
        if coded.refresh not in (Refresh.OPEN, Refresh.FULL):
            return False
        # A short way on it is more likely that what came before was lost.
        is_elsewhere = not 0 <= self._leap(packet.dts) <= _LONGEST_LOSS
        return is_elsewhere or self._container.format.name == "hls" or not self._is_parsed

    def _given(self, verdicts: Iterator[Verdict[_Taken]]) -> Iterator[DecodedFrame]:
        stats = self._stats
        for verdict in verdicts:
            pts = self._avi.next() if self._avi is not None and verdict.had_packet else None
            if verdict.is_counted:
                continue
            index, taken = stats.count(damaged=verdict.damaged), verdict.frame
            if taken is None or (verdict.damaged and not self._keeps):
                continue
            stats.last_error = ""
            stats.delivered += 1
            yield DecodedFrame(
                taken.frame,
                index,
                taken.frame.pts if self._avi is None else pts,
                verdict.damaged and self._marks,
                taken.arrival_s,
                taken.decode_s,
            )
