"""How fast this install is: posts a second, beside a transformers pipeline on the same weights.

The posts are made up here from lists of words, with a seed: of the lengths that posts have, and
without meaning. It says nothing of how well a model detects, nor of a machine that is busy.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from tqdm.auto import tqdm

from textdetect._optional import installed_version, installed_versions, require
from textdetect._version import __version__
from textdetect.checkpoint import find_folder, open_checkpoint
from textdetect.detector import Detector
from textdetect.errors import InvalidInput, TextdetectError
from textdetect.runtimes.host import available_cores, machine
from textdetect.text import normalise
from textdetect.types import Verdicts

ROUNDS: Final = 5
"""Times that each contender scores the same posts, in turn with the others; fewer if it is late."""
BATCH_SIZES: Final = (1, 8, 32)
"""Of the transformers pipeline; 1 is what it does unless told otherwise."""
_LIBRARIES: Final = ("numpy", "onnxruntime", "tokenizers", "torch", "transformers")
_LEAST_POSTS: Final = 8
_MOST_POSTS: Final = 2_048
_Contender = Callable[[list[str]], object]

_WORDS: Final = """
    the a an and but or so because when if to of in on at with for from about into over after i you
    he she we they it this that these my your our their his her is was are were be been have has
    had do does did not never always really just still again maybe will would can could should know
    think want need feel see say tell make take give find keep love hate miss wait walk talk read
    write cook eat drink sleep work play buy sell pay day week month year morning night today
    tomorrow time people friend family mother father child dog cat house room door window street
    city train car road food coffee bread music song film book story phone photo game team match
    school job money price weather rain snow sun summer winter good bad new old big small long
    short happy sad tired late early funny strange beautiful terrible great little much many more
"""
_CHINESE: Final = """
    我 你 他 她 我们 他们 这 那 的 了 在 是 有 不 没有 很 也 都 就 还 和 但是 因为 所以 如果
    今天 明天 昨天 早上 晚上 周末 朋友 家人 妈妈 孩子 老师 学校 公司 工作 时间 天气 下雨 夏天
    冬天 吃饭 喝咖啡 看书 看电影 买 卖 走 来 去 想 觉得 知道 喜欢 希望 等 说 做 给 房子 街 城市
    车站 手机 照片 音乐 比赛 价格 好 坏 新 老 大 小 高兴 累 晚 早 漂亮 有意思 真的 一直 再 一次
"""
_FIRST_VERDICT: Final = """
import sys
from textdetect import Detector
Detector.from_pretrained(sys.argv[1]).predict(sys.argv[2], max_fpr=float(sys.argv[3]))
from textdetect.runtimes.host import peak_memory_mb
print(peak_memory_mb())
"""


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of several measurements, and their smallest and largest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarise at least one value.

        >>> Spread.of([3.0, 1.0, 2.0])
        Spread(median=2.0, low=1.0, high=3.0)
        """
        return cls(float(np.median(values)), float(min(values)), float(max(values)))


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast one contender scored one kind of posts.

    Attributes:
        posts: "short", "chinese" or "long".
        contender: "textdetect" or "pipeline, batch 8".
        n_posts, n_rounds: posts a round, the same for every contender; and rounds.
        mean_tokens: tokens of a post that the model reads, special ones left out.
        posts_per_s: over the rounds.
        ratio: to the pipeline at batch size 1 in the same round; None without transformers.
    """

    posts: str
    contender: str
    n_posts: int
    n_rounds: int
    mean_tokens: float
    posts_per_s: Spread
    ratio: Spread | None


@dataclass(frozen=True, slots=True)
class ColdStart:
    """From the start of a fresh process to its first verdict.

    Attributes:
        n_runs: fresh processes.
        first_verdict_s: interpreter, imports, checksums and model included.
        peak_mb: most memory that the process held; None where it can't be told.
    """

    n_runs: int
    first_verdict_s: Spread
    peak_mb: float | None


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What `bench` measured, and where.

    Attributes:
        model, version, fingerprint, numerics: of the detector.
        machine: see `runtimes.host.machine`.
        libraries: name → version, "not installed" included.
        load_before: processes that wanted a core before it began (one-minute load average); None
            where it can't be told. See `busy`.
        cold_start, speeds: see their classes.
    """

    model: str
    version: str
    fingerprint: str
    numerics: str
    machine: dict[str, Any]
    libraries: dict[str, str]
    load_before: float | None
    cold_start: ColdStart
    speeds: tuple[Speed, ...]

    @property
    def busy(self) -> bool:
        """Whether others wanted more than half of the cores: then no figure is to be trusted."""
        return (self.load_before or 0.0) > 0.5 * int(self.machine["cores_available"])


