"""Compare this library's speed with others on the same weights, and with this machine's limits.

python training/speed.py [MODEL] [--seconds N] [--full] [--json] [--out FILE]

All have the available cores, the same texts and the same truncation. In each round all score the
same posts one after the other, beside the machine's matrix products, and ratios are taken within a
round. `textdetect bench` measures what a user of this install sees; see docs/speed.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Self, cast

import numpy as np
from limits import UNITS, Limit, Shape, disk, matrix_peaks, parsers
from numpy.typing import NDArray

from textdetect._ground.files import write_atomically
from textdetect._ground.optional import require
from textdetect.cli.tables import show, show_pairs
from textdetect.errors import InvalidInput, MissingDependency, TextdetectError
from textdetect.evaluation.benchmark import KINDS, made_posts
from textdetect.evaluation.benchmark.measure import (
    MOST_POSTS,
    Run,
    by_runtime,
    smallest_rate,
    take_turns,
)
from textdetect.evaluation.benchmark.results import Spread
from textdetect.model.checkpoint import GRAPH, Checkpoint
from textdetect.model.detector import Detector
from textdetect.model.runtimes.batching import pad, padded_length
from textdetect.model.runtimes.graph import light_tokenizer
from textdetect.model.runtimes.hf import HfRuntime
from textdetect.model.runtimes.host import available_cores, machine
from textdetect.model.runtimes.protocol import Runtime
from textdetect.posts.text import normalise

BATCH_SIZES: Final = (1, 8, 32, 64)
"""Of the transformers pipeline; 1 is what it does unless told otherwise."""
PIPELINE: Final = "pipeline, batch "
_ARRIVAL_BATCH: Final = 32
_COLUMNS: Final = (
    *("", "what", "median (low–high)", "unit"),
    *("× pipeline 1", "× pipeline best", "of peak", "n"),
)
_Run = Callable[[list[str]], Sized]

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("model", nargs="?", default="default")
parser.add_argument(
    "--seconds", type=float, help="about how long (default: 60, or 600 with --full)"
)
parser.add_argument("--full", action="store_true", help="more rounds, and torch.compile")
parser.add_argument("--seed", type=int, default=0, help="of the posts")
parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
parser.add_argument("--out", help="JSON file of the figures")


@dataclass(frozen=True, slots=True)
class Scorer:
    """One that scores posts.

    Attributes:
        run: texts → as many answers.
        raw: takes posts as they are written; the others get them normalised.
        number_type: "fp32", "bf16" or "int8", of one whose padding is ours, so that its operations
            can be counted; None otherwise.
        batch_size: posts that it wants at once, at least.
    """

    run: _Run
    raw: bool = False
    number_type: str | None = None
    batch_size: int = 1


@dataclass(frozen=True, slots=True)
class Compared:
    """How fast one scored one kind of posts.

    Attributes:
        posts, runtime: the kind, and who.
        n_posts, n_rounds: posts a round, the same for all; and rounds.
        mean_tokens: of a post, special ones and padding included.
        posts_per_s: over the rounds.
        ratio: to the transformers pipeline at batch size 1 in the same round; None without it.
        ratio_best: to the fastest batch size of that pipeline in the same round.
        share_of_peak: of what this machine's matrix products of the same number type reached in the
            same round, in [0, 1] but for noise; None where that is not known.
    """

    posts: str
    runtime: str
    n_posts: int
    n_rounds: int
    mean_tokens: float
    posts_per_s: Spread
    ratio: Spread | None
    ratio_best: Spread | None
    share_of_peak: Spread | None


@dataclass(frozen=True, slots=True)
class Cost:
    """What a post's cost is counted with.

    Attributes:
        tokenizer: see `runtimes.graph.light_tokenizer`.
        max_length: tokens that the model reads.
        shape: of the model; None where it is not known.
        peaks: number type → what measures its peak, in 10⁹ operations a second.
    """

    tokenizer: Any
    max_length: int
    shape: Shape | None
    peaks: Mapping[str, Callable[[], float]]

    @classmethod
    def of(cls, checkpoint: Checkpoint, skipped: dict[str, str]) -> Self:
        """Prepare it; without the model's sizes there are no peaks."""
        shape = Shape.of(checkpoint.config)
        if shape is None:
            skipped["share of the peak"] = "config.json names no layers, hidden and intermediate"
        peaks, missing = matrix_peaks(shape) if shape else ({}, {})
        skipped |= missing
        length = max_length(checkpoint)
        return cls(light_tokenizer(checkpoint.folder, length), length, shape, peaks)

    def padded(self, prepared: Sequence[str]) -> list[int]:
        """Count each text's tokens, special ones and our padding included."""
        encoded = self.tokenizer.encode_batch_fast(list(prepared))
        return [padded_length(len(each.ids), self.max_length) for each in encoded]


