"""How fast this install is on this machine: posts a second, latency, memory, files.

It says nothing of how well a model detects, nor of a machine that is busy. See docs/speed.md.
"""

from textdetect.benchmark.measure import bench
from textdetect.benchmark.posts import KINDS, made_posts
from textdetect.benchmark.results import Benchmark, write_json

__all__ = ["KINDS", "Benchmark", "bench", "made_posts", "write_json"]
