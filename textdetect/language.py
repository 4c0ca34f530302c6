"""Which language a post is in, and what to do when it is too short to tell.

It knows nothing of which languages a model supports; a caller names the ones it expects.
"""

from __future__ import annotations

import threading
from array import array
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

UNDETERMINED: Final = "und"
"""ISO 639-2 code for a language that can't be told."""

CANDIDATES: Final = [
    "ar",
    "bg",
    "bn",
    "ca",
    "cs",
    "da",
    "de",
    "el",
    "en",
    "es",
    "et",
    "fa",
    "fi",
    "fr",
    "he",
    "hi",
    "hr",
    "hu",
    "id",
    "it",
    "ja",
    "ka",
    "ko",
    "lt",
    "lv",
    "mk",
    "ml",
    "mr",
    "ms",
    "nl",
    "no",
    "pl",
    "pt",
    "ro",
    "ru",
    "sk",
    "sl",
    "sq",
    "sr",
    "sv",
    "sw",
    "ta",
    "te",
    "th",
    "tl",
    "tr",
    "uk",
    "ur",
    "vi",
    "zh",
]
"""Languages that are told apart; rarer ones would mostly be mistakes on short posts."""

TABLE: Final = Path(__file__).parent / "models" / "languages.npz"
"""py3langid's model, cut to the candidates: the whole takes half a second and 50 MB to load.
`training/languages.py` writes it."""

_SURE: Final = 0.6
_POSSIBLE: Final = 0.01


_loading: Final = threading.Lock()


def _identifier() -> Any:
    with _loading:  # or several threads would each load the model at their first post
        return _loaded_identifier()


@lru_cache(maxsize=1)
def _loaded_identifier() -> Any:
    from py3langid.langid import LanguageIdentifier

    with np.load(TABLE) as table:
        return LanguageIdentifier(
            table["ptc"],
            table["pc"],
            table["classes"].tolist(),
            _array(table["nextmove"]),
            table["out_feat"].tolist(),
            norm_probs=True,
            tk_row=_array(table["nextmove_row"]),
        )


def _array(values: NDArray[np.unsignedinteger[Any]]) -> array[int]:
    """Return an array of the standard library, whose items are read faster one by one."""
    items = array("H" if values.itemsize == array("H").itemsize else "I")
    items.frombytes(values.data.cast("B"))
    return items


def prepare() -> None:
    """Load the identifier now instead of at the first post.

    >>> prepare()
    """
    _identifier()


def identify(normalised: str, *, expected: Collection[str] = ()) -> str:
    """Return the ISO 639-1 code of a normalised post's language, or "und".

    py3langid decides where it gives one language at least 0.6. Below that, which is where short
    posts are, the likeliest of the `expected` languages is taken if it has at least 0.01:
    "so good" is English to an English model. Otherwise "und". Calibration and prediction call
    this one function, so that a mistake in it moves both alike.

    >>> identify("this is a test of the system"), identify("so good", expected=["en"])
    ('en', 'en')
    >>> identify("😀")
    'und'
    """
    if not any(character.isalpha() for character in normalised):
        return UNDETERMINED
    identifier = _identifier()
    language, probability = identifier.classify(normalised)
    if probability >= _SURE:
        return str(language)
    for language, probability in identifier.rank(normalised) if expected else ():
        if probability < _POSSIBLE:
            break
        if language in expected:
            return str(language)
    return UNDETERMINED