def main() -> None:
    """Measure, and print or write what was found."""
    asked = parser.parse_args()
    seconds = asked.seconds or (600.0 if asked.full else 60.0)
    speeds, limits, skipped = compare(
        asked.model, seconds=seconds, full=asked.full, seed=asked.seed
    )
    found: dict[str, Any] = {
        "machine": machine(),
        "speeds": [dataclasses.asdict(speed) for speed in speeds],
        "limits": [dataclasses.asdict(limit) for limit in limits],
        "skipped": skipped,
    }
    text = json.dumps(found, indent=1, ensure_ascii=False)
    if asked.out:
        write_atomically(Path(asked.out), f"{text}\n".encode())
    if asked.json:
        print(text)
        return
    show_pairs("this machine", found["machine"])
    show("speed", rows(speeds, limits))
    show_pairs("not measured", skipped)


def compare(
    model: str | os.PathLike[str], *, seconds: float, full: bool = False, seed: int = 0
) -> tuple[list[Compared], list[Limit], dict[str, str]]:
    """Measure all that score, and the limits; and say what was skipped, and why."""
    until_s = time.perf_counter() + seconds
    skipped: dict[str, str] = {}
    rounds: dict[str, list[float]] = {}
    speeds: list[Compared] = []
    detector = Detector.from_pretrained(model)
    checkpoint = detector.checkpoint
    if checkpoint is None:
        raise InvalidInput(f"{model} is no checkpoint")
    with tempfile.TemporaryDirectory() as name, all_cores():
        folder = Path(name)
        limits = [*parsers(folder), disk(folder)]
        cost = Cost.of(checkpoint, skipped)
        scorers = ours(detector, skipped) | peers(checkpoint, cost.tokenizer, skipped, slow=full)
        for place, kind in enumerate(KINDS):
            left_s = until_s - time.perf_counter()
            found, peaks = race(
                kind,
                scorers,
                cost,
                rounds=7 if full else 3,
                seconds=left_s / (len(KINDS) - place),
                seed=seed,
                skipped=skipped,
            )
            speeds += found
            for number, values in peaks.items():
                rounds.setdefault(number, []).extend(values)
    products = [
        Limit(f"matrix products, {name}", UNITS[name], len(values), Spread.of(values))
        for name, values in rounds.items()
    ]
    return speeds, [*products, *limits], skipped


