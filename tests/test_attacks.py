"""The attacks: what each does, that it keeps within its budget, and what normalisation undoes."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from typing import Any, get_args

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from textdetect.errors import InvalidInput
from textdetect.posts.attacks import ATTACKS, Attack, Composition, Unit, attack, compose, mix
from textdetect.posts.attacks.attack import WORD
from textdetect.posts.attacks.edits import TABLES
from textdetect.posts.text import normalise

Cases = pytest.mark.parametrize

ENGLISH = (
    "The colour of that house isn't necessarily grey, because people really like 24 flavours… "
    "See https://t.co/abc now @ann! It's very nice &amp; cheap #win, don't you think so?"
)
CHINESE = (
    "今天天气非常好，我们去公园散步，大家都很高兴。但是下午突然下雨了！看 https://t.co/abc 吧 @小明"
)
UNDONE = sorted(name for name, known in ATTACKS.items() if known.undone)
OTHERS = sorted(set(ATTACKS) - set(UNDONE))

POST_PIECES = (
    "the a An colour Color because BECAUSE nice very weird don't don’t 24 1,000.50 so café ß İ ŉ "
    "high1 snake_case well-known мой 今天 非常 高兴 人大小 ， 。 ！ … — “ ” . , ! ?? ( ) : / "
    "@ # & \\ @ann @小明 #win #好天气# https://t.co/x www.example.com/a &amp; &#39; &amp;amp; "
    "\\n 😀 ❤️ 👩\u200d👧 \ud83d \ude00 \u200b \x00"
)
PIECES = st.sampled_from(POST_PIECES.split(" "))
POSTS = st.lists(st.tuples(PIECES, st.sampled_from(["", " ", " ", " ", "  ", "\n"]))).map(
    lambda pairs: "".join(piece + space for piece, space in pairs)
)
ANY = st.text(st.characters(exclude_categories=()), max_size=60)
BUDGETS = st.floats(min_value=0.01, max_value=1)


def units(text: str, unit: Unit) -> list[str]:
    return list(text) if unit == "character" else WORD.findall(text)


def n_changed(old: list[str], new: list[str]) -> int:
    """Levenshtein's distance."""
    row = list(range(len(new) + 1))
    for i, unit in enumerate(old, 1):
        corner, row[0] = row[0], i
        for j, other in enumerate(new, 1):
            corner, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, corner + (unit != other))
    return row[-1]


@Cases(
    ("name", "text", "expected"),
    [
        ("homoglyph", "sees", "sееѕ"),
        ("homoglyph", "人大小", "⼈⼤⼩"),
        ("homoglyph_word", "the ace is so sly", "τһе асе іѕ ѕо sly"),
        ("homoglyph_rare", "lip", "ӏıⲣ"),
        ("homoglyph_rare", "今天", "令夭"),
        ("full_width", "So 2!", "Ｓｏ ２！"),
        ("full_width", "用iPhone吧", "用ｉＰｈｏｎｅ吧"),
        ("space_double", "so good, really", "so  good,  really"),
        ("newline", "so good, really", "so\ngood,\nreally"),
        ("newline", "我用 iPhone 吧", "我用\niPhone\n吧"),
        ("space_drop", "so good, really", "sogood,really"),
        ("space_insert", "so good", "s o g o o d"),
        ("space_insert", "今天好", "今 天 好"),
        ("upper", "So good, naïve", "SO GOOD, NAÏVE"),
        ("upper", "我用iPhone吧", "我用IPHONE吧"),
        ("lower", "So GOOD", "so good"),
        ("alternating", "So good", "sO gOoD"),
        ("leet", "Best tea", "B357 734"),
        ("plain_marks", "“well… no” — yes", '"well... no" - yes'),
        ("plain_marks", "今天，“好”。真的？", '今天,"好".真的?'),
        ("drop_marks", "Well, 1,000.50 of it. Yes!", "Well 1,000.50 of it Yes"),
        ("drop_marks", "今天，好。真的？", "今天好真的"),
        ("misspelling", "A weird friend, TRULY Weird", "A wierd freind, TRUELY Wierd"),
        ("spelling", "My favourite Color is GREY", "My favorite Colour is GRAY"),
        ("article", "The dog saw a cat and an owl", "dog saw cat and owl"),
        ("synonym", "Maybe MAYBE the problem", "Perhaps PERHAPS the issue"),
        ("synonym", "妈妈很高兴，马上来", "母亲很开心，立刻来"),
    ],
)
def test_with_the_whole_budget_each_does_what_its_name_says(
    name: str, text: str, expected: str
) -> None:
    assert attack(name, budget=1.0)(text, seed=0) == expected


