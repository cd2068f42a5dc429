"""Results for the rerun viewer, as a file that it opens or over the network: the extra ``rerun``.

``rerun:run.rrd`` holds, for each source and on its capture time, the image (JPEG), boxes with
class, confidence and track, the lights by what they show, and stage timings and age as series;
``?image=none`` leaves the image out. The file is written by rerun, which ends it with an index,
and flushed once a second, so that a full disk is an error and a killed run leaves what came
before that. ``rerun:grpc://HOST[:PORT]`` sends the same to a viewer that runs, result by result:
see ``rerun_viewer``.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from oneglance.perception.plugins import SinkContext
from oneglance.perception.protocols import Sink
from oneglance.perception.result import Result
from oneglance.perception.sinks.files import closed_already, open_output, refuse_removed
from oneglance.perception.sinks.rerun_log import APPLICATION, ResultLog
from oneglance.perception.sinks.rerun_viewer import RerunViewerSink, ViewerAddress
from oneglance.streams import shutdown
from oneglance.streams.errors import SinkError, UsageError
from oneglance.streams.outputs import fixed_path, output_error, write_whole
from oneglance.streams.redaction import printable, redact

_KEPT = "What was written before can be opened"

FLUSH_S = 1.0
"""Longest that results wait before they are in the file: each flush costs as much as all that is
logged of a result without its image."""

MOST_PENDING = 64
"""Most results that wait for that."""


class RerunSink:
    """Writes each result into a recording of its own, which nothing else in the process uses."""

    def __init__(
        self,
        path: Path,
        *,
        with_image: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open the file; it is overwritten. ``clock``: seconds, for ``FLUSH_S``.

        Raises:
            SinkError: it cannot be written.
        """
        import rerun

        library: Any = rerun  # its types are ahead of what it does
        self._path, self._place = path, fixed_path(path)
        self._ours = open_output(path)  # for as long as rerun writes to it
        self._recording = library.RecordingStream(APPLICATION)
        self._log = ResultLog(self._recording, with_image=with_image)
        self._is_closed = self._is_broken = False
        self._clock, self._due_s = clock, clock() + FLUSH_S
        with self._saying_why():
            self._recording.save(self._place)

    def write(self, result: Result) -> None:
        """Write one result.

        Raises:
            SinkError: the disk is full, or the file cannot be written for another reason; said
                within ``FLUSH_S``.
        """
        if self._is_closed:
            raise closed_already(self._path)
        self._log.add(result)
        now_s = self._clock()
        if now_s >= self._due_s or self._log.pending >= MOST_PENDING:
            self._due_s = now_s + FLUSH_S
            self._flush()

    def close(self) -> None:
        """Finish the file. May be called twice.

        Raises:
            SinkError: its end cannot be written.
        """
        if self._is_closed:
            return
        self._is_closed = True
        try:
            if not self._is_broken:
                self._flush()
        finally:
            part(self._recording, within_s=shutdown.SINK_STOPPED_S if self._is_broken else None)
            self._ours.close()

    def _flush(self) -> None:
        try:
            refuse_removed(self._ours, self._path)
        except SinkError:
            self._is_broken = True
            raise
        self._log.send()
        with self._saying_why():
            self._recording.flush(timeout_sec=shutdown.SINK_S)

    @contextmanager
    def _saying_why(self) -> Iterator[None]:
        """rerun keeps to itself what the system said: ask it again."""
        try:
            yield
        except RuntimeError as error:
            self._is_broken = True
            self._ours.close()
            why = _refusal(self._place) or OSError(errno.EIO, os.strerror(errno.EIO))
            raise output_error(self._path, why, kept=_KEPT) from error


def part(recording: Any, *, within_s: float | None) -> None:
    """Let go of a recording; ``within_s``: where its other end may hold us up for ever, at the
    interpreter's exit as well."""
    import rerun

    if within_s is None:
        recording.disconnect()
        return
    # Not one of our threads: after a full disk it never comes back.
    ending = threading.Thread(target=recording.disconnect, name="rerun-disconnect", daemon=True)
    ending.start()
    ending.join(within_s)
    if ending.is_alive():
        rerun.unregister_shutdown()


def _refusal(path: Path) -> OSError | None:
    """Why a file takes nothing more; None where it does."""
    size = path.stat().st_size
    try:
        with path.open("ab", buffering=0) as file:
            write_whole(file, bytes(4096))
            if path.is_file():
                file.truncate(size)
    except OSError as error:
        return error
    return None


def open_rerun(target: str, context: SinkContext) -> Sink:
    """The sink ``rerun:FILE.rrd`` or ``rerun:grpc://HOST[:PORT]``, with ``?image=none``.

    Raises:
        UsageError: no file or viewer is named, or an option is none. SinkError: see ``RerunSink``.
    """
    del context
    place, _, query = target.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    if unknown := sorted(options.keys() - {"image"}):
        raise UsageError(f"the sink rerun has no option {unknown[0]} (options: image)")
    image = options.get("image", "jpeg")
    if image not in {"jpeg", "none"}:
        raise UsageError(f"image is jpeg or none, not '{redact(image)}'")
    with_image = image == "jpeg"
    if place.startswith("grpc:"):
        return RerunViewerSink(ViewerAddress.parse(place), with_image=with_image)
    if not place.endswith(".rrd"):
        raise UsageError(
            "the sink rerun needs a file or a viewer: rerun:run.rrd, rerun:grpc://127.0.0.1"
        )
    if place != printable(place):
        raise UsageError(f"rerun writes no file whose name is not UTF-8: rename {printable(place)}")
    return RerunSink(Path(place), with_image=with_image)
