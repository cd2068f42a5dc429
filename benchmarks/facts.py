"""Under what circumstances a number was measured: the header of every results file."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.arms import measuring
from oneglance.models.cpus import available_cpus
from oneglance.models.instruction_sets import instruction_sets
from oneglance.models.metadata import read_metadata
from oneglance.models.tasks import Task
from oneglance.streams import open_stream

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"

LIBRARIES = ("numpy", "opencv-python", "onnxruntime", "openvino", "av", "supervision", "trackers")
PEERS = (
    *("ultralytics", "inference-cpu", "torch", "torchvision", "onnxruntime", "openvino"),
    "opencv-python",
)

ISA_LIMIT = "ONEDNN_MAX_CPU_ISA"
"""Environment variable that makes a lesser CPU of a better one, for OpenVINO alone."""

WITHOUT_LOW_PRECISION = {"SSE41", "AVX", "AVX2", "AVX512_CORE"}
LOW_PRECISION = {
    *("avx_vnni", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8"),
    *("asimddp", "bf16", "i8mm"),
}

BUSY_CPUS = 0.25
"""CPUs kept busy by others above which the machine was not idle when we began."""

LISTEN_S = 1.0
"""How long we listen, doing nothing, for what others do."""


def gather(model: Path, clip: str | None = None) -> dict[str, Any]:
    """Facts about this command, this machine, ``model`` and ``clip``; no folder of the user's.

    Call it before measuring: it listens for a second to what else the machine does.
    """
    cpus, busy = available_cpus(), busy_cpus()
    facts: dict[str, Any] = {
        "command": command(),
        "commit": commit(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "device": device(),
        "instruction sets": described_instruction_sets(),
        "system": f"{platform.system()} {platform.release()}",
        "CPUs allowed": cpus,
        "CPUs busy before": "unknown" if busy is None else round(busy, 2),
        "libraries": {"python": platform.python_version(), **versions(LIBRARIES)},
        **_model_facts(model),
    }
    if busy is not None and busy > BUSY_CPUS:
        facts["warning"] = (
            f"the machine was busy before we began ({busy:.1f} of {os.cpu_count()} CPUs): "
            "these numbers are worth little"
        )
    if clip is not None:
        facts["clip"] = _clip_facts(clip)
    return facts


def described_instruction_sets() -> str:
    """Those of the CPU that decide speed, and the limit that OpenVINO is put under, if any; ONNX
    Runtime knows no such limit."""
    found = " ".join(instruction_sets()) or "unknown"
    limit = os.environ.get(ISA_LIMIT)
    return f"{found}; OpenVINO limited to {limit}" if limit else found


def computes_low_precision() -> bool:
    """Whether this CPU has instructions for int8 or bf16 that the engines may use."""
    limit = os.environ.get(ISA_LIMIT, "").upper()
    known = LOW_PRECISION & set(instruction_sets())
    return bool(known) and not (limit and limit in WITHOUT_LOW_PRECISION)


def command() -> str:
    """The command line that measures, as it would be typed in the clone."""
    program, *words = sys.argv
    file = Path(program)
    if file.suffix == ".py" and file.is_absolute() and file.is_relative_to(ROOT):
        start = ["-m", ".".join(file.relative_to(ROOT).with_suffix("").parts)]
    else:
        start = [_printable(program)]
    return shlex.join(["python", *start, *(_printable(word) for word in words)])


def busy_cpus(seconds: float = LISTEN_S) -> float | None:
    """CPUs busy on average while we sleep; None where the system does not say.

    The load average would not do: it remembers for a minute what we did ourselves.
    """
    before = _busy_ticks()
    time.sleep(seconds)
    after = _busy_ticks()
    if before is None or after is None:
        return None
    return (after - before) / os.sysconf("SC_CLK_TCK") / seconds


def _busy_ticks() -> int | None:
    try:
        first = Path("/proc/stat").read_text().splitlines()[0].split()
    except OSError:
        return None
    user, nice, system, _idle, _waiting, *others = map(int, first[1:9])
    return user + nice + system + sum(others)


def folder_today() -> Path:
    """``results/<date>-<device>``."""
    slug = re.sub(r"[^a-z0-9]+", "-", device().lower()).strip("-")
    return RESULTS / f"{datetime.now(UTC).strftime('%Y-%m-%d')}-{slug}"


def device() -> str:
    """The CPU by name and how many of them there are."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        found = re.search(r"model name\s*:\s*(.+)", cpuinfo.read_text())
        name = found[1].strip() if found else name
    return f"{name}, {os.cpu_count()} CPUs"


