"""A post's own words, told from HTML, quotations, reposts and a platform's phrases."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from textdetect.posts import own_words as home
from textdetect.posts.text import has_words, normalise, notes, others_words, own_words

Cases = pytest.mark.parametrize


@Cases(
    ("html", "plain"),
    [
        ("<p>so good</p><p>it is</p>", "so good\n\nit is"),
        ("so good<br>it is<br />yes", "so good\nit is\nyes"),
        (
            '<span class="h-card"><a href="https://a.b/@ann">@<span>ann</span></a></span> no',
            "@ann no",
        ),
        ('so <a href="https://a.b/tags/x" class="mention hashtag">#<span>x</span></a>', "so #x"),
        (
            'see <a href="https://a.b/long"><span class="invisible">https://</span>'
            '<span class="ellipsis">a.b/lo</span><span class="invisible">ng</span></a>',
            "see https://a.b/long",
        ),
        ('at <a href="https://www.youtube.com/watch?v=x&amp;t=37">0:37</a>', "at 0:37"),
        ('see <a href="https://a.b/c">a.b/c…</a> now', "see  https://a.b/c...  now"),
        ('so <span class="invisible">buy now</span> good', "so  good"),
        ("a<script>so</script>b<style>p {}</style><!-- no -->c", "abc"),
        ('<img alt="a cat" src="x"> so', "so"),
        ("so &lt;b&gt;good&lt;/b&gt;", "so good"),
        ("&amp;quot;so&amp;quot; &amp;lt;3", '"so" <3'),
        ("5 &gt; 3 and a < b, I <3 it", "5 > 3 and a < b, I <3 it"),
        ("vector<int> x and <user> and <url>", "vector<int> x and <user> and <url>"),
        ("so <b unclosed", "so <b unclosed"),
    ],
)
def test_html_is_taken_for_what_it_shows(html: str, plain: str) -> None:
    assert own_words(html) == plain


@Cases(
    ("post", "own", "others"),
    [
        ("> so good\n\nnot so", "not so", "so good"),
        ("&gt; so good\nnot so", "not so", "so good"),
        (">> a\n> b\nno\n> c\nyes", "no\n\nyes", "a\nb\n\nc"),
        ("On Mon, Ann wrote:\n> so good\n\nnot so", "not so", "On Mon, Ann wrote:\nso good"),
        ("<blockquote><p>so good</p></blockquote><p>not so</p>", "not so", "so good"),
        ('<aside class="quote"><p>so</p></aside>no', "no", "so"),
        ("[quote=ann]so [quote]good[/quote][/quote]not so", "not so", "so good"),
        ("look RT @ann: so good", "look", "so good"),
        ("RT @ann: RT @bob: so good", "", "so good"),
        ("look MT @ann so good", "look", "so good"),
        ("真的？//@甲:好用//@乙:不错", "真的?", "好用 不错"),
        ("好//＠甲：不错", "好", "不错"),
        ("转发理由:好看 原始用户: 某某 转发内容: 大家好", "好看", "大家好"),
        ("好看 转发了 @某某 的微博：大家好", "好看", "大家好"),
        ('"@ann: so good" not so', "not so", 'so good"'),
        ("回复@甲:不好用", "@甲 不好用", ""),
        ("RT if you agree", "RT if you agree", ""),
        ("see //comments and http://a.b/@ann", "see //comments and http://a.b/@ann", ""),
        (">:( so sad", ">:( so sad", ""),
        ("so\n>_< good", "so\n>_< good", ""),
        ("[quote] that never ends", "that never ends", ""),
    ],
)
def test_own_words_are_told_from_others(post: str, own: str, others: str) -> None:
    assert own_words(post) == own
    assert others_words(post) == others


@Cases(
    "phrase",
    [
        *("[deleted]", "[removed]", "[deleted by user]", "[ Removed by Reddit ]", "deleted"),
        *("This message was deleted", "Comment removed by moderator", "This Tweet is unavailable."),
        *(
            "转发微博",
            "轉發微博",
            "快转微博",
            "分享图片",
            "分享视频",
            "//@某某:转发微博",
            "转发微博[doge]",
        ),
        *("抱歉，此微博已被作者删除。查看帮助：http://t.cn/x", "@ann 转发微博", "该评论已被删除"),
        *("Diese Nachricht wurde gelöscht", "Este mensaje fue eliminado", "<Media omitted>"),
    ],
)
def test_what_a_platform_says_in_place_of_a_post_is_nobodys_words(phrase: str) -> None:
    assert own_words(phrase) == normalise(phrase) == ""


@Cases(
    "own",
    [
        "I deleted my account today and feel fine",
        "this video was removed from my list, by me, as I am done with him",
        "转发微博就能中奖吗我不信",
        "shared a photo of my cat with mum and she cried",
        "分享图片的时候总是卡住",
    ],
)
def test_a_sentence_that_begins_like_a_platforms_phrase_is_the_accounts(own: str) -> None:
    assert own_words(own) == own


@Cases(
    ("text", "expected"),
    [
        ("哈哈哈哈哈哈哈哈", "哈"),
        ("笑死哈哈哈哈", "笑死哈"),
        ("哈哈哈，哈哈哈。哈哈", "哈"),
        ("加油加油加油加油", "加油"),
        ("哈哈嘿哈哈嘿哈哈嘿", "哈哈嘿"),
        ("lol lol lol LOL", "lol"),
        ("lol, lol, lol", "lol"),
        ("no no way", "no no way"),
        ("hahahahaha", "haha"),
        ("sooooooo good", "sooo good"),
        ("wow!!!!!!! yes", "wow!!! yes"),
        ("😂😂😂😂😂😂", "😂😂😂"),
        ("1000000 of 2333333", "1000000 of 2333333"),
        ("天天向上", "天天向上"),
    ],
)
def test_what_comes_again_and_again_in_a_row_counts_once(text: str, expected: str) -> None:
    assert normalise(text) == expected


def test_words_are_different_words_in_any_case_of_letters() -> None:
    assert not has_words("no No NO way sir", 4)
    assert has_words("no way dear sir", 4)
    assert not has_words("哈,哈,哈嘿", 4)


@Cases(
    ("post", "expected"),
    [
        ("so good &amp; cheap", ()),
        ("<p>so</p>", ("html",)),
        ("so go\u200bod", ("hidden_characters",)),
        ("so good \u200b", ()),
        ("❤️ 👨\u200d👩\u200d👧 می\u200cخواهم", ()),
        ("As an AI language model, I love it", ("model_leftovers",)),
        ("作为一个AI语言模型，我没有车", ("model_leftovers",)),
        ("good car [1†source] really", ("model_leftovers",)),
        ("see https://a.b/?utm_source=chatgpt.com", ("model_leftovers",)),
        ("I use AI as a model at work", ()),
        ("no RT @ann: so very good", ("mostly_quotation",)),
        (
            "<p>no</p><blockquote>Certainly! Here is a tweet</blockquote>",
            ("html", "mostly_quotation"),
        ),
    ],
)
def test_notes_name_what_else_a_post_shows(post: str, expected: tuple[str, ...]) -> None:
    assert notes(post) == expected


@settings(max_examples=400, suppress_health_check=[HealthCheck.filter_too_much])
@given(st.from_regex(home._PLACEHOLDER, fullmatch=True))
def test_no_phrase_of_a_platform_begins_as_none_is_said_to(phrase: str) -> None:
    assume(len(phrase) <= 40 and phrase == home._NO_WORD.sub(" ", phrase.casefold()).strip())
    assume(phrase == home._CHINESE_GAP.sub("", phrase))
    assert own_words(phrase) == ""
    assert len(phrase) > 30 or own_words(f"- @ann: {phrase}!") == ""


@pytest.mark.slow
@settings(max_examples=400)
@given(st.from_regex(home._LEFTOVERS))
def test_no_leftover_of_a_model_is_without_its_sign(text: str) -> None:
    assume(text == text.casefold() and "ı" not in text)
    assert any(sign in text for sign in home._PHRASES["signs"])
