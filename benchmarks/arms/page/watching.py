"""People who look at a live page, in a process of their own; standard library only.

They read what comes and say that it is drawn, and decode nothing: a browser does that elsewhere.
Ages are from a frame's capture to its last byte here; one machine has one monotonic clock. They
are meant to sit elsewhere: with ``--nice`` they run where nobody else wants the CPU.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import socket
import struct
import sys
import threading
import time
from io import BufferedReader

SLOW_BYTES, SLOW_S = 2000, 0.1
"""A stuck viewer's line: so many bytes each so often."""

_TEXT, _BINARY = 1, 2
_NO_MASK = b"\0\0\0\0"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--port", type=int, required=True)
    arguments.add_argument("--viewers", type=int, required=True, help="fast ones")
    arguments.add_argument("--stuck", type=int, default=0, help="ones at 20 kB a second")
    arguments.add_argument("--settle", type=float, required=True, help="seconds left out at first")
    arguments.add_argument("--seconds", type=float, required=True)
    arguments.add_argument("--nice", type=int, default=0, help="0 to 19, see nice(1)")
    asked = arguments.parse_args()
    if asked.nice and hasattr(os, "nice"):
        os.nice(asked.nice)
    begin_s = time.monotonic() + asked.settle
    end_s = begin_s + asked.seconds
    ages: list[list[float]] = [[] for _ in range(asked.viewers)]
    slow_bytes = [0] * asked.stuck
    threads = [
        threading.Thread(target=look, args=(asked.port, kept, begin_s, end_s)) for kept in ages
    ]
    threads += [
        threading.Thread(target=be_stuck, args=(asked.port, slow_bytes, number, end_s))
        for number in range(asked.stuck)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seen = {"ages_ms": ages, "slow_bytes": slow_bytes, "cpu_s": time.process_time()}
    json.dump(seen, sys.stdout)


def connected(port: int, *, buffer: int | None = None) -> socket.socket:
    """A WebSocket's connection, agreed upon."""
    client = socket.socket()
    if buffer is not None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    client.connect(("127.0.0.1", port))
    key = base64.b64encode(os.urandom(16)).decode()
    client.sendall(
        f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        piece = client.recv(1)
        if not piece:
            raise ConnectionError(answer[:200])
        answer += piece
    return client


def look(port: int, ages_ms: list[float], begin_s: float, end_s: float) -> None:
    """See every frame that comes, and say so at once."""
    with connected(port) as client, client.makefile("rb") as given:
        while (now_s := time.monotonic()) < end_s:
            try:
                kind, content = message(given)
            except ValueError:  # the run is over
                return
            if kind == _BINARY:
                length = int.from_bytes(content[:4], "big")
                facts = json.loads(content[4 : 4 + length])
                now_s = time.monotonic()
                say(client, {"drawn": facts["number"]})
                if now_s >= begin_s:
                    ages_ms.append(round(1e3 * (now_s - facts["timestamp_s"]), 2))


def be_stuck(port: int, received: list[int], number: int, end_s: float) -> None:
    """Fetch 20 kB a second of whatever there is."""
    with connected(port, buffer=4096) as client:
        while time.monotonic() < end_s:
            received[number] += len(client.recv(SLOW_BYTES))
            time.sleep(SLOW_S)


def message(given: BufferedReader) -> tuple[int, bytes]:
    """Opcode and content of the next message; servers neither mask nor, ours, split them."""
    first, length = given.read(2)
    if length == 126:
        (length,) = struct.unpack("!H", given.read(2))
    elif length == 127:
        (length,) = struct.unpack("!Q", given.read(8))
    return first & 0x0F, given.read(length)


def say(client: socket.socket, words: dict[str, int]) -> None:
    """Send a short text, with a mask that changes nothing."""
    text = json.dumps(words).encode()
    client.sendall(bytes((0x80 | _TEXT, 0x80 | len(text))) + _NO_MASK + text)


if __name__ == "__main__":
    main()
