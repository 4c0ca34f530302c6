"""Which language a post is in, and what to do when it is too short to tell.

It knows nothing of which languages a model supports; a caller names the ones it expects.
"""

from __future__ import annotations

import re
import threading
from array import array
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from textdetect.errors import InvalidInput
from textdetect.posts.text import is_missing

UNDETERMINED: Final = "und"
"""ISO 639-2 code for a language that can't be told."""

_OF_ISO_639: Final = """
ar=ara=arb bg=bul bn=ben ca=cat cs=ces=cze da=dan de=deu=ger el=ell=gre en=eng es=spa et=est
fa=fas=per=pes fi=fin fr=fra=fre he=heb=iw hi=hin hr=hrv hu=hun id=ind=in it=ita ja=jpn ka=kat=geo
ko=kor lt=lit lv=lav mk=mkd=mac ml=mal mr=mar ms=msa=may=zsm nl=nld=dut no=nor=nb=nob=nn=nno pl=pol
pt=por ro=ron=rum=mo=mol ru=rus sk=slk=slo sl=slv sq=sqi=alb sr=srp sv=swe sw=swa=swh ta=tam te=tel
th=tha tl=tgl=fil tr=tur uk=ukr ur=urd vi=vie zh=zho=chi=cmn=yue
"""
_CODES: Final = {
    other: codes.split("=")[0] for codes in _OF_ISO_639.split() for other in codes.split("=")
}
_NONE: Final = {"", "und", "mul", "mis", "zxx", "unk", "unknown", "none", "null", "nan", "x", "i"}

CANDIDATES: Final = sorted(set(_CODES.values()))
"""Languages that are told apart; rarer ones would mostly be mistakes on short posts."""

TABLE: Final = Path(__file__).with_name("languages.npz")
"""py3langid's model, cut to the candidates: the whole takes half a second and 50 MB to load.
`training/languages.py` writes it."""

_PRIMARY: Final = re.compile(r"([A-Za-z]{0,8})(?![^_.-])")
_PRIVATE: Final = re.compile("q[a-t][a-z]")  # ISO 639-2 leaves these to whoever uses them
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


def canonical(code: Any) -> str | None:
    """Return what a language tag (BCP-47) says in ISO 639-1, or None where it is to be identified.

    The primary tag decides, in any case: scripts and regions are not told apart. Old and
    three-letter codes become the new ones of two letters; "und" and its like say nothing.

    Args:
        code: a tag; of a list, as Bluesky has, the first; None or NaN where it is missing.

    Raises:
        InvalidInput: what no tag begins with.

    >>> canonical("en-US"), canonical("zh_Hans"), canonical("in"), canonical(["ZHO"])
    ('en', 'zh', 'id', 'zh')
    >>> canonical("und")
    """
    if isinstance(code, (list, tuple)):
        code = next(iter(code), None)
    if is_missing(code):
        return None
    primary = _PRIMARY.match(code.strip()) if isinstance(code, str) else None
    if primary is None:
        raise InvalidInput("language: expected a code, as en, en-US or zh-Hans")
    tag = primary[1].lower()
    return None if tag in _NONE or _PRIVATE.fullmatch(tag) else _CODES.get(tag, tag)


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
