"""One clip through the network, into rows: the function that every kind of worker calls."""

from __future__ import annotations

import hashlib
import os
import platform
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, BinaryIO, cast

from oneglance.models.detector import DEFAULT_CONFIDENCE, Detector
from oneglance.models.engines.loading import DEFAULT_ENGINE
from oneglance.models.zoo import DEFAULT, resolve_model
from oneglance.perception.batch.events import PlayedPart, Split, Unit
from oneglance.perception.batch.listing import Clip, file_system, read_error, store_errors
from oneglance.perception.batch.playing import Seen, Share, Thinned
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
from oneglance.streams.decoding.source import AvSource
from oneglance.streams.errors import OneglanceError, SourceUnreadable
from oneglance.streams.opening import open_stream
from oneglance.streams.outputs import os_reason
from oneglance.streams.redaction import redact
from oneglance.streams.stream import Stream

if TYPE_CHECKING:
    import pyarrow as pa

    from oneglance.perception.result import Result

BLOCK = 4 * 2**20
"""Bytes that are asked of a store at once: few requests, and none asked for twice."""

BLOCKS = 12
"""Blocks that are kept. Who opens a file looks at its end as well, which may be asked for again
when it is reached: two blocks, less than a fifth of a file that these do not hold."""

LEAST_BLOCKS = 64
"""Blocks of a part of what is read from a store. Each part reads the file's ends as well; its
neighbours, and whoever finds its key frame, read the blocks in which it begins and ends, and some
frames more: together less than a fifth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How every clip of a run is looked at.

    ``every``: only each so-many-th frame, beginning with the first. ``cpus``: those that one
    worker may keep busy; 0: all that there are. ``cache``: what is not on this machine is copied
    whole before it is played. ``split_s``: what lasts longer is played in parts of so many seconds
    at most, whose rows are the same; 0: nothing is. The rest as ``oneglance run`` has it.
    """

    model: str = DEFAULT
    engine: str = DEFAULT_ENGINE
    precision: str | None = None
    confidence: float = DEFAULT_CONFIDENCE
    track: bool = True
    every: int = 1
    cpus: int = 0
    cache: bool = False
    split_s: float = 600.0

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
        """``look`` at a clip from its beginning to its end, however long it is."""
        row, _ = cast("Looked", (yield from self.look(Unit(clip, is_whole=True), progress)))
        return row

    def look(
        self, unit: Unit, progress: Callable[[int], None] = lambda _: None
    ) -> Generator[pa.Table, None, Looked | Split]:
        """Tables of ``detections`` of about ``ROW_GROUP`` rows, in the clip's order; returns the
        row of ``clips``. Whatever is wrong with the clip is reported there, and nothing is raised.

        Of a clip that is too long the parts are returned instead, and no table. Of a part the
        frames are counted from its beginning, and no object has an id: ``joining`` sees to both.
        ``progress`` is given the number of frames after each.
        """
        clip = unit.clip
        row = ClipRow(
            uri=clip.name, status=OK, started=datetime.now(UTC), node=platform.node() or "unknown"
        )
        rows = DetectionRows(clip.name, self._detector.name, self._sha256)
        begun, found = time.perf_counter(), 0
        seen = Seen()
        error: Exception | None = None
        try:
            for result in self._results(unit, seen, lambda: progress(seen.frames)):
                seen.add(result.frame)
                found += len(result.detections)
                rows.add(result)
                progress(seen.frames)
                if len(rows) >= ROW_GROUP:
                    yield rows.take()
        except _IsLong as long:
            return long.split
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
            filmed=seen.filmed(clip.name),
            took=time.perf_counter() - begun,
        )
        return (row if error is None else failed(row, error)), seen.played(self._settings.every)

    def _results(self, unit: Unit, seen: Seen, alive: Callable[[], None]) -> Iterator[Result]:
        settings, part = self._settings, unit.part
        with closing(self._open(unit, seen, alive)) as stream:
            pipeline = Pipeline(
                Thinned(stream, settings.every, (part and part.before) or 0),
                Share(self._detector, settings.cpus),
                mode=Mode.RECORDED,
                tracker=(
                    Tracker(frame_rate=seen.rate(settings.every))
                    if settings.track and part is None
                    else None
                ),
            )
            with closing(iter(pipeline)) as results:
                yield from results

    def _open(self, unit: Unit, seen: Seen, alive: Callable[[], None]) -> Stream:
        """The stream of a clip, or of a part of it.

        Raises:
            _IsLong: it is to be played in parts.
            OneglanceError: as ``open_clip``.
        """

        def opened() -> Stream:
            return open_clip(unit.clip, copied=self._settings.cache, alive=alive)

        stream = opened()
        if unit.part is None and not unit.is_whole and isinstance(stream, AvSource):
            cuts_s = self._cuts_s(stream, unit.clip)
            if cuts_s:
                with closing(stream):
                    parts, size = stream.parts(cuts_s), _size(stream)
                is_counted = all(part.before is not None for part in parts)
                if len(parts) > 1 and (is_counted or self._settings.every == 1):
                    raise _IsLong(Split(unit.clip, tuple(parts), size))
                stream = opened()
        seen.look_at(stream)
        if unit.part is not None:
            assert isinstance(stream, AvSource)
            seen.part = stream.confine(unit.part)
        return stream

    def _cuts_s(self, stream: AvSource, clip: Clip) -> list[float]:
        if clip.is_remote and self._settings.cache:  # each part would copy the whole
            return []
        most = _size(stream) // (LEAST_BLOCKS * BLOCK) if clip.is_remote else None
        return stream.cuts_s(self._settings.split_s, most=most)


Looked = tuple[ClipRow, PlayedPart | None]
"""What is known of a clip or a part that was looked at."""


class _IsLong(Exception):
    def __init__(self, split: Split) -> None:
        super().__init__()
        self.split = split


def _size(stream: AvSource) -> int:
    """Bytes of what it plays."""
    found = getattr(stream, "size", None)
    return int(os.stat(stream.source).st_size if found is None else found)  # noqa: PTH116


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
