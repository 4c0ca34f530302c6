"""What attacks change: characters, words and sentences, by the embedded tables.

What a table covers is said in `tables.toml`, beside its rows. Nothing here knows grammar or what a
text says: a word is taken by its letters, and "Dr. No" is two sentences.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Sequence
from importlib.resources import files
from random import Random
from typing import Any, Final

from textdetect.posts.attacks.attack import (
    CJK,
    WORD,
    Attack,
    Change,
    Edit,
    chance,
    check,
    edits_at,
    n_allowed,
)


def load(file: str) -> dict[str, Any]:
    """Read a TOML file of this package."""
    return tomllib.loads(files(__package__).joinpath(file).read_text(encoding="utf-8"))


TABLES: Final[dict[str, dict[str, list[str]]]] = {
    name: {old: [new] if isinstance(new, str) else new for old, new in rows.items()}
    for name, rows in load("tables.toml").items()
}
"""Table → what may be replaced → what may replace it."""

_LATIN: Final = TABLES["homoglyphs"]
_LETTERS: Final = "".join(_LATIN)
# The Kangxi radicals: a block of exact copies of Chinese characters.
_RADICALS: Final = {unicodedata.normalize("NFKC", chr(c)): [chr(c)] for c in range(0x2F00, 0x2FD6)}
_SPACE: Final = r"(?<=[\w,.;!?]) (?=\w)"
_CASED: Final = rf"(?<![^\W{CJK}])[^\W\d_{CJK}]+(?![^\W{CJK}])"
_ROWS: Final = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_NEIGHBOURS: Final = {
    key: row[max(i - 1, 0) : i] + row[i + 1 : i + 2] for row in _ROWS for i, key in enumerate(row)
}
_BRITISH: Final = TABLES["spellings"]
_SPELLINGS: Final = _BRITISH | {new: [old] for old, (new,) in _BRITISH.items()}
_GAP: Final = r"(?<=\S)(?=\s|$)|(?<=[，。！？；])(?=\w)"
_END: Final = re.compile(r"(?<=[.!?…])(?=\s)|(?<=[。！？])(?![。！？…”」])|(?<=\n)")


def one_of(rows: dict[str, list[str]]) -> Change:
    """Make the change that draws from a table, in the case of what stood there.

    >>> change = one_of({"big": ["large"]})
    >>> re.sub("(?i)big", lambda place: change(place, Random(0)), "Big BIG big")
    'Large LARGE large'
    """

    def change(place: re.Match[str], rng: Random) -> str:
        old = place[0]
        if old in rows:
            return rng.choice(rows[old])
        new = rng.choice(rows[old.lower()])
        if old.isupper() and len(old) > 1:
            return new.upper()
        return new[:1].upper() + new[1:] if old[0].isupper() else new

    return change


def words_of(rows: dict[str, list[str]]) -> str:
    """Write the pattern of a table's words: English ones whole and in any case, Chinese anywhere.

    >>> re.findall(words_of({"so": ["very"], "好": ["棒"]}), "So also 很好")
    ['So', '好']
    """
    words = sorted(rows, key=len, reverse=True)  # the longest of two that begin alike
    english = "|".join(re.escape(word) for word in words if word.isascii())
    chinese = [word for word in words if not word.isascii()]
    return "|".join([rf"(?<![\w'’-])(?ai:{english})(?![\w'’])", *chinese])


def _characters(table: str) -> Edit:
    return edits_at(f"[{''.join(TABLES[table])}]", one_of(TABLES[table]))


def _words(rows: dict[str, list[str]]) -> Edit:
    return edits_at(words_of(rows), one_of(rows))


def _put(characters: Sequence[str]) -> Change:
    return lambda place, rng: rng.choice(characters)


def _alternating(place: re.Match[str], rng: Random) -> str:
    return "".join(c.upper() if i % 2 else c.lower() for i, c in enumerate(place[0]))


def _typo(place: re.Match[str], rng: Random) -> str:
    """Swap, drop, double or mistype one letter inside the word, the first and last left alone."""
    word = place[0]
    at = rng.randrange(1, len(word) - 1)
    front, letter, back = word[:at], word[at], word[at + 1 :]
    mistyped = rng.choice(_NEIGHBOURS[letter.lower()])
    slips = [front + back, front + letter * 2 + back, front + mistyped + back]
    if at + 2 < len(word):
        slips.append(front + back[0] + letter + back[1:])
    return rng.choice(slips)


def _other_number(place: re.Match[str], rng: Random) -> str:
    first = rng.choice("123456789".replace(place[0][0], ""))
    return first + "".join(rng.choice("0123456789") for _ in place[0][1:])


def _insert(kind: str) -> Change:
    known = TABLES["insertions"]

    def change(place: re.Match[str], rng: Random) -> str:
        near = place.string[max(place.start() - 20, 0) : place.end() + 20]
        chinese = any("\u4e00" <= character <= "\u9fff" for character in near)
        new = rng.choice(known.get(f"{kind}_zh" if chinese else kind, known[kind]))
        return f" {new} " if place.string[place.end() : place.end() + 1].strip() else f" {new}"

    return change


def _truncate(attack: Attack, text: str, rng: Random) -> str:
    spans = [word.span() for word in WORD.finditer(text)]
    n_kept = max(1, len(spans) - n_allowed(attack.budget, len(spans)))
    return text[: spans[n_kept - 1][1]] if n_kept < len(spans) else text


EDITS: Final[dict[str, Edit]] = {
    # A word's first letter stays Latin, so that the word is seen to be of two scripts.
    "homoglyph": edits_at(
        rf"(?<=[A-Za-z])[{_LETTERS}]|[{''.join(_RADICALS)}]", one_of(_LATIN | _RADICALS)
    ),
    "homoglyph_word": edits_at(
        rf"(?<![\w'’])[{_LETTERS}]+(?![\w'’])",
        lambda place, rng: "".join(_LATIN[letter][0] for letter in place[0]),
    ),
    "homoglyph_rare": _characters("rare_homoglyphs"),
    "full_width": edits_at("[!-~]", lambda place, rng: chr(ord(place[0]) + 0xFEE0)),
    "zero_width": edits_at(
        r"(?<=\S)(?=[^\s\udc00-\udfff])", _put("\u200b\u200c\u200d\u2060\ufeff")
    ),
    "space_double": edits_at(f"(?={_SPACE})", _put(" ")),
    "newline": edits_at(_SPACE, _put("\n")),
    "space_drop": edits_at(_SPACE, _put([""])),
    "space_insert": edits_at(rf"(?<=[A-Za-z])(?=[A-Za-z])|(?<=[{CJK}])(?=[{CJK}])", _put(" ")),
    "upper": edits_at(_CASED, lambda place, rng: place[0].upper()),
    "lower": edits_at(_CASED, lambda place, rng: place[0].lower()),
    "alternating": edits_at(_CASED, _alternating),
    "leet": _characters("leet"),
    "plain_marks": _characters("marks"),
    "drop_marks": edits_at(r"[,.;:!?](?=\s|$)|[，。！？；：、]", _put([""])),
    "misspelling": _words(TABLES["misspellings"]),
    "typo": edits_at(r"(?<!\w)[A-Za-z]{4,}(?!\w)", _typo),
    "spelling": _words(_SPELLINGS),
    "article": edits_at(r"(?<![\w'’])(?ai:an?|the)\s+(?=\w)", lambda place, rng: ""),
    "number": edits_at(r"(?<![A-Za-z0-9_])[0-9]+(?![A-Za-z0-9_])", _other_number),
    # After "a" or "an" the other one may be needed, so words there stay.
    "synonym": edits_at(
        rf"(?<!\b[Aa]\s)(?<!\b[Aa]n\s)(?:{words_of(TABLES['synonyms'])})",
        one_of(TABLES["synonyms"]),
    ),
    **{kind: edits_at(_GAP, _insert(kind)) for kind in ("emoji", "hashtag", "mention", "link")},
    "truncate": _truncate,
}
"""Every attack's edit by its name."""


def mix(text: str, other: str, *, budget: float = 0.25, seed: int) -> str:
    """Replace a share of the sentences of `text` by sentences of `other`, each at most once.

    Machine text inside human text with a human `text`, the reverse with a machine one. The
    sentences keep their order; the sense does not survive. The share is in (0, 1] and rounded up,
    but at least one sentence of `text` stays, so a text of one comes back as it is.

    >>> mix("One. Two. Three. Four.", "A. B.", budget=0.5, seed=0)
    'One. A. B. Four.'
    """
    check("mix", budget)
    pieces = _END.split(text)
    places = [i for i, piece in enumerate(pieces) if piece.strip()]
    new = [piece.strip() for piece in _END.split(other) if piece.strip()]
    n = min(n_allowed(budget, len(places)), len(places) - 1, len(new))
    if n < 1:
        return text
    rng = chance(seed, "mix", text, other)
    taken, given = (sorted(rng.sample(range(len(some)), n)) for some in (places, new))
    for place, donor in zip(taken, given, strict=True):
        old = pieces[places[place]]
        pieces[places[place]] = old.replace(old.strip(), new[donor])
    return "".join(pieces)
