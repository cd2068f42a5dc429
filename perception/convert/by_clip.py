"""Results clip by clip, in whatever order and however many parts they were written."""

from __future__ import annotations

import itertools
from pathlib import Path

from oneglance.perception.convert.boxes import FrameBoxes
from oneglance.perception.convert.reading import (
    COLUMNS,
    frame_of_rows,
    open_table,
    read_results,
    seen_clips,
    table_files,
)


class ResultsByClip:
    """What ``read_results`` reads, by clip. Of Parquet only where each clip's rows are is kept in
    memory, all else is."""

    def __init__(self, path: Path) -> None:
        """Find out which clips there are.

        Raises:
            DataError, UsageError: as from ``read_results``.
        """
        self._groups: dict[str, list[tuple[Path, int]]] = {}
        self._frames: dict[str, list[FrameBoxes]] = {}
        self._seen = seen_clips(path)
        files = table_files(path)
        if files is None:
            for frame in read_results(path):
                self._frames.setdefault(frame.clip, []).append(frame)
            return
        for file in files:
            with open_table(file) as table:
                for group in range(table.num_row_groups):
                    clips = table.read_row_group(group, columns=["clip"])["clip"].unique()
                    for clip in clips.to_pylist():
                        self._groups.setdefault(clip, []).append((file, group))

    def clips(self) -> list[str]:
        """The names of the clips, in the order of the results."""
        return list(self._groups or self._frames)

    def saw(self, clip: str) -> bool:
        """Whether this is a clip of the results, be it that nothing was found in it."""
        return clip in self._groups or clip in self._frames or clip in self._seen

    def frames(self, clip: str) -> list[FrameBoxes]:
        """The frames of a clip, in its order; none of a clip that is not there.

        Raises:
            DataError: a file cannot be read any more.
        """
        if clip in self._frames:
            return sorted(self._frames[clip], key=lambda frame: frame.index)
        rows = []
        for file, group in self._groups.get(clip, ()):
            with open_table(file) as table:
                found = table.read_row_group(group, columns=list(COLUMNS))
                rows += [row for row in found.to_pylist() if row["clip"] == clip]
        rows.sort(key=lambda row: row["frame"])
        grouped = itertools.groupby(rows, key=lambda row: row["frame"])
        return [frame_of_rows(list(group)) for _, group in grouped]