def test_zero_width_characters_stand_between_all_others() -> None:
    for text in ("good", "今天好"):
        attacked = attack("zero_width", budget=1.0)(text, seed=0)
        assert attacked[::2] == text
        assert set(attacked[1::2]) <= set("\u200b\u200c\u200d\u2060\ufeff")


def test_homoglyphs_leave_the_first_letter_of_a_word() -> None:
    attacked = attack("homoglyph", budget=1.0)("cheap ape isn't", seed=0)
    assert [word[0] for word in attacked.split()] == ["c", "a", "i"]
    assert len(attacked) == len("cheap ape isn't")
    assert not attacked.isascii()


def test_a_typo_is_one_slip_inside_a_word() -> None:
    slips = {attack("typo", budget=1.0)("house", seed=seed) for seed in range(80)}
    assert {"huose", "hose", "housse", "hpuse"} <= slips
    assert all(slip[0] == "h" and slip[-1] == "e" and abs(len(slip) - 5) <= 1 for slip in slips)
    assert attack("typo", budget=1.0)("the cat sat", seed=0) == "the cat sat"


def test_other_numbers_have_as_many_digits() -> None:
    for seed in range(20):
        text = attack("number", budget=1.0)("in 1999 b2b 3rd 2023年7月", seed=seed)
        first, b2b, third, date = text.split()[1:]
        assert (b2b, third) == ("b2b", "3rd")
        assert len(first) == 4
        assert first[0] not in "01"
        assert (date[:1] not in "02", date[4], date[6]) == (True, "年", "月")


@Cases(("name", "sign"), [("emoji", ""), ("hashtag", "#"), ("mention", "@"), ("link", "https://")])
def test_what_is_inserted_stands_between_words(name: str, sign: str) -> None:
    for text in ("so good to be back", "今天很好，真的。走吧"):
        attacked = attack(name, budget=0.2)(text, seed=3)
        put = [word for word in attacked.split() if word not in text]
        assert len(put) == math.ceil(0.2 * len(WORD.findall(text)) - 1e-9)
        assert all(word.startswith(sign) for word in put)
        left = " ".join(word for word in attacked.split() if word not in put)
        assert left.replace(" ", "") == text.replace(" ", "")


def test_hashtags_and_names_are_chinese_in_chinese_posts() -> None:
    assert attack("hashtag")("今天很好", seed=0).split()[1] in TABLES["insertions"]["hashtag_zh"]
    assert attack("mention")("Good", seed=0).split()[1] in TABLES["insertions"]["mention"]


def test_truncation_keeps_whole_words_from_the_front() -> None:
    assert attack("truncate", budget=0.5)("One, two. Three four!", seed=0) == "One, two"
    assert attack("truncate", budget=0.5)("今天很好，走吧。", seed=0) == "今天很"
    assert attack("truncate", budget=1.0)("so good", seed=0) == "so"


@Cases("name", ["misspelling", "spelling", "article", "leet", "typo", "upper", "homoglyph_word"])
def test_what_is_for_english_leaves_chinese_alone(name: str) -> None:
    assert attack(name, budget=1.0)(CHINESE, seed=0) == CHINESE


@Cases("name", sorted(ATTACKS))
def test_links_names_hashtags_and_entities_stay_whole(name: str) -> None:
    whole = ("https://t.co/abc", "@ann", "&amp;", "#win")
    if name == "truncate":
        return
    for seed in range(5):
        attacked = attack(name, budget=1.0)(ENGLISH, seed=seed)
        assert all(word in attacked for word in whole)


