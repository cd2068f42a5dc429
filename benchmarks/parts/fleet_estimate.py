"""A fleet's recordings through the network in one night: on paper, from measured figures.

    python -m benchmarks.parts.fleet_estimate                   # the shared clips, about 3 minutes
    python -m benchmarks.parts.fleet_estimate --tables found    # tables of a batch run of yours

Measured: bytes of the tables and of the clips, how fast one process writes Parquet, and the rates
of ``benchmarks/results``. The rest is arithmetic. The queries of ``perception/batch/README.md`` are
asked too. The shared clips do not say when they were filmed: the times in their names are made up.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import facts
from benchmarks.options import in_sentences
from benchmarks.report import results
from benchmarks.report.pages import markdown
from benchmarks.report.results import Table
from oneglance.models.zoo import DEFAULT, resolve_model
from oneglance.streams.errors import UsageError
from oneglance.streams.outputs import check_reachable, write_file

CLIPS = facts.ROOT / ".." / "shared" / "clips"
README = facts.ROOT / "perception" / "batch" / "README.md"
FILMED = (
    *("2026-05-04T07-30-00", "2026-05-04T07-45-00", "2026-05-04T08-10-00", "2026-05-04T12-00-00"),
    *("2026-05-04T17-20-00", "2026-05-04T17-40-00", "2026-05-04T22-05-00"),
)
"""Made up: when the shared clips are taken to be filmed, in the order of their names."""

_MEASURED = (
    "Measured on {0.clips} clips ({0.seconds:.0f} s, {0.frames} frames, {0.boxes} boxes); rates "
    "and decoding from {0.rates_from} (540p, 640×384). Bytes and counts do not depend on what else "
    "the machine did, the rows that a process writes do: they are fewer beside busy CPUs. {1}"
)
_NOT_SHOWN = (
    "What this does not show: other resolutions (decoding grows with the pixels), nodes that share "
    "memory bandwidth, what a store charges for reading, any GPU: none was measured. Here a file "
    "holds few boxes; in large ones a box takes fewer bytes."
)
WRITTEN_ROWS = 1_000_000
FILES = ("fleet.json", "fleet.md")
NIGHT_H = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """``clip_mbits``: megabits a second of clip, least, median and most. ``rates``: frames a second
    and CPU, by what ran."""

    clips: int
    frames: int
    seconds: float
    boxes: int
    table_bytes: int
    clip_mbits: tuple[float, float, float]
    rows_per_s: float
    rates: dict[str, float]
    decode_ms: float
    rates_from: str

    @property
    def boxes_per_frame(self) -> float:
        return self.boxes / self.frames

    @property
    def bytes_per_box(self) -> float:
        return self.table_bytes / self.boxes


def estimate(measured: Measured, *, hours: float, fps: float, night_h: float = NIGHT_H) -> Table:
    """What ``hours`` of recordings at ``fps`` need in a night of ``night_h`` hours.

    CPUs: frames over what one does in a night. Bytes: as measured, a frame and a box each.
    """
    frames, night_s = hours * 3600 * fps, night_h * 3600
    boxes = frames * measured.boxes_per_frame
    per_s = boxes / night_s
    rows: list[list[str]] = [["frames", _short(frames), f"{hours:g} h × {fps:g} frames/s"]]
    cpus = {name: frames / rate / night_s for name, rate in measured.rates.items()}
    for name, count in cpus.items():
        how = f"{measured.rates[name]:.1f} frames/s a CPU; decoding included"
        rows.append([f"CPUs for {night_h:g} h, {name}", _short(count), how])
    third = frames / night_s * (measured.decode_ms + _network_ms(measured) / 3) / 1e3
    rows.append(
        ["CPUs, fp32, `--every 3`", _short(third), "every frame decoded, a third looked at"]
    )
    decoding = frames / night_s * measured.decode_ms / 1e3
    rows.append(
        [
            "CPUs to decode alone",
            _short(decoding),
            f"{measured.decode_ms:.1f} ms a frame at 540p; left to do had the network a GPU",
        ]
    )
    low, middle, high = measured.clip_mbits
    stored = [hours * 3600 * rate / 8e6 for rate in (low, middle, high)]
    rows += [
        ["recordings, TB", _range(stored), f"{low:.1f}, {middle:.1f} and {high:.1f} Mbit/s"],
        ["read, Gbit/s", _range([8e3 * each / night_s for each in stored]), "all nodes together"],
        ["boxes", _short(boxes), f"{measured.boxes_per_frame:.1f} a frame"],
        ["Parquet, GB", _short(boxes * measured.bytes_per_box / 1e9), _parquet(measured)],
        ["processes that write", f"{per_s / measured.rows_per_s:.2f}", _writing(measured, per_s)],
    ]
    return Table(
        f"{hours:g} hours at {fps:g} frames/s",
        ("what", "how much", "from"),
        tuple(map(tuple, rows)),
    )


def _parquet(measured: Measured) -> str:
    share = 100 * measured.table_bytes / measured.seconds / (measured.clip_mbits[1] * 1e6 / 8)
    return f"{measured.bytes_per_box:.0f} bytes a box, zstd; {share:.2f} % of the recordings"


def _writing(measured: Measured, rows_per_s: float) -> str:
    return f"{_short(rows_per_s)} rows/s, of {_short(measured.rows_per_s)} that one can write"


def bottleneck(measured: Measured) -> str:
    """Which resource is used up first, in a sentence with its share."""
    network = _network_ms(measured)
    share = network / (network + measured.decode_ms)
    return (
        f"The first bottleneck is the network on the CPU: {100 * share:.0f} % of each frame's "
        f"CPU time ({network:.1f} of {network + measured.decode_ms:.1f} ms), decoding "
        f"{100 * (1 - share):.0f} %. Next, were it {network / measured.decode_ms:.0f} times as "
        "fast, comes decoding; reading and writing are far behind."
    )


def measure(tables: Path, clips: Sequence[Path], folder: Path) -> Measured:
    """Figures of the tables of a batch run, of the clips it read, and of ``benchmarks/results``.

    Raises:
        UsageError: the tables are empty.
    """
    rows = _clip_rows(tables)
    frames, boxes = (sum(row[name] for row in rows) for name in ("frames", "detections"))
    if not boxes:
        raise UsageError(f"{tables} holds no detections to estimate from")
    parts = results.read_folder(folder)
    cpus = int(parts["throughput"].facts["CPUs allowed"])
    rates = {}
    for arm, name in {"": "ONNX Runtime fp32", "_openvino_bf16": "OpenVINO bf16"}.items():
        figure = results.figure_of(parts["throughput"], f"throughput.oneglance_run{arm}.fps")
        if figure is not None:
            rates[name] = figure.median / cpus
    return Measured(
        clips=len(rows),
        frames=frames,
        seconds=sum(row["seconds"] for row in rows),
        boxes=boxes,
        table_bytes=sum(file.stat().st_size for file in (tables / "detections").glob("*.parquet")),
        clip_mbits=_mbits(rows, clips),
        rows_per_s=_rows_per_s(tables),
        rates=rates,
        decode_ms=_reading_ms(parts["loop"]),
        rates_from=f"{folder.name}: {parts['throughput'].facts['device']}",
    )


def queries() -> list[tuple[str, str]]:
    """The queries of the README: the sentence before each, and its SQL; the views come first."""
    text = README.read_text(encoding="utf-8")
    found = re.findall(r"([^\n]*)\n\n```sql\n(.*?)```", text, re.S)
    return [(before.split(".")[0].rstrip(":"), sql) for before, sql in found]


def answers(tables: Path) -> list[tuple[str, str]]:
    """What each query of the README answers, as a table of Markdown."""
    import duckdb

    with duckdb.connect() as session:
        (_, views), *asked = queries()
        session.execute(views.replace("'found/", f"'{tables}/"))
        answered = []
        for what, sql in asked:
            rows = session.execute(sql)
            names = tuple(column[0] for column in rows.description or ())
            body = tuple(tuple(map(_cell, row)) for row in rows.fetchall())
            answered.append((what, "\n".join(markdown(Table("", names, body)))))
        return answered


def run(clips: Path, folder: Path) -> Path:
    """A batch run of the clips under names with times, into ``folder``; returns its tables."""
    from oneglance.perception.batch.job import BatchOptions, BatchSummary, run_batch

    drives = folder / "drives"
    drives.mkdir()
    files = sorted(clips.glob("*.mp4"))
    for time_, file in zip(FILMED, files, strict=False):
        (drives / f"{time_}_{file.name}").symlink_to(file.resolve())
    options = BatchOptions(uris=[f"{drives}/*.mp4"], out=folder / "found")
    run_batch(options, BatchSummary())
    return folder / "found"


def page(
    measured: Measured, table: Table, found: Sequence[tuple[str, str]], about: dict[str, Any]
) -> str:
    """The results as Markdown."""
    lines = [
        "# A fleet's night, on paper",
        "",
        _MEASURED.format(measured, bottleneck(measured)),
        "",
        *markdown(table),
        "",
        _NOT_SHOWN,
        "",
        "## The queries of perception/batch/README.md",
        "",
        "The times in the clips' names are made up.",
    ]
    for what, answer in found:
        lines += ["", f"{what}:", "", answer]
    return "\n".join([*lines, "", *(f"- {key}: {value}" for key, value in about.items()), ""])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--tables", type=Path, help="what 'oneglance batch' wrote")
    parser.add_argument("--hours", type=float, default=10_000)
    parser.add_argument("--fps", type=float, default=30)
    parser.add_argument("--night", type=float, default=NIGHT_H, help="hours that it may take")
    parser.add_argument("--rates", type=Path, default=_newest(), help="a folder of results")
    parser.add_argument("--out", type=Path, default=facts.RESULTS / "fleet")
    asked = parser.parse_args()
    with in_sentences():
        _main(asked)


def _main(asked: argparse.Namespace) -> None:
    for name in FILES:  # before the work
        check_reachable(asked.out / name)
    about = facts.gather(resolve_model(DEFAULT))
    about.pop("libraries")
    about.pop("warning", None)  # the page says what depends on how busy the machine was
    with tempfile.TemporaryDirectory() as folder:
        tables = asked.tables or run(CLIPS, Path(folder))
        measured = measure(tables, sorted(CLIPS.glob("*.mp4")), asked.rates)
        found = answers(tables)
        found = [(what, answer.replace(f"{folder}/", "")) for what, answer in found]
    table = estimate(measured, hours=asked.hours, fps=asked.fps, night_h=asked.night)
    asked.out.mkdir(parents=True, exist_ok=True)
    content = {"facts": about, "measured": asdict(measured), "estimate": asdict(table)}
    text = page(measured, table, found, about)
    for name, written in zip(FILES, (json.dumps(content, indent=1) + "\n", text), strict=True):
        write_file(asked.out / name, written)
    print(text)


def _newest() -> Path:
    found = [file.parent for file in facts.RESULTS.glob("*/loop.json")]
    return max(found, default=facts.RESULTS)


def _clip_rows(tables: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = pq.read_table(tables / "clips").to_pylist()
    return [row for row in rows if row["frames"]]


def _mbits(rows: Sequence[dict[str, Any]], clips: Sequence[Path]) -> tuple[float, float, float]:
    rates = sorted(
        8 * file.stat().st_size / row["seconds"] / 1e6
        for file in clips
        for row in rows
        if row["uri"].endswith(file.name)
    )
    if not rates:
        raise UsageError(f"none of the tables' clips is in {CLIPS}: their sizes are unknown")
    return rates[0], rates[len(rates) // 2], rates[-1]


def _rows_per_s(tables: Path) -> float:
    """Rows that one process writes in a second, as a batch run does: to a file, zstd."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from oneglance.perception.batch.schema import ROW_GROUP

    once = pq.read_table(tables / "detections")
    table = pa.concat_tables([once] * -(-WRITTEN_ROWS // once.num_rows))
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        pq.write_table(table, f"{folder}/a", row_group_size=ROW_GROUP, compression="zstd")
        return float(table.num_rows / (time.perf_counter() - begun))


def _reading_ms(loop: results.Part) -> float:
    """CPU time of the thread that decodes, a frame."""
    for table in loop.tables:
        for row in table.rows:
            if row[0] == "oneglance-read":
                return float(row[1])
    raise UsageError("the results' part loop does not say how long decoding takes")


def _network_ms(measured: Measured) -> float:
    """CPU time of all but decoding, a frame, in ONNX Runtime."""
    return 1e3 / measured.rates["ONNX Runtime fp32"] - measured.decode_ms


def _range(values: Sequence[float]) -> str:
    return " / ".join(_short(value) for value in values)


def _short(value: float) -> str:
    """Three digits, with a thousand's separator.

    >>> _short(1_234_567.0), _short(0.01234)
    ('1 230 000', '0.0123')
    """
    if value >= 1000:
        digits = len(str(int(value))) - 3
        return f"{round(value, -digits):,.0f}".replace(",", " ")
    return f"{value:.3g}"


def _cell(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
