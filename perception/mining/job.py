"""From the results of a run to the data set of what is worth labelling."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from oneglance.models.detector import DEFAULT_CONFIDENCE, Detector
from oneglance.perception.convert.boxes import Box, FrameBoxes
from oneglance.perception.convert.by_clip import ResultsByClip
from oneglance.perception.mining.clips import ClipFinder, Wanted, frames_of
from oneglance.perception.mining.dataset import WHOLE, Picked, write_mined
from oneglance.perception.mining.looks import Look, conditions, look_at
from oneglance.perception.mining.picking import pick
from oneglance.perception.mining.reasons import (
    A_CLIP,
    SURE,
    Candidate,
    Reason,
    candidates_of,
    disagreement,
)
from oneglance.streams.errors import DataError, OneglanceError, SinkError, UsageError
from oneglance.streams.frame import Frame
from oneglance.streams.output_folder import OutputFolder

LOOK_EVERY_S = 1.0
"""Seconds between the frames that are looked at for rare conditions, and by a second network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MineOptions:
    """The options of ``oneglance mine``, each with the meaning it has there."""

    results: Path
    out: Path
    frames: int = 200
    against: Path | None = None
    model: str | None = None
    clips: Sequence[str] = ()
    sure: float = SURE
    conditions: bool = True


@dataclass(slots=True)
class Mined:
    """What was picked. ``unread``: why the frames of a clip could not be had, by clip."""

    picked: list[Picked] = field(default_factory=list)
    unread: dict[str, str] = field(default_factory=dict)
    clips: int = 0

    def reasons(self) -> Counter[Reason]:
        """How many frames each reason has."""
        return Counter(reason for one in self.picked for reason in one.reasons)


def mine(
    options: MineOptions, progress: Callable[[int, int], None] = lambda _done, _clips: None
) -> Mined:
    """Pick frames and write them; see ``write_mined``. ``progress`` is given clips done and all.

    Raises:
        DataError: the results cannot be read, no clip of theirs can, or no frame is worth it.
        UsageError: an option cannot be used, or an extra is missing.
        SinkError: the folder holds what we did not make, or a data set already, or cannot be
            written.
    """
    if options.frames < 1:
        raise UsageError(f"--frames must be at least 1, not {options.frames}")
    if not 0 < options.sure <= 1:
        raise UsageError(f"--sure is above 0 and at most 1, not {options.sure:g}")
    folder = OutputFolder(options.out, "mine")
    folder.check([options.results, *([options.against] if options.against else [])])
    refusal = (
        f"{options.out} already holds frames that were picked, and perhaps labels that somebody "
        "corrected: give another folder"
    )
    if folder.marked and (options.out / WHOLE).exists():
        raise SinkError(refusal)
    search = _Search(options)
    candidates = search.run(progress)
    mined = Mined(unread=search.unread, clips=search.clips)
    if search.unread and not search.hashes:
        name, why = next(iter(search.unread.items()))
        raise DataError(
            f"no clip of {options.results} can be read ({name}: {why}): say where they are with "
            "--clips"
        )
    chosen = pick(candidates, search.hashes, options.frames)
    if not chosen:
        raise DataError(
            f"no frame of {options.results} is worth a label: nothing in it is uncertain, flickers "
            "or is rare"
        )
    folder.claim_anew(WHOLE, refusal)
    about = f"Picked by 'oneglance mine' of {options.results}, of {search.clips} clips"
    try:
        mined.picked = write_mined(folder, search.read(chosen), sure=options.sure, about=about)
    except BaseException:
        folder.clear()
        raise
    return mined