def test_a_word_after_an_article_keeps_it_right() -> None:
    change = attack("synonym", budget=1.0)
    assert change("a big house, an amazing film", seed=0) == "a big home, an amazing movie"


@Cases("name", sorted(ATTACKS))
@given(text=POSTS | ANY, budget=BUDGETS, seed=st.integers())
@example(text="", budget=1.0, seed=0)
@example(text="😀😀", budget=1.0, seed=0)
@example(text="\ud800", budget=1.0, seed=0)
@example(text="\ude00\ud83d\ude00 ", budget=1.0, seed=0)
@settings(max_examples=60)
def test_any_text_comes_back_within_the_budget(
    name: str, text: str, budget: float, seed: int
) -> None:
    one = attack(name, budget=budget)
    attacked = one(text, seed=seed)
    old, new = units(text, one.unit), units(attacked, one.unit)
    assert n_changed(old, new) <= math.ceil(budget * len(old))


@Cases("name", sorted(ATTACKS))
def test_the_budget_is_used_where_there_is_something_to_change(name: str) -> None:
    text = CHINESE if name == "plain_marks" else ENGLISH
    assert attack(name)(text, seed=0) != text


@Cases("name", ["homoglyph", "leet", "zero_width", "typo", "upper", "space_insert"])
def test_a_larger_budget_changes_more(name: str) -> None:
    unit = ATTACKS[name].unit
    shares = [
        n_changed(units(ENGLISH, unit), units(attack(name, budget=b)(ENGLISH, seed=0), unit))
        for b in (0.01, 0.1, 0.2, 0.4)
    ]
    assert shares == sorted(set(shares))


def test_a_larger_budget_changes_the_places_of_a_smaller_one_too() -> None:
    small, large = (attack("leet", budget=b)(ENGLISH, seed=0) for b in (0.05, 0.15))
    changed = [
        {i for i, (old, new) in enumerate(zip(ENGLISH, text, strict=True)) if old != new}
        for text in (small, large)
    ]
    assert changed[0] < changed[1]


@Cases("name", UNDONE)
@given(text=POSTS | ANY, budget=BUDGETS, seed=st.integers())
@example(text=ENGLISH, budget=1.0, seed=0)
@example(text=CHINESE, budget=1.0, seed=0)
def test_normalisation_undoes_what_is_said_to_be_undone(
    name: str, text: str, budget: float, seed: int
) -> None:
    assume(name != "homoglyph" or not re.search("[\u0370-\u058f]", text))
    assert normalise(attack(name, budget=budget)(text, seed=seed)) == normalise(text)


def test_in_a_word_of_two_scripts_more_comes_back_as_latin_than_was() -> None:
    assert normalise("high1мой") == "high1мой"
    assert normalise(attack("homoglyph", budget=1.0)("high1мой", seed=0)) == "high1мoй"


def test_these_are_undone() -> None:
    assert UNDONE == [
        "full_width",
        "homoglyph",
        "newline",
        "plain_marks",
        "space_double",
        "zero_width",
    ]


@Cases("name", OTHERS)
def test_normalisation_does_not_undo_the_others(name: str) -> None:
    assert normalise(attack(name, budget=1.0)(ENGLISH, seed=0)) != normalise(ENGLISH)


def test_what_comes_depends_on_seed_and_text_alone() -> None:
    texts = [ENGLISH, CHINESE, "so good", ""]
    for one in ATTACKS.values():
        there = [one(text, seed=7) for text in texts]
        back = [one(text, seed=7) for text in reversed(texts)]
        assert there == back[::-1]
    assert len({attack("typo")(ENGLISH, seed=seed) for seed in range(20)}) > 10


ELSEWHERE = """
import json, sys
from textdetect.posts.attacks import ATTACKS, mix
texts = json.load(sys.stdin)
print(json.dumps([[one(text, seed=5) for one in ATTACKS.values()] + [mix(text, texts[0], seed=5)]
                  for text in texts]))
"""


