"""How many cores this process may keep busy, containers' limits included."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

MEMBERSHIP = Path("/proc/self/cgroup")
MOUNT = Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """The cores of this process's affinity, or of a container's CPU quota where that is less."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return max(1, int(min(cores, cpu_quota())))


def cpu_quota(membership: Path = MEMBERSHIP, mount: Path = MOUNT) -> float:
    """Cores' worth of CPU time that control groups allow this process; infinite without a limit.

    Linux kernel documentation: cgroup v2, `cpu.max`; v1, `cpu.cfs_quota_us` by
    `cpu.cfs_period_us`, where -1 is no limit. A group's limit holds for the groups within it.
    """
    return min(map(_quota_of, _groups(membership, mount)), default=math.inf)


def _groups(membership: Path, mount: Path) -> Iterator[Path]:
    """Folders of this process's groups and of those around them, as far as they are visible.

    Inside a container the path may be the host's; then the mount itself is the group.
    """
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except OSError:  # no Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = mount / controllers
        group = root / path.lstrip("/")
        yield group
        yield from (parent for parent in group.parents if parent.is_relative_to(root))


def _quota_of(group: Path) -> float:
    """Cores that one group allows; infinite where its files are missing or say no limit."""
    try:
        if (group / "cpu.max").exists():
            quota, period = (group / "cpu.max").read_text(encoding="utf-8").split()
        else:
            quota = (group / "cpu.cfs_quota_us").read_text(encoding="utf-8")
            period = (group / "cpu.cfs_period_us").read_text(encoding="utf-8")
    except OSError:
        return math.inf
    unlimited = quota == "max" or float(quota) < 0
    return math.inf if unlimited else float(quota) / float(period)
