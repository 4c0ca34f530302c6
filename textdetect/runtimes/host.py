"""What this machine gives a process: cores and processor features."""

from __future__ import annotations

import math
import os
import platform
from pathlib import Path


def available_cores() -> int:
    """Cores that this process may use: its affinity mask, cut to its cgroup's quota.

    >>> available_cores() >= 1
    True
    """
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        cores = min(cores, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError):  # no cgroup v2, or no quota ("max")
        pass
    return max(1, cores)


def processor_features() -> list[str]:
    """Instruction sets that decide how fast, and in which numerics, a model runs."""
    wanted = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "avx_vnni", "amx_int8", "amx_bf16")
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return [platform.machine()]
    flags = next((line.split(":")[1].split() for line in lines if line.startswith("flags")), [])
    return [platform.machine(), *(flag for flag in wanted if flag in flags)]
