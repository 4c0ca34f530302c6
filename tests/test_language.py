"""Identification of languages: clear posts, short ones, and the same answer from every thread."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textdetect.errors import InvalidInput
from textdetect.posts.files import open_posts
from textdetect.posts.language import CANDIDATES, TABLE, UNDETERMINED, canonical, identify
from textdetect.posts.text import normalise
from textdetect.posts.writers import write_table

CLEAR = {
    "ar": "كان الطقس جميلا هذا الصباح فمشينا على طول النهر وشربنا القهوة.",
    "de": "Heute Morgen war das Wetter so schön, dass wir am Fluss spazieren gegangen sind.",
    "el": "Σήμερα το πρωί ο καιρός ήταν τόσο ωραίος που περπατήσαμε δίπλα στο ποτάμι.",
    "en": "The weather was lovely this morning, so we walked along the river and had coffee.",
    "es": "Esta mañana hacía tan buen tiempo que dimos un paseo por el río con los niños.",
    "fi": "Tänä aamuna sää oli niin kaunis, että kävelimme joen rantaa pitkin.",
    "fr": "Ce matin il faisait si beau que nous avons marché le long de la rivière.",
    "he": "הבוקר היה מזג אוויר כל כך יפה שהלכנו לאורך הנהר ושתינו קפה.",
    "hi": "आज सुबह मौसम इतना अच्छा था कि हम नदी के किनारे टहलने गए।",
    "it": "Questa mattina il tempo era così bello che abbiamo camminato lungo il fiume.",
    "ja": "今朝はとても天気が良かったので、川沿いを散歩してコーヒーを飲みました。",
    "ko": "오늘 아침에는 날씨가 너무 좋아서 강을 따라 산책하고 커피를 마셨다.",
    "nl": "Vanmorgen was het weer zo mooi dat we langs de rivier hebben gewandeld.",
    "pl": "Dziś rano pogoda była tak piękna, że poszliśmy na spacer wzdłuż rzeki.",
    "ru": "Сегодня утром погода была такой хорошей, что мы пошли гулять вдоль реки.",
    "tr": "Bu sabah hava o kadar güzeldi ki nehir boyunca yürüdük ve kahve içtik.",
    "uk": "Сьогодні вранці погода була такою гарною, що ми пішли гуляти вздовж річки.",
    "zh": "今天早上天气很好,我们沿着河边散步,还喝了咖啡。",
}
SHORT = ["so good", "ok", "lol", "gut so", "merci", "buena idea", "привет", "好用", "a", "http"]


@pytest.mark.parametrize("language", sorted(CLEAR))
def test_a_clear_sentence_is_told_whatever_is_expected(language: str) -> None:
    text = normalise(CLEAR[language])
    assert identify(text) == language
    for expected in (["en"], ["zh", "fr"], ["xx"]):
        assert identify(text, expected=expected) == language


def test_a_short_post_is_taken_for_a_language_that_is_expected() -> None:
    assert identify("so good") == UNDETERMINED
    assert identify("so good", expected=["en"]) == "en"
    assert identify("so good", expected=("zh", "en")) == "en"
    assert identify("so good", expected=frozenset({"en"})) == "en"


def test_an_expected_language_is_not_taken_where_it_is_as_good_as_impossible() -> None:
    assert identify("so good", expected=["zh"]) == UNDETERMINED
    assert identify("привет", expected=["en"]) == UNDETERMINED
    assert identify("so good", expected=["xx"]) == UNDETERMINED


def test_two_chinese_characters_are_enough() -> None:
    assert identify("好用", expected=["en"]) == "zh"


@pytest.mark.parametrize("text", ["", " ", "😀", "12 34", "...", "?!", "2024 👍 100%", "♥"])
def test_a_post_without_letters_has_no_language(text: str) -> None:
    assert identify(text) == UNDETERMINED
    assert identify(text, expected=CANDIDATES) == UNDETERMINED


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=60), st.lists(st.sampled_from(CANDIDATES), max_size=3))
def test_any_text_gets_a_candidate_or_none_and_always_the_same(
    text: str, expected: list[str]
) -> None:
    found = identify(text, expected=expected)
    assert found in {*CANDIDATES, UNDETERMINED}
    assert identify(text, expected=expected) == found
    assert identify(text, expected=expected[::-1]) == found


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=60))
def test_what_is_expected_never_overrules_a_sure_answer(text: str) -> None:
    alone = identify(text)
    if alone != UNDETERMINED:
        assert identify(text, expected=["en", "zh"]) == alone


def test_eight_threads_give_the_answers_of_one() -> None:
    texts = [*CLEAR.values(), *SHORT] * 8
    alone = [identify(text, expected=["en"]) for text in texts]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda text: identify(text, expected=["en"]), texts))
    assert together == alone


def test_the_first_call_may_come_from_two_threads_and_the_import_loads_no_model() -> None:
    code = """