def bench(
    model: str | os.PathLike[str] = "default",
    *,
    seconds: float = 50.0,
    seed: int = 0,
    progress: bool | None = None,
) -> Benchmark:
    """Measure `Detector.predict`, beside a transformers text-classification pipeline if installed.

    Each contender has all available cores. `predict` is timed with all that it does (normalisation
    and language identification included); the pipeline is given normalised texts, and cuts them
    where the model does. In each round, all contenders score the same posts one after the other.

    Args:
        model: embedded name, folder or hub id of a calibrated checkpoint.
        seconds: about how long it may take; below 15 or so, loading alone takes longer.
        seed: of the posts.
        progress: show a bar on stderr; None: if that is a terminal.

    Raises:
        InvalidInput: `seconds` is not positive.
        CheckpointError, NotCalibrated: the model can't be opened, or gives no verdicts.
        TextdetectError: a fresh process did not come to a verdict.

    >>> bench(seconds=20).cold_start.n_runs  # doctest: +SKIP
    2
    """
    if not seconds > 0:
        raise InvalidInput(f"seconds: expected a positive number, got {seconds!r}")
    deadline_s = time.perf_counter() + seconds
    load_before = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    n_starts = max(1, min(5, int(seconds // 10)))
    hidden = None if progress is None else not progress
    with tqdm(total=n_starts + len(KINDS) * ROUNDS, leave=False, disable=hidden) as bar:
        detector = Detector.from_pretrained(model)
        rate = max(0.01, detector.calibration.smallest if detector.calibration else 0.0)

        def judge(texts: list[str]) -> Verdicts:
            return detector.predict(texts, max_fpr=rate, progress=False)

        judge([])  # refuses a model that gives no verdicts
        cold_start = _cold_start(model, rate, n_starts, bar)
        speeds: list[Speed] = []
        with _pipelines(find_folder(model)) as pipelines:
            for place, kind in enumerate(KINDS):
                left_s = deadline_s - time.perf_counter()
                share_s = left_s / (len(KINDS) - place)
                speeds += _race(kind, judge, pipelines, share_s, seed, bar)
    return Benchmark(
        model=detector.name,
        version=detector.version,
        fingerprint=detector.fingerprint,
        numerics=detector.runtime.numerics,
        machine=machine(),
        libraries={"textdetect": __version__} | installed_versions(_LIBRARIES),
        load_before=load_before,
        cold_start=cold_start,
        speeds=tuple(speeds),
    )


def made_posts(kind: str, n: int, *, seed: int = 0) -> list[str]:
    """Make n posts without meaning: "short" and "long" of English words, "chinese" of Chinese ones.

    >>> len(made_posts("short", 3)), len(made_posts("long", 1)[0].split()) >= 250
    (3, True)
    """
    draw = random.Random(f"{kind} {seed}")
    return [KINDS[kind](draw) for _ in range(n)]


def _short(draw: random.Random) -> str:
    """Make a tweet: 5 to 35 words, at times with a mention, a link, a tag or an emoji."""
    words = draw.choices(_WORDS.split(), k=draw.randint(5, 35))
    for extra in ("@someone", "https://example.org/a1b2", "#monday", "😂"):
        if draw.random() < 0.2:
            words.insert(draw.randint(0, len(words)), extra)
    return " ".join(words) + draw.choice((".", "!", "?", ""))


def _chinese(draw: random.Random) -> str:
    """Make a Chinese post: one to six clauses of 3 to 10 words."""
    clauses = [
        "".join(draw.choices(_CHINESE.split(), k=draw.randint(3, 10)))
        for _ in range(draw.randint(1, 6))
    ]
    return "，".join(clauses) + "。"


def _long(draw: random.Random) -> str:
    """Make a text of 250 to 500 words: about as long as a model reads, or longer."""
    words = draw.choices(_WORDS.split(), k=draw.randint(250, 500))
    for end in range(0, len(words), 12):
        words[end] += "."
    return " ".join(words)


KINDS: Final[dict[str, Callable[[random.Random], str]]] = {
    "short": _short,
    "chinese": _chinese,
    "long": _long,
}
"""The kinds of posts that are scored, and what makes one."""


def _cold_start(model: str | os.PathLike[str], rate: float, n_runs: int, bar: Any) -> ColdStart:
    """Time fresh processes, one after the other, up to their first verdict."""
    bar.set_description("cold start")
    post = made_posts("short", 1)[0]
    command = [sys.executable, "-P", "-c", _FIRST_VERDICT, os.fspath(model), post, str(rate)]
    times, peaks = [], []
    for _ in range(n_runs):
        start_s = time.perf_counter()
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            line = process.stdout.readline() if process.stdout else ""
            times.append(time.perf_counter() - start_s)
            _, said = process.communicate()
        if not line:
            raise TextdetectError(
                f"a fresh process came to no verdict: {(said.splitlines() or ['no reason'])[-1]}"
            )
        peaks.append(None if line.strip() == "None" else float(line))
        bar.update()
    known = [peak for peak in peaks if peak is not None]
    return ColdStart(n_runs, Spread.of(times), max(known, default=None))


@contextmanager
def _pipelines(folder: Path) -> Iterator[dict[str, _Contender]]:
    """Give transformers pipelines over a checkpoint's weights, by name; none if not installed."""
    if not (installed_version("torch") and installed_version("transformers")):
        yield {}
        return
    torch, transformers = require("torch", extra="train"), require("transformers", extra="train")
    manifest = open_checkpoint(folder).manifest
    length = manifest.max_length if manifest else 512
    name = str(folder)
    pipeline = transformers.pipeline(
        "text-classification",
        model=transformers.AutoModelForSequenceClassification.from_pretrained(
            name, dtype=torch.float32, trust_remote_code=False, use_safetensors=True
        ).eval(),
        tokenizer=transformers.AutoTokenizer.from_pretrained(
            name, trust_remote_code=False, model_max_length=length
        ),
        device="cpu",
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(available_cores())
    try:
        yield {
            f"pipeline, batch {size}": partial(
                pipeline, batch_size=size, truncation=True, max_length=length
            )
            for size in BATCH_SIZES
        }
    finally:
        torch.set_num_threads(threads)


def _race(
    kind: str,
    judge: Callable[[list[str]], Verdicts],
    pipelines: dict[str, _Contender],
    share_s: float,
    seed: int,
    bar: Any,
) -> list[Speed]:
    """Let all contenders score the same posts in turn, as many as fit into `share_s` seconds."""
    bar.set_description(f"{kind} posts")
    deadline_s = time.perf_counter() + share_s
    posts = made_posts(kind, _MOST_POSTS, seed=seed)
    prepared = [normalise(post) for post in posts]
    contenders: dict[str, tuple[_Contender, list[str]]] = {"textdetect": (judge, posts)}
    contenders |= {name: (run, prepared) for name, run in pipelines.items()}
    for run, texts in contenders.values():  # the first call pays for what later ones find ready
        run(texts[:2])
    tried = sum(_timed(run, texts[:_LEAST_POSTS]) for run, texts in contenders.values())
    room_s = (deadline_s - time.perf_counter()) / (ROUNDS + 1)
    n_posts = int(np.clip(_LEAST_POSTS * room_s / tried, _LEAST_POSTS, _MOST_POSTS))
    mean_tokens = round(float(judge(posts[:n_posts]).n_tokens.mean()), 1)
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(ROUNDS):
        if number == 0 or time.perf_counter() < deadline_s:
            for name, (run, texts) in contenders.items():
                rates[name].append(n_posts / _timed(run, texts[:n_posts]))
        bar.update()
    base = rates.get(f"pipeline, batch {BATCH_SIZES[0]}")
    return [
        Speed(
            posts=kind,
            contender=name,
            n_posts=n_posts,
            n_rounds=len(each),
            mean_tokens=mean_tokens,
            posts_per_s=Spread.of(each),
            ratio=Spread.of(np.divide(each, base).tolist()) if base else None,
        )
        for name, each in rates.items()
    ]


def _timed(run: _Contender, texts: list[str]) -> float:
    start_s = time.perf_counter()
    run(texts)
    return time.perf_counter() - start_s
