"""A real rerun server for tests, on this machine alone, that keeps what it is sent."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from waiting import wait_until


def rerun_program(home: Path) -> tuple[Path, dict[str, str]]:
    """rerun's own program and the environment to run it in, where it sends nothing to anybody.

    Skips the test where it is not installed.
    """
    pytest.importorskip("rerun", reason="needs the extra rerun")
    import rerun

    program = Path(rerun.__file__).parents[1] / "rerun_cli" / "rerun"
    if not program.is_file():
        pytest.skip("needs rerun's program, which comes with rerun-sdk")
    environment = {**os.environ, "HOME": str(home), "XDG_CONFIG_HOME": str(home)}
    subprocess.run(
        [program, "analytics", "disable"], env=environment, check=True, capture_output=True
    )
    return program, environment


@dataclass
class RerunServer:
    """``port`` it listens on; ``file``: what it was sent, as it comes."""

    port: int
    file: Path
    process: subprocess.Popen[bytes]

    def stop(self) -> None:
        """Kill it, as a machine that is switched off."""
        self.process.kill()
        self.process.wait()


@contextmanager
def rerun_server(folder: Path, *, port: int = 0) -> Iterator[RerunServer]:
    """A server that writes what it is sent into ``folder``; ``port`` 0: any that is free."""
    program, environment = rerun_program(folder)
    file, log = folder / f"sent-{port}.rrd", folder / f"server-{port}.log"
    command = [str(program), "--save", str(file), "--bind", "127.0.0.1", "--port", str(port)]
    with log.open("wb") as said:
        process = subprocess.Popen(command, env=environment, stdout=said, stderr=said)
    try:
        listening: list[Any] = []

        def listens() -> bool:
            listening[:] = re.findall(r"gRPC connections on 127\.0\.0\.1:(\d+)", log.read_text())
            return bool(listening)

        wait_until(listens, "the rerun server listens")
        yield RerunServer(int(listening[0]), file, process)
    finally:
        process.kill()
        process.wait()
