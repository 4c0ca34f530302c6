"""Logits → probabilities and p-values, with a promise that holds for this calibration set.

A p-value compares a post's logit with those of human posts of the same stratum (language and
token-count bin). The plain conformal p-value, (1 + #{humans that score at least as high}) /
(n + 1), keeps its promise only on average over calibration sets. What is used here is its
calibration-conditional adjustment by the generalised Simes inequality with k = n/2 (Bates, Candès,
Lei, Romano, Sesia 2023, "Testing for outliers with conformal p-values", Annals of Statistics 51,
section 3): with probability 1 - delta over the calibration set, the share of humans with p ≤ t is
at most t for every t at once. It knows nothing of texts, and nothing of people unlike the
calibration's.

The probability of a stratum is a line in the logarithm of its p-value, fitted on the machine posts
that were labelled there: logit(probability) = offset + slope · log(EVEN / p), offset ≤ 0 < slope.
So it falls strictly with p, and says "machine" of no post that a fifth of people outscore. Platt
1999, "Probabilistic outputs for support vector machines", has the likelihood and its smoothed
labels; what -log p is worth is in Sellke, Bayarri & Berger 2001, "Calibration of p values for
testing precise null hypotheses", The American Statistician 55.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from textdetect.errors import CalibrationMismatch, InvalidInput, NotCalibrated

Codes = Sequence[str] | NDArray[np.object_]
"""A language code a post."""
TOKEN_EDGES: Final = (16, 32, 64, 128)
"""Token counts at which a new bin begins, before bins with few humans are merged."""
FEWEST: Final = 40
"""Humans of which the smallest panel can be made."""
TIE: Final = 5e-5
"""Logits closer than this are tied, so that no rounding of an engine can flip a verdict."""
EVEN: Final = 0.2
"""No post with this p-value, or a larger one, is likelier a machine's than a person's."""
FEWEST_MACHINES: Final = 50
"""Machine posts on which a line is fitted; with fewer, those of more strata are taken together."""
OFFSETS: Final = (-20.0, 0.0)
SLOPES: Final = (0.05, 2.0)
"""Least and most: no post with a p-value above 0.05 has a probability above 0.942."""
UNFITTED: Final = (0.0, 0.6)
"""Offset and slope without machine posts. Its odds stay below the most that a p-value can lend a
hypothesis, 1 / (-e p log p) where p < 1 / e (Sellke, Bayarri & Berger 2001)."""
_STORED: Final = ("fingerprint", "numerics", "delta", "min_panel", "panel_share")


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
        line: offset and slope of the probability.
        line_of: whose machine posts it is fitted on: "stratum", "language", "all", or "none".
    """

    language: str
    low: int
    high: int | None
    logits: NDArray[np.float64]
    panels: NDArray[np.object_]
    apart: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    line: tuple[float, float] = UNFITTED
    line_of: str = "none"


