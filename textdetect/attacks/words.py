"""Attacks on words and sentences: misspelling, synonyms, insertions, truncation, mixing …

They know no grammar: a word is taken by its letters, whatever it means where it stands, and
"Dr. No" is two sentences.
"""

from __future__ import annotations

import re
from random import Random
from typing import Final

from textdetect.attacks.attack import WORD, Attack, Change, Edit, chance, check, edits_at, n_allowed
from textdetect.attacks.tables import TABLES, one_of, words_of

_ROWS: Final = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_NEIGHBOURS: Final = {
    key: row[max(i - 1, 0) : i] + row[i + 1 : i + 2] for row in _ROWS for i, key in enumerate(row)
}
_BRITISH: Final = TABLES["spellings"]
_SPELLINGS: Final = _BRITISH | {new: [old] for old, (new,) in _BRITISH.items()}
_SYNONYMS: Final = TABLES["synonyms"]
_INSERTIONS: Final = TABLES["insertions"]
_GAP: Final = r"(?<=\S)(?=\s|$)|(?<=[，。！？；])(?=\w)"
_END: Final = re.compile(r"(?<=[.!?…])(?=\s)|(?<=[。！？])(?![。！？…”」])|(?<=\n)")


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
    def change(place: re.Match[str], rng: Random) -> str:
        near = place.string[max(place.start() - 20, 0) : place.end() + 20]
        chinese = any("\u4e00" <= character <= "\u9fff" for character in near)
        new = rng.choice(_INSERTIONS.get(f"{kind}_zh" if chinese else kind, _INSERTIONS[kind]))
        return f" {new} " if place.string[place.end() : place.end() + 1].strip() else f" {new}"

    return change


def _truncate(attack: Attack, text: str, rng: Random) -> str:
    spans = [word.span() for word in WORD.finditer(text)]
    n_kept = max(1, len(spans) - n_allowed(attack.budget, len(spans)))
    return text[: spans[n_kept - 1][1]] if n_kept < len(spans) else text


WORD_EDITS: Final[dict[str, Edit]] = {
    "misspelling": edits_at(words_of(TABLES["misspellings"]), one_of(TABLES["misspellings"])),
    "typo": edits_at(r"(?<!\w)[A-Za-z]{4,}(?!\w)", _typo),
    "spelling": edits_at(words_of(_SPELLINGS), one_of(_SPELLINGS)),
    "article": edits_at(r"(?<![\w'’])(?ai:an?|the)\s+(?=\w)", lambda place, rng: ""),
    "number": edits_at(r"(?<![A-Za-z0-9_])[0-9]+(?![A-Za-z0-9_])", _other_number),
    # After "a" or "an" the other one may be needed, so words there stay.
    "synonym": edits_at(
        rf"(?<!\b[Aa]\s)(?<!\b[Aa]n\s)(?:{words_of(_SYNONYMS)})", one_of(_SYNONYMS)
    ),
    **{kind: edits_at(_GAP, _insert(kind)) for kind in ("emoji", "hashtag", "mention", "link")},
    "truncate": _truncate,
}


def mix(text: str, other: str, *, budget: float = 0.25, seed: int) -> str:
    """Replace a share of the sentences of `text` by sentences of `other`, drawn at random.

    Machine text inside human text with a human `text`, the reverse with a machine one. The
    sentences keep their order; the sense does not survive. At least one sentence of `text` stays,
    so a text of one sentence comes back as it is.

    Args:
        text: what most of the mixture is.
        other: where the new sentences come from, each at most once.
        budget: share of the sentences of `text` that are replaced, in (0, 1], rounded up.
        seed: with the two texts, all that the outcome depends on.

    Raises:
        InvalidInput: the budget is not in (0, 1].

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