def commit() -> str:
    """The commit measured, with ``+ changes`` where tracked files differ from it."""
    head = _git("rev-parse", "--short=12", "HEAD")
    if not head:
        return "unknown"
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ":!benchmarks/results")
    return f"{head} + changes" if changed else head


def peer_versions(python: Path) -> dict[str, str]:
    """Versions of the peers' libraries in another environment; {} when it does not answer."""
    code = (
        "import importlib.metadata as m, json\n"
        f"names = {PEERS!r}\n"
        "have = {(d.metadata['Name'] or '').lower() for d in m.distributions()}\n"
        "print(json.dumps({n: m.version(n) for n in names if n in have}))"
    )
    try:
        done = subprocess.run(
            [str(python), "-c", code], capture_output=True, text=True, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return {}
    found: dict[str, str] = json.loads(done.stdout)
    return found


def _model_facts(model: Path) -> dict[str, Any]:
    import onnxruntime as ort

    content = model.read_bytes()
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    metadata = read_metadata(session.get_modelmeta().custom_metadata_map, str(model))
    return {
        "model": f"{metadata.name} ({metadata.head.value}, {len(metadata.classes)} classes)",
        "model bytes": len(content),
        "model sha256": digest(content),
        "precision": _precision(model, session.get_inputs()[0].type),
        "input size": f"{metadata.size[0]}x{metadata.size[1]}",
        "energy counter": "RAPL" if measuring.energy_j() is not None else "none readable here",
    }


def digest(content: bytes) -> str:
    """Enough of a file's SHA-256 to distinguish it from others."""
    return hashlib.sha256(content).hexdigest()[:16]


def of_the_four(files: Mapping[Task, Path]) -> dict[str, Any]:
    """Which files the trained single-task models are."""
    return {"sha256 of the four": {t.value: digest(f.read_bytes()) for t, f in files.items()}}


def _precision(model: Path, input_type: str) -> str:
    """What the weights are kept in; only the input's type where ``onnx`` is not installed."""
    try:
        import onnx
    except ModuleNotFoundError:
        return f"input {input_type} (install onnx to see the weights' type)"
    graph = onnx.load(model).graph
    counts: dict[int, int] = {}
    for weight in graph.initializer:
        size = 1
        for side in weight.dims:
            size *= side
        counts[weight.data_type] = counts.get(weight.data_type, 0) + size
    most = max(counts, key=lambda kind: counts[kind])
    return f"weights {onnx.TensorProto.DataType.Name(most).lower()}, input {input_type}"


def _clip_facts(clip: str) -> str:
    with open_stream(clip) as stream:
        frame = next(iter(stream))
        rate = f"{float(stream.frame_rate):.3g} fps" if stream.frame_rate else "no declared rate"
        count = stream.frame_count
        return f"{Path(clip).name}, {frame.size[0]}x{frame.size[1]}, {rate}, {count} frames"


def versions(names: tuple[str, ...]) -> dict[str, str]:
    """Of distributions, as far as they are installed."""
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _git(*words: str) -> str:
    try:
        done = subprocess.run(
            ["git", *words], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _printable(word: str) -> str:
    """A path as seen from the clone, or its name alone: no home folder in a results file."""
    path = Path(word)
    if not path.is_absolute():
        return word
    if path.is_relative_to(ROOT):
        return str(path.relative_to(ROOT))
    return f"…/{path.name}"
