import os

import pytest

from oneglance.models.cpus import available_cpus

ALLOWED = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def test_without_a_quota_it_is_what_the_affinity_mask_allows(tmp_path):
    assert available_cpus(tmp_path) == ALLOWED


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        ("50000 100000", 1),
        ("100000 100000", 1),
        ("9900000 100000", ALLOWED),
        ("max 100000", ALLOWED),
    ],
)
def test_a_cgroup_v2_quota_caps_it(tmp_path, quota, expected):
    (tmp_path / "cpu.max").write_text(quota)
    assert available_cpus(tmp_path) == expected


def test_a_cgroup_v1_quota_caps_it(tmp_path):
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("100000\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert available_cpus(tmp_path) == 1


@pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="this platform has no CPU affinity"
)
def test_a_narrower_affinity_mask_is_followed(tmp_path):
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert available_cpus(tmp_path) == 1
    finally:
        os.sched_setaffinity(0, before)
