"""Zero-shot metrics: what a causal language model makes of each token, as one score a text.

One forward pass a model gives five numbers a token (`TokenStatistics`); every metric is a few lines
of numpy over them. It knows nothing of thresholds, labels or normalisation: a text is read as it
comes. GLTR is Gehrmann, Strobelt, Rush 2019; DetectGPT is Mitchell et al. 2023.

The first token is context only, as in the papers' code: nothing stands before it that could predict
it. Where a tokenizer puts a token before each text by itself (Llama's <s>), that is the first
token, and every token of the text counts; where it does not (GPT-2), the text's first token does
not count, unless `bos=True` puts one there. A text with no token that counts has no score: NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from textdetect._ground.files import sha256
from textdetect._ground.optional import require
from textdetect.errors import DetectorFailed, InvalidInput, ModelNotFound
from textdetect.evaluation.memory import Memory
from textdetect.model.runtimes.batching import run_in_batches
from textdetect.model.runtimes.hf import torch_device

_CHUNK: Final = 2**24
"""Logits that are turned into float32 log-probabilities at once: 64 MB, and a few copies."""
_NO_LIMIT: Final = 10**9
"""A tokenizer or config that names no length names a number beyond this, or none."""


@dataclass(frozen=True, slots=True)
class TokenStatistics:
    """What a model says of each token of one text that counts; float64, shape (t,).

    p is the scoring model's distribution of the token, q the reference model's (p, if there is
    none); both are given all tokens before it. Logarithms are natural.
    """

    log_p: NDArray[np.float64]  # of the token
    rank: NDArray[np.float64]  # 1 + the number of tokens that p holds more likely
    entropy: NDArray[np.float64]  # of p
    mean: NDArray[np.float64]  # of log p under q
    variance: NDArray[np.float64]  # of log p under q


def log_likelihood(tokens: TokenStatistics) -> float:
    """Return the mean of log p(token): GLTR, Section 2, test 1; DetectGPT, Section 5."""
    return float(tokens.log_p.mean())


def rank(tokens: TokenStatistics) -> float:
    """Return minus the mean rank of the tokens: GLTR, Section 2, test 2; DetectGPT, Section 5.

    Where a model holds two tokens equally likely, the rank of either may move by one.
    """
    return -float(tokens.rank.mean())


def log_rank(tokens: TokenStatistics) -> float:
    """Return minus the mean log-rank of the tokens: DetectGPT, Section 5."""
    return -float(np.log(tokens.rank).mean())


def entropy(tokens: TokenStatistics) -> float:
    """Return the mean entropy of the model's distributions: GLTR, Section 2, test 3.

    The sign is DetectGPT's (Section 5), and an observation that holds on some texts only: in Su et
    al. 2023, Table 1, the AUROC is 0.57 on news and below 0.5 on stories.
    """
    return float(tokens.entropy.mean())


def lrr(tokens: TokenStatistics) -> float:
    """Return the log-likelihood log-rank ratio, - sum log p / sum log rank.

    Su, Zhuo, Wang, Nakov 2023 (DetectLLM), Section 3.1. Where every token is the likeliest, the
    ratio has no value; the denominator is then log 2, as if one token were the second likeliest.
    """
    return -float(tokens.log_p.sum() / max(np.log(tokens.rank).sum(), np.log(2)))


def fast_detectgpt(tokens: TokenStatistics) -> float:
    """Return the conditional probability curvature, in its analytic form.

    Bao, Zhao, Teng, Yang, Zhang 2024 (Fast-DetectGPT), Section 2: d = (log p(x) - m) / s, where m
    and s are mean and deviation of log p of texts whose tokens are drawn from q; they are sums
    over the tokens, so nothing is drawn. NaN where s is 0.
    """
    deviation = float(np.sqrt(tokens.variance.sum()))
    return float((tokens.log_p - tokens.mean).sum() / deviation) if deviation else float("nan")


def binoculars(tokens: TokenStatistics) -> float:
    """Return minus the ratio of log-perplexity to cross-perplexity.

    Hans et al. 2024 (Binoculars), Section 3: log PPL / log X-PPL, where log PPL = - mean log p of
    the performer p, and log X-PPL = - mean over places of sum q log p, with the observer q; the
    sign is turned. Both means are over the tokens that count, as in the paper; the authors' code
    also counts the distribution after the last token in X-PPL. NaN where X-PPL is 1.
    """
    cross = float(tokens.mean.sum())
    return -float(tokens.log_p.sum()) / cross if cross else float("nan")


METRICS: Final[dict[str, Callable[[TokenStatistics], float]]] = {
    metric.__name__.replace("_", "-"): metric
    for metric in (log_likelihood, rank, log_rank, entropy, lrr, fast_detectgpt, binoculars)
}
"""Metric by name. "binoculars" needs a reference model; "fast-detectgpt" may have one."""


class LanguageModel:
    """A causal language model, and perhaps a second one with the same tokenizer beside it.

    Remote code never runs, and of weights only safetensors are read.

    Args:
        model: folder or hub id of the scoring model p (Binoculars: the performer).
        reference: of the reference model q (Fast-DetectGPT: the sampling model; Binoculars: the
            observer); None: p itself.
        device: "cpu", "cuda" …; None is "cpu".
        dtype: of the weights. Under "bfloat16" a score moves by more than 1e-5 with its batch.
        max_length: tokens that are read of a text; None: as many as both models have places for.
        bos: begin each text with the tokenizer's beginning-of-sequence token.
        batch_tokens: tokens of a batch, padding included; the logits take this × vocabulary × 4
            bytes for each model.

    Raises:
        ModelNotFound: no such folder or hub id, or not a causal language model in safetensors.
        InvalidInput: the tokenizers differ; no such device; `bos` where there is no such token.

    >>> LanguageModel("distilgpt2").metrics(["So good."])["lrr"].shape  # doctest: +SKIP
    (1,)
    """

    def __init__(
        self,
        model: str,
        *,
        reference: str | None = None,
        device: str | None = None,
        dtype: str = "float32",
        max_length: int | None = None,
        bos: bool = False,
        batch_tokens: int = 512,
    ) -> None:
        self._torch = require("torch", extra="train")
        names = [model] if reference is None else [model, reference]
        loaded = [load_frozen("AutoModelForCausalLM", name, device, dtype) for name in names]
        self.name, self._models = ",".join(names), [each for _, each in loaded]
        self._tokenizer = loaded[0][0]
        if loaded[-1][0].get_vocab() != self._tokenizer.get_vocab():
            raise InvalidInput(
                f"{model} and {reference} have different vocabularies; expected two models with "
                "one tokenizer"
            )
        self._bos = self._tokenizer.bos_token_id if bos else None
        if bos and self._bos is None:
            raise InvalidInput(f"bos=True, but the tokenizer of {model} has no such token")
        limits = [max_length, self._tokenizer.model_max_length]
        limits += [getattr(m.config, "max_position_embeddings", None) for m in self._models]
        self.max_length = min([n for n in limits if n and n < _NO_LIMIT], default=2_048)
        if self.max_length < 2:
            raise InvalidInput(f"max_length: expected at least 2 tokens, got {max_length}")
        self._batch_tokens = batch_tokens
        self._memory = Memory(len(self.names))
        origins = " ".join(map(_origin, names, self._models))
        self.fingerprint = f"{origins} {dtype} {self.max_length} {self._bos}"

    @property
    def names(self) -> tuple[str, ...]:
        """Metrics that this model, or these two, can give."""
        return tuple(n for n in METRICS if n != "binoculars" or len(self._models) == 2)

    def metrics(self, texts: Sequence[str]) -> dict[str, NDArray[np.float64]]:
        """Score texts by every metric in one pass: name → float64, shape (n,).

        Higher = more machine-like; NaN where no token counts. A text's score is the same to 1e-5
        whatever stands beside it, and is remembered: scorers that share a model share its passes.
        """
        rows = self._memory.recall(texts, self._metrics, progress=False)
        return dict(zip(self.names, rows.T, strict=True))

    def _metrics(self, texts: list[str]) -> NDArray[np.float64]:
        of, nothing = self.statistics(texts), [np.nan] * len(self.names)
        rows = [[METRICS[n](one) for n in self.names] if one.log_p.size else nothing for one in of]
        return np.array(rows, dtype=np.float64)

    def statistics(self, texts: Sequence[str]) -> list[TokenStatistics]:
        """Give what the models say of each token that counts, text by text."""
        ids = self._encode(texts)
        statistics = [TokenStatistics(*np.empty((5, 0)))] * len(ids)
        long = [place for place, row in enumerate(ids) if len(row) > 1]
        batches = run_in_batches(
            [ids[place] for place in long],
            self._forward,
            max_length=self.max_length,
            max_tokens=self._batch_tokens,
            pad_id=0,  # on the right, where no token can see it
        )
        with self._torch.inference_mode():
            for rows, logits in batches:
                for line, row in enumerate(rows):
                    of_text = [of_model[line] for of_model in logits]
                    statistics[long[row]] = self._of_text(of_text, ids[long[row]])
        return statistics

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokens of each text as its tokenizer gives them, cut to the model's length."""
        if not texts:
            return []
        clean = [t.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for t in texts]
        ids = self._tokenizer(clean, return_attention_mask=False, verbose=False)["input_ids"]
        if self._bos is not None:
            ids = [row if row[:1] == [self._bos] else [self._bos, *row] for row in ids]
        return [row[: self.max_length] for row in ids]

    def _forward(self, *arrays: NDArray[np.int64]) -> list[Any]:
        """Logits of each model, shape (n, width, vocabulary), of a batch's ids and mask."""
        logits = []
        for model in self._models:
            input_ids, mask = (self._torch.from_numpy(a).to(model.device) for a in arrays)
            logits.append(model(input_ids=input_ids, attention_mask=mask, use_cache=False).logits)
        # Of two models that share a tokenizer, one may have a few unused outputs more.
        shared = min(each.shape[-1] for each in logits)
        return [each[..., :shared] for each in logits]

    def _of_text(self, logits: list[Any], ids: list[int]) -> TokenStatistics:
        """Statistics of one text: logits (width, vocabulary) of each model, and its tokens."""
        torch, n = self._torch, len(ids) - 1
        targets = torch.tensor(ids[1:], device=logits[0].device)
        step = max(1, _CHUNK // logits[0].shape[-1])
        logits = [each[:n] for each in logits]
        columns = np.concatenate(
            [
                _chunk(torch, [each[i : i + step] for each in logits], targets[i : i + step])
                for i in range(0, n, step)
            ],
            axis=1,
        )
        if not np.isfinite(columns).all():
            raise DetectorFailed(f"{self.name}: the model gave logits that are not finite")
        return TokenStatistics(*columns)


def load_frozen(kind: str, name: str, device: str | None, dtype: str) -> tuple[Any, Any]:
    """Load tokenizer and model, an `AutoModel…` of transformers, from safetensors alone."""
    torch, transformers = (require(name, extra="train") for name in ("torch", "transformers"))
    of: dict[str, Any] = {"dtype": getattr(torch, dtype), "use_safetensors": True}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(name, trust_remote_code=False)
        model = getattr(transformers, kind).from_pretrained(name, trust_remote_code=False, **of)
    except (OSError, ValueError) as error:
        what = "an encoder" if kind == "AutoModel" else "a causal language model"
        raise ModelNotFound(
            f"expected {name!r} to be a folder or hub id of {what} in safetensors; transformers "
            f"could not load it: {type(error).__name__}"
        ) from error
    return tokenizer, model.eval().to(torch_device(torch, device))


def _origin(name: str, model: Any) -> str:
    """Say which weights a model has: their checksums in a folder, else the hub's commit."""
    files = sorted(Path(name).glob("*.safetensors"))
    return " ".join(map(sha256, files)) or f"{name} {model.config._commit_hash}"


def _chunk(torch: Any, logits: list[Any], targets: Any) -> NDArray[np.float64]:
    """Compute the columns of `TokenStatistics`, shape (5, t), from logits (t, vocabulary)."""
    log_p = logits[0].float().log_softmax(-1)
    p = log_p.exp()
    q = logits[1].float().softmax(-1).to(p.device) if len(logits) == 2 else p
    observed = log_p.gather(-1, targets[:, None])
    mean = (q * log_p).sum(-1, keepdim=True)
    columns = (
        observed[:, 0],
        1 + (log_p > observed).sum(-1),
        -(p * log_p).sum(-1),
        mean[:, 0],
        (q * (log_p - mean).square()).sum(-1),
    )
    return np.stack([column.double().cpu().numpy() for column in columns])


class ZeroShot:
    """One metric of a language model, as a scorer; those of other metrics may share the model.

    >>> ZeroShot(LanguageModel("distilgpt2"), "lrr").name  # doctest: +SKIP
    'lrr:distilgpt2'
    """

    def __init__(self, model: LanguageModel, metric: str) -> None:
        if metric not in model.names:
            two = " (needs two models)" if metric in METRICS else ""
            raise InvalidInput(f"metric: expected one of {list(model.names)}, got {metric!r}{two}")
        self.model, self.metric = model, metric
        self.name = f"{metric}:{model.name}"
        self.fingerprint = f"{metric} {model.fingerprint}"

    def score(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return the metric, shape (n,), higher = more machine-like; NaN where no token counts."""
        return self.model.metrics(texts)[self.metric]