def race(
    kind: str,
    scorers: Mapping[str, Scorer],
    cost: Cost,
    *,
    rounds: int,
    seconds: float,
    seed: int,
    skipped: dict[str, str],
) -> tuple[list[Compared], dict[str, list[float]]]:
    """Let all score the same posts in turn, as many as fit into the time.

    Args:
        kind: one of `benchmark.KINDS`.
        scorers: name → who; those that want more posts at once than fit are skipped.
        rounds: times that each scores the same posts; fewer if it is late.
        seconds: for all rounds; there is one of eight posts even if there is no time.
        seed: of the posts.
        skipped: takes up why one is not there.

    Returns:
        A `Compared` for each, and for each number type its peak in each round.

    Raises:
        TextdetectError: one does not answer for every post.
    """
    deadline_s = time.perf_counter() + seconds
    posts = made_posts(kind, MOST_POSTS, seed=seed)
    prepared = [normalise(post) for post in posts]
    runs: dict[str, Run] = {}
    for name, scorer in scorers.items():
        texts = posts if scorer.raw else prepared
        if len(scorer.run(texts[:2])) != 2:
            raise TextdetectError(f"{name} does not answer for every post")
        runs[name] = scorer.run, texts
    peaks: dict[str, list[float]] = {name: [] for name in cost.peaks}

    def measure_peaks() -> None:
        for name, measure in cost.peaks.items():
            peaks[name].append(measure())

    n_posts, rates = take_turns(
        runs,
        rounds=rounds,
        deadline_s=deadline_s,
        each_round=measure_peaks,
        fits=lambda name, n: n >= scorers[name].batch_size,
    )
    for name in set(runs) - set(rates):
        skipped[f"{name}, {kind} posts"] = f"only {n_posts} posts a round fit into the time"
    tokens = cost.padded(prepared[:n_posts])
    billions = sum(map(cost.shape.flops, tokens)) / n_posts / 1e9 if cost.shape else None
    pipelines = [rates[name] for name in rates if name.startswith(PIPELINE)]
    base, best = rates.get(f"{PIPELINE}1"), np.max(pipelines, axis=0) if pipelines else None
    speeds = [
        Compared(
            posts=kind,
            runtime=name,
            n_posts=n_posts,
            n_rounds=len(each),
            mean_tokens=round(float(np.mean(tokens)), 1),
            posts_per_s=Spread.of(each),
            ratio=_ratio(each, base),
            ratio_best=_ratio(each, best),
            share_of_peak=_ratio(each, peaks.get(scorers[name].number_type or ""), times=billions),
        )
        for name, each in rates.items()
    ]
    return speeds, peaks


def _ratio(each: Sequence[float], others: Any, *, times: float | None = 1.0) -> Spread | None:
    """Divide round by round; None where there is nothing to divide by, or no cost is known."""
    if others is None or times is None:
        return None
    return Spread.of((np.multiply(each, times) / others).tolist())


def rows(speeds: Sequence[Compared], limits: Sequence[Limit]) -> list[dict[str, str]]:
    """Give the rows of the table, all with the same columns."""

    def told(spread: Spread | None, form: str) -> str:
        return "" if spread is None else f"{spread:{form}}"

    found = [
        (
            *(speed.posts, speed.runtime, f"{speed.posts_per_s:,.1f}", "posts/s"),
            *(told(speed.ratio, ".2f"), told(speed.ratio_best, ".2f")),
            *(told(speed.share_of_peak, ".0%"), f"{speed.n_rounds} × {speed.n_posts:,}"),
        )
        for speed in speeds
    ]
    for limit in limits:
        value = f"{limit.value:,.0f}"
        found.append(("limits", limit.name, value, limit.unit, "", "", "", f"{limit.n}"))
    return [dict(zip(_COLUMNS, row, strict=True)) for row in found]


def ours(detector: Detector, skipped: dict[str, str]) -> dict[str, Scorer]:
    """Give `Detector.predict` by each runtime that has a calibration."""
    rate = smallest_rate(detector)
    return {
        name: Scorer(
            cast(_Run, partial(each.predict, max_fpr=rate, progress=False)),
            raw=True,
            number_type=number_type(each.numerics),
        )
        for name, each in by_runtime(detector, skipped).items()
    }


def number_type(numerics: str) -> str | None:
    """Tell the number type of a numerics class; None where it is none whose peak is measured.

    >>> number_type("onnxruntime-fp32"), number_type("stub")
    ('fp32', None)
    """
    return next((part for part in numerics.split("-") if part in ("fp32", "bf16", "int8")), None)


def max_length(checkpoint: Checkpoint) -> int:
    """Tell how many tokens a model reads."""
    return checkpoint.manifest.max_length if checkpoint.manifest else 512


