"""Accounts of people, against which an account is measured: its posts taken together → a p-value.

Posts of one account depend on each other, so what is exchangeable is the account: an account's
statistic over k of its posts is compared with that of human accounts over k of theirs. It knows
nothing of texts, of how posts were scored, or of many tests at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from textdetect.errors import CalibrationMismatch, InvalidInput, NotCalibrated
from textdetect.statistics.calibration import TIE, adjusted_p_values

SIZES: Final = (3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
"""Numbers of posts at which accounts are compared; an account counts at the largest that it has."""
MODELLED: Final = 20_000
"""Accounts that are simulated to tell apart those that score above all human ones."""
MIN_ACCOUNTS: Final = 40
"""Human accounts that a comparison needs: below, the smallest p-value would be above 0.024."""


@dataclass(frozen=True, slots=True)
class AccountPValues:
    """What is said of m accounts, in their order; each of shape (m,).

    Attributes:
        score: the mean logit of the posts that were compared; NaN where none could be.
        p_value: (1 + human accounts that score at least as high) / (1 + human accounts), which
            holds on average over calibration sets and is what a false-discovery rate needs (Bates
            et al. 2023, "Testing for outliers with conformal p-values", section 2); NaN as above.
        conditional: the p-value whose promise holds for this calibration set with 95% confidence
            (ibid., section 3).
        n_compared: posts of the account that were compared.
        n_humans: human accounts that they were compared with.
        modelled: whether the p-value is smaller: a share of accounts `simulated` from them.
    """

    score: NDArray[np.float64]
    p_value: NDArray[np.float64]
    conditional: NDArray[np.float64]
    n_compared: NDArray[np.int64]
    n_humans: NDArray[np.int64]
    modelled: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class AccountNull:
    """Logits of human accounts' posts, by language, as one model and engine give them.

    Attributes:
        fingerprint, numerics: the model and the engine that it belongs to.
        humans: language → one float64 array an account, shape (number of its posts,), in an order
            that has nothing to do with their scores.
    """

    fingerprint: str
    numerics: str
    humans: Mapping[str, tuple[NDArray[np.float64], ...]]

    @classmethod
    def fit(
        cls,
        logits: Sequence[ArrayLike],
        languages: Sequence[str],
        *,
        fingerprint: str,
        numerics: str,
    ) -> AccountNull:
        """Fit on accounts of people, none of whose posts the model was trained on.

        Args:
            logits: of each account's posts, in an order that is independent of them; at most 64
                are kept, and an account with fewer than 3 is left out.
            languages: of each account.

        Raises:
            InvalidInput: columns of different lengths, or no account of 3 posts and more.
        """
        if len(logits) != len(languages):
            raise InvalidInput("logits and languages must have one length")
        humans: dict[str, list[NDArray[np.float64]]] = {}
        for posts, language in zip(logits, languages, strict=True):
            known = np.asarray(posts, dtype=np.float64)
            known = known[np.isfinite(known)][: SIZES[-1]]
            if len(known) >= SIZES[0]:
                humans.setdefault(language, []).append(np.round(known, 6))
        if not humans:
            raise InvalidInput(f"no human account has {SIZES[0]} posts with a score")
        kept = {language: tuple(accounts) for language, accounts in sorted(humans.items())}
        return cls(fingerprint, numerics, kept)

    def check(self, *, fingerprint: str, numerics: str) -> None:
        """Raise `CalibrationMismatch` unless it belongs to this model and numerics class."""
        if (self.fingerprint, self.numerics) != (fingerprint, numerics):
            raise CalibrationMismatch(
                "these human accounts were scored by another model or engine; fit them again"
            )

    def p_values(
        self,
        logits: Sequence[ArrayLike],
        languages: Sequence[str],
        *,
        by_post: Sequence[ArrayLike] | None = None,
        delta: float = 0.05,
    ) -> AccountPValues:
        """Compare accounts with human accounts of their language, over as many posts.

        Args:
            logits: of each account's posts, all finite, in an order that is independent of them.
            languages: of each account.
            by_post: the posts' own p-values, NaN for none: no account's p-value is below what
                these say `together`. Accounts of people are known of few genres, posts of many.
            delta: chance that the conditional p-values' promise fails for this set.
        """
        n = len(logits)
        whole = (np.zeros(n, kind) for kind in (np.int64, np.int64, np.bool_))
        found = AccountPValues(*np.full((3, n), np.nan), *whole)
        places: dict[tuple[str, int], list[int]] = {}
        for i, (posts, language) in enumerate(zip(logits, languages, strict=True)):
            if size := self._size(language, np.size(posts)):
                places.setdefault((language, size), []).append(i)
        for (language, size), rows in places.items():
            people = self._matrix(language, size)
            null = np.sort(people.mean(axis=1))
            own = np.array([np.mean(np.asarray(logits[i], np.float64)[:size]) for i in rows])
            reached = len(null) - np.searchsorted(null, own - TIE, side="left")
            found.score[rows] = own
            p_value = (1 + reached) / (1 + len(null))
            same = alike(people)
            if above := np.flatnonzero(reached == 0).tolist():
                beyond = np.sort(simulated(people, MODELLED, same).mean(axis=1))
                higher = MODELLED - np.searchsorted(beyond, own[above] - TIE, side="left")
                p_value[above] = np.minimum(p_value[above], (1 + higher) / (1 + MODELLED))
            if by_post is not None:
                each = np.array([np.asarray(by_post[i], np.float64)[:size] for i in rows])
                p_value = np.maximum(p_value, together(each, same))
            found.p_value[rows] = p_value
            found.modelled[rows] = p_value < 1 / (1 + len(null))
            found.conditional[rows] = adjusted_p_values(len(null), delta)[reached]
            found.n_compared[rows], found.n_humans[rows] = size, len(null)
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {
            "fingerprint": self.fingerprint,
            "numerics": self.numerics,
            "humans": {code: [a.tolist() for a in each] for code, each in self.humans.items()},
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> AccountNull:
        """Read what `to_dict` wrote.

        Raises:
            NotCalibrated: the values are not those of human accounts.
        """
        try:
            humans = {
                str(code): tuple(np.array(account, dtype=np.float64) for account in accounts)
                for code, accounts in values["humans"].items()
            }
            if values.get("statistic", "mean") != "mean":
                raise ValueError(values["statistic"])
            return cls(values["fingerprint"], values["numerics"], humans)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise NotCalibrated(f"these are no human accounts: {error!r} is wrong") from error

    def _size(self, language: str, n_posts: int) -> int:
        """Give the number of posts at which an account is compared, 0 where none will do."""
        lengths = [len(account) for account in self.humans.get(language, ())]
        for size in reversed(SIZES):
            if size <= n_posts and sum(n >= size for n in lengths) >= MIN_ACCOUNTS:
                return size
        return 0

    def _matrix(self, language: str, size: int) -> NDArray[np.float64]:
        rows = [a[:size] for a in self.humans.get(language, ()) if len(a) >= size]
        return np.array(rows, dtype=np.float64).reshape(-1, size)


def simulated(people: NDArray[np.float64], n: int, same: float) -> NDArray[np.float64]:
    """Draw logits of n accounts, shape (n, k), as spread and as alike as `people`'s, (accounts, k).

    Each post's place among all posts is drawn from a t copula with 4 degrees of freedom (Demarta &
    McNeil, "The t copula and related copulas", 2005), which has accounts all of whose posts lie far
    out more often than a normal one. Its correlation within an account is `same`.

    >>> simulated(np.random.default_rng(0).normal(size=(100, 3)), 5, 0.2).shape
    (5, 3)
    """
    rng, k = np.random.default_rng(0), people.shape[1]
    posts = np.sort(people.ravel())
    own, level = rng.standard_normal((n, k)), rng.standard_normal((n, 1))
    x = (np.sqrt(1 - same) * own + np.sqrt(same) * level) * np.sqrt(4 / rng.chisquare(4, (n, 1)))
    size = 1 + x**2 / 4
    place = 0.5 + 0.375 * x / np.sqrt(size) * (1 - x**2 / (12 * size))  # t's cdf at 4 degrees
    return np.asarray(posts.take((place * posts.size).astype(np.int64), mode="clip"), np.float64)


def alike(people: NDArray[np.float64]) -> float:
    """Bound the correlation of an account's posts from above, from logits of shape (accounts, k).

    The upper end of a one-sided 95% bootstrap interval, over accounts, of that of the ranks, as a
    normal copula has it.
    """
    rng, k, posts = np.random.default_rng(0), people.shape[1], np.sort(people.ravel())
    low, high = (np.searchsorted(posts, people, side=side) for side in ("left", "right"))
    ranks = (low + high) / (2 * posts.size)
    drawn = rng.integers(len(people), size=(1_000, len(people)))
    between = k * ranks.mean(axis=1)[drawn].var(axis=1, ddof=1)
    within = ranks.var(axis=1, ddof=1)[drawn].mean(axis=1)
    of_ranks = (between - within) / np.maximum(between + (k - 1) * within, TIE)
    return float(2 * np.sin(np.pi / 6 * np.clip(np.quantile(of_ranks, 0.95), 0, 1)))


def together(p_values: NDArray[np.float64], correlation: float) -> NDArray[np.float64]:
    """Take the p-values of each account's posts, shape (m, k), as one p-value, shape (m,).

    The mean of their normal quantiles, of which any two have this correlation (Stouffer's method
    for dependent tests; Strube, "Combining and comparing significance levels from nonindependent
    hypothesis tests", 1985). A p-value of NaN says nothing against a post.

    >>> together(np.array([[0.01, 0.01, 0.01], [0.4, 0.4, 0.4]]), 0.5).round(3).tolist()
    [0.002, 0.378]
    """
    k, normal = p_values.shape[1], NormalDist()
    known = np.clip(np.nan_to_num(p_values, nan=1.0), 1e-9, 0.99)
    mean = np.vectorize(normal.inv_cdf, otypes=[float])(known).mean(axis=1)
    scaled = mean / np.sqrt((1 + (k - 1) * correlation) / k)
    return np.asarray(np.vectorize(normal.cdf, otypes=[float])(scaled), np.float64)
