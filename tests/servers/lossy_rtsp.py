"""An RTSP camera that loses RTP packets on the way, as cameras with too small a queue do.

It knows as much of RTSP (RFC 2326) and of RTP for H.264, H.265 and MPEG-4 (RFC 6184, RFC 7798,
RFC 6416) as a client asks for.
"""

from __future__ import annotations

import base64
import contextlib
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
from av.bitstream import BitStreamFilterContext
from av.video.stream import VideoStream

from present import present

MTU = 400
RATE = 25
"""Frames a second of the clips that are served."""
_BUFFER = 200_000
"""What a system keeps of datagrams, or more."""
_GOODBYE = struct.pack(">BBHI", 0x80, 201, 1, 1) + struct.pack(">BBHI", 0x81, 203, 1, 1)
_SETS = {"h264": {7, 8}, "hevc": {32, 33, 34}}


@dataclass(frozen=True)
class Film:
    """A clip's frames as NAL units (MPEG-4: as they are), in decoding order, and their times."""

    codec: str
    frames: list[list[bytes]]
    times: list[int]
    extradata: bytes

    @classmethod
    def of(cls, path: Path) -> Film:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            codec, extradata = stream.codec_context.name, stream.codec_context.extradata or b""
            assert stream.time_base is not None
            if codec == "mpeg4":
                packets = [p for p in container.demux(stream) if p.size]
                return cls(codec, [[bytes(p)] for p in packets], _times(packets), extradata)
            to_units = BitStreamFilterContext(f"{codec}_mp4toannexb", stream)
            packets = [p for p in container.demux(stream) if p.size]
            times = _times(packets)
            content = [bytes(q) for packet in packets for q in to_units.filter(packet)]
        frames = [re.split(b"\0\0\0?\1", frame)[1:] for frame in content]
        return cls(codec, frames, times, extradata)

    def kind(self, unit: bytes) -> int:
        return unit[0] & 31 if self.codec == "h264" else unit[0] >> 1 & 63

    def payloads(self, frame: int) -> list[bytes]:
        """What the RTP packets of a frame carry."""
        return [piece for unit in self.frames[frame] for piece in self._pieces(unit)]

    def description(self) -> str:
        if self.codec == "mpeg4":
            return _described(
                "MP4V-ES", f"profile-level-id=1;config={self.extradata.hex().upper()}"
            )
        sets = [u for u in self.frames[0] if self.kind(u) in _SETS[self.codec]]
        coded = [base64.b64encode(unit).decode() for unit in sets]
        if self.codec == "h264":
            name, how = "H264", f"packetization-mode=1;sprop-parameter-sets={','.join(coded)}"
        else:
            name, how = "H265", "sprop-vps={};sprop-sps={};sprop-pps={}".format(*coded)
        return _described(name, how)

    def _pieces(self, unit: bytes) -> Iterator[bytes]:
        if len(unit) <= MTU:
            yield unit
            return
        if self.codec == "mpeg4":
            yield from (unit[at : at + MTU] for at in range(0, len(unit), MTU))
            return
        if self.codec == "h264":
            head, kind, body = bytes([unit[0] & 0xE0 | 28]), unit[0] & 31, unit[1:]
        else:
            head, kind, body = bytes([unit[0] & 0x81 | 49 << 1, unit[1]]), self.kind(unit), unit[2:]
        for at in range(0, len(body), MTU):
            first, last = at == 0, at + MTU >= len(body)
            yield head + bytes([first << 7 | last << 6 | kind]) + body[at : at + MTU]


def _described(name: str, how: str) -> str:
    lines = ["v=0", "o=- 0 0 IN IP4 127.0.0.1", "s=x", "t=0 0", "m=video 0 RTP/AVP 96"]
    lines += [f"a=rtpmap:96 {name}/90000", f"a=fmtp:96 {how}", "a=control:track1"]
    return "\r\n".join(lines) + "\r\n"


def _times(packets: list[av.Packet[VideoStream]]) -> list[int]:
    """Presentation times in frames."""
    return [round(present(packet.pts) * present(packet.time_base) * RATE) for packet in packets]


