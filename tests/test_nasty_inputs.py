"""Inputs that break detectors, each with what must come out of predict, a call and the shell."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from textdetect import Detector
from textdetect.cli import app
from textdetect.errors import InvalidInput

FAMILY = "👨‍👩‍👧‍👦"
LONG = "We walked along the river until it was dark, and nobody said a word. "


class Text(str):
    """A str of another class."""


def broken_generator() -> Iterator[str]:
    """Yield a post, then raise."""
    yield "this first post is fine"
    raise RuntimeError("no more posts")


TABLE: dict[str, tuple[Any, str]] = {
    # nothing to read
    "None": (None, "empty"),
    "NaN": (float("nan"), "empty"),
    "numpy NaN": (np.float32("nan"), "empty"),
    "pandas NA": (pd.NA, "empty"),
    "pandas NaT": (pd.NaT, "empty"),
    "empty": ("", "empty"),
    "blanks": ("   ", "empty"),
    "newlines and tabs": ("\n\t\r\n\x0b\x0c", "empty"),
    "exotic blanks": ("\u00a0\u2003\u3000\u2028\u1680\u2800", "empty"),
    "zero-width only": ("\u200b\u200c\u200d\ufeff\u2060", "empty"),
    "bidi overrides only": ("\u202e\u202d\u2066\u2069\u200f", "empty"),
    "NUL only": ("\x00\x00\x00", "empty"),
    "control characters only": ("\x01\x02\x1b\x7f", "empty"),
    "lone high surrogate": ("\ud83d", "empty"),
    "lone low surrogate": ("\ude00", "empty"),
    "lost emoji": ("?? ??? ????", "empty"),
    "punctuation only": ("...!?!", "empty"),
    "entities of blanks": ("&nbsp;&#160;&zwj;", "empty"),
    "private use only": ("\ue000\uf8ff", "empty"),
    # too little to tell
    "one word": ("great", "too_short"),
    "the text NA": ("NA", "too_short"),
    "the text null": ("null", "too_short"),
    "emoji only": ("😀😀🎉🔥 👍👍👍👍👍", "too_short"),
    "joined emoji only": (FAMILY * 5, "too_short"),
    "links only": ("https://t.co/abc https://example.org/x www.example.com", "too_short"),
    "names only": ("@ann @bob @carol @dan @eve", "too_short"),
    "links, names and emoji": ("@ann https://t.co/x 😀 @bob", "too_short"),
    "two Chinese characters": ("好的", "too_short"),
    "one letter, a thousand times": ("a" * 1_000, "too_short"),
    "a pile of combining marks": ("a" + "\u0301" * 500, "too_short"),
    "symbols": ("★ ☆ ♪ ※ → ← ↑ ↓", "too_short"),
    # languages that the model does not list
    "Thai": ("ร้านนี้อาหารอร่อยมากและพนักงานก็ใจดีมากครับ ไว้จะมาใหม่", "unsupported_language"),
    "Georgian": (
        "დღეს კარგი ამინდია და ჩვენ პარკში ვსეირნობთ მეგობრებთან ერთად",
        "unsupported_language",
    ),
    # answered like any other post
    "plain": (LONG.strip(), "answered"),
    "a str of another class": (Text(LONG), "answered"),
    "numpy str": (np.str_(LONG), "answered"),
    "NUL inside": (LONG.replace(" ", " \x00", 3), "answered"),
    "zero-width inside": ("\u200b".join(LONG), "answered"),
    "bidi override inside": ("\u202e" + LONG, "answered"),
    "lone surrogate inside": (LONG.replace("river", "ri\ud800ver"), "answered"),
    "escaped": (LONG.replace(",", "\\n").replace("'", "&#39;"), "answered"),
    "markup": (f"<script>alert(1)</script><b>{LONG}</b>", "answered"),
    "csv of a formula": (f'=HYPERLINK("x";"y") {LONG}', "answered"),
    "CRLF": (LONG.replace(" ", "\r\n"), "answered"),
    "full width": (
        "".join(chr(ord(c) + 0xFEE0) if "a" <= c <= "z" else c for c in LONG),
        "answered",
    ),
    "upper case": (LONG.upper(), "answered"),
    "look-alikes": (LONG.replace("al", "аl").replace("er", "еr"), "answered"),
    "very long": (LONG * 2_000, "answered"),
    # errors, each with its place
    "bytes": (b"a post in bytes", "InvalidInput"),
    "bytearray": (bytearray(b"a post"), "InvalidInput"),
    "int": (42, "InvalidInput"),
    "float": (4.2, "InvalidInput"),
    "bool": (True, "InvalidInput"),
    "list": (["a post in a list"], "InvalidInput"),
    "tuple": (("a", "b"), "InvalidInput"),
    "dict": ({"text": "a post in a dict"}, "InvalidInput"),
    "set": ({"a post"}, "InvalidInput"),
    "object": (object(), "InvalidInput"),
    "array": (np.array(["a post"]), "InvalidInput"),
}
"""name → (input, the reason expected; "answered": none but inconclusive; or the error's name)."""

CONTAINERS: dict[str, Any] = {
    "bytes": b"a post",
    "an int": 42,
    "None": None,
    "a float": float("nan"),
    "a dict": {"text": "a post"},
    "a set": {"a post", "another"},
    "a DataFrame": pd.DataFrame({"text": ["a post"]}),
    "an array without a dimension": np.array("a post"),
    "an array of two dimensions": np.array([["a post", "another"]]),
}
NORMAL = "The tickets were cheap, the seats were hard and the band was worth it."


def test_the_table_is_long_enough() -> None:
    assert len(TABLE) >= 40


@pytest.mark.parametrize("name", TABLE)
def test_predict_gives_what_the_table_says(embedded: Detector, name: str) -> None:
    value, expected = TABLE[name]
    if expected == "InvalidInput":
        with pytest.raises(InvalidInput, match="text 1:") as caught:
            embedded.predict([NORMAL, value, NORMAL])
        assert caught.value.position == 1
        assert "a post" not in str(caught.value)
        return
    verdicts = embedded.predict([NORMAL, value, NORMAL])
    assert len(verdicts) == 3
    assert verdicts[0] == verdicts[2]
    verdict = verdicts[1]
    assert math.isnan(verdict.logit) == (expected == "empty")
    assert math.isnan(verdict.probability) == math.isnan(verdict.p_value)
    if expected == "answered":
        assert verdict.reason in (None, "inconclusive")
        assert 0 < verdict.p_value <= 1
    else:
        assert (verdict.reason, verdict.label, verdict.flagged) == (expected, "uncertain", False)
    if isinstance(value, str):
        assert repr(embedded.predict(value)) == repr(verdict)


@pytest.mark.parametrize("name", TABLE)
def test_calling_gives_the_same(embedded: Detector, name: str) -> None:
    value, expected = TABLE[name]
    if expected == "InvalidInput":
        with pytest.raises(InvalidInput, match="text 1:"):
            embedded([NORMAL, value])
        return
    answer = embedded([NORMAL, value])[1]
    verdict = embedded.predict([NORMAL, value])[1]
    assert answer["label"] == verdict.label
    assert math.isnan(answer["score"]) == math.isnan(verdict.p_value)


def test_the_shell_gives_the_same(embedded: Detector, tmp_path: Path) -> None:
    """Strings, numbers, lists and objects go through JSON; NaN and None are null there."""
    rows: list[tuple[str, Any, str]] = []
    for name, (value, expected) in TABLE.items():
        if value is None or isinstance(value, (str, int, float, list, dict)):
            rows.append((name, value, expected))
    source, out = tmp_path / "nasty.jsonl", tmp_path / "out.jsonl"
    lines = [json.dumps({"name": name, "text": value}) for name, value, _ in rows]
    source.write_text("\n".join(lines) + "\n", encoding="utf-8")
    result = CliRunner().invoke(app, ["score", str(source), "-o", str(out)])
    assert result.exit_code == 3, result.output
    scored = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [row["name"] for row in scored] == [name for name, _, _ in rows]
    for (name, value, expected), row in zip(rows, scored, strict=True):
        if expected == "InvalidInput":
            assert (row["td_label"], row["td_reason"]) == ("uncertain", "unreadable"), name
        else:
            verdict = embedded.predict([value])[0]
            assert (row["td_label"], row["td_reason"]) == (verdict.label, verdict.reason), name
            assert (row["td_logit"] is None) == (expected == "empty"), name
            assert (row["td_probability"] is None) == (row["td_p_value"] is None), name


@pytest.mark.parametrize("name", CONTAINERS)
def test_what_is_no_row_of_texts_is_refused(embedded: Detector, name: str) -> None:
    for call in (embedded.predict, embedded, embedded.logits):
        with pytest.raises(InvalidInput):
            call(CONTAINERS[name])


def test_an_error_of_a_generator_comes_through_as_it_is(embedded: Detector) -> None:
    for call in (embedded.predict, embedded, embedded.logits):
        with pytest.raises(RuntimeError, match="no more posts"):
            call(broken_generator())


def test_hidden_characters_and_look_alikes_change_no_logit(embedded: Detector) -> None:
    plain = embedded.predict(LONG).logit
    for name in ("NUL inside", "zero-width inside", "bidi override inside", "CRLF", "look-alikes"):
        assert embedded.predict(TABLE[name][0]).logit == pytest.approx(plain, abs=1e-5), name


@pytest.mark.alone
@pytest.mark.parametrize(
    "unit", [LONG, "a", " ", "\u200b", "😀", "&amp;", "@", "http://", "字", "а", "?"]
)
def test_ten_megabytes_in_one_post_take_less_than_half_a_second(
    embedded: Detector, unit: str
) -> None:
    post = unit * (10_000_000 // len(unit.encode()))
    embedded.predict(LONG)
    start_s = time.perf_counter()
    embedded.predict(post)
    assert time.perf_counter() - start_s <= 0.5
