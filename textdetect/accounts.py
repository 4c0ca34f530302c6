"""Posts with their accounts → for which accounts does a machine write, at a false-discovery rate.

It knows nothing of who moves together, and nothing of how an account's p-value is computed.
"""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray
from tqdm.auto import tqdm

from textdetect.account_null import SIZES, AccountNull
from textdetect.calibration import check_share
from textdetect.detector import Detector
from textdetect.errors import InvalidInput, NotCalibrated
from textdetect.judgement import MIN_WORDS
from textdetect.posts.files import format_of_input, open_posts
from textdetect.posts.rows import find_column
from textdetect.posts.writers import OwnCells
from textdetect.text import is_missing, n_words, normalise

ACCOUNT_COLUMNS: Final = (
    *("account", "account_id", "user", "user_id", "username", "user_name", "screen_name"),
    *("author", "author_id", "handle", "账号", "用户", "用户名", "用户昵称", "作者"),
)
"""Names that a file's column of accounts usually has, the likeliest first."""
REASONS: Final = {
    "no_account": "these posts name no account",
    "too_few_posts": "too few posts of its own that can be scored",
    "unsupported_language": "the model does not know its language",
    "too_few_calibration": "too few human accounts to compare with",
}
"""Why an account has no p-value, in words."""
_REPOST: Final = re.compile(r"\s*(RT @|//@|转发微博)")


@dataclass(frozen=True, slots=True)
class AccountVerdicts:
    """What is said of each account, in order of first appearance; columns of shape (m,).

    Attributes:
        account: the name as it came, or None for the posts that name none.
        n_posts: all its posts; reposts and copies count.
        n_scored: its own posts in its main language that carry evidence.
        language: its main language, "und" where no post can be scored.
        score: the null's statistic over its compared posts; higher = more machine-like.
        p_value, q_value: NaN where `reason` says why; an account is flagged where q ≤ `fdr`.
        p_conditional: see `AccountPValues.conditional`.
        flagged: bool.
        reason: of `REASONS`, or None.
        fdr: share of the flagged accounts that may be people's, on average, in (0, 1).
        fewest: the smallest number of accounts that can be flagged at this rate, as there are only
            so many human accounts to compare with; 0 where none was compared.
        n_unreadable: rows of a file that could not be read, which belong to no account.
        model, version, fingerprint, numerics: which model, and which engine, scored the posts.
    """

    account: NDArray[np.object_]
    n_posts: NDArray[np.int64]
    n_scored: NDArray[np.int64]
    language: NDArray[np.object_]
    score: NDArray[np.float64]
    p_value: NDArray[np.float64]
    p_conditional: NDArray[np.float64]
    q_value: NDArray[np.float64]
    flagged: NDArray[np.bool_]
    reason: NDArray[np.object_]
    fdr: float
    fewest: int
    n_unreadable: int
    model: str
    version: str
    fingerprint: str
    numerics: str

    def __len__(self) -> int:
        return len(self.account)

    def to_table(self) -> pa.Table:
        """Give the columns as a table, one row an account; null where there is no value."""
        names = list(self.__slots__)[: list(self.__slots__).index("fdr")]
        text = {"account", "language", "reason"}
        return pa.table(
            {
                name: pa.array(
                    getattr(self, name).tolist(),
                    type=pa.string() if name in text else None,
                    from_pandas=True,
                )
                for name in names
            }
        )

    def lines(self) -> Iterator[str]:
        """Say it in words, a fact a line, what can't be said included."""
        reasons = Counter(reason for reason in self.reason.tolist() if reason is not None)
        n_flagged = int(self.flagged.sum())
        n_compared = len(self) - reasons.total()
        yield (
            f"{len(self):,} accounts: {n_flagged:,} flagged at a false-discovery rate of "
            f"{self.fdr:g}, {n_compared - n_flagged:,} not flagged, "
            f"{reasons.total():,} not compared"
        )
        for reason, why in REASONS.items():
            if reasons[reason]:
                yield f"not compared: {reasons[reason]:,}: {why}"
        if self.fewest > 1:
            yield (
                f"with so few human accounts to compare with, {self.fewest:,} or more are flagged "
                "at this rate, or none"
            )
        if self.n_unreadable:
            yield f"unreadable: {self.n_unreadable:,} rows, which belong to no account"


