"""Logits → probabilities and p-values, with a promise that holds for this calibration set.

A p-value compares a post's logit with those of human posts of the same stratum (language and
token-count bin). The plain conformal p-value, (1 + #{humans that score at least as high}) /
(n + 1), keeps its promise only on average over calibration sets. What is used here is its
calibration-conditional adjustment by the generalised Simes inequality with k = n/2 (Bates, Candès,
Lei, Romano, Sesia 2023, "Testing for outliers with conformal p-values", Annals of Statistics 51,
section 3): with probability 1 - delta over the calibration set, the share of humans with p ≤ t is
at most t for every t at once. It knows nothing of texts, and nothing of people unlike the
calibration's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from textdetect.errors import CalibrationMismatch, InvalidInput, NotCalibrated

TOKEN_EDGES: Final = (16, 32, 64, 128)
"""Token counts at which a new bin begins, before bins with few humans are merged."""
FEWEST: Final = 40
"""Humans of which the smallest panel can be made."""
TIE: Final = 5e-5
"""Logits closer than this are tied, so that no rounding of an engine can flip a verdict."""


@lru_cache(maxsize=512)
def adjusted_p_values(n: int, delta: float = 0.05) -> NDArray[np.float64]:
    """Return the p-value of each rank against n calibration humans.

    Entry i (0-based) is the p-value of a score that i of the n humans reach or pass:
    b_{i+1} = 1 - delta^(1/k) · (j(j-1)…(j-k+1) / (n(n-1)…(n-k+1)))^(1/k) with j = n - i and
    k = ⌊n/2⌋ (Bates et al. 2023, eq. 11; Sarkar 2008), and 1 where j < k.

    Returns:
        float64, shape (n + 1,), non-decreasing, in (0, 1].

    >>> adjusted_p_values(1000).round(4)[[0, 1, 999, 1000]].tolist()
    [0.006, 0.0074, 1.0, 1.0]
    """
    if n < 2:
        return np.ones(n + 1)
    k = n // 2
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    j = np.arange(n, k - 1, -1)
    log_ratio = log_factorial[j] - log_factorial[j - k] - (log_factorial[n] - log_factorial[n - k])
    p = np.ones(n + 1)
    p[: len(j)] = -np.expm1((np.log(delta) + log_ratio) / k)
    p.flags.writeable = False
    return p


def smallest_p_value(n: int, delta: float = 0.05) -> float:
    """Return the smallest p-value that n calibration humans can support: 1 - delta^(1/⌊n/2⌋).

    >>> round(smallest_p_value(600), 4), smallest_p_value(0)
    (0.0099, 1.0)
    """
    return float(adjusted_p_values(n, delta)[0])


@dataclass(frozen=True, slots=True)
class Stratum:
    """Human logits of one language and token-count bin.

    Attributes:
        language: ISO 639-1 code.
        low, high: token counts from `low` up to, not including, `high` (None: no upper end).
        logits: float64, ascending, shape (n,).
        panels: the panel of each, shape (n,); panels are sources or genres.
        apart: panels that speak for themselves alone and are not among `logits`: their logits,
            ascending, by name.
    """

    language: str
    low: int
    high: int | None
    logits: NDArray[np.float64]
    panels: NDArray[np.object_]
    apart: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    def holds(self, n_tokens: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which token counts fall into this bin."""
        return (n_tokens >= self.low) & (n_tokens < (self.high or np.iinfo(np.int64).max))