import sys
import textdetect, textdetect.posts.language
assert "py3langid" not in sys.modules
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(2) as pool:
    found = set(pool.map(textdetect.posts.language.identify, ["this is a test of the system"] * 8))
assert found == {"en"}, found
assert "py3langid" in sys.modules
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize(
    ("code", "language"),
    [
        *[(code, "en") for code in ("en", "EN", "en-US", "en_US", "eng", " en ", "en-Latn-GB")],
        *[(code, "zh") for code in ("zh-CN", "zh-Hans", "zh_TW", "zho", "chi", "cmn", "yue")],
        *[("in", "id"), ("iw", "he"), ("deu", "de"), ("ger", "de"), ("nb-NO", "no"), ("fil", "tl")],
        *[("xx", "xx"), ("gsw", "gsw"), (["en", "de"], "en"), (["zh-Hant"], "zh")],
        *[(code, None) for code in ("", " ", "und", "UND", "mul", "zxx", "qme", "qht", "x-ours")],
        *[(code, None) for code in (None, float("nan"), [], "none")],
        ("que", "que"),
    ],
)
def test_a_tag_is_read_by_its_first_part(code: object, language: str | None) -> None:
    assert canonical(code) == language


@pytest.mark.parametrize(
    "code", ["12", "e1", "so good", "en us", "中文", 5, {"en": 1}, "abcdefghi"]
)
def test_what_is_no_language_tag_is_refused(code: object) -> None:
    with pytest.raises(InvalidInput, match="expected a code") as caught:
        canonical(code)
    assert str(code) not in str(caught.value)


def test_every_candidate_is_its_own_code() -> None:
    assert [canonical(code) for code in CANDIDATES] == CANDIDATES


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_the_language_column_of_a_file_takes_tags(suffix: str, tmp_path: Path) -> None:
    codes = ["en-US", "zh-Hans", "und", "in", "", "12"]
    table = pa.table({"text": ["a post"] * 6, "lang": codes})
    write_table(table, tmp_path / f"posts.{suffix}", format=suffix)
    with open_posts(tmp_path / f"posts.{suffix}", format=suffix, language_column="lang") as posts:
        rows = [row for chunk in posts.chunks(100) for row in chunk.rows]
    assert [row.language for row in rows] == ["en", "zh", None, "id", None, None]
    assert [bool(row.problem) for row in rows] == [False] * 5 + [True]


def test_a_list_of_tags_counts_by_its_first(tmp_path: Path) -> None:
    table = pa.table({"text": ["a", "b"], "langs": [["en", "de"], []]})
    pa.parquet.write_table(table, tmp_path / "posts.parquet")
    (tmp_path / "posts.jsonl").write_text('{"text":"a","langs":["en"]}\n{"text":"b","langs":[]}\n')
    for name in ("posts.parquet", "posts.jsonl"):
        with open_posts(
            tmp_path / name, format=name.partition(".")[2], language_column="langs"
        ) as posts:
            rows = [row for chunk in posts.chunks(9) for row in chunk.rows]
        assert [(row.language, row.problem) for row in rows] == [("en", None), (None, None)]


def test_candidates_are_two_letter_codes_in_order() -> None:
    assert sorted(set(CANDIDATES)) == CANDIDATES
    assert all(len(code) == 2 and code.islower() for code in CANDIDATES)


def test_the_table_is_the_model_of_the_installed_package(tmp_path: Path) -> None:
    script = Path(__file__).parents[1] / "training" / "languages.py"
    subprocess.run([sys.executable, script, tmp_path / "table.npz"], check=True)
    with np.load(TABLE) as shipped, np.load(tmp_path / "table.npz") as made:
        assert sorted(shipped.files) == sorted(made.files)
        for name in made.files:
            np.testing.assert_array_equal(shipped[name], made[name])
