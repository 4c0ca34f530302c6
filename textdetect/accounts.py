"""Posts with their accounts → for which accounts does a machine write, at a false-discovery rate.

It knows nothing of who moves together, and nothing of how an account's p-value is computed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from textdetect.errors import InvalidInput, NotCalibrated
from textdetect.model.detector import Detector
from textdetect.model.judgement import ModelFacts, scored_posts
from textdetect.posts.files import open_posts
from textdetect.posts.scored import ScoredPosts, Scores, objects
from textdetect.posts.tables import blocks, sources_of
from textdetect.posts.text import normalise
from textdetect.posts.writers import model_of
from textdetect.statistics.account_null import MODELLED, SIZES, AccountNull
from textdetect.statistics.calibration import check_share
from textdetect.statistics.multiplicity import benjamini_hochberg

TD_STORED: Final = ("td_logit", "td_n_tokens", "td_language", "td_model")
"""Columns of a file of scored posts that spare scoring them again."""
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
    discovery rate", 1995). What counts are an account's own words (`own_words`): reposts, by
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
        null = detector.checkpoint.account_null(detector.numerics)
    if null is None:
        raise NotCalibrated(f"{detector.name} has no human accounts to compare with: pass null=")
    null.check(fingerprint=detector.fingerprint, numerics=detector.numerics)
    grouped, counts = GroupedPosts(), Counter[str]()
    for source in sources_of(posts) if not isinstance(posts, list) or posts else ():
        with open_posts(source, need=("account",), **reading) as reader:
            reader.fields.need("text")
            stored = TD_STORED if set(TD_STORED) <= set(reader.columns) else ()
            reader.fields.paths.update(zip(stored, stored, strict=True))
            only = ("account", "text", "time", "repost", *stored)
            for part in blocks(reader, progress, time_zone=time_zone, only=only):
                rows: dict[str, list[Any]] = part.drop_columns("row").to_pydict()
                if "time" in rows:
                    rows["time"] = part["time"].cast(pa.int64()).to_pylist()
                scored = _scored(rows, detector)
                grouped.add(rows["account"], scored, rows.get("time"), rows.get("repost"))
            counts.update(reader.counts)
    return judge_accounts(grouped, null, model=detector, fdr=fdr, n_unreadable=counts["bad"])


def _scored(rows: Mapping[str, list[Any]], detector: Detector) -> ScoredPosts:
    """Score the posts of some rows, but for those that the same model and engine scored before."""
    texts, model = rows["text"], model_of(detector.fingerprint, detector.numerics)
    marks = rows.get("td_model", [None] * len(texts))
    known, new = (
        [i for i, mark in enumerate(marks) if (mark == model) is is_known]
        for is_known in (True, False)
    )
    scored = detector.score([texts[i] for i in new], progress=False)
    if not known:
        return scored
    try:
        logits = [float(rows["td_logit"][i] or "nan") for i in known]
        n_tokens = np.array([int(rows["td_n_tokens"][i]) for i in known], dtype=np.int64)
    except (TypeError, ValueError):
        raise InvalidInput("td_logit, td_n_tokens: expected what was written there") from None
    was = Scores(np.array(logits), n_tokens, np.zeros(len(known), dtype=np.bool_))
    plain = [normalise(texts[i] or "") for i in known]
    languages = [rows["td_language"][i] for i in known]
    before = scored_posts(plain, was, languages, detector.calibration)
    return ScoredPosts.joined([before, scored])[np.argsort([*known, *new])]


def judge_accounts(
    posts: GroupedPosts, null: AccountNull, *, model: ModelFacts, fdr: float, n_unreadable: int = 0
) -> AccountVerdicts:
    """Compare accounts, whose posts are scored and grouped, with those of people.

    Args:
        posts: all that are to be judged together.
        null: human accounts of the same model and engine.
        model: which scored them.
        fdr, n_unreadable: see `AccountVerdicts`.
    """
    listed = model.languages or tuple(null.humans)
    names, tested = list(posts.n_posts), posts.own(listed)
    by_language = [{} if name is None else tested.get(name, {}) for name in names]
    main = [max(sorted(own), key=lambda code: len(own[code]), default="und") for own in by_language]
    own = [posts.get(code, []) for posts, code in zip(by_language, main, strict=True)]
    logits, by_post = ([[post[i] for post in posts] for posts in own] for i in (0, 1))
    judged = any(math.isfinite(p_value) for posts in by_post for p_value in posts)
    compared = null.p_values(logits, main, by_post=by_post if judged else None)
    n_scored = [len(scores) for scores in logits]
    reason = [
        None if math.isfinite(p) else _why(name, code, n, listed)
        for name, code, n, p in zip(names, main, n_scored, compared.p_value, strict=True)
    ]
    q_value = benjamini_hochberg(compared.p_value)
    n_tested = int(np.isfinite(compared.p_value).sum())
    return AccountVerdicts(
        account=objects(names),
        n_posts=np.array(list(posts.n_posts.values()), dtype=np.int64),
        n_scored=np.array(n_scored, dtype=np.int64),
        language=objects(main),
        score=compared.score,
        p_value=compared.p_value,
        p_conditional=compared.conditional,
        modelled=compared.modelled,
        q_value=q_value,
        flagged=np.nan_to_num(q_value, nan=1.0) <= fdr,
        reason=objects(reason),
        fdr=float(fdr),
        fewest=max(1, math.ceil(n_tested / (fdr * (MODELLED + 1)) - 1e-9)) if n_tested else 0,
        n_unreadable=n_unreadable,
        n_by_order=posts.n_by_order,
        model=model.name,
        version=model.version,
        fingerprint=model.fingerprint,
        numerics=model.numerics,
    )


@dataclass(slots=True)
class _Text:
    """A text, by its first author."""

    account: str
    time: float
    language: str
    logit: float
    p_value: float


@dataclass(slots=True)
class GroupedPosts:
    """Scored posts by account: each text once, as its first author's.

    Attributes:
        n_posts: account → all its posts, in order of first appearance; None for those that name
            none.
        n_by_order: see `AccountVerdicts`.
    """

    n_posts: Counter[str | None] = field(default_factory=Counter)
    n_by_order: int = 0
    _texts: dict[int, _Text] = field(default_factory=dict)

    def add(
        self,
        accounts: Sequence[str | None],
        posts: ScoredPosts,
        times: Sequence[float | None] | None = None,
        reposts: Sequence[bool] | None = None,
    ) -> None:
        """Count posts, and keep what counts.

        Left out: posts without an account or without enough words of its own, reposts, texts that
        another account posted before, and an account's repetitions.
        """
        self.n_posts.update(accounts)
        others = np.zeros(len(posts), np.bool_) if reposts is None else np.array(reposts, np.bool_)
        counts = np.isfinite(posts.logit) & (posts.text_hash > 0) & ~others
        for row in np.flatnonzero(counts).tolist():
            if (account := accounts[row]) is None:
                continue
            at = None if times is None else times[row]
            time = math.nan if at is None else at
            score, p_value = float(posts.logit[row]), float(posts.p_value[row])
            post = _Text(account, time, posts.language[row], score, p_value)
            text_hash = int(posts.text_hash[row])
            first = self._texts.setdefault(text_hash, post)
            earlier, later = time < first.time, time > first.time
            self.n_by_order += first.account != account and not (earlier or later)
            if earlier or (math.isnan(first.time) and not math.isnan(time)):
                self._texts[text_hash] = post

    def own(self, listed: Collection[str]) -> dict[str, dict[str, list[tuple[float, float]]]]:
        """Give account → language → its own posts' logits and p-values.

        They are those of the languages `listed`, in an order drawn from the texts.
        """
        by_account: dict[str, dict[str, list[tuple[float, float]]]] = {}
        for _, text in sorted(self._texts.items(), key=itemgetter(0)):
            if text.language in listed:
                by_language = by_account.setdefault(text.account, {})
                by_language.setdefault(text.language, []).append((text.logit, text.p_value))
        return by_account


def _why(name: str | None, code: str, n_scored: int, listed: Collection[str]) -> str:
    if name is None:
        return "no_account"
    if n_scored < SIZES[0]:
        return "too_few_posts"
    return "too_few_calibration" if code in listed else "unsupported_language"
