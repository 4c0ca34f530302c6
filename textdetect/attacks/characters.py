"""Attacks on characters: look-alikes, zero-width characters, spaces, case, leet, punctuation.

They know nothing of what a text says.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from random import Random
from typing import Final

from textdetect.attacks.attack import CJK, Change, Edit, edits_at
from textdetect.attacks.tables import TABLES, one_of

_LATIN: Final = TABLES["homoglyphs"]
_LETTERS: Final = "".join(_LATIN)
_RARE: Final = TABLES["rare_homoglyphs"]
# The Kangxi radicals: a block of exact copies of Chinese characters.
_RADICALS: Final = {unicodedata.normalize("NFKC", chr(c)): [chr(c)] for c in range(0x2F00, 0x2FD6)}
_ZERO_WIDTH: Final = "\u200b\u200c\u200d\u2060\ufeff"
_SPACE: Final = r"(?<=[\w,.;!?]) (?=\w)"
_WORD: Final = rf"(?<![^\W{CJK}])[^\W\d_{CJK}]+(?![^\W{CJK}])"


def _put(characters: Sequence[str]) -> Change:
    return lambda place, rng: rng.choice(characters)


def _alternating(place: re.Match[str], rng: Random) -> str:
    return "".join(c.upper() if i % 2 else c.lower() for i, c in enumerate(place[0]))


CHARACTER_EDITS: Final[dict[str, Edit]] = {
    # A word's first letter stays Latin, so that the word is seen to be of two scripts.
    "homoglyph": edits_at(
        rf"(?<=[A-Za-z])[{_LETTERS}]|[{''.join(_RADICALS)}]", one_of(_LATIN | _RADICALS)
    ),
    "homoglyph_word": edits_at(
        rf"(?<![\w'’])[{_LETTERS}]+(?![\w'’])",
        lambda place, rng: "".join(_LATIN[letter][0] for letter in place[0]),
    ),
    "homoglyph_rare": edits_at(f"[{''.join(_RARE)}]", one_of(_RARE)),
    "full_width": edits_at("[!-~]", lambda place, rng: chr(ord(place[0]) + 0xFEE0)),
    "zero_width": edits_at(r"(?<=\S)(?=[^\s\udc00-\udfff])", _put(_ZERO_WIDTH)),
    "space_double": edits_at(f"(?={_SPACE})", _put(" ")),
    "newline": edits_at(_SPACE, _put("\n")),
    "space_drop": edits_at(_SPACE, _put([""])),
    "space_insert": edits_at(rf"(?<=[A-Za-z])(?=[A-Za-z])|(?<=[{CJK}])(?=[{CJK}])", _put(" ")),
    "upper": edits_at(_WORD, lambda place, rng: place[0].upper()),
    "lower": edits_at(_WORD, lambda place, rng: place[0].lower()),
    "alternating": edits_at(_WORD, _alternating),
    "leet": edits_at(f"[{''.join(TABLES['leet'])}]", one_of(TABLES["leet"])),
    "plain_marks": edits_at(f"[{''.join(TABLES['marks'])}]", one_of(TABLES["marks"])),
    "drop_marks": edits_at(r"[,.;:!?](?=\s|$)|[，。！？；：、]", _put([""])),
}