def score_accounts(
    posts: Any,
    *,
    detector: Detector | None = None,
    null: AccountNull | None = None,
    fdr: float = 0.05,
    account: str | None = None,
    text: str | None = None,
    input_format: str | None = None,
    progress: bool | None = None,
) -> AccountVerdicts:
    """Tell for which accounts a machine writes.

    An account's posts are compared with those of human accounts in its main language, over as many
    posts; p-values of all accounts are adjusted by Benjamini & Hochberg ("Controlling the false
    discovery rate", 1995). Reposts, texts that another account posted before in these data and
    repetitions of its own are counted and do not enter: they say nothing of who words its posts.

    Args:
        posts: pyarrow Table, pandas DataFrame, mapping of columns, sequence of mappings; or the
            path of a file (csv, tsv, jsonl, Parquet), which is streamed: what is held are 8 bytes
            and a few numbers a post.
        detector: the embedded one where None.
        null: human accounts; those of the detector's checkpoint where None.
        fdr: false-discovery rate, in (0, 1).
        account, text: names of the columns; "account" and "text", in a file the usual names.
        input_format: of a file; told by the suffix otherwise.
        progress: show a bar for a file; None: if stderr is a terminal.

    Raises:
        InvalidInput: a column is missing, columns differ in length, `fdr` out of range.
        NotCalibrated: no human accounts for this model and engine.
        OSError: a file that can't be read.
    """
    check_share("fdr", fdr)
    detector = detector or Detector.from_pretrained()
    if null is None and detector.checkpoint is not None:
        null = detector.checkpoint.account_null(detector.runtime.numerics)
    if null is None:
        raise NotCalibrated(f"{detector.name} has no human accounts to compare with: pass null=")
    null.check(fingerprint=detector.fingerprint, numerics=detector.runtime.numerics)
    listed = detector.languages or tuple(null.humans)
    if isinstance(posts, (str, os.PathLike)):
        parts = _read(posts, input_format, account, text, progress)
    else:
        parts = iter([_in_memory(posts, account or "account", text or "text")])
    evidence = gather(parts, detector, listed=listed)
    order = list(evidence.n_posts)
    tested = [evidence.logits.get(name, {}) for name in order]
    main = [max(sorted(each), key=lambda code: len(each[code]), default="und") for each in tested]
    logits = [each.get(code, []) for each, code in zip(tested, main, strict=True)]
    found = null.p_values(logits, main)
    reason = np.array(
        [
            None if math.isfinite(p) else _why(name, code, len(own), listed)
            for name, code, own, p in zip(order, main, logits, found.p_value, strict=True)
        ],
        dtype=object,
    )
    q_value = benjamini_hochberg(found.p_value)
    n_tested = int(np.isfinite(found.p_value).sum())
    most = int(found.n_humans.max(initial=0))
    return AccountVerdicts(
        account=np.array(order, dtype=object),
        n_posts=np.array([evidence.n_posts[name] for name in order], dtype=np.int64),
        n_scored=np.array([len(own) for own in logits], dtype=np.int64),
        language=np.array(main, dtype=object),
        score=found.score,
        p_value=found.p_value,
        p_conditional=found.conditional,
        q_value=q_value,
        flagged=np.nan_to_num(q_value, nan=1.0) <= fdr,
        reason=reason,
        fdr=float(fdr),
        fewest=max(1, math.ceil(n_tested / (fdr * (most + 1)) - 1e-9)) if n_tested else 0,
        n_unreadable=evidence.n_unreadable,
        model=detector.name,
        version=detector.version,
        fingerprint=detector.fingerprint,
        numerics=detector.runtime.numerics,
    )


@dataclass(slots=True)
class Evidence:
    """What posts say of their accounts.

    Attributes:
        n_posts: account → posts, in order of first appearance; None for those that name none.
        logits: account → language → its own posts' logits, in an order drawn from the texts.
        n_unreadable: rows that could not be read.
    """

    n_posts: Counter[str | None] = field(default_factory=Counter)
    logits: dict[str | None, dict[str, list[float]]] = field(default_factory=dict)
    n_unreadable: int = 0


Part = tuple[Sequence[str | None], Sequence[Any], int]
"""Accounts, their texts, and how many rows beside them could not be read."""


