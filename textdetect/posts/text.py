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

import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from itertools import islice
from numbers import Real
from typing import Any, Final
from unicodedata import is_normalized

from textdetect._ground.progress import length_of
from textdetect.errors import InvalidInput
from textdetect.posts.own_words import MAX_RAW_CHARS as MAX_RAW_CHARS
from textdetect.posts.own_words import is_settled, own_words
from textdetect.posts.own_words import notes as notes
from textdetect.posts.own_words import others_words as others_words
from textdetect.posts.scored import Languages, row_index

NORMALISATION_VERSION: Final = 2

URL: Final = "http"
"""What every link becomes: one word, in the vocabulary of most tokenizers."""
MENTION: Final = "@user"
"""What every @name becomes."""

MAX_CHARS: Final = 8_192
"""Characters of normalised text that reach a tokenizer, whose time grows with the text."""
_KANA_AND_HAN: Final = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_CJK: Final = f"{_KANA_AND_HAN}\uf900-\ufaff"
ONE_WORD: Final = f"{_CJK}\uac00-\ud7a3"
"""Ranges of Chinese, Japanese and Korean characters, each of which counts as a word."""
_IN_LINK = rf"[^\s<>\"{_CJK}]*(?<![)\]}}])"
# Each begins with a character or a set of them, so that the search for it is a fast one.
_URL = re.compile(rf"[hHfF][tT](?:[tT][pP][sS]?|[pP])\s?:\s?//\s?{_IN_LINK}")
_SHORT_URL = re.compile(
    rf"[wptby](?<![a-z0-9].)(?:ww\.|(?<![.].)(?:ic\.twitter\.com|\.co|it\.ly|outu\.be)/){_IN_LINK}",
    re.IGNORECASE,
)
_URL_PLACEHOLDER = re.compile(r"\burl_\d+\b|\[(?:url|link)\]|<url>", re.IGNORECASE)
# A name right behind a mention is one too: the blanks around `MENTION` would make it one later.
_MENTION = re.compile(
    rf"@(?:(?:(?<![\w@/]@)|(?<=[{_CJK}]@))\s?|(?=[{_CJK}]))[\w\-]{{1,50}}(?:@\s?[\w\-]{{1,50}})*+"
)
_MENTION_PLACEHOLDER = re.compile(r"\[(?:user|mention)\]|<user>", re.IGNORECASE)
_PLACEHOLDER = re.compile(r"\[(?:url|link|user|mention)\]", re.IGNORECASE)
_HASH = re.compile(r"#(?<!##)#*+(?:(?=[\w\[\"])|(?<=[\w\]\"!?.]#)|(?<=[\w\]\"!?.]##))")
_LOST_EMOJI = re.compile(r"\?{2,}")
_DOTS = re.compile(r"\.(?:\s?\.)+")
_DASHES = re.compile(r"-{2,}")
_SINGLES = re.compile(r"''+")
_CLITIC = re.compile(r"(?<=[a-zA-Z]) (?=(?:n't|'(?:s|re|ve|ll|d|m))\b)", re.IGNORECASE)
_SPACE_TO_DROP = re.compile(r" (?:[.,!?;:)\]}%]|(?<=[(\[{] ))").search
_SPACED: Final = {f" {mark}": mark for mark in ".,!?;:)]}%"} | {f"{mark} ": mark for mark in "([{"}
_RUN = re.compile(
    rf"([{ONE_WORD}]{{1,4}}?)(?:[^\w@#]{{0,3}}\1){{2,}}|([^\W\d_])\2{{3,}}|([^\W\d_]{{2}})\3{{2,}}"
    r"|([^\w\s])\4{3,}"
)
# What `_RUN` and `_WORDS_AGAIN` can't match without, each found in a fraction of their time. Four
# equal letters, and two letters thrice, hold two equal halves.
_HALVES = re.compile(r"(..)\1").search
_THRICE = tuple(re.compile(rf"({'.' * n})\1\1").search for n in (1, 2, 3, 4))
_FOUR = re.compile(r"([^\d\s])\1\1\1").search
_BETWEEN = re.compile(r"[^\w@#]+")
_WORD_AGAIN = re.compile(r"( \S++)\1(?!\S)").search
_WORDS_AGAIN = re.compile(r"(?<!\w)(\w+)(?:\W+\1){2,}(?!\w)", re.IGNORECASE)
_CJK_SPACE = re.compile(f" (?:(?<=[{_CJK},.!?;:] )(?=[{_CJK}])|(?<=[{_CJK}] )(?=[{_CJK},.!?;:]))")
_HAS_CJK = re.compile(f"[{ONE_WORD}]").search
_PASSES: Final = 8
# Words with at most one mark and one blank between two, so that no step has anything to do.
_PROSE = re.compile(r"[a-zA-Z0-9]++(?:(?:[,.!?;:]?+ |['-])[a-zA-Z0-9]++)*+").fullmatch
_LINKS: Final = ("co/", "be/", "ly/", "om/", "//")
_ODD_NAME = re.compile(r"@(?!user(?:[ .,!?:;)\"]|$))")
_EDGES: Final = " \"'.,!?;:-|>~*"
_LINK = re.compile(rf"(?<![\w-]){URL}(?![\w-])")
_NAME = re.compile(rf"(?<![\w-]){MENTION}(?![\w-])")
_REPEATED = re.compile(rf"(?<![\w-])({URL}|{MENTION})(?: \1(?![\w-]))+")
_WORD = re.compile(rf"[{ONE_WORD}]|[^\W\d_{ONE_WORD}]+(?:'[a-z]+)?|\d+")
_COMPARED = re.compile(rf"[{_KANA_AND_HAN}]|\w+")

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
    r"""Return the account's own words as every model of this version sees them, on one line.

    In this order: characters past `MAX_RAW_CHARS` are cut; what the account did not word is left
    out, and HTML, entities, escapes and hidden characters with it (`own_words`); quotes, dashes,
    brackets and CJK full stops mapped to ASCII; Latin look-alikes inside Latin words mapped back;
    links → "http", @names → "@user", the signs of hashtags dropped (their words stay); runs of "??"
    (lost emoji) dropped; spaces collapsed, and removed before punctuation and between Chinese
    characters; a run of links or of @names becomes one; a character of Chinese, Japanese or Korean,
    up to four of them, or a word that comes three times or more in a row comes once, other letters
    and marks three times at the most, and syllables ("haha") twice; quotes and punctuation at both
    ends dropped, as they frame a post; cut to `MAX_CHARS`.

    Nothing of case, numbers or wording is changed. Idempotent.

    >>> normalise('@ann  “so good” &amp; cheap … https://t.co/x #win hahahaha')
    '@user "so good" & cheap... http win haha'
    """
    if len(text) < MAX_CHARS and ">" not in text:  # a quoted line's mark is an edge, too
        bare = text.strip(_EDGES)
        if _is_prose(bare):  # as many posts are
            return bare
    for _ in range(_PASSES):
        before, text = text, _tidied(own_words(text))
        if text == before or _is_settled(text):
            break
    return text


