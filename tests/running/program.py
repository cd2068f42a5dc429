"""The real program, run here (quick) or as a process of its own (signals, terminals, pipes)."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from oneglance.perception.cli.main import main

ROAD = "rendered:?frames=5&size=320x180"
"""A source that is short, small and needs nothing."""

SIGNALS = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGXCPU")
    if hasattr(signal, name)
]

Program = Callable[..., "Outcome"]

COMMAND = [sys.executable, "-c", "from oneglance.perception.cli.main import main; main()"]
"""The console script's two lines; the script itself may lie elsewhere."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def message(self) -> str:
        """The one line that says what was wrong; fails when there is more, or a traceback."""
        lines = [line for line in self.err.splitlines() if line.strip()]
        assert len(lines) == 1, self.err
        assert lines[0].startswith("error: "), self.err
        return lines[0].removeprefix("error: ")


def run_here(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *words: object
) -> Outcome:
    """Run ``oneglance WORDS`` in this process."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    capfd.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "argv", ["oneglance", *map(str, words)])
        try:
            main()
        except SystemExit as end:
            code = end.code
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    assert isinstance(code, int), code
    return Outcome(code, *capfd.readouterr())


def start(*words: object, **how: Any) -> subprocess.Popen[bytes]:
    """``oneglance WORDS`` as a process of its own, with the signals a terminal gives."""
    return subprocess.Popen(
        [*COMMAND, *map(str, words)],
        # A test runner in the background may ignore Ctrl-C, and so would what it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
        **how,
    )


def content(file: Path) -> bytes:
    """What a program that runs has written so far."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return b""


def lines_of(file: Path | str) -> list[dict[str, Any]]:
    """The objects of a JSON Lines file, or of such text; fails when any byte is not part of one."""
    text = file.read_text() if isinstance(file, Path) else file
    assert text == "" or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]
