"""Where the clips of a run are now, and which of their frames are looked at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from oneglance.perception.batch.clip import open_clip
from oneglance.perception.batch.listing import Clip, list_clips
from oneglance.streams.errors import SourceUnreadable
from oneglance.streams.opening import is_surely_live
from oneglance.streams.redaction import HIDDEN

if TYPE_CHECKING:
    from oneglance.streams.frame import Frame


@dataclass(frozen=True, slots=True)
class Wanted:
    """Frames of a clip: those of ``indexes``, and one each ``every_s`` seconds of those whose index
    is a multiple of ``step``; None: no others."""

    indexes: frozenset[int]
    every_s: float | None = None
    step: int = 1


class ClipFinder:
    """Opens the clips that tables name, from where they were or from where ``places`` has them.

    ``places``: files, patterns, lists and addresses as ``oneglance batch`` takes them.
    """

    def __init__(self, places: Sequence[str] = ()) -> None:
        """List them.

        Raises:
            OneglanceError: they cannot be listed.
        """
        listed = list_clips(places) if places else []
        self._by_name: dict[str, list[Clip]] = {}
        for clip in listed:
            for name in {clip.name, _last(clip.name)}:
                self._by_name.setdefault(name, []).append(clip)

    def find(self, name: str) -> Clip:
        """The clip of that name: the same among the places, else the only one whose file has its
        name, else where the name says.

        Raises:
            SourceUnreadable: there are several, the name hides what it needs, or it is live.
        """
        for word in (name, _last(name)):
            found = self._by_name.get(word, [])
            if len(found) == 1:
                return found[0]
            if found:
                raise SourceUnreadable(f"{name} could be {found[0].name} or {found[1].name}")
        if HIDDEN in name:
            raise SourceUnreadable(
                f"{name} hides credentials, which no table holds: give the clips with --clips"
            )
        if is_surely_live(name):
            raise SourceUnreadable(f"{name} was live: its frames are gone")
        return Clip(name, name)


def frames_of(clip: Clip, wanted: Wanted) -> Iterator[Frame]:
    """The wanted frames, in the clip's order; no more is decoded than is needed.

    Raises:
        OneglanceError: it cannot be opened, or breaks; what came before is good.
    """
    left = set(wanted.indexes)
    next_s = 0.0
    with closing(open_clip(clip)) as stream:
        for frame in stream:
            is_due = (
                wanted.every_s is not None
                and frame.timestamp_s >= next_s
                and frame.index % wanted.step == 0
            )
            if is_due or frame.index in left:
                left.discard(frame.index)
                yield frame
            if is_due:
                next_s = frame.timestamp_s + (wanted.every_s or 0.0)
            if not left and wanted.every_s is None:
                return


def _last(name: str) -> str:
    return PurePosixPath(name.partition("?")[0]).name
