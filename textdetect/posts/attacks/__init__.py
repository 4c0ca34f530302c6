"""Seeded perturbations of a text, by which a detector's robustness is measured.

An attack is run on machine posts, which should stay found, and on human posts, which it must not
turn into machines. None of them knows a detector or asks one.

>>> attack("homoglyph", budget=0.1)("so good to be back", seed=0) == "so good to be back"
False
>>> ATTACKS["zero_width"].undone
True
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from textdetect.errors import InvalidInput
from textdetect.posts.attacks.attack import Attack, Composition, Unit, compose
from textdetect.posts.attacks.edits import EDITS, load, mix

__all__ = ["ATTACKS", "Attack", "Composition", "Unit", "attack", "compose", "mix"]

ATTACKS: Final[dict[str, Attack]] = {
    name: Attack(name=name, edit=EDITS[name], **row) for name, row in load("attacks.toml").items()
}
"""Every attack by its name, each with its usual budget."""


def attack(name: str, *, budget: float | None = None) -> Attack:
    """Return an attack by its name, with its usual budget or another share of its units.

    Raises:
        InvalidInput: no attack of that name, or a budget that is not in (0, 1].

    >>> attack("article")("the dog saw a cat", seed=0)
    'dog saw cat'
    """
    if name not in ATTACKS:
        raise InvalidInput(f"no attack {name!r}; known: {', '.join(sorted(ATTACKS))}")
    known = ATTACKS[name]
    return known if budget is None else replace(known, budget=budget)
