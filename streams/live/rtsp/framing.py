"""What an RTSP server sends over its connection: messages, and RTP packets between them.

RFC 2326, 10.12. Pure: bytes in, bytes out.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from oneglance.streams.decoding.loss_marks import LossCount
from oneglance.streams.live.rtsp.rtp import RtpTrack

_DOLLAR = 0x24
_LONGEST_HEAD = 1 << 16

_HEAD_END = re.compile(rb"\r?\n\r?\n")
_LENGTH = re.compile(rb"^content-length:[ \t]*(\d+)", re.IGNORECASE | re.MULTILINE)
_CHANNELS = re.compile(rb"^transport:.*?interleaved=(\d+)", re.IGNORECASE | re.MULTILINE)
_PAYLOADS = re.compile(rb"^a=rtpmap:(\d+)[ \t]+([^/\s]+)", re.MULTILINE)

ChangeHead = Callable[[bytes], bytes]
"""From the head of a server's message to the one that is passed on."""


class RtspFraming:
    """Passes on what a server sends, and puts a mark where RTP packets of video are missing.

    What cannot be understood is passed on as it is, and nothing is watched from there on.
    """

    def __init__(self, losses: LossCount, change_head: ChangeHead = lambda head: head) -> None:
        self._losses, self._change_head = losses, change_head
        self.codecs: dict[int, str] = {}
        """Of which video each payload type is, by the payload's name."""
        self._channels: dict[int, RtpTrack] = {}
        self._rest = b""
        self.is_lost = False
        """Whether something came that could not be understood."""

    def new_track(self) -> RtpTrack:
        """A stream whose packets come another way."""
        return RtpTrack(self.codecs, self._losses)

    def pass_on(self, data: bytes) -> bytes:
        """What is to be passed on of what has come by now; the beginning of a packet waits."""
        if self.is_lost:
            return data
        data = self._rest + data
        pieces: list[bytes] = []
        done = at = 0
        view = memoryview(data)
        while at < len(data):
            if data[at] == _DOLLAR:
                if at + 4 > len(data):
                    break
                end = at + 4 + int.from_bytes(data[at + 2 : at + 4], "big")
                if end > len(data):
                    break
                track = self._channels.get(data[at + 1])
                mark = None if track is None else track.missing_before(view[at + 4 : end])
                if mark is not None:
                    head = bytes((_DOLLAR, data[at + 1])) + len(mark).to_bytes(2, "big")
                    pieces += (data[done:at], head, mark)
                    done = at
            else:
                head_end = _HEAD_END.search(data, at)
                end = self._message_end(data, at, head_end)
                if end > len(data) or head_end is None:
                    break
                head, body = data[at : head_end.start()], data[head_end.end() : end]
                self._learn(head, body)
                changed = self._change_head(head)
                pieces += (data[done:at], changed, data[head_end.start() : end])
                done = end
            at = end
        self._rest = data[at:]
        pieces.append(data[done:at])
        if len(self._rest) > 2 * _LONGEST_HEAD:
            pieces.append(self._rest)
            self._rest, self.is_lost = b"", True
        return b"".join(pieces)

    def _message_end(self, data: bytes, at: int, head_end: re.Match[bytes] | None) -> int:
        """Where the message that begins there ends; beyond the data where it is not all there."""
        if head_end is None:
            return len(data) + 1
        length = _LENGTH.search(data[at : head_end.start()])
        return head_end.end() + (int(length[1]) if length else 0)

    def _learn(self, head: bytes, body: bytes) -> None:
        for media in re.split(rb"^m=", body, flags=re.MULTILINE)[1:]:
            if media.startswith(b"video"):
                for number, name in _PAYLOADS.findall(media):
                    self.codecs[int(number)] = name.decode("latin-1").upper()
        channel = _CHANNELS.search(head)
        if channel is not None:
            self._channels[int(channel[1])] = self.new_track()
