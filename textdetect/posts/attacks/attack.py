"""What an attack is: seeded edits at the places where they fit, within a budget.

It knows nothing of detectors, nor whether a text still means what it meant: each note says that.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from random import Random
from typing import Final, Literal

from textdetect.errors import InvalidInput

Unit = Literal["character", "word"]
Edit = Callable[["Attack", str, Random], str]
"""Attack (its budget and unit), text, source of chance → text."""
Change = Callable[[re.Match[str], Random], str]
"""A place in a text and a source of chance → what stands there afterwards."""

CJK: Final = "\u3400-\u4dbf\u4e00-\u9fff"
# Links, @names, hashtags, HTML entities and escapes: whoever edits a post leaves them whole.
_HELD: Final = r"\\*(?:(?:https?://|www\.)\S+|[@＠#＃]\w+[#＃]?|&[#\w;]*)|\\+(?:\w+|\S)?"
WORD: Final = re.compile(rf"{_HELD}|[{CJK}]|[^\W{CJK}]+(?:['’][^\W{CJK}]+)*")
"""A word; so is a link, a @name, a hashtag and each Chinese character."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """A seeded perturbation of a text, which keeps within its budget.

    The budget is a share of the units, in (0, 1], that may be changed or added; their number is
    rounded up, so that short posts are attacked too. Another share is `InvalidInput`.

    >>> from textdetect.posts.attacks import attack
    >>> attack("lower", budget=0.5)("Now THAT Was Good", seed=0)
    'Now that Was good'
    """

    name: str
    family: str  # what is attacked: "homoglyph", "space", "synonym" …
    unit: Unit  # a Chinese character counts as a word
    budget: float
    note: str  # what meaning it keeps and what it does not
    edit: Edit = field(repr=False)
    undone: bool = False  # wholly, by `text.normalise`, in posts that it reads to the end

    def __post_init__(self) -> None:
        check(self.name, self.budget)

    def __call__(self, text: str, *, seed: int) -> str:
        """Return `text` attacked, or as it is where the attack finds nothing to change.

        It depends on the seed and the text alone; a larger budget changes a smaller one's places
        too, but for edits that cost more than one unit.
        """
        return self.edit(self, text, chance(seed, self.name, text))


class Composition:
    """Attacks one after the other, each within its own budget; see `compose` and `Attack`."""

    def __init__(self, *parts: Attack) -> None:
        self.name = "+".join(part.name for part in parts)
        self.note = " ".join(part.note for part in parts)
        self.undone, self.parts = all(part.undone for part in parts), parts

    def __call__(self, text: str, *, seed: int) -> str:
        """Return `text` after every part, in order."""
        for part in self.parts:
            text = part(text, seed=seed)
        return text


def compose(*attacks: Attack | Composition) -> Composition:
    """Chain attacks, at least one; a composition among them is taken apart.

    >>> from textdetect.posts.attacks import attack
    >>> both = compose(attack("article"), attack("upper"))
    >>> both.name, both("so the day was good", seed=0)
    ('article+upper', 'SO DAY WAS GOOD')
    """
    if not attacks:
        raise InvalidInput("expected at least one attack to compose, got none")
    each = (a.parts if isinstance(a, Composition) else (a,) for a in attacks)
    return Composition(*itertools.chain.from_iterable(each))


def chance(seed: int, *what: str) -> Random:
    """Make the source of chance that belongs to `seed` and `what`, in any process."""
    known = "\x1f".join((str(seed), *what)).encode("utf-8", "surrogatepass")
    return Random(int.from_bytes(blake2b(known, digest_size=16).digest(), "big"))


def check(name: str, budget: float) -> None:
    """Raise `InvalidInput` unless the budget is in (0, 1]."""
    if not isinstance(budget, (int, float)) or not 0 < budget <= 1:
        raise InvalidInput(f"{name}: expected a budget in (0, 1], got {budget!r}")


def n_allowed(budget: float, n_units: int) -> int:
    """Give how many of `n_units` a budget allows, rounded up: 2 of 11 with 0.1."""
    return math.ceil(budget * n_units - 1e-9)


def count(text: str, unit: Unit) -> int:
    """Count the characters or words of `text`."""
    return len(text) if unit == "character" else len(WORD.findall(text))


def edits_at(pattern: str, change: Change) -> Edit:
    """Make the edit that changes matches of `pattern`, in random order, until nothing more fits.

    An edit costs as many units as it takes out or puts in, whichever is more, and at least one.
    """
    places = re.compile(rf"{_HELD}|(?P<place>{pattern})")

    def edit(attack: Attack, text: str, rng: Random) -> str:
        n_left = n_allowed(attack.budget, count(text, attack.unit))
        found = [place for place in places.finditer(text) if place["place"] is not None]
        edits: list[tuple[int, int, str]] = []
        for place in sorted(found, key=lambda _: rng.random()):
            if n_left == 0:
                break
            old, new = place[0], change(place, rng)
            cost = max(1, count(old, attack.unit), count(new, attack.unit))
            if new != old and cost <= n_left:
                n_left -= cost
                edits.append((*place.span(), new))
        parts, end = [], 0
        for start, stop, new in sorted(edits):
            parts += [text[end:start], new]
            end = stop
        return "".join(parts) + text[end:]

    return edit
