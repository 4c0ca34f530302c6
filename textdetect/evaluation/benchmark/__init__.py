"""How fast this install is on this machine: posts a second, latency, memory; docs/speed.md."""

from textdetect.evaluation.benchmark.measure import bench
from textdetect.evaluation.benchmark.posts import KINDS, made_posts
from textdetect.evaluation.benchmark.results import Benchmark, write_json

__all__ = ["KINDS", "Benchmark", "bench", "made_posts", "write_json"]
