import math
import os
from pathlib import Path

import pytest

from crnnkit.serving import threads
from crnnkit.serving.threads import cpu_quota, usable_cores

LIMITS = [
    # where this process is, the files of its groups, cores allowed
    ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),  # a container's own view, v2
    ("0::/\n", {"cpu.max": "max 100000\n"}, math.inf),  # v2 without a limit
    ("0::/a/b\n", {"a/cpu.max": "50000 100000\n", "a/b/cpu.max": "max 100000\n"}, 0.5),  # outer
    ("0::/a/b\n", {"a/cpu.max": "400000 100000\n", "a/b/cpu.max": "200000 100000\n"}, 2.0),
    ("0::/host/path\n", {"cpu.max": "300000 100000\n"}, 3.0),  # the host's path, not visible here
    (
        "4:memory:/x\n3:cpu,cpuacct:/x\n0::/\n",
        {"cpu,cpuacct/x/cpu.cfs_quota_us": "250000\n", "cpu,cpuacct/x/cpu.cfs_period_us": "100000"},
        2.5,
    ),  # v1
    ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, math.inf),
    ("2:cpuset:/x\n", {"cpuset/x/cpu.max": "100000 100000\n"}, math.inf),  # not the CPU's time
    ("0::/\n", {}, math.inf),  # the root group has no limit and no file
]


@pytest.mark.parametrize(("membership", "files", "cores"), LIMITS)
def test_the_least_limit_around_this_process_counts(tmp_path, membership, files, cores):
    (tmp_path / "membership").write_text(membership, encoding="utf-8")
    mount = tmp_path / "mount"
    for name, content in files.items():
        (mount / name).parent.mkdir(parents=True, exist_ok=True)
        (mount / name).write_text(content, encoding="utf-8")
    assert cpu_quota(tmp_path / "membership", mount) == cores


def test_without_control_groups_there_is_no_limit(tmp_path):
    assert cpu_quota(tmp_path / "none", tmp_path) == math.inf


@pytest.mark.parametrize(("quota", "cores"), [(2.9, 2), (0.3, 1), (math.inf, 4), (9.0, 4)])
def test_threads_are_whole_cores_and_at_least_one(monkeypatch, quota, cores):
    monkeypatch.setattr(threads, "cpu_quota", lambda: quota)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4)), raising=False)
    assert usable_cores() == cores


@pytest.mark.skipif(not Path("/proc/self/cgroup").exists(), reason="not run: no control groups")
def test_this_machine_allows_some_core():
    assert 1 <= usable_cores() <= os.cpu_count()
