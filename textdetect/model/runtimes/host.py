"""What this machine gives a process: cores, processor features, memory."""

from __future__ import annotations

import ctypes
import math
import os
import platform
from contextlib import suppress
from pathlib import Path
from typing import Any

_share: list[int] = []


def share_cores(cores: int) -> None:
    """Let this process use at most `cores`; for a worker process, before it loads an engine.

    onnxruntime is told by `available_cores`; torch and tokenizers, which each read a variable of
    the environment when they are loaded, by that.
    """
    _share[:] = [cores]
    os.environ["OMP_NUM_THREADS"] = os.environ["RAYON_NUM_THREADS"] = str(cores)


def available_cores() -> int:
    """Cores that this process may use: its affinity mask, cut to its cgroup's quota and its share.

    >>> available_cores() >= 1
    True
    """
    affinity = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))
    cores = len(affinity(0))
    with suppress(OSError, ValueError):  # no cgroup v2, or no quota ("max")
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        cores = min(cores, math.ceil(int(quota) / int(period)))
    return max(1, min([cores, *_share]))


def processor_features() -> list[str]:
    """Instruction sets that decide how fast, and in which numerics, a model runs."""
    x86 = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "avx_vnni", "amx_int8", "amx_bf16")
    arm = ("bf16", "i8mm", "sve")
    flags = (_cpuinfo("flags") or _cpuinfo("Features")).split()
    return [platform.machine(), *(flag for flag in (*x86, *arm) if flag in flags)]


def has_bf16() -> bool:
    """Whether this processor multiplies in bf16; where it doesn't, torch's takes ten times as long.

    >>> isinstance(has_bf16(), bool)
    True
    """
    return bool({"avx512_bf16", "amx_bf16", "bf16"} & set(processor_features()))


def machine() -> dict[str, Any]:
    """Describe this machine in plain values: what a figure of speed must be read beside.

    >>> sorted(machine())
    ['cores_available', 'features', 'memory_gb', 'processor', 'threads']
    """
    return {
        "processor": _cpuinfo("model name") or platform.processor() or platform.machine(),
        "features": processor_features(),
        "threads": os.cpu_count(),
        "cores_available": available_cores(),
        "memory_gb": _memory_gb(),
    }


def return_freed_memory() -> None:
    """Give back to the system what was freed: glibc keeps it, 30 MB of it after a graph was read.

    >>> return_freed_memory()
    """
    with suppress(AttributeError, OSError, TypeError):  # other systems' libraries
        ctypes.CDLL(None).malloc_trim(0)


def peak_memory_mb() -> float | None:
    """Return the most memory that this process held at once, in MB; None where it can't be told."""
    # not getrusage where this is there: it counts what the parent held before exec, too
    with suppress(OSError, IndexError, ValueError):
        status = Path("/proc/self/status").read_text()
        return round(int(status.split("VmHWM:")[1].split()[0]) / 1024, 1)
    try:
        import resource
    except ImportError:  # Windows
        return None
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 1)  # bytes on macOS


def _cpuinfo(name: str) -> str:
    """Give what Linux says of the first core; "" elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


def _memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):  # no sysconf on Windows
        return None
