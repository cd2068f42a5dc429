"""Parts of long clips that were played, kept beside the tables until their clip is whole.

``unfinished/KEY-0003-FINGERPRINT.parquet`` holds a part's detections, ``…-frames.parquet`` the
times of its frames and what was seen of it; that one is written last. ``KEY`` is made of the clip's
name, ``FINGERPRINT`` of its size and the part's bounds: a run that goes on takes what is the same.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Set
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from oneglance.perception.batch.events import Done, PlayedPart, Split
from oneglance.perception.batch.places import PLAYED, UNFINISHED, Place
from oneglance.perception.batch.schema import ClipRow, detections_schema
from oneglance.streams.decoding.parts import SeenPart

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class KeptPart:
    """A part that was played: its row, what it is joined by, and the file of its detections."""

    row: ClipRow
    played: PlayedPart
    file: str


class UnfinishedParts:
    """Those that lie in a place."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._are_any = True  # for all that is known

    def keep(self, split: Split, number: int, done: Done) -> None:
        """A part that was played.

        Raises:
            SinkError: it cannot be written.
        """
        import pyarrow as pa

        assert done.played is not None
        self._are_any = True
        name = _name(split, number)
        if done.spilled:
            self._place.put(f"{name}.parquet", done.spilled[0])
        else:
            tables = done.tables or [detections_schema().empty_table()]
            self._place.write(f"{name}.parquet", _encoded(pa.concat_tables(tables)))
        self._place.settle(UNFINISHED)
        played = done.played
        facts = {
            "row": asdict(done.row),
            "seen": asdict(played.seen),
            "rate": played.rate,
        }
        table = pa.table({"frame": played.frames, "timestamp_s": played.times_s})
        said = json.dumps(facts, default=datetime.isoformat)
        table = table.replace_schema_metadata({b"oneglance.part": said})
        self._place.write(f"{name}-frames.parquet", _encoded(table))

    def find(self, split: Split) -> dict[int, KeptPart]:
        """The parts of a clip that an earlier run, or this one, has played, by their numbers."""
        there = set(self._place.names(UNFINISHED))
        found = {}
        for number in range(len(split.parts)):
            name = _name(split, number)
            if {f"{name}.parquet", f"{name}-frames.parquet"} <= there:
                kept = self._read(name)
                if kept is not None:
                    found[number] = kept
        return found

    def drop(self, clips: Set[str]) -> None:
        """Remove the parts of the clips of these names.

        Raises:
            SinkError: they cannot be removed.
        """
        self._remove(clips, are_named=True)

    def drop_others(self, clips: Set[str]) -> None:
        """Remove the parts of all clips but those of these names.

        Raises:
            SinkError: they cannot be removed.
        """
        self._remove(clips, are_named=False)

    def _remove(self, clips: Set[str], *, are_named: bool) -> None:
        if not self._are_any:
            return
        there = [name for name in self._place.names(UNFINISHED) if _key_of(name)]
        keys = {_key(clip) for clip in clips} if there else set()
        named = [name for name in there if (_key_of(name) in keys) == are_named]
        # A part's frames first: without them it counts for nothing.
        for name in sorted(named, key=lambda name: not name.endswith("-frames.parquet")):
            self._place.remove(name)
        self._are_any = len(named) < len(there)

    def _read(self, name: str) -> KeptPart | None:
        import pyarrow.parquet as pq

        content = self._place.read(f"{name}-frames.parquet")
        try:
            table = pq.read_table(io.BytesIO(content or b""))
            facts = json.loads(table.schema.metadata[b"oneglance.part"])
            row = facts["row"]
            for when in ("started", "filmed"):
                row[when] = row[when] and datetime.fromisoformat(row[when])
            played = PlayedPart(
                SeenPart(**facts["seen"]),
                table["frame"].to_numpy(),
                table["timestamp_s"].to_numpy(),
                facts["rate"],
            )
            return KeptPart(ClipRow(**row), played, f"{name}.parquet")
        except (OSError, ValueError, KeyError, TypeError):  # damaged, or another version's
            return None


def _key(clip: str) -> str:
    return hashlib.sha256(clip.encode()).hexdigest()[:16]


def _key_of(name: str) -> str | None:
    found = PLAYED.fullmatch(name.rpartition("/")[2])
    return None if found is None else found[1]


def _name(split: Split, number: int) -> str:
    part = split.parts[number]
    bounds = f"{split.size} {part.begin} {part.end} {part.before}"
    fingerprint = hashlib.sha256(bounds.encode()).hexdigest()[:16]
    return f"{UNFINISHED}/{_key(split.clip.name)}-{number:04}-{fingerprint}"


def _encoded(table: pa.Table) -> memoryview:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return memoryview(sink.getvalue())
