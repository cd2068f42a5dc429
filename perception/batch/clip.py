"""One clip through the network, into rows: the function that every kind of worker calls."""

from __future__ import annotations

import hashlib
import platform
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fractions import Fraction
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from oneglance.models.cpus import available_cpus
from oneglance.models.detector import DEFAULT_CONFIDENCE, Detector
from oneglance.models.engines.loading import DEFAULT_ENGINE
from oneglance.models.zoo import DEFAULT, resolve_model
from oneglance.perception.batch.listing import Clip, file_system, read_error, store_errors
from oneglance.perception.batch.schema import (
    FAILED,
    OK,
    PARTIAL,
    ROW_GROUP,
    ClipRow,
    DetectionRows,
)
from oneglance.perception.mode import Mode
from oneglance.perception.pipeline import Pipeline
from oneglance.perception.tracking import Tracker
from oneglance.streams.errors import OneglanceError, SourceUnreadable
from oneglance.streams.frame import Frame
from oneglance.streams.opening import open_stream
from oneglance.streams.outputs import os_reason
from oneglance.streams.playing import Closing
from oneglance.streams.redaction import redact
from oneglance.streams.stream import Stream

if TYPE_CHECKING:
    import pyarrow as pa
    import supervision as sv

    from oneglance.perception.result import Result
    from oneglance.streams.frame import Image

BLOCK = 4 * 2**20
"""Bytes that are asked of a store at once: few requests, and none asked for twice."""

BLOCKS = 12
"""Blocks that are kept. Who opens a file looks at its end as well, which may be asked for again
when it is reached: two blocks, less than a fifth of a file that these do not hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How every clip of a run is looked at.

    ``every``: only each so-many-th frame, beginning with the first. ``cpus``: those that one
    worker may keep busy; 0: all that there are. ``cache``: what is not on this machine is copied
    whole before it is played. The rest as ``oneglance run`` has it.
    """

    model: str = DEFAULT
    engine: str = DEFAULT_ENGINE
    precision: str | None = None
    confidence: float = DEFAULT_CONFIDENCE
    track: bool = True
    every: int = 1
    cpus: int = 0
    cache: bool = False

    def facts(self) -> dict[str, object]:
        """What the rows depend on: a run goes on with the same alone.

        Raises:
            ModelError: there is no such model.
        """
        return {
            "model_sha256": model_sha256(self.model),
            "engine": self.engine,
            "precision": self.precision,
            "confidence": self.confidence,
            "track": self.track,
            "every": self.every,
        }


def model_sha256(model: str) -> str:
    """The SHA-256 of a model's file, in hex.

    Raises:
        ModelError: there is no such model.
    """
    return hashlib.sha256(resolve_model(model).read_bytes()).hexdigest()


class ClipReader:
    """A loaded network that looks at one clip after the other."""

    def __init__(self, settings: Settings) -> None:
        """Load the network.

        Raises:
            OneglanceError: the model, the engine or the precision cannot be used here.
        """
        self._settings = settings
        self._sha256 = model_sha256(settings.model)
        self._detector = Detector.load(
            settings.model,
            confidence=settings.confidence,
            threads=1,
            engine=settings.engine,
            precision=settings.precision,
        )

    def read(
        self,
        clip: Clip,
        progress: Callable[[int], None] = lambda _: None,
    ) -> Generator[pa.Table, None, ClipRow]:
        """Tables of ``detections`` of about ``ROW_GROUP`` rows, in the clip's order; returns the
        row of ``clips``. Whatever is wrong with the clip is reported there, and nothing is raised.

        The clip is played from its beginning to its end by one worker, so that no track is cut.
        ``progress`` is given the number of frames after each.
        """
        row = ClipRow(
            uri=clip.name, status=OK, started=datetime.now(UTC), node=platform.node() or "unknown"
        )
        rows = DetectionRows(clip.name, self._detector.name, self._sha256)
        begun, found = time.perf_counter(), 0
        seen = _Seen()
        error: Exception | None = None
        try:
            for result in self._results(clip, seen, lambda: progress(seen.frames)):
                seen.frames += 1
                seen.last_s = result.frame.timestamp_s
                found += len(result.detections)
                rows.add(result)
                progress(seen.frames)
                if len(rows) >= ROW_GROUP:
                    yield rows.take()
        except Exception as wrong:  # noqa: BLE001 - a clip, or a bug, never ends a run of thousands
            error = wrong
        if len(rows):
            yield rows.take()
        row = replace(
            row,
            frames=seen.frames,
            detections=found,
            seconds=seen.last_s + seen.period_s if seen.frames else 0.0,
            damaged=seen.damaged(),
            duration=seen.declared_s,
            took=time.perf_counter() - begun,
        )
        return row if error is None else failed(row, error)

    def _results(self, clip: Clip, seen: _Seen, alive: Callable[[], None]) -> Iterator[Result]:
        settings = self._settings
        with closing(open_clip(clip, copied=settings.cache, alive=alive)) as stream:
            seen.look_at(stream)
            rate = float(stream.frame_rate or 30) / settings.every
            pipeline = Pipeline(
                _Thinned(stream, settings.every),
                _Share(self._detector, settings.cpus),
                mode=Mode.RECORDED,
                tracker=Tracker(frame_rate=rate) if settings.track else None,
            )
            with closing(iter(pipeline)) as results:
                yield from results


