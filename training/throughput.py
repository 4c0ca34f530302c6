"""Compare how fast posts go through files and through memory.

python training/throughput.py [MODEL] [--data FOLDER] [--source NAME] [--runtimes NAME ...]
python training/throughput.py --rows 1000000

Distinct posts of a source are judged by `Detector.predict`, and Parquet to Parquet by a worker a
core; the start of the workers counts. With --rows a stub stands for the model, the languages are
given and the posts are made, so that what is left is reading, normalising, judging and writing.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from textdetect.bulk import score_files
from textdetect.model.detector import Detector
from textdetect.model.runtimes import StubRuntime
from textdetect.model.runtimes.host import available_cores

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("model", nargs="?", default="default")
parser.add_argument("--data", help="folder of Parquet files, one a source (or TEXTDETECT_DATA)")
parser.add_argument("--source", default="tweepfake")
parser.add_argument("--n-posts", type=int, default=20_000)
parser.add_argument("--runtimes", nargs="+", default=["onnx", "openvino"])
parser.add_argument("--rows", type=int, help="rows of made posts, with a stub for the model")
parser.add_argument("--seed", type=int, default=0)


def main() -> None:
    """Draw, judge, print."""
    from textdetect.evaluation.benchmark import (
        made_posts,  # here: a worker imports this file, and needs none
    )
    from textdetect.posts.corpus import load_posts
    from textdetect.training import corpus_folder

    arguments = parser.parse_args()
    if arguments.rows:
        humans = [f"so good to see you all again, for the {i}th time" for i in range(600)]
        stub = Detector(StubRuntime()).calibrate(humans, languages=["en"] * len(humans))
        texts = list(islice(cycle(made_posts("short", 50_000)), arguments.rows))
        compare("stub", stub, texts, language="en")
        return
    posts = load_posts(corpus_folder(arguments.data))
    ours = posts.column("source") == arguments.source
    own = sorted({text for text, of in zip(posts.texts, ours, strict=True) if text and of})
    order = np.random.default_rng(arguments.seed).permutation(len(own))
    texts = [own[i] for i in order[: arguments.n_posts]]
    for runtime in arguments.runtimes:
        compare(runtime, Detector.from_pretrained(arguments.model, runtime=runtime), texts)


def compare(
    name: str, detector: Detector, texts: list[str], *, language: str | None = None
) -> None:
    """Judge texts in memory, in files, and in memory again, so that a drift would show."""

    def in_memory() -> None:
        detector.predict(texts, language=language, progress=False)

    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "posts.parquet"
        pq.write_table(pa.table({"text": texts, "language": [language] * len(texts)}), source)

        def in_files() -> None:
            score_files(
                source,
                f"{folder}/scored/",
                detector=detector,
                language_column="language" if language else None,
                workers=available_cores(),
                progress=False,
            )

        peaks_mb, over = [0], threading.Event()
        watch = threading.Thread(target=_watch_workers, args=(peaks_mb, over))
        watch.start()
        before, files, after = (_rate(run, len(texts)) for run in (in_memory, in_files, in_memory))
        over.set()
        watch.join()
    print(
        f"{name}: {len(texts):,} posts; a second: in memory {before:,.0f} and {after:,.0f}, "
        f"in files {files:,.0f} ({files / np.mean([before, after]):.0%}); "
        f"a worker's peak {max(peaks_mb)} MB",
        flush=True,
    )


def _watch_workers(peaks_mb: list[int], over: threading.Event) -> None:
    """Note the largest peak of a child process, as Linux tells it."""
    while not over.wait(0.2):
        for children in Path("/proc/self/task").glob("*/children"):
            for pid in children.read_text().split():
                with suppress(OSError):  # it has just ended
                    said = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
                    peaks_mb.append(int(said[1]) // 1024 if said else 0)


def _rate(run: Callable[[], Any], n: int) -> float:
    start_s = time.perf_counter()
    run()
    return n / (time.perf_counter() - start_s)


if __name__ == "__main__":
    main()