def _is_prose(bare: str) -> bool:
    """Tell, fast, that a text holds nothing to leave out or to change; False: perhaps."""
    return (
        _PROSE(bare) is not None
        and is_settled(bare, marked=False)
        and not ("http http" in bare or _HALVES(bare))
        and not (" n'" in (low := bare.lower()) or _WORD_AGAIN(f" {low}"))
    )


def _is_settled(text: str) -> bool:
    """Tell, fast, that another pass would change nothing; False: perhaps.

    Tidying can bring out what was no sign before, as the repost in "RT??@ann".
    """
    odd = "??" in text or "--" in text or ". ." in text or "#" in text or "url_" in text
    odd = odd or "ww." in text or ("/" in text and any(map(text.__contains__, _LINKS)))
    odd = odd or ("'" in text and ("''" in text or " '" in text))
    odd = odd or ("@" in text and _ODD_NAME.search(text) is not None)
    odd = odd or ("[" in text and _PLACEHOLDER.search(text) is not None)
    return not odd and (text.isascii() or is_normalized("NFKC", text)) and is_settled(text)


def _tidied(text: str) -> str:
    """Return plain text on one line, in the one form."""
    # Each `if` asks for what the expression behind it can't match without: most posts lack it.
    ascii_only = text.isascii()
    if not ascii_only and _HAS_LOOKALIKE.search(text):
        text = _MIXED_WORD.sub(lambda word: word[0].translate(_LOOKALIKES), text)
    if "/" in text:
        text = _URL.sub(f" {URL} ", text)
        text = _SHORT_URL.sub(f" {URL} ", text)
    elif "ww." in text or "WW." in text:
        text = _SHORT_URL.sub(f" {URL} ", text)
    if "[" in text or "<" in text or "url_" in text or "URL_" in text:
        text = _MENTION_PLACEHOLDER.sub(f" {MENTION} ", _URL_PLACEHOLDER.sub(f" {URL} ", text))
    if "#" in text:
        text = _HASH.sub(" ", text)
    if "@" in text:
        text = _MENTION.sub(f" {MENTION} ", text)
    return _spaced(text)


