"""What an NVIDIA GPU makes of the network, in less than four minutes.

    python -m benchmarks.gpu             # into benchmarks/results/<date>-gpu
    python -m benchmarks.gpu --plan      # what it would measure here, and what is missing
    python -m benchmarks.gpu --again     # what was measured before, too

Results are written after each part. Another run goes on where the last one ended. A part that
needs what is not installed says so, and the others are measured. The clone need not be installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]

LEAST = (3, 11)


def place() -> None:
    """Let ``oneglance.models`` be this clone's ``models``, and so on, where it is not installed: a
    lent machine may have no network to install it by."""
    try:
        is_installed = importlib.util.find_spec("oneglance.models") is not None
    except ModuleNotFoundError:
        is_installed = False
    if not is_installed:
        package = ModuleType("oneglance")
        package.__path__ = [str(ROOT)]
        sys.modules["oneglance"] = package


def main(words: list[str]) -> int:
    if sys.version_info < LEAST:  # before anything of ours, which would end in a traceback
        print(
            f"error: needs Python {LEAST[0]}.{LEAST[1]} or newer, and {sys.executable} is "
            f"{sys.version_info[0]}.{sys.version_info[1]}",
            file=sys.stderr,
        )
        return 2
    place()
    if words[:1] == ["measure"]:
        from benchmarks.gpu import measure

        measure.main(words[1:])
        return 0
    arguments = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    arguments.add_argument("--model", default="road4-n", help="in the zoo, or an ONNX file")
    arguments.add_argument("--out", type=Path, help="folder of results")
    arguments.add_argument("--plan", action="store_true", help="measure nothing, say what would be")
    arguments.add_argument("--again", action="store_true", help="measure everything anew")
    arguments.add_argument("--seconds", type=float, default=220.0, help="begin no part after that")
    asked = arguments.parse_args(words)

    from benchmarks.gpu import running
    from oneglance.streams.errors import OneglanceError

    try:
        running.run(asked)
    except OneglanceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
