"""The head node of a real Ray cluster for tests: small, alone, and gone afterwards."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from program import Outcome, start
from waiting import LONG_S, wait_until

_HEAD = """
import sys
version, python, port, client, folder = sys.argv[1:]
import ray._common.usage.usage_lib as usage
if version:
    ours = usage._generate_cluster_metadata
    def theirs(**how):
        return {**ours(**how), "ray_version": version, "python_version": python}
    usage._generate_cluster_metadata = theirs
from ray.scripts.scripts import main
sys.argv = [
    "ray", "start", "--head", "--block", f"--port={port}",
    f"--ray-client-server-port={client}", "--num-cpus=2", "--include-dashboard=false",
    "--object-store-memory=90000000", "--disable-usage-stats", f"--temp-dir={folder}",
]
main()
"""


@dataclass(frozen=True)
class Head:
    """Where it is reached: directly, and by Ray's client; ``logs``: what it writes."""

    address: str
    client: str
    logs: Path


ENDS_S = 5 * LONG_S
"""A Ray begins in 7 s on an idle machine, and in a minute on one that is busy."""


def run(*words: object) -> Outcome:
    """``oneglance WORDS`` as a process of its own: a Ray in this one would stay."""
    process = start(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        out, err = process.communicate(timeout=ENDS_S)
    finally:
        process.kill()
    return Outcome(process.returncode, out.decode(), err.decode())


@contextmanager
def ray_home() -> Iterator[Path]:
    """A folder for what Ray writes: short, for its sockets' names lie in it."""
    folder = Path(tempfile.mkdtemp(prefix="og", dir="/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def ray_head(*, version: str = "", python: str = "") -> Iterator[Head]:
    """A head node of two CPUs, which says that it is of another ``version`` where one is given."""
    pytest.importorskip("ray", reason="needs the extra ray")
    psutil = pytest.importorskip("psutil")
    port, client = _free_port(), _free_port()
    with ray_home() as folder:
        words = [version, python, str(port), str(client), str(folder)]
        process = subprocess.Popen(
            [sys.executable, "-c", _HEAD, *words],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"},
            cwd="/",
            start_new_session=True,
        )
        try:
            wait_until(
                lambda: _listens(port) and _listens(client), "the head node", within_s=ENDS_S
            )
            yield Head(f"127.0.0.1:{port}", f"ray://127.0.0.1:{client}", folder)
        finally:
            family = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(LONG_S)
            finally:
                process.kill()
                for each in family:
                    try:
                        each.kill()
                    except psutil.NoSuchProcess:
                        continue


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _free_port() -> int:
    """Below those that Ray gives to its workers (10 002 to 19 999)."""
    for port in range(6400, 9900):
        with socket.socket() as place:
            try:
                place.bind(("127.0.0.1", port))
            except OSError:
                continue
            if port not in _GIVEN:
                _GIVEN.add(port)
                return port
    pytest.skip("no port is free")


_GIVEN: set[int] = set()