class _Search:
    """Gathers candidates: of the tables, and of the clips themselves."""

    def __init__(self, options: MineOptions) -> None:
        self._options = options
        self._results = ResultsByClip(options.results)
        self._against = None if options.against is None else ResultsByClip(options.against)
        self._finder = ClipFinder(options.clips)
        facts = _facts(options.results)
        self._threshold = float(facts.get("confidence", DEFAULT_CONFIDENCE))
        self._step = int(facts.get("every", 0))
        self._detector: Detector | None = None
        if options.model is not None:
            self._detector = Detector.load(options.model, confidence=self._threshold)
        self._looked: list[tuple[str, int, float, tuple[Box, ...], Look]] = []
        self.hashes: dict[tuple[str, int], bytes] = {}
        self.unread: dict[str, str] = {}
        self.clips = 0

    def run(self, progress: Callable[[int, int], None]) -> list[Candidate]:
        """Every candidate whose frame could be had."""
        names = self._results.clips()
        self.clips = len(names)
        if self._against is not None and names and not any(map(self._against.saw, names)):
            raise DataError(
                f"{self._options.against} and {self._options.results} have no clip in common: the "
                "clips must have the same names in both"
            )
        if not names:
            raise DataError(f"{self._options.results} holds no detection: there is nothing to mine")
        found: list[Candidate] = []
        for number, name in enumerate(names, 1):
            frames = self._results.frames(name)
            others = None
            if self._against is not None and self._against.saw(name):
                others = {frame.index: frame for frame in self._against.frames(name)}
            step = self._step or _step(frames)
            mine = candidates_of(frames, threshold=self._threshold, step=step, others=others)
            try:
                mine = self._look(name, frames, mine, step)
            except OneglanceError as error:  # of one clip: the others are as good
                self.unread[name] = str(error)
            found += mine
            progress(number, len(names))
        return self._with_conditions(found)

    def read(self, chosen: Sequence[Candidate]) -> Iterator[tuple[Candidate, Frame]]:
        """The chosen with their frames, clip by clip."""
        by_clip: dict[str, dict[int, Candidate]] = {}
        for one in chosen:
            by_clip.setdefault(one.clip, {})[one.index] = one
        for name, mine in by_clip.items():
            wanted = Wanted(frozenset(mine))
            with suppress(OneglanceError):  # it was read before: what it gives now is good
                for frame in frames_of(self._finder.find(name), wanted):
                    yield mine[frame.index], frame

    def _look(
        self, name: str, frames: Sequence[FrameBoxes], mine: list[Candidate], step: int
    ) -> list[Candidate]:
        """Look at the candidates of a clip and at a sample of the rest."""
        looks_around = self._options.conditions or self._detector is not None
        wanted = Wanted(
            frozenset(one.index for one in mine), LOOK_EVERY_S if looks_around else None, step
        )
        by_index = {frame.index: frame.boxes for frame in frames}
        known = {one.index: one for one in mine}
        second: list[Candidate] = []
        clip = self._finder.find(name)
        if not mine and not looks_around:
            return []
        for frame in frames_of(clip, wanted):
            look = look_at(frame.image)
            self.hashes[name, frame.index] = look.bits
            boxes = by_index.get(frame.index, ())
            self._looked.append((name, frame.index, frame.timestamp_s, boxes, look))
            if frame.index in known:
                known[frame.index].timestamp_s = frame.timestamp_s
            if self._detector is not None:
                strength = disagreement(boxes, _boxes(self._detector, frame))
                if strength > 0:
                    one = known.get(frame.index) or Candidate(
                        name, frame.index, frame.timestamp_s, boxes
                    )
                    one.reasons[Reason.DISAGREEMENT] = strength
                    second.append(one)
        strongest = sorted(second, key=lambda one: -one.reasons[Reason.DISAGREEMENT])[:A_CLIP]
        return mine + [one for one in strongest if one.index not in known]

    def _with_conditions(self, found: list[Candidate]) -> list[Candidate]:
        if not self._options.conditions:
            return found
        known = {(one.clip, one.index): one for one in found}
        looks = [look for *_, look in self._looked]
        for (name, index, time_s, boxes, _), reasons in zip(
            self._looked, conditions(looks), strict=True
        ):
            if reasons:
                one = known.setdefault((name, index), Candidate(name, index, time_s, boxes))
                one.reasons.update(reasons)
        return list(known.values())


def _boxes(detector: Detector, frame: Frame) -> tuple[Box, ...]:
    found = detector(frame.image)
    assert found.confidence is not None, "a detector gives every box a confidence"
    rows = zip(
        found.data["task"],
        found.data["class_name"],
        found.confidence.tolist(),
        found.xyxy.tolist(),
        strict=True,
    )
    return tuple(
        Box(str(task), str(name), confidence, (x1, y1, x2, y2), None)
        for task, name, confidence, (x1, y1, x2, y2) in rows
    )


def _facts(results: Path) -> dict[str, Any]:
    """What a batch run was begun with, where its folder is given."""
    try:
        found = json.loads((results / "batch.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _step(frames: Sequence[FrameBoxes]) -> int:
    """From one frame that was looked at to the next, as the frames show it."""
    indexes = [frame.index for frame in frames]
    return min((b - a for a, b in itertools.pairwise(indexes) if b > a), default=1)
