"""Arm: many short clips, by two ``oneglance run`` processes or by ``oneglance batch``.

The rate is that of frames from the first clip's beginning to the last one's end: what starts
before (interpreters, networks, Ray) is in ``wall_s`` alone.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.arms import measuring

RUN, PROCESSES, RAY = "run", "processes", "ray"


def main() -> None:
    arguments = measuring.parser(__doc__)
    arguments.add_argument("--how", choices=(RUN, PROCESSES, RAY), required=True)
    arguments.add_argument("--workers", type=int, default=2)
    options = arguments.parse_args()
    command = [sys.executable, "-c", _COMMAND]
    with tempfile.TemporaryDirectory() as name:
        started_s = time.perf_counter()
        if options.how == RUN:
            found = _run(command, options.clip, options.model, Path(name))
        else:
            extra = ["--address", "local"] if options.how == RAY else []
            words = ["batch", f"{options.clip}/short/*.mp4", "--model", options.model, *extra]
            words += ["--out", f"{name}/out", "--workers", str(options.workers)]
            _end(_begin([*command, *words]))
            found = _seen(Path(name) / "out")
        wall_s = time.perf_counter() - started_s
    measuring.answer(wall_s=wall_s, **found)


_COMMAND = "from oneglance.perception.cli.main import main; main()"


def _run(command: list[str], folder: str, model: str, out: Path) -> dict[str, float]:
    """The same clips, a share of them to each process, one behind the other in one file."""
    summaries, processes = [], []
    for share in sorted(Path(folder).glob("share-*.mp4")):
        summaries.append(out / f"{share.stem}.json")
        words = ["run", str(share), "--model", model, "--jsonl", str(out / f"{share.stem}.jsonl")]
        processes.append(_begin([*command, *words, "--json-summary", str(summaries[-1])]))
    for process in processes:
        _end(process)
    found = [json.loads(file.read_text()) for file in summaries]
    return {
        "fps": sum(each["fps"] for each in found),
        "frames": sum(each["frames"] for each in found),
        "clips": len(found),
    }


def _seen(out: Path) -> dict[str, float]:
    import pyarrow.parquet as pq

    rows = [row for file in (out / "clips").iterdir() for row in pq.read_table(file).to_pylist()]
    wrong = [row["error"] for row in rows if row["status"] != "ok"]
    if wrong:
        sys.exit(f"a clip failed: {wrong[0]}")
    begins = [row["started"].timestamp() for row in rows]
    ends = [begin + row["took"] for begin, row in zip(begins, rows, strict=True)]
    frames = sum(row["frames"] for row in rows)
    return {"fps": frames / (max(ends) - min(begins)), "frames": frames, "clips": len(rows)}


def _begin(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def _end(process: subprocess.Popen[bytes]) -> None:
    _, errors = process.communicate()
    if process.returncode:
        said = errors.decode(errors="replace").strip().splitlines()
        sys.exit(f"oneglance failed: {' '.join(said[-3:])}")


if __name__ == "__main__":
    main()
