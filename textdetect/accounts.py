"""Posts with their accounts → for which accounts does a machine write, at a false-discovery rate.

It knows nothing of who moves together, and nothing of how an account's p-value is computed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from operator import itemgetter
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from textdetect.account_null import MODELLED, SIZES, AccountNull
from textdetect.calibration import check_share
from textdetect.detector import Detector
from textdetect.errors import NotCalibrated
from textdetect.judgement import MIN_WORDS
from textdetect.multiplicity import benjamini_hochberg
from textdetect.posts.files import open_posts
from textdetect.posts.tables import blocks, sources_of
from textdetect.text import has_words, normalise

REASONS: Final = {
    "no_account": "these posts name no account",
    "too_few_posts": "too few posts of its own that can be scored",
    "unsupported_language": "the model does not know its language",
    "too_few_calibration": "too few human accounts to compare with",
}
"""Why an account has no p-value, in words."""


@dataclass(frozen=True, slots=True)
class AccountVerdicts:
    """What is said of each account, in order of first appearance; columns of shape (m,).

    Attributes:
        account: the name as it came, or None for the posts that name none.
        n_posts: all its posts; reposts and copies count.
        n_scored: its own posts in its main language that carry evidence.
        language: its main language, "und" where no post can be scored.
        score: the mean logit of its compared posts; higher = more machine-like.
        p_value, q_value: NaN where `reason` says why; an account is flagged where q ≤ `fdr`.
        p_conditional, modelled: see `AccountPValues`.
        flagged: bool.
        reason: of `REASONS`, or None.
        fdr: share of the flagged accounts that may be people's, on average, in (0, 1).
        fewest: of so many accounts at least are flagged at this rate, if any; 0: none was compared.
        n_unreadable: rows of a file that could not be read, which belong to no account.
        n_by_order: posts whose text another account posted too, and no time says who was first.
        model, version, fingerprint, numerics: which model, and which engine, scored the posts.
    """

    account: NDArray[np.object_]
    n_posts: NDArray[np.int64]
    n_scored: NDArray[np.int64]
    language: NDArray[np.object_]
    score: NDArray[np.float64]
    p_value: NDArray[np.float64]
    p_conditional: NDArray[np.float64]
    modelled: NDArray[np.bool_]
    q_value: NDArray[np.float64]
    flagged: NDArray[np.bool_]
    reason: NDArray[np.object_]
    fdr: float
    fewest: int
    n_unreadable: int
    n_by_order: int
    model: str
    version: str
    fingerprint: str
    numerics: str

    def __len__(self) -> int:
        return len(self.account)

    def to_table(self) -> pa.Table:
        """Give the columns as a table, one row an account; null where there is no value."""
        names = list(self.__slots__)[: list(self.__slots__).index("fdr")]
        types = dict.fromkeys(("account", "language", "reason"), pa.string())
        return pa.table(
            {
                name: pa.array(getattr(self, name).tolist(), types.get(name), from_pandas=True)
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
            yield (f"of so many accounts {self.fewest:,} or more are flagged at this rate, or none")
        if n_modelled := int((self.flagged & self.modelled).sum()):
            yield f"{n_modelled:,} of those flagged score above every human account known"
        if self.n_by_order:
            yield (
                f"copies: {self.n_by_order:,} posts repeat another account's without a time that "
                "says who was first: the earlier row is taken for the author's"
            )
        if self.n_unreadable:
            yield f"unreadable: {self.n_unreadable:,} rows, which belong to no account"


def score_accounts(
    posts: Any,
    *,
    detector: Detector | None = None,
    null: AccountNull | None = None,
    fdr: float = 0.05,
    time_zone: str | None = None,
    progress: bool | None = None,
    **reading: Any,
) -> AccountVerdicts:
    """Tell for which accounts a machine writes.

    An account's posts are compared with those of human accounts in its main language, over as many
    posts; p-values of all accounts are adjusted by Benjamini & Hochberg ("Controlling the false
    discovery rate", 1995). What counts are an account's own words (`text.own_words`): reposts, by
    their text or by a column that marks them (`repost`, `is_retweet`, …), texts that another
    account posted before in these data and repetitions of its own are counted and do not enter.
    Of two equal texts the earlier in time is the author's; without a time, the earlier row.

    Args:
        posts: pyarrow Table, pandas DataFrame, mapping of columns, sequence of mappings; or the
            path of a file, or a list of them, in any format: they are streamed, and what is held
            are 8 bytes and a few numbers a text.
        detector: the embedded one where None.
        null: human accounts; those of the detector's checkpoint where None.
        fdr: false-discovery rate, in (0, 1).
        time_zone: "UTC" or an offset as "+02:00", for times without one beside times with one.
        progress: show a bar for a file; None: if stderr is a terminal.
        reading: how posts are read, as `posts.files.open_posts` takes it: account=, text=, time=
            are names of columns. There need be no times.

    Raises:
        InvalidInput: a column is missing, columns differ in length, account ids that lost digits
            in a spreadsheet or a table of floats, `fdr` out of range.
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
    counts = Counter[str]()

    def parts() -> Iterator[pa.Table]:
        for source in sources_of(posts) if not isinstance(posts, list) or posts else ():
            with open_posts(source, need=("account",), **reading) as reader:
                reader.fields.need("text")
                only = ("account", "text", "time", "repost")
                yield from blocks(reader, progress, time_zone=time_zone, only=only)
                counts.update(reader.counts)

    evidence = gather(parts(), detector, listed=listed)
    order = list(evidence.n_posts)
    tested = [evidence.logits.get(name, {}) for name in order]
    main = [max(sorted(each), key=lambda code: len(each[code]), default="und") for each in tested]
    own = [each.get(code, []) for each, code in zip(tested, main, strict=True)]
    logits, by_post = ([[post[i] for post in posts] for posts in own] for i in (0, 1))
    judged = any(math.isfinite(p_value) for posts in by_post for p_value in posts)
    found = null.p_values(logits, main, by_post=by_post if judged else None)
    reason = np.array(
        [
            None if math.isfinite(p) else _why(name, code, len(own), listed)
            for name, code, own, p in zip(order, main, logits, found.p_value, strict=True)
        ],
        dtype=object,
    )
    q_value = benjamini_hochberg(found.p_value)
    n_tested = int(np.isfinite(found.p_value).sum())
    return AccountVerdicts(
        account=np.array(order, dtype=object),
        n_posts=np.array([evidence.n_posts[name] for name in order], dtype=np.int64),
        n_scored=np.array([len(own) for own in logits], dtype=np.int64),
        language=np.array(main, dtype=object),
        score=found.score,
        p_value=found.p_value,
        p_conditional=found.conditional,
        modelled=found.modelled,
        q_value=q_value,
        flagged=np.nan_to_num(q_value, nan=1.0) <= fdr,
        reason=reason,
        fdr=float(fdr),
        fewest=max(1, math.ceil(n_tested / (fdr * (MODELLED + 1)) - 1e-9)) if n_tested else 0,
        n_unreadable=counts["bad"],
        n_by_order=evidence.n_by_order,
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
        logits: account → language → its own posts' logits and p-values, in an order drawn from
            the texts.
        n_by_order: see `AccountVerdicts`.
    """

    n_posts: Counter[str | None] = field(default_factory=Counter)
    logits: dict[str | None, dict[str, list[tuple[float, float]]]] = field(default_factory=dict)
    n_by_order: int = 0


@dataclass(slots=True)
class _Text:
    """A text, by its first author."""

    account: str
    time: float
    code: str
    logit: float
    p_value: float


def gather(parts: Iterable[pa.Table], detector: Detector, *, listed: Collection[str]) -> Evidence:
    """Score posts, and sort what counts by account and language.

    Left out: posts without an account or without enough words of its own, languages that are not
    `listed`, reposts, texts that another account posted before, and an account's repetitions.
    """
    found = Evidence()
    known: dict[bytes, _Text] = {}
    for part in parts:
        there, n = part.column_names, part.num_rows
        accounts, texts = part["account"].to_pylist(), part["text"].to_pylist()
        times = part["time"].cast(pa.int64()).to_pylist() if "time" in there else [math.nan] * n
        marks = part["repost"].to_pylist() if "repost" in there else [False] * n
        found.n_posts.update(accounts)
        logits, p_values, codes = detector.evidence(texts)
        posts = zip(accounts, texts, times, marks, codes, logits, p_values, strict=True)
        for account, raw, at, is_repost, code, logit, p_value in posts:
            if account is None or is_repost or not math.isfinite(logit):
                continue
            plain = normalise(raw)
            if not has_words(plain, MIN_WORDS):
                continue
            key = blake2b(plain.encode(), digest_size=8).digest()
            time = math.nan if at is None else at
            post = _Text(account, time, code, float(logit), float(p_value))
            text = known.setdefault(key, post)
            earlier, later = time < text.time, time > text.time
            found.n_by_order += text.account != account and not (earlier or later)
            if earlier or (math.isnan(text.time) and not math.isnan(time)):
                known[key] = post
    for _, text in sorted(known.items(), key=itemgetter(0)):
        if text.code in listed:
            by_language = found.logits.setdefault(text.account, {})
            by_language.setdefault(text.code, []).append((text.logit, text.p_value))
    return found


def _why(name: str | None, code: str, n_scored: int, listed: Collection[str]) -> str:
    if name is None:
        return "no_account"
    if n_scored < SIZES[0]:
        return "too_few_posts"
    return "too_few_calibration" if code in listed else "unsupported_language"
