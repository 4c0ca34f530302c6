"""The embedded tables; what each covers is said in `tables.toml`, beside its rows."""

from __future__ import annotations

import re
import tomllib
from importlib.resources import files
from random import Random
from typing import Any, Final

from textdetect.attacks.attack import Change


def load(file: str) -> dict[str, Any]:
    """Read a TOML file of this package."""
    return tomllib.loads(files("textdetect.attacks").joinpath(file).read_text(encoding="utf-8"))


TABLES: Final[dict[str, dict[str, list[str]]]] = {
    name: {old: [new] if isinstance(new, str) else new for old, new in rows.items()}
    for name, rows in load("tables.toml").items()
}
"""Table → what may be replaced → what may replace it."""


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