def failed(row: ClipRow, error: Exception) -> ClipRow:
    """``row`` with what went wrong: what was seen before is good."""
    known = error if isinstance(error, OneglanceError | OSError) else None
    said = str(error) if isinstance(error, OneglanceError) else ""
    if known is None:
        said = f"internal error: {type(error).__name__}: {error}"
    return replace(
        row,
        status=PARTIAL if row.frames else FAILED,
        error_kind=type(error).__name__,
        error=" ".join(redact(said or str(read_error(row.uri, error))).split()),
    )


def open_clip(
    clip: Clip, *, copied: bool = False, alive: Callable[[], None] = lambda: None
) -> Stream:
    """The clip as a stream: a file of this machine, or an object that is read where it lies, or
    ``copied`` whole before (``alive`` is called after each block).

    Raises:
        OneglanceError: it cannot be opened, or not be copied.
    """
    if not clip.is_remote:
        return open_stream(clip.uri)
    from oneglance.streams.files.remote import RemoteVideo

    with store_errors(clip.name):
        content = _open_remote(clip)
        return RemoteVideo(_copy(content, clip, alive) if copied else content, clip.name)


def _copy(content: BinaryIO, clip: Clip, alive: Callable[[], None]) -> BinaryIO:
    """A copy on this machine's disk, gone when it is closed or its process ends.

    Raises:
        SourceUnreadable: the disk is full.
        Exception: whatever reading raised.
    """
    with closing(content):
        copy = cast("BinaryIO", tempfile.TemporaryFile(prefix="oneglance-"))  # noqa: SIM115 - the caller's
        try:
            while block := content.read(BLOCK):
                try:
                    copy.write(block)
                except OSError as error:
                    raise SourceUnreadable(
                        f"{clip.name} cannot be copied to this machine ({os_reason(error)}): set "
                        "TMPDIR to another place, or leave --cache out"
                    ) from None
                alive()
            copy.seek(0)
        except BaseException:
            copy.close()
            raise
    return copy


def _open_remote(clip: Clip) -> BinaryIO:
    fs, path = file_system(clip.uri)
    size = fs.info(path).get("size")
    if size is None:
        raise SourceUnreadable(
            f"{clip.name} cannot be read in parts (its server gives no length, as of a live "
            "stream): copy it, or play it by 'oneglance run'"
        )
    # Said again, or it would be asked for again.
    blocks = {"cache_type": "blockcache", "cache_options": {"maxblocks": BLOCKS}}
    return cast("BinaryIO", fs.open(path, "rb", block_size=BLOCK, size=size, **blocks))


class _Seen:
    """What is known of a clip that is being played."""

    def __init__(self) -> None:
        self.frames = 0
        self.last_s = 0.0
        self.period_s = 0.0
        self.declared_s: float | None = None
        self._stream: Stream | None = None

    def look_at(self, stream: Stream) -> None:
        """Remember what the stream declares."""
        self._stream = stream
        if stream.frame_rate:
            self.period_s = float(1 / stream.frame_rate)
            if stream.frame_count is not None:
                self.declared_s = float(stream.frame_count / stream.frame_rate)

    def damaged(self) -> int:
        """Frames that the decoder could not make whole, where the stream counts them."""
        return int(getattr(getattr(self._stream, "stats", None), "damaged", 0))


class _Thinned(Closing):
    """A stream with each so-many-th frame alone; those between are decoded, never converted."""

    def __init__(self, stream: Stream, every: int) -> None:
        self._stream = stream
        self._every = every
        self.source = stream.source
        self.live = False
        rate = stream.frame_rate
        self.frame_rate: Fraction | None = None if rate is None else rate / every
        count = stream.frame_count
        self.frame_count: int | None = None if count is None else -(-count // every)

    def __iter__(self) -> Iterator[Frame]:
        return (frame for frame in self._stream if frame.index % self._every == 0)

    def close(self) -> None:
        self._stream.close()


class _Share:
    """A detector that is called by as many threads at once as its worker's share has CPUs; the
    same in all else."""

    def __init__(self, detector: Detector, cpus: int) -> None:
        self._detector = detector
        there = available_cpus()
        self.threads = max(1, there // min(cpus or there, there))
        self.name = detector.name

    def __call__(self, image: Image, /) -> sv.Detections:
        return self._detector(image)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._detector, name)
