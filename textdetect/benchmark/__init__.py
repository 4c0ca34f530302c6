"""How fast this install is, beside others on the same weights and the limits of this machine.

It says nothing of how well a model detects, nor of a machine that is busy. See docs/speed.md.
"""

from textdetect.benchmark.measure import bench
from textdetect.benchmark.posts import KINDS, made_posts
from textdetect.benchmark.results import (
    Benchmark,
    ColdStart,
    Growth,
    Limit,
    Speed,
    Spread,
    write_json,
)

__all__ = [
    "KINDS",
    "Benchmark",
    "ColdStart",
    "Growth",
    "Limit",
    "Speed",
    "Spread",
    "bench",
    "made_posts",
    "write_json",
]