def gather(parts: Iterable[Part], detector: Detector, *, listed: Collection[str]) -> Evidence:
    """Score posts, and sort what counts by account and language.

    Left out: posts without an account, empty and too short ones, languages that are not `listed`,
    reposts, texts that another account posted before, and an account's repetitions.
    """
    found = Evidence()
    seen: set[bytes] = set()
    kept: dict[str | None, list[tuple[bytes, str, float]]] = {}
    for owners, texts, n_unreadable in parts:
        found.n_unreadable += n_unreadable
        found.n_posts.update(owners)
        scores, codes = detector.score(texts, progress=False)
        for owner, raw, logit, code in zip(owners, texts, scores.logits, codes, strict=True):
            if owner is None or not math.isfinite(logit):
                continue
            plain = normalise(raw)
            key = blake2b(plain.encode(), digest_size=8).digest()
            fresh = key not in seen
            seen.add(key)
            if fresh and n_words(plain) >= MIN_WORDS and code in listed and not _REPOST.match(raw):
                kept.setdefault(owner, []).append((key, code, float(logit)))
    for owner, rows in kept.items():
        by_language = found.logits.setdefault(owner, {})
        for _, code, logit in sorted(rows):
            by_language.setdefault(code, []).append(logit)
    return found


def benjamini_hochberg(p_values: ArrayLike) -> NDArray[np.float64]:
    """Return q-values: the smallest false-discovery rate at which each would be flagged.

    NaN stays NaN and is no test.

    >>> benjamini_hochberg([0.01, 0.04, 0.03, float("nan")]).round(3).tolist()
    [0.03, 0.04, 0.04, nan]
    """
    p = np.asarray(p_values, dtype=np.float64)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    scaled = p[order] * len(order) / np.arange(1, len(order) + 1)
    q = np.full(p.shape, np.nan)
    q[order] = np.minimum(1.0, np.minimum.accumulate(scaled[::-1])[::-1])
    return q


def _why(name: str | None, code: str, n_scored: int, listed: Collection[str]) -> str:
    if name is None:
        return "no_account"
    if n_scored < SIZES[0]:
        return "too_few_posts"
    return "too_few_calibration" if code in listed else "unsupported_language"


def _read(
    source: str | os.PathLike[str],
    input_format: str | None,
    account: str | None,
    text: str | None,
    progress: bool | None,
) -> Iterator[Part]:
    """Stream a file of posts."""
    read_as = format_of_input(source, input_format)
    hidden = None if progress is None else not progress
    with open_posts(source, format=read_as, text_column=text) as reader:
        place = find_column(
            reader.columns, account, usual=ACCOUNT_COLUMNS, option="--account-column"
        )
        others = [name for name in reader.columns if name != reader.columns[place]]
        accounts = OwnCells(reader, others)
        with tqdm(total=reader.total, unit=reader.unit, unit_scale=True, disable=hidden) as bar:
            for chunk in reader.chunks(8_192):
                rows = [row for row in chunk.rows if row.problem is None]
                owners = [_owner(accounts.cells(row)[0]) for row in rows]
                yield owners, [row.text for row in rows], len(chunk.rows) - len(rows)
                bar.update(reader.position() - bar.n)


def _in_memory(posts: Any, account: str, text: str) -> Part:
    names, texts = (_column(posts, name) for name in (account, text))
    if len(names) != len(texts):
        raise InvalidInput(f"{len(names)} accounts and {len(texts)} texts: expected as many")
    return [_owner(name) for name in names], texts, 0


def _column(posts: Any, name: str) -> list[Any]:
    """Take one column of a table, whatever kind of table it is."""
    if isinstance(posts, pa.Table):
        if name in posts.column_names:
            return list(posts[name].to_pylist())
        known: Any = posts.column_names
    elif isinstance(posts, Mapping) or hasattr(posts, "columns"):
        known = [str(key) for key in (posts if isinstance(posts, Mapping) else posts.columns)]
        if name in known:
            return list(posts[name])
    elif isinstance(posts, Sequence) and all(isinstance(post, Mapping) for post in posts):
        known = sorted({str(key) for post in posts for key in post})
        if name in known or not posts:
            return [post.get(name) for post in posts]
    else:
        raise InvalidInput(
            f"posts: expected a table or a list of mappings, got {type(posts).__name__}"
        )
    raise InvalidInput(f"no column {name!r} among {', '.join(map(str, known))}")


def _owner(name: Any) -> str | None:
    return None if is_missing(name) or not str(name).strip() else str(name)