def _spaced(text: str) -> str:
    """Return text whose links, names and hashtags are words on one line, in the one form."""
    cjk = not text.isascii() and _HAS_CJK(text) is not None
    if "??" in text:
        text = _LOST_EMOJI.sub(" ", text)
    if "  " in text or not text.isprintable():  # no white space but the blank is printable
        text = " ".join(text.split())
    if ".." in text or ". ." in text:
        text = _DOTS.sub("...", text)
    if "--" in text:
        text = _DASHES.sub("-", text)
    if "'" in text:
        text = _SINGLES.sub('"', text) if "''" in text else text
        if " '" in text or " n'" in text or " N'" in text:
            text = _CLITIC.sub("", text)
    if _SPACE_TO_DROP(text):
        for spaced, mark in _SPACED.items():
            text = text.replace(spaced, mark)
    if cjk and " " in text:
        text = _CJK_SPACE.sub("", text)
    text = text.strip(_EDGES)
    if "http http" in text or "@user @user" in text:
        text = _REPEATED.sub(r"\1", text)
    text = _without_runs(text, cjk=cjk)
    return text.lstrip(_EDGES)[:MAX_CHARS].rstrip(_EDGES)


def _without_runs(text: str, *, cjk: bool) -> str:
    """Shorten what comes again and again in a row: laughter and shouting are nobody's style."""
    while _has_run(text) or (cjk and _has_run_of_cjk(text)):
        shorter = _RUN.sub(_once, text)
        if shorter == text:
            break
        text = shorter
    if _WORD_AGAIN(f" {text.lower()}"):
        text = _WORDS_AGAIN.sub(r"\1", text)
    return text


def _has_run(text: str) -> bool:
    """Tell, fast, that `_RUN` matches no letters or marks; True: perhaps."""
    return bool(_HALVES(text) and (_FOUR(text) or _THRICE[1](text)))


def _has_run_of_cjk(text: str) -> bool:
    """Tell, fast, that `_RUN` matches no characters, marks between them or not; True: perhaps."""
    bare = _BETWEEN.sub("", text)
    one, two, three, four = _THRICE
    return (one(bare) or two(bare) or three(bare) or four(bare)) is not None


def _once(run: re.Match[str]) -> str:
    return run[1] or (run[2] or run[4] or "") * 3 or run[3] * 2


def has_words(normalised: str, n: int) -> bool:
    """Tell whether a normalised text has at least n different words, in any case of letters.

    >>> has_words("no no No way", 3), has_words("oh no no way", 3), has_words("真的好用", 4)
    (False, True, True)
    """
    seen: set[str] = set()
    for word in _words(normalised):
        seen.add(word[0].lower())
        if len(seen) >= n:
            return True
    return False


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
    return sum(1 for _ in islice(_words(normalised), most))


def _words(normalised: str) -> Iterator[re.Match[str]]:
    bare = _LINK.sub(" ", normalised) if URL in normalised else normalised
    return _WORD.finditer(_NAME.sub(" ", bare) if MENTION in bare else bare)