def test_another_process_gives_the_same() -> None:
    texts = [ENGLISH, CHINESE]
    here = [[one(t, seed=5) for one in ATTACKS.values()] + [mix(t, ENGLISH, seed=5)] for t in texts]
    for hash_seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": hash_seed}
        command = [sys.executable, "-c", ELSEWHERE]
        told = json.dumps(texts)
        out = subprocess.check_output(command, env=environment, input=told, text=True)
        assert json.loads(out) == here


def test_attacks_compose_in_order() -> None:
    article, upper, double = attack("article"), attack("upper"), attack("space_double")
    both = compose(article, upper)
    assert both(ENGLISH, seed=1) == upper(article(ENGLISH, seed=1), seed=1)
    three = compose(both, double)
    assert isinstance(three, Composition)
    assert three.parts == (article, upper, double)
    assert three.name == "article+upper+space_double"
    assert article.note in three.note
    assert not three.undone
    assert compose(double, attack("zero_width")).undone


def test_a_composition_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidInput, match="at least one"):
        compose()


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidInput, match=r"no attack 'paraphrase'.*article.*zero_width"):
        attack("paraphrase")


@Cases("budget", [0, -0.1, 1.01, float("nan"), float("inf"), "0.5"])
def test_a_budget_out_of_range_is_refused(budget: Any) -> None:
    with pytest.raises(InvalidInput, match=r"typo: expected a budget in \(0, 1\]"):
        attack("typo", budget=budget)
    with pytest.raises(InvalidInput, match=r"mix: expected a budget in \(0, 1\]"):
        mix("One. Two.", "Three.", budget=budget, seed=0)


@Cases("one", ATTACKS.values(), ids=ATTACKS)
def test_every_attack_says_what_becomes_of_the_meaning(one: Attack) -> None:
    assert one.note.endswith(".")
    assert len(one.note) > 30
    assert one.unit in get_args(Unit)
    assert one.family
    assert ATTACKS[one.name] is attack(one.name) is one


def test_mixing_replaces_a_share_of_the_sentences_in_order() -> None:
    text, other = "One. Two! Three? Four.\nFive.", "A. B. C. D. E."
    for seed in range(20):
        mixed = mix(text, other, budget=0.4, seed=seed).split()
        places = [i for i, word in enumerate(text.split()) if mixed[i] != word]
        assert len(places) == 2
        assert sorted(mixed[i] for i in places) == [mixed[i] for i in places]
        assert {mixed[i] for i in places} <= set(other.split())
    assert mix(text, "A.", budget=0.4, seed=0).split().count("A.") == 1
    assert {mix("你好。走吧！真的？", "是。", budget=0.3, seed=seed) for seed in range(20)} == {
        "是。走吧！真的？",
        "你好。是。真的？",
        "你好。走吧！是。",
    }


def test_mixing_leaves_at_least_one_sentence() -> None:
    assert mix("Only one here.", "A. B.", budget=1.0, seed=0) == "Only one here."
    mixed = mix("One. Two. Three.", "A. B. C.", budget=1.0, seed=0).split()
    assert len(set(mixed) & {"One.", "Two.", "Three."}) == 1
    assert mix("One. Two.", " ", budget=1.0, seed=0) == "One. Two."


@given(text=POSTS | ANY, other=POSTS | ANY, budget=BUDGETS, seed=st.integers())
def test_any_two_texts_can_be_mixed(text: str, other: str, budget: float, seed: int) -> None:
    assert mix(text, other, budget=budget, seed=seed) == mix(text, other, budget=budget, seed=seed)


def test_tables_are_small_and_change_something() -> None:
    for name, rows in TABLES.items():
        assert len(rows) <= 150, name
        for old, new in rows.items():
            assert new, old
            assert old not in new
    spellings = TABLES["spellings"]
    americans = [american for (american,) in spellings.values()]
    assert len(set(americans)) == len(americans)
    assert not set(americans) & set(spellings)


def test_normalisation_knows_the_common_look_alikes_and_none_of_the_rare() -> None:
    for table, known in (("homoglyphs", True), ("rare_homoglyphs", False)):
        for letter, others in TABLES[table].items():
            for other in others:
                assert (normalise(f"zz{other}zz") == f"zz{letter}zz") == known, (letter, other)