def peers(
    checkpoint: Checkpoint, tokenizer: Any, skipped: dict[str, str], *, slow: bool = False
) -> dict[str, Scorer]:
    """Give the others on the same weights, a bag of words, and the tokenizer by itself.

    Args:
        checkpoint: one of ours.
        tokenizer: see `runtimes.graph.light_tokenizer`.
        skipped: takes up why one is not there.
        slow: also those that take minutes to get ready.
    """
    makers: dict[str, Callable[[], Scorer | dict[str, Scorer]]] = {
        "pipeline": lambda: _pipelines(checkpoint),
        "torch, sorted batches": lambda: _alone(HfRuntime(checkpoint), "fp32"),
        "torch.compile, bf16": lambda: _compiled(checkpoint),
        "onnxruntime, as they come": lambda: _onnxruntime(checkpoint, tokenizer),
        "bag of words": _bag_of_words,
        "tokenizer alone": lambda: Scorer(tokenizer.encode_batch_fast),
    }
    found: dict[str, Scorer] = {}
    for name, make in makers.items():
        if name.startswith("torch.compile") and not slow:
            skipped[name] = "takes minutes to compile: ask for it with --full"
            continue
        try:
            made = make()
            found |= made if isinstance(made, dict) else {name: made}
        except (TextdetectError, RuntimeError) as error:  # compilers and engines fail with these
            skipped[name] = (str(error).splitlines() or [type(error).__name__])[0]
    return found


@contextmanager
def all_cores() -> Iterator[None]:
    """Let torch, if it is there, use the available cores."""
    try:
        torch = require("torch", extra="train")
    except MissingDependency:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(available_cores())
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _pipelines(checkpoint: Checkpoint) -> dict[str, Scorer]:
    """Give a transformers text-classification pipeline in fp32, at each batch size."""
    torch, transformers = require("torch", extra="train"), require("transformers", extra="train")
    name, length = str(checkpoint.folder), max_length(checkpoint)
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
    return {
        f"{PIPELINE}{size}": Scorer(
            partial(pipeline, batch_size=size, truncation=True, max_length=length), batch_size=size
        )
        for size in BATCH_SIZES
    }


class _Compiled(HfRuntime):
    """Torch in bf16, compiled."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint)
        self._model = self._torch.compile(self._model.bfloat16(), dynamic=True)


def _compiled(checkpoint: Checkpoint) -> Scorer:
    runtime = _Compiled(checkpoint)
    for kind in ("short", "long"):  # compiles, or says why it can't
        runtime.run([normalise(post) for post in made_posts(kind, 16)])
    return _alone(runtime, "bf16")


def _alone(runtime: Runtime, number_type: str) -> Scorer:
    """Give a runtime with our batches, without normalisation, languages or verdicts."""
    return Scorer(lambda texts: runtime.run(texts).logits, number_type=number_type)


def _onnxruntime(checkpoint: Checkpoint, tokenizer: Any) -> Scorer:
    """Give onnxruntime as one would write it: 32 posts as they come, padded to their longest."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = available_cores()
    session = onnxruntime.InferenceSession(
        str(checkpoint.folder / GRAPH), options, providers=["CPUExecutionProvider"]
    )
    pad_id = int(checkpoint.config.get("pad_token_id") or 0)

    def run(texts: list[str]) -> NDArray[np.float64]:
        ids = [encoding.ids for encoding in tokenizer.encode_batch_fast(texts)]
        logits = np.empty(len(ids))
        for first in range(0, len(ids), _ARRIVAL_BATCH):
            rows = np.arange(first, min(first + _ARRIVAL_BATCH, len(ids)))
            width = max(len(ids[row]) for row in rows)
            input_ids, mask = pad(ids, rows, width, pad_id=pad_id)
            out = session.run(["logits"], {"input_ids": input_ids, "attention_mask": mask})[0]
            logits[rows] = out[:, 1] - out[:, 0]
        return logits

    return Scorer(run)


def _bag_of_words() -> Scorer:
    """Give n-grams and a logistic regression, fitted on made posts: it learns nothing of use."""
    from textdetect.evaluation.baselines import BagOfWords

    texts = [normalise(post) for post in made_posts("short", 200, seed=1)]
    return Scorer(BagOfWords().fit(texts, [0, 1] * 100).score)


if __name__ == "__main__":
    main()
