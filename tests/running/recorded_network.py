"""A network of its own for one command: every name it looks up and every connection is noted.

``unshare --net --mount python recorded_network.py NOTES COMMAND…``: all addresses lead here, a
name server answers every question, and both write what they heard to NOTES as JSON.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

_PORTS = (80, 443, 8080)


def name_in(question: bytes) -> str:
    """The name that a DNS message asks for."""
    labels, place = [], 12
    while length := question[place]:
        labels.append(question[place + 1 : place + 1 + length].decode("ascii", "replace"))
        place += 1 + length
    return ".".join(labels)


def answer_to(question: bytes) -> bytes:
    """127.0.0.1 for a question of type A, nothing for others."""
    end = question.index(b"\0", 12) + 5
    is_a = question[end - 4 : end - 2] == b"\0\1"
    head = question[:2] + b"\x81\x80\0\1" + (b"\0\1" if is_a else b"\0\0") + b"\0\0\0\0"
    record = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x7f\0\0\1"
    return head + question[12:end] + (record if is_a else b"")


def serve_names(server: socket.socket, names: list[str]) -> None:
    while True:
        question, asker = server.recvfrom(4096)
        names.append(name_in(question))
        server.sendto(answer_to(question), asker)


def note_connections(server: socket.socket, connections: list[str]) -> None:
    while True:
        connection, _ = server.accept()
        address, port = connection.getsockname()
        connections.append(f"{address}:{port}")
        connection.close()


def main() -> None:
    notes, command = Path(sys.argv[1]), sys.argv[2:]
    for words in ("link set lo up", "route add local 0.0.0.0/0 dev lo"):
        subprocess.run(["ip", *words.split()], check=True)
    with tempfile.NamedTemporaryFile("w") as resolver:
        resolver.write("nameserver 127.0.0.1\n")
        resolver.flush()
        here = str(Path("/etc/resolv.conf").resolve())
        subprocess.run(["mount", "--bind", resolver.name, here], check=True)
        names: list[str] = []
        connections: list[str] = []
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind(("0.0.0.0", 53))
        threading.Thread(target=serve_names, args=(server, names), daemon=True).start()
        for port in _PORTS:
            listener = socket.create_server(("0.0.0.0", port))
            threading.Thread(
                target=note_connections, args=(listener, connections), daemon=True
            ).start()
        done = subprocess.run(command, check=False)
    notes.write_text(json.dumps({"names": names, "connections": connections}))
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
