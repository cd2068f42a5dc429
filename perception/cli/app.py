"""The command line: thin words over the packages.

Exit codes: 0 done, 1 a bug of ours, 2 the user's mistake, unusable input or a plugin's bug, 130
interrupted.
``replay`` ends with 1 also when it finds differences, as ``diff`` does.
"""

from __future__ import annotations

import errno
import os
import re
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

import typer
from rich.text import Text
from typer.core import TyperGroup

from oneglance.perception.cli.common import (
    EXIT_BUG,
    EXIT_INTERRUPTED,
    EXIT_UNUSABLE,
    forget,
    interrupted,
    was_reported,
)
from oneglance.perception.cli.terminal import Terminal
from oneglance.streams.entry_points import blamed_for
from oneglance.streams.errors import OneglanceError
from oneglance.streams.outputs import os_error

NO_OPENCV = (
    "OpenCV cannot be imported ({}). Where there is no screen, its headless package does: "
    "pip uninstall -y opencv-python; pip install --force-reinstall opencv-python-headless"
)

_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - only where there is no other
NO_THREAD = (
    "no more threads can be started: raise the limit of this user (ulimit -u) or of the container "
    "(its number of processes), or end other programs"
)

NO_MEMORY = (
    "there is not enough memory: raise the limit of this process (ulimit -v) or of the container, "
    "end other programs, or take a smaller model or smaller images"
)


@contextmanager
def _secrets_hidden() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if hasattr(error, "format_message"):  # a word that is no command, option or value of one
            from oneglance.streams.redaction import redact

            vars(error)["message"] = redact(str(getattr(error, "message", "")))
        raise


class _Commands(TyperGroup):
    """Commands; what is said of words that they do not know holds no credential."""

    def make_context(self, *words: Any, **options: Any) -> Any:
        with _secrets_hidden():
            return super().make_context(*words, **options)

    def invoke(self, ctx: Any) -> Any:
        try:
            with _secrets_hidden():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            raise interrupted() from None


_COMMANDS = {
    "run": "run:run",
    "serve": "serve:serve",
    "batch": "batch:batch",
    "convert": "convert:convert",
    "mine": "mine:mine",
    "replay": "replay:replay",
    "models": "run:models",
    "engines": "engines:engines",
    "plugins": "plugins:plugins",
    "render": "data:render",
    "train": "train:train",
    "average": "train:average",
    "study": "study:study",
    "export": "train:export",
    "quantize": "quantize:quantize",
    "audit": "data:audit",
    "eval": "data:evaluate",
    "benchmark": "study:benchmark",
}
"""Where each command lies below ``commands``, in the order of ``--help``."""

_PASSED_ON: Mapping[str, Mapping[str, Any]] = {
    "benchmark": {
        "context_settings": {"allow_extra_args": True, "ignore_unknown_options": True},
        "add_help_option": False,
    }
}
"""Commands whose options are another program's."""


def _program(words: Sequence[str]) -> typer.Typer:
    """The command that is asked for, or all of them, for help and for errors: to import and build
    those that nobody asked for would cost each start 30 ms."""
    app = typer.Typer(
        cls=_Commands,
        help="One network, one pass: pedestrians, cars, road signs and traffic lights.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(lambda: None)  # or typer would take a single command for the whole program
    for name in words[:1] if words and words[0] in _COMMANDS else _COMMANDS:
        module, _, function = _COMMANDS[name].partition(":")
        command = getattr(import_module(f"oneglance.perception.cli.commands.{module}"), function)
        app.command(name=name, **_PASSED_ON.get(name, {}))(command)
    return app


def exit_code() -> int:
    """Run the command; what its end is to the shell."""
    forget()
    _find_temporary_folder()
    # Read while it is imported. What is wrong with an image is reported by us, with its name.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    try:
        _program(sys.argv[1:])(prog_name="oneglance")
    except SystemExit as end:
        if blame := blamed_for(end):
            return _unusable(OneglanceError(blame))
        if end.code == EXIT_INTERRUPTED and not was_reported():  # between two commands' own lines
            interrupted()
        return _code_of(end)
    except (OSError, OneglanceError) as error:
        return _unusable(error)
    except ImportError as error:
        return _unusable(error) if _is_of_opencv(error) else _bug(error)
    except Exception as error:  # noqa: BLE001 - the last door: whatever is left is our bug
        return _bug(error)
    return 0


def _code_of(end: SystemExit) -> int:
    if isinstance(end.__context__, BrokenPipeError) and {"-h", "--help"} & set(sys.argv):
        return 0  # typer says 1 of `--help | head`, which had what it wanted
    return end.code if isinstance(end.code, int) else int(end.code is not None)


def _find_temporary_folder() -> None:
    """A container that is read-only has shared memory still; libraries that we import insist."""
    try:
        tempfile.gettempdir()
    except OSError:
        if os.access(_SHARED_MEMORY, os.W_OK | os.X_OK):
            tempfile.tempdir = os.environ["TMPDIR"] = _SHARED_MEMORY


def _unusable(error: ImportError | OSError | OneglanceError) -> int:
    if isinstance(error, ImportError):
        error = OneglanceError(NO_OPENCV.format(error))
    elif isinstance(error, OSError):  # a disk, a permission, a name: never a bug of ours
        error = os_error(error)
    _show_traceback()
    _print_problem("error:", str(error))
    return EXIT_UNUSABLE


def _bug(error: Exception) -> int:
    if blame := blamed_for(error):
        return _unusable(OneglanceError(f"{blame} (--debug shows where; it is not oneglance's)"))
    if limit := _limit_of(error):
        return _unusable(OneglanceError(limit))
    _show_traceback()
    _print_problem(
        "internal error:",
        f"{type(error).__name__}: {error}\n"
        "This is a bug in oneglance. Run again with --debug and report what it prints.",
    )
    return EXIT_BUG


def _is_of_opencv(error: ImportError) -> bool:
    """Whether ``import cv2`` failed, or a library that only OpenCV wants is missing."""
    return error.name == "cv2" or bool(re.match(r"lib(GL|EGL|gthread|SM|X|xcb)", str(error)))


def _limit_of(error: Exception) -> str | None:
    """What the system refused to us or to a library, threads or memory; libraries say it in
    exceptions of any class."""
    is_refused = isinstance(error, RuntimeError) and str(error) == os.strerror(errno.EAGAIN)
    if is_refused or re.search(r"can't start new thread|pthread_create failed", str(error)):
        return NO_THREAD
    no_memory = r"bad.?alloc|cannot allocate memory|insufficient memory|failed to allocate memory"
    if isinstance(error, MemoryError) or re.search(no_memory, str(error), re.IGNORECASE):
        return NO_MEMORY
    return None


def _show_traceback() -> None:
    if "--debug" in sys.argv:
        from oneglance.streams.redaction import redact

        # Line by line: what is hidden may reach as far as the text does.
        lines = traceback.format_exc().splitlines(keepends=True)
        if sys.stderr is not None:
            with suppress(OSError):
                sys.stderr.writelines(map(redact, lines))


def _print_problem(what: str, text: str) -> None:
    from oneglance.streams.redaction import redact

    errors = Terminal(stderr=True, highlight=False, soft_wrap=True)
    errors.print(Text.assemble((what, "bold red"), " ", redact(text)))
