from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from oneglance.models.cpus import available_cpus

ALLOWED = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()

needs_two = pytest.mark.skipif((ALLOWED or 1) < 2, reason="needs two CPUs to tell a limit")


def own(tmp_path: Path, memberships: str, mounts: str) -> int:
    """What is available to a process of which ``/proc/self`` says this."""
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "cgroup").write_text(memberships)
    (tmp_path / "proc" / "mountinfo").write_text(mounts)
    return available_cpus(tmp_path / "none", proc=tmp_path / "proc")


def limit(folder: Path, text: str) -> None:
    """A quota in the form of cgroup v2, or in that of v1 where the text is one number."""
    folder.mkdir(parents=True, exist_ok=True)
    if " " in text:
        (folder / "cpu.max").write_text(text + "\n")
    else:
        (folder / "cpu.cfs_quota_us").write_text(text + "\n")
        (folder / "cpu.cfs_period_us").write_text("100000\n")


def test_without_a_quota_it_is_what_the_affinity_mask_allows(tmp_path: Path) -> None:
    assert available_cpus(tmp_path, proc=tmp_path) == ALLOWED


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        ("50000 100000", 1),
        ("100000 100000", 1),
        ("9900000 100000", ALLOWED),
        ("max 100000", ALLOWED),
    ],
)
def test_a_cgroup_v2_quota_caps_it(tmp_path: Path, quota: str, expected: Any) -> None:
    (tmp_path / "cpu.max").write_text(quota)
    assert available_cpus(tmp_path, proc=tmp_path) == expected


def test_a_cgroup_v1_quota_caps_it(tmp_path: Path) -> None:
    limit(tmp_path / "cpu", "100000")
    assert available_cpus(tmp_path, proc=tmp_path) == 1


@needs_two
@pytest.mark.parametrize("limited", ["system.slice/job.service/worker", "system.slice"])
def test_a_quota_of_its_own_cgroup_or_of_one_above_counts_in_v2(
    tmp_path: Path, limited: str
) -> None:
    mount = tmp_path / "sys fs"
    for folder in ("system.slice", "system.slice/job.service", "system.slice/job.service/worker"):
        limit(mount / folder, "50000 100000" if folder == limited else "max 100000")
    escaped = str(mount).replace(" ", "\\040")
    mounts = f"31 23 0:28 / {escaped} rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
    assert own(tmp_path, "0::/system.slice/job.service/worker\n", mounts) == 1


@needs_two
@pytest.mark.parametrize("limited", ["a/b", "a"])
def test_a_quota_of_its_own_cgroup_or_of_one_above_counts_in_v1(
    tmp_path: Path, limited: str
) -> None:
    mount = tmp_path / "cpu,cpuacct"
    for folder in ("a", "a/b"):
        limit(mount / folder, "50000" if folder == limited else "-1")
    mounts = (
        f"32 31 0:29 / {tmp_path}/memory rw - cgroup cgroup rw,memory\n"
        f"33 31 0:30 / {mount} rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
        f"34 31 0:31 / {tmp_path}/unified rw - cgroup2 cgroup2 rw\n"
    )
    assert own(tmp_path, "3:memory:/other\n2:cpu,cpuacct:/a/b\n0::/\n", mounts) == 1


@needs_two
@pytest.mark.parametrize("group", ["/docker/abc", "/docker/abc/child", "/elsewhere", "/../.."])
def test_a_container_finds_the_group_that_is_mounted_for_it(tmp_path: Path, group: str) -> None:
    mount = tmp_path / "cgroup"
    limit(mount, "100000 100000")
    mounts = f"31 23 0:28 /docker/abc {mount} ro - cgroup2 cgroup rw\n"
    assert own(tmp_path, f"0::{group}\n", mounts) == 1


@needs_two
def test_another_group_s_quota_is_no_limit(tmp_path: Path) -> None:
    limit(tmp_path / "cgroup" / "neighbour", "50000 100000")
    mounts = f"31 23 0:28 / {tmp_path}/cgroup ro - cgroup2 cgroup rw\n"
    assert own(tmp_path, "0::/mine\n", mounts) == ALLOWED


@pytest.mark.parametrize("text", ["", "nonsense\n", "0::\n", "1:cpu\n::::\n"])
def test_what_cannot_be_understood_is_no_limit(tmp_path: Path, text: str) -> None:
    assert own(tmp_path, text, text) == ALLOWED


@pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="this platform has no CPU affinity"
)
def test_a_narrower_affinity_mask_is_followed(tmp_path: Path) -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert available_cpus(tmp_path, proc=tmp_path) == 1
    finally:
        os.sched_setaffinity(0, before)