@contextmanager
def lossy_rtsp(
    film: Film,
    frames: int,
    loses: Callable[[int, int], bool],
    *,
    rate: int = 100,
    tls: ssl.SSLContext | None = None,
    moved: bool = False,
    farewell: int | None = None,
) -> Iterator[str]:
    """Serve the film, over and over, until ``frames`` are sent; then hang up.

    ``loses(frame, packet)``: whether that RTP packet of that frame is lost on the way. ``rate``:
    frames sent a second. ``tls``: the server's side of it. ``moved``: a first client is sent to
    another path. ``farewell``: the packets go as datagrams, if the client asks for those, and the
    last so many of them after the RTCP that says goodbye; -1: it hangs up without a word.
    """
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        scheme = "rtsp" if tls is None else "rtsps"
        url = f"{scheme}://127.0.0.1:{listener.getsockname()[1]}/live"

        def serve() -> None:
            with contextlib.suppress(OSError):
                for redirects in (True, False) if moved else (False,):
                    client, _ = listener.accept()
                    client = client if tls is None else tls.wrap_socket(client, server_side=True)
                    with client:
                        ports = _greet(client, film, url, redirects=redirects)
                        if ports is None:
                            continue
                        packets = _packets(film, range(frames), loses)
                        if ports:
                            _send_datagrams(packets, ports, over, rate, farewell or 0)
                        else:
                            _send(client, packets, over, rate)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield url
        finally:
            over.set()
            listener.close()
            thread.join(5)


def _greet(
    client: socket.socket, film: Film, url: str, *, redirects: bool
) -> tuple[int, ...] | None:
    """Answer until the client wants to play: to which ports, if not on this connection; None: it
    does not."""
    asked = client.makefile("rb")
    ports: tuple[int, ...] = ()
    while True:
        method = asked.readline().split()[0].decode()
        headers = {}
        while line := asked.readline().strip():
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        body, more, status = "", "Session: 7\r\n", "200 OK"
        if method == "DESCRIBE" and redirects:
            status, more = "302 Moved Temporarily", f"Location: {url}/there\r\n"
        elif method == "DESCRIBE":
            body = film.description()
            more = f"Content-Type: application/sdp\r\nContent-Base: {url}/\r\n"
            more += f"Content-Length: {len(body)}\r\n"
        elif method == "SETUP":
            wanted = re.search(r"client_port=(\d+)-(\d+)", headers["transport"])
            ports = tuple(map(int, wanted.groups())) if wanted else ()
            more += "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
            if wanted:
                more = f"Session: 7\r\nTransport: RTP/AVP;unicast;{wanted[0]};server_port=9-10\r\n"
        elif method == "OPTIONS":
            more = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
        answer = f"RTSP/1.0 {status}\r\nCSeq: {headers['cseq']}\r\n{more}\r\n{body}"
        client.sendall(answer.encode())
        if redirects and status.startswith("302"):
            return None
        if method == "PLAY":
            return ports


def _packets(
    film: Film, frames: range, loses: Callable[[int, int], bool]
) -> Iterator[tuple[int, bytes]]:
    """The RTP packets that are not lost, each with the number of its frame."""
    sequence = 0
    for frame in frames:
        turn, place = divmod(frame, len(film.frames))
        payloads, shown = film.payloads(place), turn * len(film.frames) + film.times[place]
        for number, payload in enumerate(payloads):
            last = number == len(payloads) - 1
            head = struct.pack(
                ">BBHII", 128, 96 | last << 7, sequence & 0xFFFF, 1000 + 3600 * shown, 1
            )
            sequence += 1
            if not loses(frame, number):
                yield frame, head + payload


def _send(
    client: socket.socket, packets: Iterator[tuple[int, bytes]], over: threading.Event, rate: int
) -> None:
    began_s = time.monotonic()
    for frame, packet in packets:
        if over.wait(max(0.0, began_s + frame / rate - time.monotonic())):
            return
        client.sendall(b"$\0" + struct.pack(">H", len(packet)) + packet)
    # A moment of rest: who hangs up at once is a camera that was lost.
    over.wait(1 / rate)


def _unread(port: int) -> int:
    """Bytes that wait at a port of this machine (on Linux; elsewhere it is not known)."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/net/udp").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[1].endswith(f":{port:04X}"):
                return int(fields[4].partition(":")[2], 16)
    return 0


def _send_datagrams(
    packets: Iterator[tuple[int, bytes]],
    ports: tuple[int, ...],
    over: threading.Event,
    rate: int,
    late: int,
) -> None:
    began_s, every = time.monotonic(), list(packets)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for number, (frame, packet) in enumerate(every):
            if over.wait(max(0.0, began_s + frame / rate - time.monotonic())):
                return
            if number == len(every) - late:
                sender.sendto(_GOODBYE, ("127.0.0.1", ports[1]))
            while number % 100 == 0 and _unread(ports[0]) > _BUFFER // 2 and not over.wait(0.01):
                pass  # what this test loses is what it means to lose
            sender.sendto(packet, ("127.0.0.1", ports[0]))
        if late == 0:
            sender.sendto(_GOODBYE, ("127.0.0.1", ports[1]))
        if late >= 0:
            over.wait()
