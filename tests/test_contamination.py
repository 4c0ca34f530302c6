"""Fingerprints of training posts: copies are found, fresh posts are not, damage is named."""

from __future__ import annotations

import random
import re
import struct
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textdetect.errors import (
    CheckpointError,
    ChecksumMismatch,
    InvalidInput,
    NormalisationMismatch,
    TextdetectError,
)
from textdetect.model.contamination import MAX_BYTES, SeenFilter
from textdetect.posts.text import normalise, without

CJK = "\u4e00-\u9fff"
TOKEN = re.compile(rf"[{CJK}]|[^\s{CJK}]+")
KINDS = {"tweet": (5, 24), "weibo": (12, 120), "review": (20, 90), "essay": (150, 300)}
_SYLLABLES = [a + b for a in "bdklmnpr" for b in "aeio"][::2]
WORDS = [a + b + c for a in _SYLLABLES for b in _SYLLABLES for c in (*_SYLLABLES, "")]
HAN = [chr(code) for code in range(0x4E00, 0x4E00 + 1_500)]
N_PLANTED = 300
SMALL = ["The bus was late again and we walked all the way home in the rain", "So good"]


def made(kind: str, n: int, seed: int) -> list[str]:
    """Make posts whose words are as uneven in use as those of people."""
    rng = np.random.default_rng([seed, *kind.encode()])
    vocabulary = HAN if kind == "weibo" else WORDS
    posts = []
    for _ in range(n):
        n_words = int(rng.integers(*KINDS[kind], endpoint=True))
        ranks = (len(vocabulary) ** rng.random(n_words)).astype(int) - 1
        chosen = [vocabulary[rank] for rank in ranks]
        chosen[n_words // 2] += "，" if kind == "weibo" else ","
        posts.append(("" if kind == "weibo" else " ").join(chosen) + ".")
    return posts


def respaced(post: str, rng: random.Random) -> str:
    """Change case at random, and double or remove blanks, removed around punctuation only."""
    post = "".join(c.upper() if rng.random() < 0.5 else c.lower() for c in post)
    post = re.sub(
        r" *([,;!?()\"]) *", lambda m: rng.choice((m[1], m[0].replace(" ", "  "), m[0])), post
    )
    post = re.sub(" ", lambda m: "  " if rng.random() < 0.2 else " ", post)
    return " " * rng.randrange(3) + post + " " * rng.randrange(3)


def reworded(post: str, rng: random.Random, vocabulary: tuple[list[str], list[str]]) -> str:
    """Replace a tenth of the words, at least one, each by another one."""
    places = [m.span() for m in TOKEN.finditer(post) if re.search(r"\w", m[0])]
    places = [p for p in places if not re.match("@|#|https?:|www", post[slice(*p)])]
    for begin, end in sorted(
        rng.sample(places, min(len(places), max(1, round(0.1 * len(places))))), reverse=True
    ):
        old = post[begin:end]
        choices = vocabulary[bool(re.match(f"[{CJK}]", old))]
        while (new := rng.choice(choices)).lower() == old.lower():
            pass
        post = post[:begin] + new + post[end:]
    return post


def share(found: np.ndarray, *kinds: str) -> float:
    return float(np.mean(np.isin(found, kinds or ("exact", "near"))))


def planted(seen: SeenFilter, posts: list[str], change: Callable[[str], str]) -> np.ndarray:
    return seen.look_up([change(post) for post in posts])


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_copies_are_found_and_fresh_posts_are_not(kind: str) -> None:
    n_training, n_fresh = (4_000, 10_000) if kind == "tweet" else (1_500, 1_000)
    training, rng = made(kind, n_training, seed=0), random.Random(0)
    seen = SeenFilter.build(training)
    posts = rng.sample(training, N_PLANTED)
    assert share(planted(seen, posts, str), "exact") == 1
    assert share(planted(seen, posts, lambda post: respaced(post, rng)), "exact") >= 0.99
    assert share(planted(seen, posts, lambda post: reworded(post, rng, (WORDS, HAN)))) >= 0.9
    assert share(seen.look_up(made(kind, n_fresh, seed=1))) <= 1e-4


@pytest.mark.slow
def test_sixty_thousand_posts_take_four_megabytes_and_half_a_minute() -> None:
    training = [*made("tweet", 30_000, 2), *made("weibo", 15_000, 2), *made("review", 15_000, 2)]
    begin_s = time.process_time()
    content = SeenFilter.build(training).to_bytes()
    assert time.process_time() - begin_s < 60
    assert len(content) <= MAX_BYTES
    seen, fresh = SeenFilter.from_bytes(content), made("tweet", 20_000, 3)
    assert seen.n_posts == 60_000
    assert seen.n_bits == 320
    seen.look_up(fresh[:1])
    begin_s = time.process_time()
    found = seen.look_up(fresh)
    assert 20_000 / (time.process_time() - begin_s) >= 2_000
    assert share(found) <= 1e-4
    rng = random.Random(0)
    posts = rng.sample(training, N_PLANTED)
    assert share(seen.look_up(posts), "exact") == 1
    assert share(planted(seen, posts, lambda post: reworded(post, rng, (WORDS, HAN)))) >= 0.9


def test_more_posts_get_fewer_bits_each_and_too_many_are_refused() -> None:
    training = made("review", 1_000, 0)
    full, fewer = SeenFilter.build(training), SeenFilter.build(training, max_bytes=49_000)
    assert len(full.to_bytes()) <= 55_200
    assert len(fewer.to_bytes()) <= 49_000
    assert (full.n_bits, fewer.n_bits) == (320, 264)
    assert SeenFilter.from_bytes(fewer.to_bytes()).n_bits == 264
    rng = random.Random(0)
    assert share(fewer.look_up([reworded(p, rng, (WORDS, HAN)) for p in training[:300]])) >= 0.9
    with pytest.raises(InvalidInput, match=r"1,000 posts do not fit into 46,000 bytes"):
        SeenFilter.build(training, max_bytes=46_000)
    with pytest.raises(InvalidInput, match="do not fit"):
        SeenFilter.build(training, max_bytes=0)


def test_short_posts_match_word_for_word_only() -> None:
    seen = SeenFilter.build(["Good morning!", "See you all there", "we lost in the last minute"])
    asked = ["good  MORNING", "good evening", "see you both there", "We lost in the first minute!"]
    assert seen.look_up(asked).tolist() == ["exact", "", "", "near"]
    two_changed = ["we won in the first minute", "we lost in the minute", "in the last minute"]
    assert share(seen.look_up(two_changed)) == 0


def test_a_short_chinese_post_is_never_near_but_a_longer_one_is() -> None:
    seen = SeenFilter.build(["质量很好,物流很快", "今天又堵车了,晚饭吃了面条,猫把杯子打翻了"])
    asked = ["质量很好 物流很快!", "质量很好,物流真快", "今天又堵车了,晚饭吃了米条,猫把杯子打翻了"]
    assert seen.look_up(asked).tolist() == ["exact", "", "near"]


def test_links_names_entities_case_and_hyphens_make_no_difference() -> None:
    seen = SeenFilter.build(["@ann my well-known cat &amp; I don't sleep… https://t.co/x #tired"])
    asked = [
        "MY WELL - KNOWN CAT &AMP; I DON’T SLEEP... tired",
        "@bob: my wellknown cat & i dont sleep HTTP tired",
        normalise("my well-known cat &amp; I don't sleep… #tired http"),
    ]
    assert seen.look_up(asked).tolist() == ["exact"] * 3


def test_posts_without_a_word_are_never_seen() -> None:
    nothing = ["", " ", "😀😀", "https://t.co/x", "@ann", "...", None]
    seen = SeenFilter.build(nothing)
    assert seen.n_posts == 7
    assert share(seen.look_up(nothing)) == 0
    assert SeenFilter.build([]).look_up(["a"]).tolist() == [""]
    assert SeenFilter.build(iter(SMALL)).look_up([]).shape == (0,)


def test_what_is_not_a_text_is_refused_with_its_position() -> None:
    with pytest.raises(InvalidInput) as caught:
        SeenFilter.build(["a", 3])  # type: ignore[list-item]
    assert caught.value.position == 1
    with pytest.raises(InvalidInput):
        SeenFilter.build(SMALL).look_up(["a", b"b"])  # type: ignore[list-item]


def test_a_posts_answer_does_not_depend_on_its_neighbours() -> None:
    training, rng = made("tweet", 1_200, 0), random.Random(0)
    seen = SeenFilter.build(training)
    asked = [reworded(p, rng, (WORDS, HAN)) for p in training[:60]] + made("tweet", 60, 1)
    assert seen.look_up(asked).tolist() == [seen.look_up([post])[0] for post in asked]


def test_the_order_and_number_of_copies_of_training_posts_make_no_difference() -> None:
    training = made("tweet", 300, 0)
    one, other = SeenFilter.build(training), SeenFilter.build(training[::-1] + training)
    assert (one.n_posts, other.n_posts) == (300, 600)
    for table in ("exact", "gaps", "sketches"):
        assert np.array_equal(getattr(one, table), getattr(other, table))


def test_many_training_posts_that_are_alike_take_no_more_memory_or_answers() -> None:
    start = " ".join(WORDS[:40])
    training = [f"{start} {word} {other}" for word, other in zip(WORDS, WORDS[9:], strict=False)]
    seen = SeenFilter.build(training)
    assert share(seen.look_up([f"{start} quite something", *made("tweet", 50, 1)])) == 1 / 51


@given(st.lists(st.one_of(st.none(), st.text(max_size=80)), max_size=12))
def test_any_training_post_that_has_a_word_is_found_exactly(texts: list[str | None]) -> None:
    seen = SeenFilter.from_bytes(SeenFilter.build(texts).to_bytes())
    for text, found in zip(texts, seen.look_up(texts), strict=True):
        folded = without(normalise((text or "").casefold()))
        assert found == "exact" or not re.search(r"[^\W_]", folded)


STABLE = """
import hashlib, sys
sys.stdin.reconfigure(encoding="utf-8")
from textdetect.model.contamination import SeenFilter
print(hashlib.sha256(SeenFilter.build(sys.stdin.read().splitlines()).to_bytes()).hexdigest())
"""
GOLDEN = "38729dd047357f15c8d607df30f2b8caad600c7720af6d13ce30010de91a5d5c"


def test_the_bytes_are_the_same_in_every_process_and_on_every_machine() -> None:
    texts = [
        *SMALL,
        "今天又堵车了,晚饭吃了面条",
        "we lost in the last minute",
        " ".join(WORDS[::9]),
    ]
    content = SeenFilter.build(texts).to_bytes()
    output = subprocess.run(
        [sys.executable, "-c", STABLE], input="\n".join(texts).encode(), capture_output=True
    )
    assert output.stdout.decode().strip() == sha256(content).hexdigest() == GOLDEN


def test_reading_gives_the_same_filter() -> None:
    for texts in ([], SMALL, made("tweet", 50, 0)):
        seen = SeenFilter.build(texts)
        again = SeenFilter.from_bytes(seen.to_bytes())
        assert again.to_bytes() == seen.to_bytes()
        assert again.look_up(texts).tolist() == ["exact"] * len(texts)


def damaged() -> Iterator[tuple[str, bytes, type[CheckpointError]]]:
    content = SeenFilter.build(SMALL).to_bytes()
    yield "empty", b"", CheckpointError
    yield "another file", b"\x80\x04" + content, CheckpointError
    yield "cut off", content[:-1], ChecksumMismatch
    yield "the head alone", content[:30], CheckpointError
    yield "longer", content + b"\0", ChecksumMismatch
    yield "one bit", content[:60] + bytes([content[60] ^ 1]) + content[61:], ChecksumMismatch
    yield "another format", resealed(content, 8, 1), CheckpointError
    yield "another normalisation", resealed(content, 10, 99), NormalisationMismatch
    yield "odd bits", resealed(content, 12, 3), CheckpointError
    yield "other counts", resealed(content, 24, 9), CheckpointError


def resealed(content: bytes, place: int, value: int) -> bytes:
    """Overwrite a field of the header, and sign it as if that were right."""
    changed = content[:place] + struct.pack("<H", value) + content[place + 2 : -32]
    return changed + sha256(changed).digest()


@pytest.mark.parametrize(("content", "error"), [pytest.param(c, e, id=n) for n, c, e in damaged()])
def test_a_damaged_or_foreign_file_is_named(content: bytes, error: type[CheckpointError]) -> None:
    with pytest.raises(error) as caught:
        SeenFilter.from_bytes(content)
    assert type(caught.value) is error


@given(st.binary(max_size=200), st.integers(0, 200))
def test_no_bytes_give_another_error(noise: bytes, place: int) -> None:
    content = SeenFilter.build(SMALL).to_bytes()
    for data in (noise, content[:place] + noise, content[:8] + noise + content[8:]):
        try:
            SeenFilter.from_bytes(data)
        except TextdetectError:
            continue
        assert data == content


CORPUS = {
    "tweets": ("tweepfake", "xlmt_human"),
    "weibo": ("covid_weibo_human",),
    "reviews": ("fake_reviews_gpt2", "maide_up", "zh_reviews_human"),
    "essays": ("outfox", "l2_essays"),
}


def words(post: str) -> tuple[str, ...]:
    folded = without(normalise(post.casefold()))
    return tuple(re.findall(rf"[{CJK}]|[^\W_{CJK}]+", folded)[:256])


def fresh_only(posts: list[str], training: list[str]) -> list[str]:
    """Drop what is near a training post: word 3-grams overlap by 0.2, or one word differs.

    And what has the same letters, as a sentence and the hashtag made of it.
    """
    letters = {"".join(words(post)) for post in training}
    grams = [{w[i : i + 3] for i in range(max(1, len(w) - 2))} for w in map(words, training)]
    holders = defaultdict(list)
    for row, has in enumerate(grams):
        for gram in has:
            holders[gram].append(row)
    one_off = {gap for post in training for gap in gaps(words(post))}
    fresh = []
    for post in posts:
        has = words(post)
        mine = {has[i : i + 3] for i in range(max(1, len(has) - 2))}
        shared = Counter(row for gram in mine for row in holders.get(gram, ()))
        overlap = max(
            (n / (len(mine) + len(grams[row]) - n) for row, n in shared.items()), default=0
        )
        if (
            has
            and "".join(has) not in letters
            and overlap < 0.2
            and not one_off.intersection(gaps(has))
        ):
            fresh.append(post)
    return fresh


def gaps(post: tuple[str, ...]) -> list[tuple[object, ...]]:
    return [(i, *post[:i], *post[i + 1 :], len(post)) for i in range(len(post)) if len(post) < 12]


@pytest.mark.slow
@pytest.mark.corpus
@pytest.mark.parametrize("genre", CORPUS)
def test_copies_of_real_posts_are_found_and_real_fresh_posts_are_not(
    genre: str, corpus: Path
) -> None:
    tables = [pq.read_table(corpus / f"{name}.parquet") for name in CORPUS[genre]]
    posts = [text for table in tables for text in table["text"].to_pylist() if text]
    rng = random.Random(0)
    rng.shuffle(posts)
    n_training = min(9_000, len(posts) * 2 // 3)
    training, others = posts[:n_training], posts[n_training:][:3_000]
    seen = SeenFilter.build(training)
    copied = rng.sample([post for post in training if len(words(post)) >= 5], N_PLANTED)
    tokens = [token for post in training[:3_000] for token in TOKEN.findall(post)]
    vocabulary = (
        [token for token in tokens if re.search(rf"[^\W{CJK}]", token)],
        [token for token in tokens if re.match(f"[{CJK}]", token)],
    )
    assert share(planted(seen, copied, str), "exact") >= 0.99
    assert share(planted(seen, copied, lambda post: respaced(post, rng))) >= 0.99
    assert share(planted(seen, copied, lambda post: reworded(post, rng, vocabulary))) >= 0.9
    fresh = fresh_only(others, training)
    assert len(fresh) > 900
    assert np.sum(seen.look_up(fresh) != "") <= 1e-4 * len(fresh)