@dataclass(frozen=True)
class Calibration:
    """What turns one model's logits, computed by one numerics class, into p-values.

    Attributes:
        fingerprint, numerics: the model and the engine that it belongs to.
        delta: chance that the promise fails for this calibration set.
        min_panel: humans that a panel needs to count by itself.
        panel_share: the share of its language's humans that will do, too, from 40 of them on: in a
            language with few humans the larger panels still speak.
        strata: at most one for each language and token count.
    """

    fingerprint: str
    numerics: str
    strata: tuple[Stratum, ...]
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
        languages: Codes,
        panels: Sequence[str],
        *,
        fingerprint: str,
        numerics: str,
        apart: Collection[str] = (),
        machines: tuple[ArrayLike, ArrayLike, Codes] | None = None,
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
            machines: logits, n_tokens and languages of machine posts, for the probabilities.

        Raises:
            InvalidInput: columns of different lengths, or no human post at all.
        """
        scores, counts, codes, sources = _columns(logits, n_tokens, languages, panels)
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
        fitted = cls(fingerprint, numerics, tuple(strata), delta, min_panel, panel_share)
        return fitted._with_lines(*_columns(*machines)[:3]) if machines else fitted

    def _with_lines(
        self, scores: NDArray[np.float64], counts: NDArray[np.int64], codes: NDArray[np.object_]
    ) -> Calibration:
        """Fit each stratum's line on its people and machine posts, or on those of more strata."""
        people = [self._against(i, stratum.logits) for i, stratum in enumerate(self.strata)]
        found: list[NDArray[np.float64]] = [np.empty(0)] * len(people)
        for i, rows in self._rows(counts, codes):
            found[i] = self._against(i, scores[rows[np.isfinite(scores[rows])]])
        strata = []
        for i, stratum in enumerate(self.strata):
            kin = [j for j, other in enumerate(self.strata) if other.language == stratum.language]
            for whose, places in (("stratum", [i]), ("language", kin), ("all", range(len(found)))):
                here, there = (np.concatenate([p[j] for j in places]) for p in (people, found))
                if len(there) >= FEWEST_MACHINES:
                    targets = [1 / (len(here) + 2)] * len(here)
                    targets += [(len(there) + 1) / (len(there) + 2)] * len(there)
                    evidence = np.log(EVEN / np.concatenate([here, there]))
                    line = fit_line(evidence, targets, OFFSETS, SLOPES)
                    stratum = replace(stratum, line=line, line_of=whose)
                    break
            strata.append(stratum)
        return replace(self, strata=tuple(strata))

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

    def probabilities(
        self, p_values: ArrayLike, n_tokens: ArrayLike, languages: Codes
    ) -> NDArray[np.float64]:
        """Return the probability of machine-written, at a base rate of one half, for p-values.

        Within a stratum it falls strictly with the p-value, and is at most one half from `EVEN` on.

        Returns:
            float64, shape (n,), in (0, 1); NaN where the p-value is NaN or no stratum speaks.

        Raises:
            InvalidInput: columns of different lengths.
        """
        p, counts, codes, _ = _columns(p_values, n_tokens, languages)
        logits = np.full(len(p), np.nan)
        for index, rows in self._rows(counts, codes):
            offset, slope = self.strata[index].line
            logits[rows] = offset + slope * np.log(EVEN / p[rows])
        return np.asarray(1.0 / (1.0 + np.exp(-logits)), dtype=np.float64)

    def p_values(
        self, logits: ArrayLike, n_tokens: ArrayLike, languages: Codes
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the p-value of each post, and the smallest one that its stratum can support.

        The p-value is the largest of that against all humans of the stratum, which holds with the
        confidence of `delta`, and those against each panel that counts by itself (`min_panel`,
        `panel_share`), which hold on average over calibration sets: (1 + people of the panel who
        score as high) / (1 + people of the panel). A panel that the post outscores entirely says
        no more than "below my smallest p-value" and does not count: so a p-value does not depend on
        the rate asked for, and a post flagged at one rate is flagged at every higher one.

        Returns:
            Two float64 arrays, shape (n,), in (0, 1]; NaN where the logit is NaN or no stratum
            speaks for the post.

        Raises:
            InvalidInput: columns of different lengths.
        """
        scores, counts, codes, _ = _columns(logits, n_tokens, languages)
        p, floor = np.full((2, len(scores)), np.nan)
        for index, among in self._rows(counts, codes):
            rows = among[np.isfinite(scores[among])]
            p[rows] = self._against(index, scores[rows])
            floor[rows] = adjusted_p_values(len(self.strata[index].logits), self.delta)[0]
        return p, floor

    def _rows(
        self, counts: NDArray[np.int64], codes: NDArray[np.object_]
    ) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Yield the strata that any posts fall into, and which posts."""
        by_language = {code: codes == code for code in set(codes.tolist())}
        for index, stratum in enumerate(self.strata):
            of_language, high = by_language.get(stratum.language), stratum.high or np.inf
            if of_language is None:
                continue
            rows = np.flatnonzero(of_language & (counts >= stratum.low) & (counts < high))
            if rows.size:
                yield index, rows

    def _against(self, index: int, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        crowd, panels = self.strata[index].logits, self._panel_logits(index)
        least = scores - TIE
        reached, *by_panel = (  # humans that score at least as high, ties included
            len(logits) - np.searchsorted(logits, least, side="left") for logits in (crowd, *panels)
        )
        p = adjusted_p_values(len(crowd), self.delta)[reached]
        for panel, reached in zip(panels, by_panel, strict=True):
            on_average = (1 + reached) / (1 + len(panel))
            p = np.maximum(p, np.where(reached == 0, 0.0, on_average))
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
    def probability_fitted(self) -> bool:
        """Whether all probabilities are fitted on machine posts."""
        return all(stratum.line_of != "none" for stratum in self.strata)

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages that have calibration humans."""
        return tuple(sorted({stratum.language for stratum in self.strata}))

    def describe(self) -> list[dict[str, Any]]:
        """List the strata: language, tokens, n_humans, n_apart, n_panels, smallest p-value.

        And whose machine posts the probabilities are fitted on: see `Stratum.line_of`.
        """
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
                "probability_of": stratum.line_of,
            }
            for index, stratum in enumerate(self.strata)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        strata = []
        for stratum in self.strata:
            names, codes = np.unique(stratum.panels.astype(str), return_inverse=True)
            plain = ("language", "low", "high", "line", "line_of")
            strata.append(
                {name: getattr(stratum, name) for name in plain}
                | {
                    "panels": names.tolist(),
                    "panel": codes.tolist(),
                    "logits": stratum.logits.tolist(),
                    "apart": {name: each.tolist() for name, each in stratum.apart.items()},
                }
            )
        return {name: getattr(self, name) for name in _STORED} | {"strata": strata}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Calibration:
        """Read what `to_dict` wrote; one without probabilities has those of `UNFITTED`.

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
                    line=(float((line := item.get("line", UNFITTED))[0]), float(line[1])),
                    line_of=str(item.get("line_of", "none")),
                )
                for item in values["strata"]
            )
            return cls(strata=strata, **{name: values[name] for name in _STORED})
        except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
            raise NotCalibrated(f"this is not a calibration: {error!r} is wrong in it") from error