def first_words(normalised: str, n: int) -> str:
    """Return a normalised text up to its n-th word and no further, n ≥ 1; words as in `n_words`.

    Links and @names before that word stay, and are words of their own here.

    >>> first_words("so good, and cheap", 2), first_words("很好用", 2), first_words("good", 2)
    ('so good', '很好', 'good')
    """
    last = next(islice(_WORD.finditer(normalised), n - 1, None), None)
    return normalised if last is None else normalised[: last.end()]


def compared_words(normalised: str, most: int) -> list[str]:
    """Return the first words of a text, at most so many, as near-duplicates are told by them.

    In small letters; a Chinese or Japanese character is a word, and links and @names are, too.

    >>> compared_words("So good, http 真好", 4)
    ['so', 'good', 'http', '真']
    """
    return [word[0] for word in islice(_COMPARED.finditer(normalised.lower()), most)]


def shingles(words: Sequence[str]) -> set[int]:
    """Hash every run of three words, of fewer words the only one: 32 bits each (CRC-32).

    Two texts are as alike as these sets overlap (Broder, "On the resemblance and containment of
    documents", 1997).

    >>> len(shingles(["so", "good", "so", "good", "so"])), len(shingles(["so"]))
    (2, 1)
    """
    runs = {" ".join(words[i : i + 3]) for i in range(max(1, len(words) - 2))}
    return {zlib.crc32(run.encode()) for run in runs}


def first_of_each(texts: Iterable[str | None]) -> list[int]:
    """Return the positions of the texts that no earlier one equals but for links and @names.

    Missing texts are all one.

    >>> first_of_each(["so good", "so  good https://t.co/x", "so bad", "@ann so good"])
    [0, 2]
    """
    first: dict[str, int] = {}
    for position, text in enumerate(texts):
        plain = normalise(text or "")
        first.setdefault(without(plain) or plain, position)
    return list(first.values())


def is_clipped(text: str) -> bool:
    """Tell whether `normalise` left the end of `text` unread."""
    return len(text) > MAX_RAW_CHARS


def coerce(texts: Iterable[Any], *, what: str = "text") -> Iterator[str | None]:
    """Yield each text as a str, and a missing one (None, NaN, pandas.NA, NaT) as None.

    Args:
        texts: list, generator, numpy or pyarrow array, pandas or polars Series, `datasets` column …
        what: they are, for messages.

    Raises:
        InvalidInput: at the first text that is neither a str nor missing, with its position.

    >>> list(coerce(["a", None, float("nan")]))
    ['a', None, None]
    """
    for position, text in enumerate(_stream(texts)):
        if not isinstance(text, str) and hasattr(text, "as_py"):
            text = text.as_py()  # a scalar of pyarrow's
        if isinstance(text, str):
            yield str(text)
        elif is_missing(text):
            yield None
        else:
            raise InvalidInput(
                f"{what} {position}: expected str or a missing value, got {type(text).__name__}",
                position=position,
            )


def paired(texts: Iterable[Any], language: Languages) -> Iterator[tuple[str | None, str | None]]:
    """Yield each text as `coerce` does, with its language: one code for all, or one for each.

    Raises:
        InvalidInput: as `coerce`, or codes that are more or fewer than the texts, or a Series of
            codes with another index than theirs.

    >>> list(paired(["a", None], "en")), list(paired(iter("ab"), ["en", None]))
    ([('a', 'en'), (None, 'en')], [('a', 'en'), ('b', None)])
    """
    if language is None or isinstance(language, str):
        yield from ((text, language) for text in coerce(texts))
        return
    codes, total = list(coerce(language, what="language")), length_of(texts)
    if total not in (None, len(codes)):
        raise InvalidInput(f"language: expected {total} codes, one a text, got {len(codes)}")
    own, other = row_index(texts), row_index(language)
    if own is not None and other is not None and not own.equals(other):
        raise InvalidInput("language: a Series with another index than the texts': align it first")
    n_texts = 0
    for text in coerce(texts):
        if n_texts == len(codes):
            raise InvalidInput(f"language: more texts than the {len(codes)} codes given")
        yield text, codes[n_texts]
        n_texts += 1
    if n_texts < len(codes):
        raise InvalidInput(f"language: expected {n_texts} codes, one a text, got {len(codes)}")


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
