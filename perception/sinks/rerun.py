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
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import cv2
import numpy as np
import numpy.typing as npt

from oneglance.models.tasks import Task
from oneglance.perception.plugins import SinkContext
from oneglance.perception.protocols import Sink
from oneglance.perception.result import Result
from oneglance.perception.sinks.drawing import COLOURS, label
from oneglance.perception.sinks.files import open_output, write_whole
from oneglance.streams import shutdown
from oneglance.streams.errors import UsageError
from oneglance.streams.frame import Frame
from oneglance.streams.outputs import output_error
from oneglance.streams.redaction import redact

APPLICATION = "oneglance"
"""What the viewer calls our recordings."""

_JPEG_QUALITY = 85
_KEPT = "What was written before can be opened"


FLUSH_S = 1.0
"""Longest that results wait before they are in the file: each flush costs as much as all that is
logged of a result without its image."""

MOST_PENDING = 64
"""Most results that wait for that."""


class ResultLog:
    """Logs results into a recording of rerun's; ``recording``: a ``rerun.RecordingStream``.

    Images are logged as they come, all the rest as columns of many results: rerun takes as long
    over a column as over a value.
    """

    def __init__(self, recording: Any, *, with_image: bool) -> None:
        import rerun

        self._rerun: Any = rerun
        self._recording, self._with_image = recording, with_image
        self._lights: dict[str, set[str]] = {}
        self._series: dict[str, _Series] = {}
        self._boxes: dict[str, _Boxes] = {}
        self.pending = 0
        """Results of which ``send`` has something to send."""

    def add(self, result: Result) -> None:
        """Take one result; encodes its image."""
        frame = result.frame
        place = re.sub(r"[^A-Za-z0-9_-]+", "_", frame.source).strip("_") or "camera"
        if self._with_image:
            jpeg = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
            _, content = cv2.imencode(".jpg", frame.image, jpeg)
            image = self._rerun.EncodedImage(contents=content.tobytes(), media_type="image/jpeg")
            self._recording.set_time("capture", duration=frame.timestamp_s)
            self._recording.set_time("frame", sequence=frame.index)
            self._recording.log(f"{place}/image", image)
        self._boxes.setdefault(f"{place}/image/boxes", _Boxes()).add(result)
        for name, count in self._states(place, result).items():
            self._add(f"{place}/lights/{name}", frame, count)
        for stage, duration_s in result.timings.items():
            self._add(f"{place}/timings_ms/{stage}", frame, 1e3 * duration_s)
        if result.age_s is not None:
            self._add(f"{place}/age_ms", frame, 1e3 * result.age_s)
        self.pending += 1

    def send(self) -> None:
        """Log what was taken since the last time."""
        rows: list[tuple[str, _Rows]] = [*self._boxes.items(), *self._series.items()]
        for path, each in rows:
            if each.indices:
                times = [
                    self._rerun.TimeColumn("capture", duration=each.times_s),
                    self._rerun.TimeColumn("frame", sequence=each.indices),
                ]
                self._recording.send_columns(path, indexes=times, columns=each.columns(self._rerun))
        self._boxes, self._series, self.pending = {}, {}, 0

    def _add(self, path: str, frame: Frame, value: float) -> None:
        series = self._series.setdefault(path, _Series())
        series.at(frame)
        series.values.append(value)

    def _states(self, place: str, result: Result) -> Counter[str]:
        """How many lights show what; 0 for what was seen before and is not now."""
        found = result.detections
        pairs = zip(found.data.get("task", ()), found.data.get("class_name", ()), strict=True)
        counts = Counter(str(name) for task, name in pairs if str(task) == Task.LIGHT)
        seen = self._lights.setdefault(place, set())
        seen.update(counts)
        return Counter({name: counts[name] for name in seen})


class _Rows:
    """What one entity shows, frame after frame."""

    def __init__(self) -> None:
        self.times_s: list[float] = []
        self.indices: list[int] = []

    def at(self, frame: Frame) -> None:
        self.times_s.append(frame.timestamp_s)
        self.indices.append(frame.index)

    def columns(self, rerun: Any) -> Any:
        raise NotImplementedError


class _Series(_Rows):
    """A number a frame."""

    def __init__(self) -> None:
        super().__init__()
        self.values: list[float] = []

    def columns(self, rerun: Any) -> Any:
        return rerun.Scalars.columns(scalars=self.values)


class _Boxes(_Rows):
    """Boxes of each frame; of one without any an empty list, which shows none."""

    def __init__(self) -> None:
        super().__init__()
        self._counts: list[int] = []
        self._xyxy: list[npt.NDArray[np.float32]] = [np.empty((0, 4), np.float32)]
        self._labels: list[str] = []
        self._colours: list[tuple[int, int, int]] = []

    def add(self, result: Result) -> None:
        found = result.detections
        self.at(result.frame)
        self._counts.append(len(found))
        if len(found):
            self._xyxy.append(np.asarray(found.xyxy, np.float32))
            self._labels += [label(found, row) for row in range(len(found))]
            tasks = (Task(str(task)) for task in found.data["task"])
            self._colours += [COLOURS[task][::-1] for task in tasks]

    def columns(self, rerun: Any) -> Any:
        xyxy = np.concatenate(self._xyxy)
        return rerun.Boxes2D.columns(
            centers=(xyxy[:, :2] + xyxy[:, 2:]) / 2,
            half_sizes=(xyxy[:, 2:] - xyxy[:, :2]) / 2,
            labels=self._labels,
            colors=self._colours,
        ).partition(self._counts)


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
        self._path = path
        open_output(path).close()
        self._recording = library.RecordingStream(APPLICATION)
        self._log = ResultLog(self._recording, with_image=with_image)
        self._is_closed = self._is_broken = False
        self._clock, self._due_s = clock, clock() + FLUSH_S
        with self._saying_why():
            self._recording.save(path)

    def write(self, result: Result) -> None:
        """Write one result.

        Raises:
            SinkError: the disk is full, or the file cannot be written for another reason; said
                within ``FLUSH_S``.
        """
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

    def _flush(self) -> None:
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
            why = _refusal(self._path) or OSError(errno.EIO, os.strerror(errno.EIO))
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
        from oneglance.perception.sinks.rerun_viewer import RerunViewerSink, ViewerAddress

        return RerunViewerSink(ViewerAddress.parse(place), with_image=with_image)
    if not place.endswith(".rrd"):
        raise UsageError(
            "the sink rerun needs a file or a viewer: rerun:run.rrd, rerun:grpc://127.0.0.1"
        )
    return RerunSink(Path(place), with_image=with_image)
