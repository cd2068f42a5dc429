"""A real HTTP server for tests: a finished file, an MJPEG camera, and what goes wrong with them."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import cv2

from media import numbered_image

CHUNK = 4096

FRAME_S = 0.02
"""Pace of the MJPEG camera: 50 frames a second."""


class Handler(BaseHTTPRequestHandler):
    """``/file/NAME`` the files, in parts when asked; ``/cut/NAME`` hangs up half-way;
    ``/once/NAME`` knows no parts; ``/any/…`` the file ``any.mp4``, whatever follows;
    ``/mjpeg/N`` N frames of a camera (0: endless), ``/mjpeg/N/silent`` N frames and then nothing;
    ``/odd/KIND/N`` N frames of a camera that writes its boundary ``after`` each part, leaves parts
    ``untyped``, claims ``long`` or ``short`` lengths, or packs all with ``gzip``;
    ``/unsized`` one JPEG without a length, ``/unsized/NAME`` a file, ``/unsized/NAME/50`` half;
    ``/chunked/NAME`` a file in chunks, ``/chunked/NAME/50`` half, without the last chunk;
    ``/loop`` leads to itself;
    ``/moved/NAME`` leads to ``/file/NAME``, of a playlist alone; ``/silent`` nothing at all;
    ``/status/CODE`` that answer. A query is not looked at."""

    folder: ClassVar[Path]
    over: ClassVar[threading.Event]
    asked: ClassVar[list[str]]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        what, *rest = self.path.split("?")[0].strip("/").split("/")
        try:
            getattr(self, f"_{what}")(*rest)
        except OSError:  # the client has gone
            return

    def _file(self, name: str) -> None:
        if not (self.folder / name).is_file():
            self._status("404")
            return
        content = (self.folder / name).read_bytes()
        first, last = 0, len(content) - 1
        wanted = self.headers.get("Range")
        if wanted is not None:
            begin, end = wanted.removeprefix("bytes=").split("-")
            first, last = int(begin), min(int(end or last), last)
        if first > last:
            self._status("416")
            return
        self.send_response(200 if wanted is None else 206)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(last + 1 - first))
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        self.end_headers()
        self.wfile.write(content[first : last + 1])

    def _once(self, name: str) -> None:
        """The file, whole, whatever part of it is asked for."""
        content = (self.folder / name).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _unsized(self, name: str = "", kept: str = "100") -> None:
        """A JPEG; or of a file the first ``kept`` hundredths."""
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream" if name else "image/jpeg")
        self.end_headers()
        jpeg = cv2.imencode(".jpg", numbered_image(3))[1].tobytes()
        content = (self.folder / name).read_bytes() if name else jpeg
        self.wfile.write(content[: len(content) * int(kept) // 100])

    def _loop(self, *_: str) -> None:
        self.send_response(302)
        self.send_header("Location", "/loop")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _moved(self, name: str) -> None:
        if not name.endswith(".m3u8"):
            self._status("404")
            return
        self.send_response(302)
        self.send_header("Location", f"/file/{name}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _any(self, *_: str) -> None:
        self._file("any.mp4")

    def _chunked(self, name: str, kept: str = "100") -> None:
        self.protocol_version = "HTTP/1.1"
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Connection", "close")
        self.end_headers()
        content = (self.folder / name).read_bytes()
        content = content[: len(content) * int(kept) // 100]
        for at in range(0, len(content), CHUNK):
            chunk = content[at : at + CHUNK]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        if kept == "100":
            self.wfile.write(b"0\r\n\r\n")

    def _cut(self, name: str) -> None:
        content = (self.folder / name).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2])

    def _mjpeg(self, frames: str, then: str = "") -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        index = 0
        while not self.over.is_set() and (frames == "0" or index < int(frames)):
            jpeg = cv2.imencode(".jpg", numbered_image(index))[1].tobytes()
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            self.wfile.write(head.encode() + jpeg + b"\r\n")
            index += 1
            self.over.wait(FRAME_S)
        if then:
            self._silent()

    def _odd(self, kind: str, frames: str) -> None:
        """An MJPEG camera as browsers alone play it."""
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        if kind == "gzip":
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        packer = zlib.compressobj(wbits=31)
        for index in range(int(frames)):
            jpeg = cv2.imencode(".jpg", numbered_image(index))[1].tobytes()
            length = len(jpeg) + {"long": 500, "short": -300}.get(kind, 0)
            head = "" if kind == "untyped" else "Content-Type: image/jpeg\r\n"
            head += f"Content-Length: {length}\r\n\r\n"
            part = f"--frame\r\n{head}".encode() + jpeg + b"\r\n"
            if kind == "after":
                part = head.encode() + jpeg + b"\r\n--frame\r\n"
            if kind == "gzip":
                part = packer.compress(part) + packer.flush(zlib.Z_SYNC_FLUSH)
            self.wfile.write(part)
            self.over.wait(FRAME_S)

    def _silent(self) -> None:
        self.over.wait()

    def _status(self, code: str) -> None:
        self.send_response(int(code))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Say nothing."""


@contextmanager
def http_server(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve ``folder``; gives the address and the growing list of paths asked for."""
    over = threading.Event()
    asked: list[str] = []
    handler = type("Bound", (Handler,), {"folder": folder, "over": over, "asked": asked})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        over.set()
        server.shutdown()
        server.server_close()
        thread.join()
