"""The program's entry: from its first moment on, a signal ends it in one sentence.

Slow imports come after the signal handlers are installed.
"""

from __future__ import annotations

import sys
from contextlib import suppress

from oneglance.perception.cli.limits import refusal
from oneglance.perception.cli.signals import Interrupts, heard

_INTERRUPTED, _UNUSABLE = 130, 2


def main() -> None:
    """Run the command, and give the exit code for how it ended."""
    interrupts = Interrupts()
    interrupts.install()
    try:
        code = _run()
    except KeyboardInterrupt:  # before the work had begun, or when it was over
        heard()
        code = _INTERRUPTED
        if sys.stderr is not None:
            sys.stderr.write("interrupted\n")
    interrupts.end()
    sys.exit(code)


def _run() -> int:
    from oneglance.perception.cli.terminal import flush_streams, prepare_streams

    prepare_streams()
    if (reason := refusal()) is not None:
        with suppress(AttributeError, OSError):  # closed, or full
            sys.stderr.write(f"error: {reason}\n")
        return _UNUSABLE
    from oneglance.perception.cli.app import exit_code

    code = exit_code()
    flush_streams()
    return code