def check_share(name: str, value: Any) -> float:
    """Return a rate, of numpy's kinds too, as a float.

    Raises:
        InvalidInput: it is no share between 0 and 1, both excluded.

    >>> check_share("max_fpr", np.float32(0.01))
    0.01
    """
    plain = isinstance(value, (int, float, np.integer, np.floating, np.ndarray))
    share = np.asarray(value if plain else np.nan)
    if share.ndim or share.dtype.kind not in "iuf" or not 0 < share < 1:
        raise InvalidInput(f"{name}: expected a share between 0 and 1, got {value!r}")
    return float(str(share[()]))  # by its digits: a float32's 0.01 is meant to be 0.01


def fit_line(
    x: ArrayLike, targets: ArrayLike, offset: tuple[float, float], slope: tuple[float, float]
) -> tuple[float, float]:
    """Fit logit = offset + slope · x by maximum likelihood, each class weighing one half.

    By Newton's method on what is not at a bound (Bertsekas 1982, "Projected Newton methods for
    optimization problems with simple constraints"): the loss is convex.

    Args:
        x: finite, shape (n,).
        targets: probability of machine, shape (n,): the class is what it is nearer to.
        offset, slope: least and most; the same twice fixes it.

    Raises:
        InvalidInput: columns of different lengths, or one class only.

    >>> fit_line([4, 4, -4, -4], [1, 0, 0, 1], offset=(0, 0), slope=(0.05, 20))
    (0.0, 0.05)
    """
    design = np.column_stack([np.ones(np.size(x)), np.asarray(x, dtype=np.float64)])
    y = np.asarray(targets, dtype=np.float64)
    machine = y > 0.5
    if len(y) != len(design) or len(set(machine.tolist())) < 2:
        raise InvalidInput("a fit needs a target for each number, and both classes among them")
    weights = 0.5 / np.where(machine, machine.sum(), (~machine).sum())
    low, high = np.array([offset, slope], dtype=np.float64).T

    def loss(line: NDArray[np.float64]) -> float:
        return float(weights @ (np.logaddexp(0.0, design @ line) - y * (design @ line)))

    line = np.clip([0.0, 1.0], low, high)
    for _ in range(100):
        p = np.exp(-np.logaddexp(0.0, -(design @ line)))
        slope_of_loss = design.T @ (weights * (p - y))
        stuck = ((line <= low) & (slope_of_loss >= 0)) | ((line >= high) & (slope_of_loss <= 0))
        free = np.flatnonzero(~stuck)
        bend = (design * (weights * p * (1 - p))[:, None]).T @ design + 1e-9 * np.eye(2)
        step = np.zeros(2)
        step[free] = np.linalg.solve(bend[np.ix_(free, free)], slope_of_loss[free])
        while loss(after := np.clip(line - step, low, high)) > loss(line):
            step /= 2
        if np.abs(after - line).max() < 1e-9:
            break
        line = after
    return float(line[0]), float(line[1])


def _columns(
    numbers: ArrayLike,
    n_tokens: ArrayLike,
    languages: Codes,
    panels: Sequence[str] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.object_], NDArray[np.object_]]:
    values, counts = np.asarray(numbers, dtype=np.float64), np.asarray(n_tokens, dtype=np.int64)
    codes = np.asarray(languages, dtype=object)
    names = codes if panels is None else np.asarray(panels, dtype=object)
    if not len(values) == len(counts) == len(codes) == len(names):
        raise InvalidInput("posts' numbers, n_tokens, languages and panels must have one length")
    return values, counts, codes, names


def _bins(n_tokens: NDArray[np.int64], min_stratum: int) -> Iterable[tuple[int, int | None]]:
    """Merge the token-count bins from the short end until each has `min_stratum` humans."""
    edges: list[int] = [0]
    for edge in TOKEN_EDGES:
        below = np.sum((n_tokens >= edges[-1]) & (n_tokens < edge))
        if below >= min_stratum and np.sum(n_tokens >= edge) >= min_stratum:
            edges.append(edge)
    return zip(edges, [*edges[1:], None], strict=True)
