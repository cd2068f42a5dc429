"""The circumstances a number was measured in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from benchmarks import facts
from oneglance.models.zoo import DEFAULT, resolve_model
from waiting import wait_until


@pytest.fixture(scope="module")
def gathered(drive: Path) -> dict[str, object]:
    return facts.gather(resolve_model(DEFAULT), str(drive))


def test_every_fact_that_a_number_needs_is_there(gathered: dict[str, object]) -> None:
    for name in ("command", "commit", "date", "device", "CPUs allowed", "CPUs busy before"):
        assert gathered[name] not in {"", None}
    libraries = gathered["libraries"]
    assert isinstance(libraries, dict)
    assert libraries["onnxruntime"][0].isdigit()
    assert gathered["input size"] == "640x384"
    assert str(gathered["clip"]).startswith("drive.mp4, ")
    assert str(gathered["clip"]).endswith(", 8 frames")


def test_no_folder_of_the_users_gets_into_the_facts(
    gathered: dict[str, object], drive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert str(drive.parent) not in str(gathered)
    inside = facts.ROOT / "models" / "zoo"
    monkeypatch.setattr(sys, "argv", ["/home/me/throughput.py", "--model", str(inside), "-x"])
    words = [facts._printable(word) for word in sys.argv]
    assert words == ["…/throughput.py", "--model", "models/zoo", "-x"]


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="Linux reports who is busy")
def test_a_machine_that_somebody_else_keeps_busy_is_heard() -> None:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
        try:
            wait_until(lambda: psutil.Process(other.pid).cpu_times().user > 0.1)
            busy = facts.busy_cpus(0.5)
        finally:
            other.kill()
    assert busy is not None
    assert busy > facts.BUSY_CPUS


def test_a_results_folder_is_named_for_day_and_device() -> None:
    folder = facts.folder_today()
    assert folder.parent == facts.RESULTS
    assert folder.name[:10].replace("-", "").isdigit()
    assert folder.name.replace("-", "").isalnum()


@pytest.mark.parametrize(
    ("found", "limit", "is_there"),
    [
        (("avx2", "avx512_vnni"), "", True),
        (("avx2", "avx512_bf16"), "AVX512_CORE_BF16", True),
        (("avx2", "avx512_vnni"), "avx2", False),
        (("avx", "avx2"), "", False),
        ((), "", False),
    ],
)
def test_a_goal_for_low_precision_is_set_where_the_cpu_has_it_and_no_limit_takes_it_away(
    found: tuple[str, ...], limit: str, is_there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts, "instruction_sets", lambda: found)
    monkeypatch.setenv(facts.ISA_LIMIT, limit)
    assert facts.computes_low_precision() is is_there
    words = facts.described_instruction_sets()
    assert words.startswith(" ".join(found) or "unknown")
    assert (limit in words) or not limit
