"""The one normalisation that training, prediction and serving share, and the coercion of input.

What a platform, a scraper or a web page does to a text (entities, quote style, spacing, lost emoji,
the end of the last sentence) says where it was collected, not who wrote it; it is taken out here,
so that no model can learn it. Links and @names stay, one placeholder each, as people post and
answer with them; training drops them at random from posts (`without`), since many sources lost
theirs. What this room does not know: tokens, languages, models.

A change in what `normalise` returns for any text needs a new `NORMALISATION_VERSION`, and with it
a new checkpoint.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Set
from itertools import islice
from numbers import Real
from typing import Any, Final

from textdetect.errors import InvalidInput

NORMALISATION_VERSION: Final = 1

URL: Final = "http"
"""What every link becomes: one word, in the vocabulary of most tokenizers."""
MENTION: Final = "@user"
"""What every @name becomes."""

MAX_RAW_CHARS: Final = 16_384
"""Raw characters that are read at all; the tokens that a model sees end far earlier."""
MAX_CHARS: Final = 8_192
"""Characters of normalised text that reach a tokenizer, whose time grows with the text."""
_CJK: Final = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_MARKS: Final = "\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"

# Controls, zero-width and bidi characters, soft hyphens, variation selectors, fillers that show as
# nothing, private use and what stands for undecodable bytes.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff"
    "\ue000-\uf8ff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U0010ffff]+"
)
_MANY_MARKS = re.compile(f"([{_MARKS}]{{3}})[{_MARKS}]+")
_PUNCTUATION = str.maketrans(
    dict.fromkeys("‘’‚‛′‵´ʻʼʽˈ＇`", "'")
    | dict.fromkeys("“”„‟″‶«»「」『』《》〈〉〝〞〟＂", '"')
    | dict.fromkeys("‐‑‒–—―−﹘﹣－⸺⸻", "-")
    | dict.fromkeys("。｡", ".")
    | dict.fromkeys("、､", ",")
    | dict.fromkeys("【〔〖", "[")
    | dict.fromkeys("】〕〗", "]")
    | dict.fromkeys("\u2800\u1680", " ")
    | {"…": "...", "⁄": "/"}
)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});?")
_BACKSLASHES = re.compile(r"\\{2,}")
_ESCAPED_SPACE = re.compile(r"\\[nrt](?![a-zA-Z])|\\[nr](?=[A-Z@#])")
_ESCAPED_MARK = re.compile(r"\\(?=[\"'/#@&]|$)")
_IN_LINK = rf"[^\s<>\"{_CJK}]*(?<![)\]}}])"
_URL = re.compile(
    rf"(?:https?|ftp)\s?:\s?//\s?{_IN_LINK}|(?<![a-zA-Z0-9])www\.{_IN_LINK}"
    rf"|(?<![a-zA-Z0-9.])(?:pic\.twitter\.com|t\.co|bit\.ly|youtu\.be)/{_IN_LINK}"
    r"|\burl_\d+\b|\[(?:url|link)\]|<url>",
    re.IGNORECASE,
)
_MENTION = re.compile(
    rf"(?:(?<![\w@/])|(?<=[{_CJK}]))@\s?[\w\-]{{1,50}}|@(?=[{_CJK}])[\w\-]{{1,50}}"
    r"|\[(?:user|mention)\]|<user>",
    re.IGNORECASE,
)
_HASH = re.compile(r"#+(?=[\w#\[\"])|(?<=[\w\]\"!?.])#+")
_LOST_EMOJI = re.compile(r"\?{2,}")
_DOTS = re.compile(r"\.(?:\s?\.)+")
_DASHES = re.compile(r"-{2,}")
_SINGLES = re.compile(r"''+")
_CLITIC = re.compile(r"(?<=[a-zA-Z]) (?=(?:n't|'(?:s|re|ve|ll|d|m))\b)", re.IGNORECASE)
_SPACE_BEFORE = re.compile(r" +(?=[.,!?;:)\]}%])|(?<=[(\[{]) +")
_SPACE_TO_DROP = re.compile(r" [.,!?;:)\]}%]|[(\[{] ")
_CJK_SPACE = re.compile(f"(?<=[{_CJK},.!?;:]) +(?=[{_CJK}])|(?<=[{_CJK}]) +(?=[{_CJK},.!?;:])")
_EDGES: Final = " \"'.,!?;:-|>~*"
_LINK = re.compile(rf"(?<![\w-]){URL}(?![\w-])")
_NAME = re.compile(rf"(?<![\w-]){MENTION}(?![\w-])")
_REPEATED = re.compile(rf"(?<![\w-])({URL}|{MENTION})(?: \1(?![\w-]))+")
_WORD = re.compile(f"[{_CJK}\uac00-\ud7a3]|[^\\W\\d_{_CJK}\uac00-\ud7a3]+(?:'[a-z]+)?|\\d+")

# Letters that look Latin but are Cyrillic, Greek or Armenian; mapped only inside a word that has
# Latin letters too, so that text in those scripts is left alone.
_LOOKALIKES = str.maketrans(
    "аеорсухіјѕһԁԛԝүАВЕКМНОРСТУХІЈЅɑοανρυτικχΑΒΕΖΗΙΚΜΝΟΡΤΥΧօսհոց",
    "aeopcyxijshdqwyABEKMHOPCTYXIJSaoavputikxABEZHIKMNOPTYXouhng",
)
# The look behind at its begin changes no match; it keeps the time linear.
_MIXED_WORD = re.compile(
    r"(?:(?<!\w)|(?!\w))\w*(?:[a-zA-Z][\u0370-\u058f\u0251]|[\u0370-\u058f\u0251][a-zA-Z])\w*"
)
_HAS_LOOKALIKE = re.compile("[\u0370-\u058f\u0251]")


def normalise(text: str) -> str:
    r"""Return `text` as every model of this version sees it: one line, in one Unicode form.

    In this order: characters past `MAX_RAW_CHARS` are cut; surrogate pairs joined, lone ones
    dropped; HTML entities and JSON escapes decoded; invisible and bidi characters dropped, piles of
    combining marks cut to three; NFKC; quotes, dashes, brackets and CJK full stops mapped to ASCII;
    Latin look-alikes inside Latin words mapped back; links → "http", @names → "@user", the signs of
    hashtags dropped (their words stay); runs of "??" (lost emoji) dropped; spaces collapsed, and
    removed before punctuation and between Chinese characters; a run of links or of @names becomes
    one; quotes and punctuation at both ends dropped, as they frame a post; cut to `MAX_CHARS`.

    Nothing of case, numbers, emoji or wording is changed. Idempotent on ordinary posts; entities in
    entities and some odd runs of marks take a second pass.

    >>> normalise('@ann  “so good” &amp; cheap … https://t.co/x #win')
    '@user "so good" & cheap... http win'
    """
    # Each `if` asks for what the expression behind it can't match without: most posts lack it.
    text = _decode(text[:MAX_RAW_CHARS])
    if not (text.isascii() and text.isprintable()):
        text = _INVISIBLE.sub("", text)
    text = text.replace("`", "'").replace("´", "'")
    ascii_only = text.isascii()
    if not ascii_only:
        text = unicodedata.normalize("NFKC", _MANY_MARKS.sub(r"\1", text)).translate(_PUNCTUATION)
        if _HAS_LOOKALIKE.search(text):
            text = _MIXED_WORD.sub(lambda word: word[0].translate(_LOOKALIKES), text)
    low = text.lower()
    if "/" in text or "[" in text or "<" in text or "www." in low or "url_" in low:
        text = _URL.sub(f" {URL} ", text)
    if "#" in text:
        text = _HASH.sub(" ", text)
    if "@" in text or "[" in text or "<" in text:
        text = _MENTION.sub(f" {MENTION} ", text)
    if "??" in text:
        text = _LOST_EMOJI.sub(" ", text)
    text = " ".join(text.split())
    if ".." in text or ". ." in text:
        text = _DOTS.sub("...", text)
    if "--" in text:
        text = _DASHES.sub("-", text)
    if "''" in text:
        text = _SINGLES.sub('"', text)
    if "'" in text:
        text = _CLITIC.sub("", text)
    if _SPACE_TO_DROP.search(text):
        text = _SPACE_BEFORE.sub("", text)
    if not ascii_only:
        text = _CJK_SPACE.sub("", text)
    if "http http" in text or "@user @user" in text:
        text = _REPEATED.sub(r"\1", text)
    return text.lstrip(_EDGES)[:MAX_CHARS].rstrip(_EDGES)


def _decode(text: str) -> str:
    """Undo surrogates, HTML entities and JSON escapes."""
    if not text.isascii():
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "ignore")
    for _ in range(3):
        if "&" not in text or not _ENTITY.search(text):
            break
        text = html.unescape(text)
    if "\\" in text:
        text = _BACKSLASHES.sub(r"\\", text)
        text = _ESCAPED_MARK.sub("", _ESCAPED_SPACE.sub(" ", text))
    return text


def own_words(text: str) -> str:
    """Return the part of a raw post that its account worded itself, as plain text."""
    return text


def others_words(text: str) -> str:
    """Return what a raw post quotes or reposts, as plain text; "" where it does neither."""
    return ""


def notes(text: str) -> tuple[str, ...]:
    """Name what else a raw post shows; evidence beside a verdict, not part of the score."""
    return ()


def has_words(normalised: str, n: int) -> bool:
    """Tell whether a normalised text has at least n different words."""
    return n_words(normalised, most=n) >= n


def without(normalised: str, *, links: bool = True, names: bool = True) -> str:
    """Return a normalised text without its links, its @names or both.

    >>> without("@user so good http"), without("@user so good http", names=False)
    ('so good', '@user so good')
    """
    bare = _LINK.sub(" ", normalised) if links else normalised
    bare = _NAME.sub(" ", bare) if names else bare
    return normalised if bare == normalised else normalise(bare)


def n_words(normalised: str, *, most: int | None = None) -> int:
    """Count the words of a normalised text; links, @names and emoji are none.

    A Chinese, Japanese or Korean character counts as one word.

    Args:
        most: where to stop counting, if more would change nothing.

    >>> n_words("http so good"), n_words("好用"), n_words("@user 😀"), n_words("a b c", most=2)
    (2, 2, 0, 2)
    """
    bare = _LINK.sub(" ", normalised) if URL in normalised else normalised
    bare = _NAME.sub(" ", bare) if MENTION in bare else bare
    return sum(1 for _ in islice(_WORD.finditer(bare), most))


def first_words(normalised: str, n: int) -> str:
    """Return a normalised text up to its n-th word and no further, n ≥ 1; words as in `n_words`.

    Links and @names before that word stay, and are words of their own here.

    >>> first_words("so good, and cheap", 2), first_words("很好用", 2), first_words("good", 2)
    ('so good', '很好', 'good')
    """
    last = next(islice(_WORD.finditer(normalised), n - 1, None), None)
    return normalised if last is None else normalised[: last.end()]


def is_clipped(text: str) -> bool:
    """Tell whether `normalise` left the end of `text` unread."""
    return len(text) > MAX_RAW_CHARS


def coerce(texts: Iterable[Any], *, start: int = 0) -> Iterator[str | None]:
    """Yield each text as a str, and a missing one (None, NaN, pandas.NA, NaT) as None.

    Args:
        texts: list, generator, numpy array, pandas or polars Series, `datasets` column …
        start: position of the first text, for messages.

    Raises:
        InvalidInput: at the first text that is neither a str nor missing, with its position.

    >>> list(coerce(["a", None, float("nan")]))
    ['a', None, None]
    """
    for position, text in enumerate(_stream(texts), start):
        if isinstance(text, str):
            yield str(text)
        elif is_missing(text):
            yield None
        else:
            raise InvalidInput(
                f"text {position}: expected str or a missing value, got {type(text).__name__}",
                position=position,
            )


def _stream(texts: Any) -> Iterator[Any]:
    """Refuse what would iterate, but not over posts in an order: bytes, mappings, sets, tables."""
    odd = isinstance(texts, (bytes, bytearray, memoryview, Mapping, Set)) or hasattr(
        texts, "columns"
    )
    if not odd:
        try:
            return iter(texts)
        except TypeError:
            pass
    raise InvalidInput(
        f"expected a str or an iterable of str, got {type(texts).__name__}; "
        "pass a list, a Series or a column"
    )


def is_missing(value: Any) -> bool:
    """Tell whether `value` stands for no text: None, a NaN, pandas.NA or NaT.

    >>> [is_missing(v) for v in (None, float("nan"), "", 0)]
    [True, True, False, False]
    """
    if value is None:
        return True
    if type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, Real) and bool(value != value)