@dataclass(frozen=True)
class Calibration:
    """What turns one model's logits, computed by one numerics class, into p-values.

    Attributes:
        fingerprint, numerics: the model and the engine that it belongs to.
        temperature: probability = 1 / (1 + exp(-logit / temperature)).
        temperature_fitted: False where no labelled posts were there to fit it.
        delta: chance that the promise fails for this calibration set.
        min_panel: humans that a panel needs to count by itself.
        panel_share: the share of its language's humans that will do, too, from 40 of them on: in a
            language with few humans the larger panels still speak.
        strata: at most one for each language and token count.
    """

    fingerprint: str
    numerics: str
    strata: tuple[Stratum, ...]
    temperature: float = 1.0
    temperature_fitted: bool = False
    delta: float = 0.05
    min_panel: int = 150
    panel_share: float = 1.0
    _panels: dict[int, list[NDArray[np.float64]]] = field(
        default_factory=dict, repr=False, compare=False
    )

    @classmethod
    def fit(
        cls,
        logits: ArrayLike,
        n_tokens: ArrayLike,
        languages: Sequence[str],
        panels: Sequence[str],
        *,
        fingerprint: str,
        numerics: str,
        apart: Collection[str] = (),
        temperature: float | None = None,
        delta: float = 0.05,
        min_panel: int = 150,
        panel_share: float = 1.0,
        min_stratum: int = 1_000,
    ) -> Calibration:
        """Fit on human posts, none of which the model was trained on.

        Args:
            logits: of human posts, shape (n,); NaN (empty posts) is left out.
            n_tokens: shape (n,).
            languages, panels: of each post.
            apart: panels that are no part of their stratum's crowd, so that they can raise a
                p-value and never lower one. They are for short posts, and count in strata with an
                upper end: in one without, they would speak for posts many times as long.
            temperature: None keeps 1 and marks it as not fitted.

        Raises:
            InvalidInput: columns of different lengths, or no human post at all.
        """
        scores = np.asarray(logits, dtype=np.float64)
        counts = np.asarray(n_tokens, dtype=np.int64)
        codes, sources = np.asarray(languages, dtype=object), np.asarray(panels, dtype=object)
        if len({len(scores), len(counts), len(codes), len(sources)}) > 1:
            raise InvalidInput("logits, n_tokens, languages and panels must have one length")
        known = np.isfinite(scores)
        crowd = ~np.isin(sources, list(apart))
        if not (known & crowd).any():
            raise InvalidInput("calibration needs human posts; none with any text came")
        strata = []
        for language in sorted(set(codes[known & crowd])):
            mine = known & (codes == language)
            for low, high in _bins(counts[mine & crowd], min_stratum):
                rows = np.flatnonzero(mine & (counts >= low) & (counts < (high or np.inf)))
                rows = rows[np.argsort(scores[rows], kind="stable")]
                logits, names, inside = np.round(scores[rows], 6), sources[rows], crowd[rows]
                short = sorted(set(names[~inside])) if high else []
                others = {str(name): logits[names == name] for name in short}
                strata.append(Stratum(language, low, high, logits[inside], names[inside], others))
        return cls(
            fingerprint=fingerprint,
            numerics=numerics,
            strata=tuple(strata),
            temperature=1.0 if temperature is None else temperature,
            temperature_fitted=temperature is not None,
            delta=delta,
            min_panel=min_panel,
            panel_share=panel_share,
        )

    def check(self, *, fingerprint: str, numerics: str) -> None:
        """Raise `CalibrationMismatch` unless it belongs to this model and numerics class."""
        for what, mine, asked in (
            ("model", self.fingerprint, fingerprint),
            ("numerics class", self.numerics, numerics),
        ):
            if mine != asked:
                raise CalibrationMismatch(
                    f"this calibration is of the {what} {mine[:24]!r}, not of {asked[:24]!r}; "
                    "refit it with: textdetect calibrate MODEL --human FILE"
                )

    def probabilities(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probability of machine-written at a base rate of one half; shape (n,)."""
        bound = 700 * self.temperature  # exp overflows beyond
        scaled = np.clip(np.asarray(logits, dtype=np.float64), -bound, bound) / self.temperature
        return np.asarray(1.0 / (1.0 + np.exp(-scaled)), dtype=np.float64)

    def p_values(
        self, logits: ArrayLike, n_tokens: ArrayLike, languages: Sequence[str]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the p-value of each post, and the smallest one that its stratum can support.

        The p-value is the largest of that against all humans of the stratum and those against each
        panel that counts by itself (`min_panel`, `panel_share`). A panel that the post outscores
        entirely says no more than "below my smallest p-value" and does not count: so a p-value does
        not depend on the rate asked for, and a post flagged at one rate is flagged at every higher
        one, while each panel keeps the promise at every rate that it can support by itself.

        Returns:
            Two float64 arrays, shape (n,), in (0, 1]; NaN where the logit is NaN or no stratum
            speaks for the post.
        """
        scores = np.asarray(logits, dtype=np.float64)
        counts = np.asarray(n_tokens, dtype=np.int64)
        codes = np.asarray(languages, dtype=object)
        p, floor = np.full((2, len(scores)), np.nan)
        asked = set(codes.tolist())
        for index, stratum in enumerate(self.strata):
            if stratum.language not in asked:
                continue
            rows = np.flatnonzero(
                (codes == stratum.language) & stratum.holds(counts) & np.isfinite(scores)
            )
            if rows.size:
                p[rows] = self._against(index, scores[rows])
                floor[rows] = smallest_p_value(len(stratum.logits), self.delta)
        return p, floor

    def _against(self, index: int, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        stratum = self.strata[index]
        p = adjusted_p_values(len(stratum.logits), self.delta)[_n_reached(stratum.logits, scores)]
        for panel in self._panel_logits(index):
            reached = _n_reached(panel, scores)
            by_panel = adjusted_p_values(len(panel), self.delta)[reached]
            p = np.maximum(p, np.where(reached == 0, 0.0, by_panel))
        return p

    def _panel_logits(self, index: int) -> list[NDArray[np.float64]]:
        if index not in self._panels:
            stratum = self.strata[index]
            n_language = sum(len(s.logits) for s in self.strata if s.language == stratum.language)
            enough = min(self.min_panel, max(FEWEST, self.panel_share * n_language))
            names, sizes = np.unique(stratum.panels.astype(str), return_counts=True)
            large = [name for name, size in zip(names, sizes, strict=True) if size >= enough]
            several = large if len(names) > 1 else []
            others = [logits for logits in stratum.apart.values() if len(logits) >= enough]
            self._panels[index] = [
                *(stratum.logits[stratum.panels == name] for name in several),
                *others,
            ]
        return self._panels[index]

    @cached_property
    def smallest(self) -> float:
        """The smallest p-value that any stratum can support; 1 without strata."""
        sizes = [len(stratum.logits) for stratum in self.strata]
        return min((smallest_p_value(n, self.delta) for n in sizes), default=1.0)

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages that have calibration humans."""
        return tuple(sorted({stratum.language for stratum in self.strata}))

    def describe(self) -> list[dict[str, Any]]:
        """List the strata: language, tokens, n_humans, n_apart, n_panels, smallest p-value."""
        return [
            {
                "language": stratum.language,
                "tokens": f"{stratum.low}–{stratum.high - 1}"
                if stratum.high
                else f"{stratum.low}+",
                "n_humans": len(stratum.logits),
                "n_apart": sum(map(len, stratum.apart.values())),
                "n_panels": len(self._panel_logits(index)),
                "smallest_p_value": smallest_p_value(len(stratum.logits), self.delta),
            }
            for index, stratum in enumerate(self.strata)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        strata = []
        for stratum in self.strata:
            names, codes = np.unique(stratum.panels.astype(str), return_inverse=True)
            strata.append(
                {
                    "language": stratum.language,
                    "low": stratum.low,
                    "high": stratum.high,
                    "panels": names.tolist(),
                    "panel": codes.tolist(),
                    "logits": stratum.logits.tolist(),
                    "apart": {name: each.tolist() for name, each in stratum.apart.items()},
                }
            )
        return {
            "fingerprint": self.fingerprint,
            "numerics": self.numerics,
            "temperature": self.temperature,
            "temperature_fitted": self.temperature_fitted,
            "delta": self.delta,
            "min_panel": self.min_panel,
            "panel_share": self.panel_share,
            "strata": strata,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Calibration:
        """Read what `to_dict` wrote.

        Raises:
            NotCalibrated: the values are not a calibration.
        """
        try:
            strata = tuple(
                Stratum(
                    language=str(item["language"]),
                    low=int(item["low"]),
                    high=None if item["high"] is None else int(item["high"]),
                    logits=np.asarray(item["logits"], dtype=np.float64),
                    panels=np.asarray(item["panels"], dtype=object)[np.asarray(item["panel"], int)],
                    apart={
                        str(name): np.asarray(logits, dtype=np.float64)
                        for name, logits in item.get("apart", {}).items()
                    },
                )
                for item in values["strata"]
            )
            names = (
                "fingerprint",
                "numerics",
                "temperature",
                "temperature_fitted",
                "delta",
                "min_panel",
                "panel_share",
            )
            return cls(strata=strata, **{name: values[name] for name in names})
        except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
            raise NotCalibrated(f"this is not a calibration: {error!r} is wrong in it") from error


def check_share(name: str, value: float) -> None:
    """Raise `InvalidInput` where a rate is no share between 0 and 1, both excluded.

    >>> check_share("max_fpr", 0.01)
    """
    if not isinstance(value, (int, float)) or not 0 < value < 1:
        raise InvalidInput(f"{name}: expected a share between 0 and 1, got {value!r}")


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> float:
    """Fit the temperature by maximum likelihood on labelled posts, each class weighing one half.

    Guo, Pleiss, Sun, Weinberger 2017, "On calibration of modern neural networks", section 4.2.

    Args:
        logits: shape (n,); NaN is left out.
        labels: 0 human, 1 machine; shape (n,).

    Returns:
        The temperature, in [0.05, 20].

    Raises:
        InvalidInput: one class only.

    >>> fit_temperature([4.0, 4.0, -4.0, -4.0], [1, 0, 0, 1])
    20.0
    """
    x, y = np.asarray(logits, dtype=np.float64), np.asarray(labels, dtype=np.int64)
    x, y = x[np.isfinite(x)], y[np.isfinite(x)]
    if set(np.unique(y)) != {0, 1}:
        raise InvalidInput("a temperature needs posts of both classes, labelled 0 and 1")
    weights = np.where(y == 1, 0.5 / np.mean(y == 1), 0.5 / np.mean(y == 0))
    signed = np.where(y == 1, x, -x)

    def loss(log_t: float) -> float:
        return float(np.mean(weights * np.logaddexp(0.0, -signed / np.exp(log_t))))

    low, high = np.log(0.05), np.log(20.0)
    golden = (np.sqrt(5.0) - 1) / 2
    while high - low > 1e-6:
        left, right = high - golden * (high - low), low + golden * (high - low)
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    return round(float(np.exp((low + high) / 2)), 4)


def _n_reached(ascending: NDArray[np.float64], scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """Count the calibration logits that are at least as high as each score, ties included."""
    return len(ascending) - np.searchsorted(ascending, scores - TIE, side="left")


def _bins(n_tokens: NDArray[np.int64], min_stratum: int) -> Iterable[tuple[int, int | None]]:
    """Merge the token-count bins from the short end until each has `min_stratum` humans."""
    edges: list[int] = [0]
    for edge in TOKEN_EDGES:
        below = np.sum((n_tokens >= edges[-1]) & (n_tokens < edge))
        if below >= min_stratum and np.sum(n_tokens >= edge) >= min_stratum:
            edges.append(edge)
    return zip(edges, [*edges[1:], None], strict=True)
