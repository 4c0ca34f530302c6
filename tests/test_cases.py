"""What real files and public reports showed, and more of each kind: own words, rows, names, words.

The inputs in `cases/` have the shape of files that analysts have; all texts in them are invented.
A kind is tested with its file first, then with forms of it that the file does not hold. Whoever
mends a kind should add a form here that was not thought of.
"""

from __future__ import annotations

import copy
import csv
import dataclasses
import html
import json
import random
import re
import runpy
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from served import Served, stubbed
from tiny import tiny_classifier
from typer.testing import CliRunner

from textdetect import Detector, score_accounts
from textdetect.accounts import AccountVerdicts
from textdetect.campaigns import find_campaigns
from textdetect.campaigns.traces import find_traces, read_dump
from textdetect.cli import app
from textdetect.errors import InvalidInput
from textdetect.model.runtimes.protocol import Runtime
from textdetect.posts.corpus import load_posts
from textdetect.posts.scored import Scores
from textdetect.posts.tables import read_posts
from textdetect.posts.text import has_words, normalise, notes, others_words, own_words

CASES = Path(__file__).parent / "cases"
Cases = pytest.mark.parametrize
Rows = list[dict[str, Any]]


def rows_of(name: str) -> Rows:
    with (CASES / name).open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


REPLIES = [row["text"] for row in rows_of("replies_own.csv")]
"""Of three people, eight each."""
MACHINES = [row["text"].split("\n")[0][2:] for row in rows_of("replies_reddit_quote.csv")]
"""A machine's posts, which these people answer."""
COMMENTS = [row["text"] for row in rows_of("weibo_chain_own.csv")]
"""Of three people, six each, in Chinese."""
ADVERTS = [row["text"].split("//@某科技号:")[1] for row in rows_of("weibo_chain.csv")]
"""A machine's posts, which these people repost."""


def tool(*arguments: str | Path) -> tuple[int, str]:
    """Run the command: its exit code, and what it said."""
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    return result.exit_code, result.output


def as_rows(texts: Sequence[str], *, people: int = 3) -> Rows:
    each = len(texts) // people
    return [{"account": f"person{i // each}", "text": text} for i, text in enumerate(texts)]


def by_account(found: AccountVerdicts) -> dict[str | None, dict[str, Any]]:
    return {row["account"]: row for row in found.to_table().to_pylist()}


def judged(posts: Any, detector: Detector, **options: Any) -> dict[str | None, dict[str, Any]]:
    source = CASES / posts if isinstance(posts, str) else posts
    return by_account(score_accounts(source, detector=detector, progress=False, **options))


SAME = ("n_scored", "language", "score", "p_value", "q_value", "flagged", "reason")


def assert_judged_alike(one: Any, other: Any, detector: Detector) -> None:
    """Assert that accounts get the verdict of their plain own words, and that none is flagged."""
    found, expected = judged(one, detector), judged(other, detector)
    assert list(found) == list(expected)
    for name, row in expected.items():
        assert {key: found[name][key] for key in SAME} == {key: row[key] for key in SAME}
        assert not row["flagged"]
        assert row["n_scored"] == row["n_posts"]


# --- 1. HTML --------------------------------------------------------------------------------------


def mastodon(text: str) -> str:
    """Write a plain post as Mastodon's API gives it."""

    def anchor(found: re.Match[str]) -> str:
        link, name, tag = found["link"], found["name"], found["tag"]
        if name:
            url = f"https://town.example/@{name}"
            inner = f'<a href="{url}" class="u-url mention">@<span>{name}</span></a>'
            return f'<span class="h-card" translate="no">{inner}</span>'
        if tag:
            url = f"https://town.example/tags/{tag.lower()}"
            return f'<a href="{url}" class="mention hashtag" rel="tag">#<span>{tag}</span></a>'
        start, rest = re.match(r"(https?://(?:www\.)?)(.*)", link).groups()  # type: ignore[union-attr]
        shown, hidden = html.escape(rest[:30]), html.escape(rest[30:])
        kind = ' class="ellipsis"' if hidden else ' class=""'
        return (
            f'<a href="{html.escape(link)}" target="_blank" rel="nofollow noopener noreferrer" '
            f'translate="no"><span class="invisible">{start}</span><span{kind}>{shown}</span>'
            f'<span class="invisible">{hidden}</span></a>'
        )

    pieces, at = [], 0
    pattern = (
        r"(?P<link>https?://[\w./?=&%~+-]*[\w/])"
        r"|(?<![\w@/.])@(?P<name>[A-Za-z0-9_]+)|(?<![\w#&/])#(?P<tag>[A-Za-z]\w*)"
    )
    for found in re.finditer(pattern, text, re.ASCII):
        pieces += [html.escape(text[at : found.start()]), anchor(found)]
        at = found.end()
    body = "".join([*pieces, html.escape(text[at:])])
    body = re.sub(r"\n{2,}", "</p><p>", body).replace("\n", "<br />")
    return f"<p>{body}</p>"


def test_people_whose_posts_come_as_html_are_judged_as_in_plain_text(embedded: Detector) -> None:
    assert_judged_alike("replies_mastodon.csv", "replies_mastodon_plain.csv", embedded)


def test_a_post_gets_one_p_value_in_plain_text_mastodons_and_youtubes_html(
    embedded: Detector,
) -> None:
    rows = rows_of("html_posts.csv")
    p = embedded.predict([row["text"] for row in rows]).p_value
    of_post = {row["post"]: set() for row in rows}
    for row, each in zip(rows, p.tolist(), strict=True):
        of_post[row["post"]].add(each)
    assert [len(values) for values in of_post.values()] == [1] * len(of_post)


PLEROMA = (
    '<span class="h-card"><a class="u-url mention" data-user="AY7x" '
    'href="https://pl.example/users/neighbour" rel="ugc">@<span>neighbour</span></a></span> '
    '{words}<br/><br/><a href="https://pl.example/notes/7?a=1&amp;b=2" rel="ugc">'
    'https://pl.example/notes/7?a=1&amp;b=2</a> <a class="hashtag" data-tag="milltown" '
    'href="https://pl.example/tag/milltown" rel="tag ugc">#milltown</a>'
)
MISSKEY = (
    '<p><a href="https://mk.example/@neighbour" class="u-url mention">@neighbour</a>'
    '<span> {words}<br></span><a href="https://pl.example/notes/7">https://pl.example/notes/7</a>'
    '<span> </span><a href="https://mk.example/tags/milltown" rel="tag">#milltown</a></p>'
)
TELEGRAM = (
    '\n      <div class="text">\n@neighbour {words}<br><a href="https://pl.example/notes/7">'
    'https://pl.example/notes/7</a> <a href="" onclick="return ShowHashtag(&quot;milltown&quot;)">'
    "#milltown</a>\n       </div>\n"
)
LEMMY = (
    '<div class="md-div"><p><a href="/u/neighbour" title="a machine wrote this title">@neighbour'
    "</a> {words}</p>\n\n<!-- SC_OFF --><p>https://pl.example/notes/7</p>\n<p>#milltown</p>\n</div>"
)
SCRIPTED = (
    "<style>p > span { color: red }</style><script>var cup = 'the perfect start to a day';</script>"
    "<p>@neighbour {words}</p><p>https://pl.example/notes/7</p>"
    '<p>#milltown</p><img alt="" src="x.png" title="nothing beats a peaceful walk">'
)


@Cases("form", [PLEROMA, MISSKEY, TELEGRAM, LEMMY, SCRIPTED, "<p>{words}</p>", "{words}<br>"])
def test_other_platforms_html_is_read_for_what_it_shows(form: str, embedded: Detector) -> None:
    plain = "@neighbour {words} https://pl.example/notes/7 #milltown" if "milltown" in form else ""
    plain = plain or "{words}"
    shown = [plain.replace("{words}", words) for words in REPLIES]
    written = [form.replace("{words}", html.escape(words)) for words in REPLIES]
    assert [normalise(text) for text in written] == [normalise(text) for text in shown]
    assert notes(written[0])[:1] == ("html",)
    assert notes(shown[0]) == ()
    if form in (PLEROMA, TELEGRAM):
        assert_judged_alike(as_rows(written), as_rows(shown), embedded)


def test_a_youtube_comments_display_text_is_its_original_text() -> None:
    """As the API gives both: a time is a link to the video, and shows as the time."""
    threads = json.loads((CASES / "youtube_commentThreads.json").read_text(encoding="utf-8"))
    for item in threads["items"]:
        comment = item["snippet"]["topLevelComment"]["snippet"]
        assert normalise(comment["textDisplay"]) == normalise(comment["textOriginal"])


@Cases(
    ("text", "shown"),
    [
        ("<p>so good</p><p>to see you</p>", "so good to see you"),
        ("so good<br>to see<br/>you<BR />all", "so good to see you all"),
        ("so <b>good</b>, so <em>b</em>ad", "so good, so bad"),
        ("<P CLASS=x>so good</P>", "so good"),
        ("<p>so&nbsp;good &amp;amp; cheap</p>", "so good & cheap"),
        ("&lt;p&gt;so good&lt;br&gt;to see you&lt;/p&gt;", "so good to see you"),
        ("<p>5 &lt; 6 and 7 &gt; 6, honestly</p>", "5 < 6 and 7 > 6, honestly"),
        ("<ul><li>bread</li><li>milk</li></ul>", "bread milk"),
        ("<p>今天天气</p><p>很好</p>", "今天天气很好"),
        ("<p>unclosed and <a href='https://x.example/a b'>linked", "unclosed and linked"),
        ('<a href="https://x.example/?q=1&quot;>2">here</a> it is', "here it is"),
        ("<p>one<!-- a machine wrote this comment --> two</p>", "one two"),
        ('a <img src="x" alt="a picture"/> b c', "a b c"),
        ('<p>so good<span style="display:none"> to be a machine</span></p>', "so good"),
        ('<p>hi <a href="https://a.example/@b">@<span>b</span></a>, so good</p>', "hi @b, so good"),
    ],
)
def test_tags_are_no_words_and_block_ends_are_blanks(text: str, shown: str) -> None:
    assert normalise(text) == normalise(shown)


@Cases(
    "text",
    [
        "5 > 3 and 7 > 2, so what",
        "I <3 this so much",
        "a < b and b > c in my book",
        "i <3 u > all of them",
        "x<y but y>z, ask Pete",
        "<3 <3 <3 best day of the year",
        "use vector<int> x and map<string, int> y in C++",
        "if (a<b && c>d) return a",
        "List<String> names = new ArrayList<>();",
        "tickets < 20 quid, seats > 5 rows back",
        "<- that one over there ->",
        ">_< why is it so early",
        ">:( the bus is late again",
        "the price went from $5 to >$9 in a week",
        "<< back to the start",
        "1<2",
    ],
)
def test_what_only_looks_like_html_or_a_quote_is_the_accounts(text: str) -> None:
    """Letters and digits all stay: what is cut here would hide words of an account."""
    kept = re.sub(r"\W", "", own_words(text))
    assert kept == re.sub(r"\W", "", text)
    assert others_words(text) == ""
    assert "html" not in notes(text)


@Cases(
    "text",
    [
        "the <title> tag goes before the body, said my teacher",
        "use the <script> tag for that and never eval, they said",
        "so <!-- this is how I begin a comment and never end it",
        "&lt;span hidden&gt;lol no that coffee is burnt every time&lt;/span&gt;",
        "&lt;!-- lol no that coffee is burnt every single time --&gt;",
        "&lt;script&gt;lol no that coffee is burnt every time&lt;/script&gt;",
        "<span hidden>lol no that coffee is burnt every time",
        "<p style='display:none'>lol no that coffee is burnt every time",
    ],
)
def test_tags_that_a_reader_sees_as_text_hide_no_words(text: str) -> None:
    """Typed by an account and escaped by the platform, or never closed: or a bot could hide so."""
    words = re.findall(
        r"[a-z]{3,}", re.sub(r"&?<?/?(?:span|p|script|title)\b|&[lg]t;|=.*?>", " ", text)
    )
    assert set(words) - {"hidden", "style", "none"} <= set(re.findall(r"\w+", normalise(text)))


@Cases("text", ["so good <user> placeholder http", "<url> so good to read", "hey <user> so good"])
def test_a_collections_placeholders_stay_a_link_and_a_mention(text: str) -> None:
    plain = text.replace("<user>", "@ann").replace("<url>", "https://x.example/a")
    assert normalise(text) == normalise(plain)


def test_a_name_with_its_server_is_one_mention_in_html_and_in_plain_text() -> None:
    plain = "@neighbour@town.example lol no that coffee is burnt"
    for text in (
        plain,
        '<p><a href="https://town.example/@neighbour" class="u-url mention">'
        "@neighbour@town.example</a> lol no that coffee is burnt</p>",
    ):
        assert normalise(text) == normalise(normalise(text)) == normalise(plain)
        assert "town" not in normalise(text)


def test_html_and_plain_text_of_one_post_are_one_object_of_campaigns() -> None:
    rows = rows_of("html_posts.csv")
    posts = [
        {"account": f"a{i}", "time": 60.0 * i, "text": row["text"]}
        for i, row in enumerate(rows)
        if row["post"] == rows[0]["post"]
    ]
    assert sorted(find_traces(read_dump(posts)).kinds) == ["hashtags", "text", "url"]


# --- 2. Quoted lines ------------------------------------------------------------------------------


def quoted(text: str, mark: str = "> ", width: int = 60) -> str:
    """Break a text into lines, as mail does, and quote them."""
    lines = re.findall(rf".{{1,{width}}}(?:\s|$)", text)
    return "\n".join(mark + line.strip() for line in lines)


MAIL = "On Mon, 4 Mar 2024 at 08:15, Daily Bot <daily@bot.example> wrote:"
WRAPPED = "On Mon, Mar 4, 2024 at 8:15 AM The Daily Bot of Mill Lane <daily@bot.example>\nwrote:"
OUTLOOK = (
    "-----Original Message-----\nFrom: Daily Bot <daily@bot.example>\n"
    "Sent: Monday, 4 March 2024 08:15\nTo: Ann <ann@mill.example>\nSubject: Coffee\n"
)
DISCOURSE = (
    '<aside class="quote no-group" data-username="dailybot" data-post="1" data-topic="5">\n'
    '<div class="title">\n<div class="quote-controls"></div>\n dailybot:</div>\n'
    "<blockquote>\n<p>{bot}</p>\n</blockquote>\n</aside>\n<p>{own}</p>"
)
Way = Callable[[str, str], str]
QUOTES: dict[str, Way] = {
    "Reddit": lambda own, bot: f"> {bot}\n\n{own}",
    "Reddit without a blank": lambda own, bot: f">{bot}\n\n{own}",
    "Reddit's API": lambda own, bot: f"&gt; {bot}\n\n{own}",
    "Reddit's API without a blank": lambda own, bot: f"&gt;{bot}\n\n{own}",
    "escaped twice": lambda own, bot: f"&amp;gt; {bot}\n\n{own}",
    "escaped by number": lambda own, bot: f"&#62; {bot}\n\n{own}",
    "escaped in hexadecimal": lambda own, bot: f"&#x3E; {bot}\n\n{own}",
    "own words in the next line": lambda own, bot: f"> {bot}\n{own}",
    "Windows' line ends": lambda own, bot: f"> {bot}\r\n\r\n{own}",
    "old Macs' line ends": lambda own, bot: f"> {bot}\r\r{own}",
    "blanks before the mark": lambda own, bot: f"   > {bot}\n\n{own}",
    "many lines": lambda own, bot: f"{quoted(bot)}\n\n{own}",
    "a number": lambda own, bot: f"> 90% of it is this: {bot}\n\n{own}",
    "a list": lambda own, bot: f"&gt;- {bot}\n&gt;- {bot}\n\n{own}",
    "dots": lambda own, bot: f">...and {bot}\n\n{own}",
    "a quote in a quote": lambda own, bot: f"> > {bot}\n>\n> {bot}\n\n{own}",
    "marks without blanks": lambda own, bot: f">>> {bot}\n>> {bot}\n{own}",
    "below the own words": lambda own, bot: f"{own}\n\n> {bot}",
    "between the own words": lambda own, bot: own.replace(" ", f"\n\n> {bot}\n\n", 1),
    "two quotes": lambda own, bot: f"> {bot}\n\n{own}\n\n> {bot}",
    "mail": lambda own, bot: f"{MAIL}\n{quoted(bot)}\n\n{own}",
    "mail, answered above": lambda own, bot: f"{own}\n\n{MAIL}\n\n{quoted(bot)}\n",
    "mail, wrapped": lambda own, bot: f"{own}\n\n{WRAPPED}\n\n{quoted(bot)}\n",
    "Outlook": lambda own, bot: f"{own}\n\n{OUTLOOK}\n{bot}",
    "Usenet": lambda own, bot: f"Daily Bot wrote:\n{quoted(quoted(bot), '>')}\n\n{own}",
    "phpBB": lambda own, bot: f'[quote="dailybot" post_id=12 user_id=3]{bot}[/quote]\n{own}',
    "phpBB, bare": lambda own, bot: f"[quote]{bot}[/quote]{own}",
    "vBulletin": lambda own, bot: f"[QUOTE=dailybot;123456]{bot}[/QUOTE]\n\n{own}",
    "XenForo": lambda own, bot: f'[QUOTE="dailybot, post: 1, member: 2"]\n{bot}\n[/QUOTE]\n{own}',
    "SMF": lambda own, bot: f"[quote author=dailybot link=topic=5.msg6#msg6]{bot}[/quote]{own}",
    "Discourse": lambda own, bot: f'[quote="dailybot, post:1"]\n{bot}\n[/quote]\n\n{own}',
    "BBCode in BBCode": lambda own, bot: (
        f"[quote=a][quote=b]{bot}[/quote]{bot}[/quote]{own}[quote=c]{bot}[/quote]"
    ),
    "a block of HTML": lambda own, bot: (
        f"<blockquote><p>{html.escape(bot)}</p></blockquote><p>{html.escape(own)}</p>"
    ),
    "a block in a block": lambda own, bot: (
        f"<blockquote>{bot}<blockquote>{bot}</blockquote>{bot}</blockquote>{own}"
    ),
    "a paragraph of HTML": lambda own, bot: f"<p>&gt; {bot}</p><p>{own}</p>",
    "a line of HTML": lambda own, bot: f"<p>&gt; {bot}<br>{own}</p>",
    "Discourse's HTML": lambda own, bot: DISCOURSE.format(bot=bot, own=own),
    "an image board": lambda own, bot: f">>123456789\n>{bot}\n{own}",
    "an image board's reference": lambda own, bot: f">>123456789\n{own}",
}
EVERY = [(REPLIES[i], MACHINES[i]) for i in range(0, len(REPLIES), 3)]


def assert_own(way: Way, pairs: list[tuple[str, str]], cited: bool = True) -> None:
    """Assert that the own words come back, and that the other's words are known as such."""
    for own, bot in pairs:
        post = way(own, bot)
        assert normalise(post) == normalise(own)
        assert normalise(own_words(post)) == normalise(own)
        last = re.findall(r"\w+", bot)[-1]
        assert not cited or last in others_words(post)


@Cases("way", QUOTES)
def test_quoted_lines_are_not_the_accounts_words(way: str) -> None:
    assert_own(QUOTES[way], EVERY, cited="reference" not in way)


def test_people_who_quote_a_bot_are_judged_by_their_own_words(embedded: Detector) -> None:
    assert_judged_alike("replies_reddit_quote.csv", "replies_own.csv", embedded)


@Cases("way", ["Reddit's API without a blank", "mail, wrapped", "XenForo", "Discourse's HTML"])
def test_people_who_quote_it_otherwise_are_too(way: str, embedded: Detector) -> None:
    posts = [QUOTES[way](own, bot) for own, bot in zip(REPLIES, MACHINES, strict=True)]
    assert_judged_alike(as_rows(posts), as_rows(REPLIES), embedded)


@Cases("mark", ["> {}", "&gt; {}", "[quote=dailybot]{}[/quote]", "<blockquote>{}</blockquote>"])
def test_a_post_that_is_a_quote_only_counts_and_is_not_scored(
    mark: str, embedded: Detector
) -> None:
    posts = as_rows(REPLIES, people=1) + as_rows([mark.format(MACHINES[0])], people=1)
    row = judged(posts, embedded)["person0"]
    assert (row["n_posts"], row["n_scored"]) == (25, 24)
    verdict = embedded.predict(posts[-1]["text"])
    assert (verdict.label, verdict.reason) == ("uncertain", "no_own_words")
    assert "mostly_quotation" in verdict.notes


@Cases(
    "text",
    [
        "I quote: the bridge is shut, go round by the mill",
        "the sign says [sic] and [citation needed] and nobody knows why",
        "so he wrote: you are wrong about the trains",
        "On Monday she wrote: never again, and never came back",
        "see step 2 -> then step 3 => done and dusted",
        "a long line\nand a second - no > quote - in it",
        "what a [b]great[/b] day to be out with the dog",
        "five is\n  more than four -> said the teacher",
    ],
)
def test_words_about_quoting_are_the_accounts(text: str) -> None:
    plain = text.replace("[b]", "").replace("[/b]", "")
    assert re.sub(r"\W", "", own_words(plain)) == re.sub(r"\W", "", plain)
    assert others_words(plain) == ""


@Cases(
    "text", ["> ", ">", "&gt;", ">\n>\n>", "[quote][/quote]", "<blockquote></blockquote>", ">>1"]
)
def test_a_quote_of_nothing_leaves_nothing_to_judge(text: str, embedded: Detector) -> None:
    verdict = embedded.predict(text)
    assert verdict.label == "uncertain"
    assert verdict.reason in ("empty", "no_own_words", "too_short")


# --- 3. Reposts -----------------------------------------------------------------------------------

REPOSTS: dict[str, Way] = {
    "RT": lambda own, bot: f"{own} RT @dailybot: {bot}",
    "RT without a colon": lambda own, bot: f"{own} RT @dailybot {bot}",
    "RT without a blank": lambda own, bot: f"{own} RT@dailybot: {bot}",
    "RT as phones spell it": lambda own, bot: f"{own} Rt @dailybot: {bot}",
    "rt in small letters": lambda own, bot: f"{own} rt @dailybot: {bot}",
    "Repost": lambda own, bot: f"{own}\nRepost from @dailybot: {bot}",
    "RT after a stop": lambda own, bot: f"{own}. RT @dailybot: {bot}",
    "RT in quotes": lambda own, bot: f'{own} "RT @dailybot: {bot}"',
    "RT in the next line": lambda own, bot: f"{own}\nRT @dailybot: {bot}",
    "RT of an RT": lambda own, bot: f"{own} RT @ann: RT @dailybot: {bot}",
    "RT of lines": lambda own, bot: f"{own} RT @dailybot: {quoted(bot, '')}",
    "RT in HTML": lambda own, bot: (
        f'<p>{own} RT <a href="https://t.example/@dailybot">@<span>dailybot</span></a>: {bot}</p>'
    ),
    "MT": lambda own, bot: f"{own} MT @dailybot: {bot}",
    "QT": lambda own, bot: f"{own} QT @dailybot: {bot}",
}


@Cases("way", REPOSTS)
def test_what_stands_behind_rt_and_its_kin_is_not_the_accounts(way: str) -> None:
    assert_own(REPOSTS[way], EVERY)


def test_people_who_comment_before_rt_are_judged_by_their_comments(embedded: Detector) -> None:
    assert_judged_alike("replies_old_rt.csv", "replies_own.csv", embedded)


@Cases("way", ["MT", "RT without a blank", "RT of an RT"])
def test_people_who_comment_before_its_kin_are_too(way: str, embedded: Detector) -> None:
    posts = [REPOSTS[way](own, bot) for own, bot in zip(REPLIES, MACHINES, strict=True)]
    assert_judged_alike(as_rows(posts), as_rows(REPLIES), embedded)


@Cases(
    "text",
    [
        "RT if you agree that the bins are never emptied",
        "please RT and tell your friends about the lost glove",
        "RT to win a hamper, follow and like as well",
        "the RT channel said so, and @ann believed it",
        "ART @gallery tonight, bring a friend and a coat",
        "SMART @school is what they call it on our road",
        "can you repost @ann's photo from the choir night",
        "retweet @ann if you have seen the grey cat",
        "good read on trams via @townpaper today",
        "found a spoon in the shed HT @pete for the tip",
        "I work at R.T. @ the mill, come and say hello",
        "MT. Everest is not @ the end of our road",
    ],
)
def test_words_about_reposting_are_the_accounts(text: str) -> None:
    assert own_words(text) == text
    assert others_words(text) == ""


@Cases("text", ["so please do not ever RT @dailybot", "why did you never RT @dailybot?"])
def test_a_sentence_that_ends_with_rt_and_a_name_keeps_what_is_before(text: str) -> None:
    assert own_words(text).startswith(text.partition(" RT")[0])
    assert has_words(normalise(text), 4)


def test_rows_that_a_column_calls_reposts_are_counted_and_not_scored(embedded: Detector) -> None:
    row = judged("repost_column.csv", embedded)["person0"]
    assert (row["n_posts"], row["n_scored"], row["flagged"]) == (16, 8, False)
    own = [row["text"] for row in rows_of("repost_column.csv") if row["repost"] == "false"]
    assert row["p_value"] == judged(as_rows(own, people=1), embedded)["person0"]["p_value"]


FLAGS: list[tuple[str, Any, Any]] = [
    ("repost", True, False),
    ("repost", "True", "False"),
    ("repost", 1, 0),
    ("is_retweet", "TRUE", "FALSE"),
    ("is_retweet", "1", "0"),
    ("is_retweet", 1.0, float("nan")),
    ("retweeted_status", '{"id": 9}', ""),
    ("retweeted_status", "1764300000000000000", None),
    ("reblog", '{"id": "9"}', None),
    ("reblog", "x", "null"),
    ("forwarded_from", "Daily Bot", ""),
    ("是否原创", "False", "True"),
    ("是否原创", False, True),
    ("Repost", "yes", "no"),
]


@Cases(("name", "yes", "no"), FLAGS)
@Cases("kind", ["csv", "jsonl", "table"])
def test_every_usual_mark_of_a_repost_is_understood(
    name: str, yes: Any, no: Any, kind: str, embedded: Detector, tmp_path: Path
) -> None:
    posts = [row | {name: yes} for row in as_rows(MACHINES[:8], people=1)]
    posts += [row | {name: no} for row in as_rows(REPLIES[:8], people=1)]
    table: Any = pd.DataFrame(posts)
    if kind == "csv":
        table.to_csv(tmp_path / "posts.csv", index=False)
        table = tmp_path / "posts.csv"
    if kind == "jsonl":
        if isinstance(yes, str) and yes.startswith("{"):  # as the platforms' APIs give it
            posts = [row | {name: json.loads(row[name]) if row[name] else None} for row in posts]
        table = tmp_path / "posts.jsonl"
        table.write_text("".join(json.dumps(row) + "\n" for row in posts))
    row = judged(table, embedded)["person0"]
    assert (row["n_posts"], row["n_scored"], row["flagged"]) == (16, 8, False)


def test_a_column_that_marks_nothing_leaves_every_row_in(embedded: Detector) -> None:
    for name, value in (
        ("repost", False),
        ("reblog", None),
        ("retweet_count", 7),
        ("是否原创", True),
    ):
        posts = [row | {name: value} for row in as_rows(REPLIES[:8], people=1)]
        assert judged(posts, embedded)["person0"]["n_scored"] == 8


# --- 4. Weibo's chains ----------------------------------------------------------------------------

CHAINS: dict[str, Way] = {
    "Weibo": lambda own, bot: f"{own}//@某科技号:{bot}",
    "a wide colon": lambda own, bot: f"{own}//@某科技号：{bot}",
    "blanks": lambda own, bot: f"{own} // @某科技号 : {bot}",
    "a Latin name": lambda own, bot: f"{own}//@Daily_Bot-1:{bot}",
    "three names": lambda own, bot: f"{own}//@小明:哈哈//@小红:说得对//@某科技号:{bot}",
    "names without words": lambda own, bot: f"{own}//@小明://@小红:转发微博//@某科技号:{bot}",
    "a repost of a repost": lambda own, bot: f"{own}//@小明:转发微博//@某科技号:{bot}",
    "HTML": lambda own, bot: (
        f"{own}//<a href='/n/某科技号' usercard='name=@某科技号'>@某科技号</a>:{bot}"
    ),
    "emoticons of HTML": lambda own, bot: (
        f'{own}<span class="url-icon"><img alt="" src="//h5.example/d.png" style="width:1em;">'
        f'</span>//<a href="/n/某科技号">@某科技号</a>:{bot}'
    ),
    "weibo-spider": lambda own, bot: f"转发理由:{own}\n原始用户:某科技号\n转发内容:{bot}",
    "weibo-spider, blanks": lambda own, bot: (
        f"转发理由: {own}\n原始用户: 某科技号\n转发内容: {bot}"
    ),
    "weibo-spider, no user": lambda own, bot: f"转发理由: {own}\n转发内容: {bot}",
    "weibo-spider in one line": lambda own, bot: f"转发理由:{own} 原始用户:某科技号 转发内容:{bot}",
    "weibo-spider, a chain": lambda own, bot: (
        f"转发理由: {own}//@小明:说得对\n原始用户: 某科技号\n转发内容: {bot}"
    ),
    "weibo.cn": lambda own, bot: f"转发了 @某科技号 的微博：{bot}\n转发理由:{own}",
    "RT in Chinese": lambda own, bot: f"{own} RT @某科技号: {bot}",
    "RT close to Chinese": lambda own, bot: f"{own}RT @某科技号：{bot}",
}
EVERY_COMMENT = [(COMMENTS[i], ADVERTS[i]) for i in range(0, len(COMMENTS), 2)]


@Cases("way", CHAINS)
def test_what_stands_behind_a_chains_first_name_is_not_the_accounts(way: str) -> None:
    for own, bot in EVERY_COMMENT:
        post = CHAINS[way](own, bot)
        assert normalise(post) == normalise(own)
        assert bot[-8:-2] in others_words(post)


def test_people_who_comment_before_a_chain_are_judged_by_their_comments(embedded: Detector) -> None:
    assert_judged_alike("weibo_chain.csv", "weibo_chain_own.csv", embedded)


@Cases("way", ["three names", "weibo-spider, blanks", "weibo.cn", "RT close to Chinese"])
def test_people_who_comment_before_other_chains_are_too(way: str, embedded: Detector) -> None:
    posts = [CHAINS[way](own, bot) for own, bot in zip(COMMENTS, ADVERTS, strict=True)]
    assert_judged_alike(as_rows(posts), as_rows(COMMENTS), embedded)


@Cases("reply", ["回复@小明:", "回复 @小明：", "回覆@小明:", "回复@Daily_Bot-1:"])
def test_an_answer_to_a_name_is_a_mention_before_own_words(reply: str) -> None:
    for own, bot in EVERY_COMMENT:
        assert normalise(reply + own) == normalise("@小明 " + own)
        assert normalise(f"{reply}{own}//@小红:{bot}") == normalise("@小明 " + own)


@Cases(
    "text",
    [
        "see //comments in the code, they are older than me",
        "x = 5 // the number of buses @ the stop",
        "https://video.example/@ann/7 is worth a minute",
        "open file://home/ann/notes and read it please",
        "and/or @ann, bring the key//lock tonight",
        "我转发了一条微博给我妈看她不信",
        "大家帮忙转发微博找一下这只猫",
        "回复慢了不好意思今天加班",
    ],
)
def test_slashes_and_words_about_reposts_are_no_chain(text: str) -> None:
    assert own_words(text) == text
    assert others_words(text) == ""


@Cases("end", [":", "：", "我在:", "详情：", "/", "//", "http", "…", "?"])
def test_a_chain_begins_wherever_the_own_words_end(end: str) -> None:
    """As where a link at the end was lost: "I am at:"."""
    for own, bot in EVERY_COMMENT:
        assert normalise(f"{own}{end}//@某科技号:{bot}") == normalise(own + end)


def test_a_link_before_a_chain_ends_where_the_chain_begins() -> None:
    for own, bot in EVERY_COMMENT:
        plain = f"{own} http://t.cn/A6abc"
        assert normalise(f"{plain}//@某科技号:{bot}") == normalise(plain)


# --- 5. Laughter ----------------------------------------------------------------------------------

RUNS = [
    *(
        "嘿嘿嘿嘿",
        "呵呵呵呵呵",
        "啊啊啊啊啊啊啊啊",
        "加油加油加油加油",
        "嗯嗯嗯嗯嗯嗯",
        "哇哇哇哇哇哇",
    ),
    *(
        "2333333",
        "666666",
        "wwwwwwww",
        "ㅋㅋㅋㅋㅋㅋ",
        "hahahahahaha",
        "lol lol lol lol lol",
        "😂" * 30,
    ),
    *(
        "哈哈哈哈，哈哈哈哈。哈哈哈",
        "哈哈哈哈哈\n哈哈哈哈哈\n哈哈",
        "哈 哈 哈 哈 哈 哈 哈",
        "hhhhhhhhhh",
    ),
    *(
        "哈哈哈哈哈哈😂😂😂哈哈哈哈哈",
        "LOL lol LoL lol LOL",
        "no no no no no no",
        "ha ha ha ha ha ha",
    ),
    *(
        "顶" * 50,
        "哈" * 1_000,
        "支持支持支持支持支持",
        "@小明 @小红 哈哈哈哈哈哈哈哈",
        "嘻嘻嘻嘻嘻嘻嘻嘻嘻",
    ),
    *(
        "哈哈哈哈嘿嘿嘿嘿嘿",
        "<p>哈哈哈哈哈哈哈哈哈哈</p>",
        "哈哈哈哈哈哈哈 http://t.cn/A6abc",
        "ㅠㅠㅠㅠㅠㅠㅠㅠ",
    ),
    *("草草草草草草草草", "好好好好好好好好好", "www www www www", "hahaha hahaha hahaha hahaha"),
]


def test_laughter_is_never_a_machines(embedded: Detector) -> None:
    found = embedded.predict([row["text"] for row in rows_of("laughter.csv")], max_fpr=0.05)
    for verdict in found:
        assert not verdict.flagged
        assert verdict.reason == "too_short" or verdict.p_value > 0.05
    assert [found.reason[i] for i in (0, 1, 2, 6)] == ["too_short"] * 4


@Cases("run", RUNS)
def test_other_runs_are_fewer_than_four_words(run: str) -> None:
    assert not has_words(normalise(run), 4)


def test_other_runs_are_too_short_to_judge(embedded: Detector) -> None:
    found = embedded.predict(RUNS, max_fpr=0.05)
    assert set(found.label.tolist()) == {"uncertain"}
    assert set(found.reason.tolist()) == {"too_short"}


@Cases("run", ["哈", "顶", "嘿嘿", "呜", "加油", "哈哈，"])
@Cases(
    "post",
    ["笑死 {}", "@小明 {}", "{}笑死我了", "同事买了 座椅吱吱响{}", "{}又来 上次也是这么说的"],
)
def test_runs_of_any_length_beside_words_flag_nobody(
    run: str, post: str, embedded: Detector
) -> None:
    posts = [post.format(run * n) for n in (4, 8, 11, 16, 40, 100)]
    assert not embedded.predict(posts, max_fpr=0.01).flagged.any()


@Cases(
    ("post", "unit"),
    [
        ("谁爱去谁去 我反正不排队{}", "哈"),
        ("{}昨天才吃了亏 别再来了", "哈"),
        ("楼下大爷说的比这个准 {} 真的", "顶"),
        ("my gran says hi {}and you are wrong about the trains", "lol "),
        ("thanks for nothing {}still waiting on the parcel", "no "),
        ("my cousin works there {}so what do you know", "😂"),
        ("thats not how it works {}mate", "ha "),
    ],
)
def test_the_length_of_a_run_is_no_evidence(post: str, unit: str) -> None:
    """What the model reads is the same, so its score is."""
    assert len({normalise(post.format(unit * n)) for n in (6, 10, 20, 60)}) == 1


@Cases(
    ("text", "n"),
    [
        ("哈哈哈哈哈哈哈哈", 2),
        ("lol lol lol lol", 2),
        ("LOL lol Lol", 2),
        ("好的好的好的", 3),
        ("so good so good so good", 3),
        ("2333333 2333333", 2),
    ],
)
def test_a_word_counts_once_however_often_it_comes(text: str, n: int) -> None:
    assert not has_words(normalise(text), n)
    assert has_words(normalise(text), n - 1)


def test_words_that_people_repeat_for_a_reason_are_still_judged(embedded: Detector) -> None:
    posts = [
        "the bus, the bus that never came, was the bus I saw",
        "好不好用你试试就知道好不好用了",
    ]
    found = embedded.predict([*posts, *REPLIES, *COMMENTS])
    assert not set(found.reason.tolist()) & {"too_short", "empty", "no_own_words"}


# --- What a machine wrote is still found ----------------------------------------------------------


def test_a_machines_own_posts_are_found_in_every_form_as_in_plain_text(embedded: Detector) -> None:
    bots = MACHINES[:8]
    plain = judged(as_rows(bots, people=1), embedded)["person0"]
    assert plain["p_value"] <= 0.02
    assert plain["n_scored"] == 8
    ways: dict[str, Way] = {
        "HTML": lambda own, bot: mastodon(own),
        "below a quote": lambda own, bot: f"> {bot}\n\n{own}",
        "before RT": lambda own, bot: f"{own} RT @ann: {bot}",
        "before a chain": lambda own, bot: f"{own}//@ann:{bot}",
        "below a quote of itself": lambda own, bot: f"> {own}\n\n{own}",
    }
    for name, way in ways.items():
        posts = [way(own, person) for own, person in zip(bots, REPLIES, strict=False)]
        row = judged(as_rows(posts, people=1), embedded)["person0"]
        assert (name, row["p_value"]) == (name, plain["p_value"])
        assert row["flagged"] == plain["flagged"]


@Cases(
    ("text", "expected"),
    [
        ("so good to see you all again", ()),
        ("<p>so good to see you<br>all again</p>", ("html",)),
        ("so g\u200bo\u200bod to s\u200bee you all", ("hidden_characters",)),
        ("so good to \u202esee you\u202c all again", ("hidden_characters",)),
        ("As an AI language model, I can't say that the queue moved", ("model_leftovers",)),
        ("作为一个人工智能语言模型，我无法评价这家面馆", ("model_leftovers",)),
        ("Trams are late citeturn0search1 as the paper says", ("model_leftovers",)),
        (f"> {MACHINES[0]}\n\nno", ("mostly_quotation",)),
        (
            f"<p>&gt; {MACHINES[0]}</p><p>n\u200bo</p>",
            ("html", "hidden_characters", "mostly_quotation"),
        ),
        (f"{REPLIES[0]}\n\n> no", ()),
    ],
)
def test_notes_name_what_else_a_post_shows(text: str, expected: tuple[str, ...]) -> None:
    assert notes(text) == expected


def test_notes_stand_beside_a_verdict_and_change_nothing_of_it(embedded: Detector) -> None:
    plain, shown = embedded.predict([REPLIES[0], f"<p>{REPLIES[0]}</p>"])
    assert (plain.notes, shown.notes) == ((), ("html",))
    assert plain == dataclasses.replace(shown, notes=())


@Cases(
    "text",
    [
        "👨‍👩‍👧‍👦 so good to see you",
        "می‌خواهم به خانه بروم",
        "so good ❤️ to see you",
        "अभि‍ज्ञ so good",
    ],
)
def test_joined_emoji_and_scripts_that_need_joiners_hide_nothing(text: str) -> None:
    assert "hidden_characters" not in notes(text)


# --- 6. Ids ---------------------------------------------------------------------------------------


@Cases("name", ["telegram_ids.csv", "excel_ids.csv", "id_is_the_account.csv"])
def test_rows_that_share_an_id_and_nothing_else_are_all_searched(name: str) -> None:
    table, _ = read_posts(CASES / name)
    assert len(read_dump(table)) == 30


@Cases(
    "ids",
    [
        [i % 7 for i in range(30)],
        [float(i % 3) for i in range(30)],
        ["1.8E+17"] * 30,
        [f"chat{i % 2}" for i in range(30)],
    ],
)
def test_other_ids_that_are_not_one_posts_leave_all_rows_in(ids: list[Any]) -> None:
    table, _ = read_posts(CASES / "telegram_ids.csv")
    rows = [row | {"id": own} for row, own in zip(table.to_pylist(), ids, strict=True)]
    assert len(read_dump(rows)) == 30


def test_a_row_that_agrees_in_account_time_text_and_id_is_a_repetition() -> None:
    table, _ = read_posts(CASES / "telegram_ids.csv")
    rows = table.to_pylist()
    dump = read_dump([*rows, *rows[:4], rows[0] | {"text": "edited since, so another post"}])
    assert len(dump) == 31


@pytest.fixture(scope="module")
def id_worlds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the planted campaign of 42 accounts with good ids and with four kinds of bad ones."""
    folder = tmp_path_factory.mktemp("worlds")
    runpy.run_path(str(CASES / "make_id_worlds.py"))["write_worlds"](folder)
    return folder


@pytest.fixture(scope="module")
def of_good_ids(id_worlds: Path) -> set[str]:
    """Give the campaign that is found where every post has an id of its own."""
    found = find_campaigns(read_posts(id_worlds / "ids_ok.csv")[0], wider=(), progress=False)
    assert [each.n_objects for each in found.campaigns] == [38]
    accounts = set(found.campaigns[0].accounts)
    assert len(accounts) in (41, 42)  # 42 when the inputs were made; one stands at the edge
    return accounts


@pytest.mark.slow
@Cases("name", ["ids_excel.csv", "ids_telegram.csv", "id_is_account.csv", "ids_float.parquet"])
def test_the_planted_campaign_is_found_whatever_the_ids_are(
    id_worlds: Path, of_good_ids: set[str], name: str
) -> None:
    found = find_campaigns(read_posts(id_worlds / name)[0], wider=(), progress=False)
    assert [set(each.accounts) for each in found.campaigns] == [of_good_ids]
    assert found.campaigns[0].p_value == 0.05
    assert not any("left out" in note for note in found.notes)


@pytest.mark.slow
def test_a_file_most_of_whose_rows_come_again_is_no_search_without_campaigns(
    tmp_path: Path,
) -> None:
    head, *lines = (CASES / "telegram_ids.csv").read_text().splitlines()
    (tmp_path / "thrice.csv").write_text("\n".join([head, *lines, *lines, *lines]))
    code, said = tool("campaigns", tmp_path / "thrice.csv", "-o", tmp_path / "out")
    assert code != 0
    assert "0 campaign" not in said
    assert "60" in said


# --- 11. Two clients ------------------------------------------------------------------------------


@Cases(("n_posts", "n_connections"), [(1_000, 1), (300, 4), (50, 2)])
def test_one_clients_batches_never_shut_another_out(
    n_posts: int, n_connections: int, tmp_path: Path
) -> None:
    """Five milliseconds a post: a thousand are five seconds of work, where two may wait."""
    httpx = pytest.importorskip("httpx")
    pytest.importorskip("granian")
    posts = [{"text": f"{REPLIES[i % 24]} {i}"} for i in range(n_posts)]
    with stubbed(tmp_path, "--post-ms", "5") as server:
        stop_s = time.monotonic() + 5

        def client(source: str) -> Any:
            transport = httpx.HTTPTransport(local_address=source)
            return httpx.Client(base_url=server.url, transport=transport, timeout=60)

        def heavy() -> None:
            with client("127.0.0.2") as mine:
                while time.monotonic() < stop_s:
                    if mine.post("/v1/score", json={"posts": posts}).status_code == 429:
                        time.sleep(0.3)

        threads = [threading.Thread(target=heavy) for _ in range(n_connections)]
        for each in threads:
            each.start()
        time.sleep(0.5)
        codes = []
        with client("127.0.0.3") as light:
            while time.monotonic() < stop_s:
                codes.append(light.post("/v1/score", json={"posts": posts[:1]}).status_code)
                time.sleep(0.1)
        for each in threads:
            each.join()
    assert len(codes) >= 5
    assert set(codes) == {200}


# --- 12. Copies in calibration --------------------------------------------------------------------

COPIES: dict[str, Callable[[str, int], str]] = {
    "as they are": lambda text, i: text,
    "with another link": lambda text, i: (
        f"{text} https://t.co/{i}x" if i else f"{text} https://t.co/x"
    ),
    "as HTML": lambda text, i: mastodon(text) if i % 2 else text,
    "with other quotes and blanks": lambda text, i: f"“{text.replace(' ', '  ')}”" if i else text,
    "reposted": lambda text, i: f"RT @a{i}: {text}" if i else text,
    "quoted": lambda text, i: f"> {text}" if i else text,
}


@pytest.fixture(scope="module")
def three_hundred() -> list[str]:
    return list(dict.fromkeys(row["text"] for row in rows_of("calibrate_copies.csv")))


@pytest.fixture(scope="module")
def of_three_hundred(embedded: Detector, three_hundred: list[str]) -> Detector:
    return embedded.calibrate(three_hundred, languages=["en"] * 300)


@Cases("way", COPIES)
def test_three_hundred_people_four_times_support_what_three_hundred_do(
    way: str, embedded: Detector, three_hundred: list[str], of_three_hundred: Detector
) -> None:
    posts = [COPIES[way](text, i) for i in range(4) for text in three_hundred]
    found = embedded.calibrate(posts, languages=["en"] * len(posts)).calibration
    assert found is not None
    assert of_three_hundred.calibration is not None
    rows, expected = found.describe(), of_three_hundred.calibration.describe()
    for key in ("n_humans", "smallest_p_value"):
        assert [row[key] for row in rows] == [row[key] for row in expected]
    assert sum(row["n_humans"] for row in expected) == 300
    assert expected[0]["smallest_p_value"] == pytest.approx(0.0198, abs=0.0001)


@pytest.mark.slow
def test_the_command_counts_copies_once_says_so_and_ends_with_three(tmp_path: Path) -> None:
    human = CASES / "calibrate_copies.csv"
    code, said = tool("calibrate", "default", "--human", human, "-o", tmp_path / "d")
    assert code == 3
    assert re.search(r"\b900\b", said)
    assert re.search(r"\b300\b", said)


@pytest.mark.slow
def test_a_calibration_that_does_not_support_one_in_a_hundred_ends_with_three(
    tmp_path: Path,
) -> None:
    head, *lines = (CASES / "calibrate_copies.csv").read_text().splitlines()
    (tmp_path / "few.csv").write_text("\n".join([head, *dict.fromkeys(lines)][:113]))
    code, said = tool("calibrate", "default", "--human", tmp_path / "few.csv", "-o", tmp_path / "d")
    assert code == 3
    assert "0.01" in said


# --- 13. Names that are nobody's ------------------------------------------------------------------


@Cases("name", ["deleted_authors.csv", "reddit_comments.ndjson", "reddit_comments.csv"])
def test_people_who_deleted_their_accounts_are_no_account(name: str, embedded: Detector) -> None:
    found = judged(name, embedded, input_format="jsonl" if name.endswith("ndjson") else None)
    assert "[deleted]" not in found
    nobody = found[None]
    assert nobody["n_posts"] == (12 if name == "deleted_authors.csv" else 15)
    assert (nobody["reason"], nobody["p_value"], nobody["flagged"]) == ("no_account", None, False)


NOBODY = ["[deleted]", "[removed]", "deleted user", "None", "nan", "null", "NaN", "", "  ", None]
NOBODY += [" [deleted] ", "[Deleted]", "Deleted User"]


@Cases("name", NOBODY)
def test_other_names_of_nobody_are_no_account_in_either_room(name: Any, embedded: Detector) -> None:
    posts = [{"account": name, "text": text, "time": 60.0 * i} for i, text in enumerate(REPLIES)]
    posts += [{"account": "ann", "text": "so good to see you", "time": 0.0}]
    assert [(key, row["reason"]) for key, row in judged(posts, embedded).items()] == [
        (None, "no_account"),
        ("ann", "too_few_posts"),
    ]
    assert (len(read_dump(posts)), read_dump(posts).n_missing) == (1, 24)


@Cases("name", ["nano", "none_of_us", "Null_Island", "deleted_scenes", "removed", "0", "undeleted"])
def test_names_that_only_resemble_those_are_accounts(name: str, embedded: Detector) -> None:
    posts = [{"account": name, "text": text, "time": 60.0 * i} for i, text in enumerate(REPLIES)]
    assert list(judged(posts, embedded)) == [name]
    assert list(read_dump(posts).accounts) == [name]


def test_campaigns_say_how_many_posts_have_no_account() -> None:
    table, _ = read_posts(CASES / "reddit_comments.ndjson", input_format="jsonl")
    found = find_campaigns(table, account="author", time="created_utc", text="body", progress=False)
    assert any(re.search(r"\b15 posts?\b.*left out", note) for note in found.notes)
    assert not {"[deleted]", "None"} & set(found.accounts["account"].to_pylist())


# --- 14. Ids that became numbers ------------------------------------------------------------------

FLOATS = "float_accounts.parquet"


def test_accounts_that_a_gap_made_numbers_have_one_name_in_every_room(embedded: Detector) -> None:
    names = {name for name in judged(FLOATS, embedded) if name is not None}
    table = pq.read_table(CASES / FLOATS)
    assert names == set(read_dump(table).accounts)
    assert names == {str(int(x)) for x in table["account"].to_pylist() if x is not None}
    assert set(judged(table.to_pandas(), embedded)) - {None} == names
    assert set(judged(table.to_pylist(), embedded)) - {None} == names


def test_a_bundle_with_verdicts_is_written_for_accounts_that_are_numbers(tmp_path: Path) -> None:
    options = ("--score-texts", "--keep-names")
    code, said = tool("campaigns", CASES / FLOATS, "-o", tmp_path / "ev", *options)
    assert (code, "the verdicts on accounts" in said) == (0, False)
    assert (tmp_path / "ev").is_dir()


@Cases("names", [[1.0, 2.0, float("nan")], [7, 8, 9], ["007", "8", "1764300000000000001"]])
def test_whole_numbers_with_a_gap_and_text_keep_their_digits(
    names: list[Any], embedded: Detector
) -> None:
    posts = pd.DataFrame({"account": names * 4, "text": REPLIES[:12], "time": [60.0] * 12})
    expected = {str(int(n)) if isinstance(n, (int, float)) else n for n in names if n == n}
    assert set(judged(posts, embedded)) - {None} == expected
    assert set(read_dump(posts).accounts) == expected


def test_numbers_that_are_no_ids_are_refused_by_both_rooms(embedded: Detector) -> None:
    posts = pd.DataFrame({"account": [1.5, 2.5] * 6, "text": REPLIES[:12], "time": [60.0] * 12})
    with pytest.raises(InvalidInput):
        judged(posts, embedded)
    with pytest.raises(InvalidInput):
        read_dump(posts)


# --- 15. The earlier of two equal texts -----------------------------------------------------------


def reversed_copy(folder: Path) -> Path:
    head, *lines = (CASES / "newest_first.csv").read_text(encoding="utf-8").splitlines()
    path = folder / "oldest_first.csv"
    path.write_text("\n".join([head, *reversed(lines)]), encoding="utf-8")
    return path


def test_the_author_is_who_wrote_first_whichever_row_comes_first(
    embedded: Detector, tmp_path: Path
) -> None:
    newest, oldest = (judged(p, embedded) for p in ("newest_first.csv", reversed_copy(tmp_path)))
    for found in (newest, oldest):
        assert found["author"]["n_scored"] == 12
        assert (found["copier"]["n_scored"], found["copier"]["reason"]) == (0, "too_few_posts")
    assert newest["author"]["p_value"] == oldest["author"]["p_value"]


@Cases("name", ["created_at", "timestamp", "date", "created_utc", "published_at", "发布时间"])
@Cases("kind", ["jsonl", "table", "parquet"])
def test_other_files_newest_first_are_read_by_their_times_too(
    name: str, kind: str, embedded: Detector, tmp_path: Path
) -> None:
    rows = [dict(row) for row in rows_of("newest_first.csv")]
    for row in rows:
        row[name] = row.pop("time")
    if name == "created_utc":
        rows = [row | {name: int(datetime.fromisoformat(row[name]).timestamp())} for row in rows]
    posts: Any = pd.DataFrame(rows)
    if kind == "parquet":
        posts.to_parquet(tmp_path / "posts.parquet", index=False)
        posts = tmp_path / "posts.parquet"
    if kind == "jsonl":
        posts = tmp_path / "posts.jsonl"
        posts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = judged(posts, embedded)
    assert (found["author"]["n_scored"], found["copier"]["n_scored"]) == (12, 0)


# --- 16. The shapes that other tools send ---------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    pytest.importorskip("granian")
    pytest.importorskip("fastapi")
    with stubbed(tmp_path_factory.mktemp("server")) as running:
        yield running


@Cases("path", ["/predict", "/"])
@Cases("n", [1, 2, 7])
def test_a_list_of_texts_is_a_batch_with_a_result_each(server: Served, path: str, n: int) -> None:
    status, found, _ = server.ask(path, {"inputs": REPLIES[:n]})
    assert (status, len(found)) == (200, n)
    for text, classes in zip(REPLIES[:n], found, strict=True):
        assert {each["label"] for each in classes} == {"human", "machine"} or len(classes) == 2
        assert classes == server.ask(path, {"inputs": [[text]]})[1][0] or path == "/"


@Cases("k", [1, 2])
@Cases(
    "body",
    [{"parameters": {"top_k": 0}}, {"parameters": {"top_k": 0, "function_to_apply": "softmax"}}],
)
def test_top_k_says_how_many_classes_come(server: Served, k: int, body: dict[str, Any]) -> None:
    asked = {"inputs": REPLIES[0], "parameters": body["parameters"] | {"top_k": k}}
    status, found, _ = server.ask("/", asked)
    assert status == 200
    classes = found[0] if isinstance(found[0], list) else found
    assert len(classes) == k
    assert classes[0]["score"] == max(each["score"] for each in classes)


def test_posts_may_be_plain_texts(server: Served) -> None:
    status, found, _ = server.ask("/v1/score", {"posts": REPLIES[:3]})
    assert (status, len(found["verdicts"])) == (200, 3)
    objects = server.ask("/v1/score", {"posts": [{"text": text} for text in REPLIES[:3]]})[1]
    bare = [{k: v for k, v in row.items() if k != "id"} for row in found["verdicts"]]
    assert bare == [{k: v for k, v in row.items() if k != "id"} for row in objects["verdicts"]]


@Cases("line", [b"not json", b'{"text":1}', b"[1]", b'{"posts":[]}', b'{"text":"a","language":7}'])
def test_a_bad_line_of_a_stream_is_answered_in_the_documented_shape(
    server: Served, line: bytes
) -> None:
    lines = line + b'\n{"text":"so good to see you again"}'
    _, text, _ = server.ask("/v1/score", lines, Content_Type="application/x-ndjson")
    bad, good = (json.loads(each) for each in text.splitlines())
    assert set(bad["error"]) == {"type", "message", "param", "code"}
    assert bad["error"]["type"] == "invalid_input"
    assert "label" in good


# --- 17. Language codes ---------------------------------------------------------------------------


def test_language_columns_may_hold_bcp_47(tmp_path: Path) -> None:
    out = tmp_path / "s.csv"
    code, _ = tool("score", CASES / "lang_codes.csv", "-o", out, "--language-column", "lang")
    assert code == 0
    with out.open(encoding="utf-8", newline="") as stream:
        rows = {row["lang"]: row for row in csv.DictReader(stream)}
    for given, same in (
        ("en", "EN en-US en-GB en_US eng und qme"),
        ("zh", "zh-CN zh-Hans zh-cn zh_TW zho"),
    ):
        for other in same.split():
            for key in ("td_language", "td_label", "td_p_value", "td_reason"):
                assert (other, rows[other][key]) == (other, rows[given][key])
        assert rows[given]["td_language"] == given
        assert rows[given]["td_reason"] != "unsupported_language"
    assert rows[""]["td_language"] == "en"
    assert (rows["in"]["td_language"], rows["in"]["td_reason"]) == ("id", "unsupported_language")


@Cases(
    ("given", "meant"),
    [
        *(("en-Latn-GB", "en"), ("EN-us", "en"), ("en-US-x-twain", "en"), ("de_AT", "de")),
        *(
            ("fra", "fr"),
            ("ger", "de"),
            ("deu", "de"),
            ("spa", "es"),
            ("es-419", "es"),
            ("chi", "zh"),
        ),
        *(
            ("cmn-Hans-CN", "zh"),
            ("zh-Hant-HK", "zh"),
            (" zh ", "zh"),
            ("cmn", "zh"),
            ("it-IT", "it"),
        ),
    ],
)
def test_other_codes_mean_their_language(given: str, meant: str, embedded: Detector) -> None:
    text = "chat information total"
    assert embedded.predict(text, language=given).language == meant
    assert embedded.predict([text], language=[given]).language.tolist() == [meant]


@Cases("given", ["und", "qme", "qaa", "zxx", "mul", "", None, "und-Latn"])
def test_codes_of_no_language_leave_it_to_identification(given: Any, embedded: Detector) -> None:
    plain = embedded.predict([REPLIES[1]])
    assert embedded.predict([REPLIES[1]], language=[given])[0] == plain[0]


def test_the_server_knows_the_same_codes(server: Served) -> None:
    for given in ("en-US", "EN", "eng", "und"):
        body = {"posts": [{"text": REPLIES[0], "language": given}]}
        status, found, _ = server.ask("/v1/score", body)
        assert (given, status) == (given, 200)
        assert found["verdicts"][0]["language"] == "en"
    status, found, _ = server.ask(
        "/v1/score", {"posts": [{"text": COMMENTS[0], "language": "zh-CN"}]}
    )
    assert (status, found["verdicts"][0]["language"]) == (200, "zh")


# --- 18. Platforms' own words ---------------------------------------------------------------------

PLACEHOLDERS = [
    *(
        "转发微博",
        "轉發微博",
        "转发微博。",
        " 转发微博 ",
        "转发微博\u200b\u200b\u200b",
        "轉發",
        "Repost",
        "repost",
    ),
    *(
        "快转微博",
        "分享图片",
        "分享視頻",
        "分享圖片",
        "分享图片 \u200b\u200b\u200b",
        "分享视频 http://t.cn/A6abc",
    ),
    *("//@某某:转发微博", "转发微博//@某某:转发微博//@小明:真的假的我上周去还关着门", "转发动态"),
    *(
        "转发理由:转发微博\n原始用户:某科技号\n转发内容:智能出行新时代已经到来",
        "轉發微博//@某某：分享图片",
    ),
    *(
        "转发了 @某科技号 的微博：智能出行新时代已经到来",
        "转发了 @某科技号 的微博:绿色低碳已成为社会共识",
    ),
    *("[deleted]", "[removed]", "[ Removed by Reddit ]", "[deleted by user]", "\\[deleted\\]"),
    *("This message was deleted", "This message was deleted.", "Comment removed by moderator"),
    *("This comment was deleted", "Message deleted", "You deleted this message", "[DELETED]"),
    *("This content isn't available right now", "This content isn’t available right now"),
    *(
        "This Tweet is unavailable.",
        "This Post is unavailable.",
        "<p>[deleted]</p>",
        "<Media omitted>",
    ),
    *("抱歉，此微博已被作者删除。查看帮助：http://t.cn/RfdrxeN", "该评论已被删除", "此评论已删除"),
    *(
        "RT @dailybot: Just had the most amazing cup of coffee",
        "&gt; Just had the most amazing cup",
    ),
]


def test_platforms_own_phrases_get_no_verdict(embedded: Detector) -> None:
    found = embedded.predict([row["text"] for row in rows_of("reposted_default.csv")])
    assert found.label.tolist() == ["uncertain"] * 8
    assert found.reason.tolist() == ["no_own_words"] * 8


@Cases("text", PLACEHOLDERS)
def test_other_phrases_of_platforms_are_nobodys_words(text: str) -> None:
    assert normalise(text) in ("", "http")


def test_other_phrases_of_platforms_get_no_verdict_either(embedded: Detector) -> None:
    found = embedded.predict([text for text in PLACEHOLDERS if "http" not in text])
    assert set(found.label.tolist()) == {"uncertain"}
    assert set(found.reason.tolist()) == {"no_own_words"}
    assert np.all(np.isnan(found.logit))


@Cases(
    "text",
    [
        "they [deleted] my comment about the bins again",
        "this message was deleted before I could read it, what was it",
        "that post was deleted by the author because he is a coward",
        "who removed the comment by the moderator and why",
        "分享图片给大家看看我家的猫",
        "转发微博抽奖的都是骗子别信",
        "快转微博给你妈看",
        "repost this if you have seen the grey cat",
        "message deleted my whole day, as it were",
    ],
)
def test_sentences_with_such_phrases_are_the_accounts(text: str) -> None:
    assert own_words(text) == text


def test_an_empty_post_stays_empty_and_is_no_repost(embedded: Detector) -> None:
    found = embedded.predict(["", None, "  ", "...!?!", "\u200b"])
    assert found.reason.tolist() == ["empty"] * 5


# --- 20. Messages and small shapes ----------------------------------------------------------------


def test_a_file_without_an_account_column_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "posts.csv").write_text("text,day\nso good to see you all,1\n")
    code, said = tool("accounts", tmp_path / "posts.csv", "-o", tmp_path / "a.csv")
    assert code == 2
    assert "for accounts" in said
    assert "--account-column" in said


def test_commands_name_options_as_a_shell_takes_them(tmp_path: Path) -> None:
    """Of a classifier with classes of its own it must be said which one is the machine's."""
    model = tiny_classifier(tmp_path / "theirs")
    config = json.loads((model / "config.json").read_text())
    config |= {"id2label": {"0": "Real", "1": "Fake"}, "label2id": {"Real": 0, "Fake": 1}}
    (model / "config.json").write_text(json.dumps(config))
    (tmp_path / "posts").mkdir()
    posts = {"text": REPLIES + MACHINES[:8], "label": [0] * 24 + [1] * 8, "language": ["en"] * 32}
    pq.write_table(pa.table(posts), tmp_path / "posts" / "mine.parquet")
    code, said = tool("evaluate", model, tmp_path / "posts", "-o", tmp_path / "out")
    assert code == 2
    assert "--machine-label" in said
    assert "machine_label" not in said


@Cases(
    "make",
    [pa.array, lambda t: pa.chunked_array([t[:5], t[5:]]), lambda t: pa.table({"t": t})["t"]],
    ids=["array", "chunked", "column"],
)
@Cases("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_pyarrow_columns_are_texts(make: Any, kind: Any, embedded: Detector) -> None:
    texts = pa.array([*REPLIES[:6], None]).cast(kind)
    column = make(texts) if make is not pa.array else texts
    assert embedded.predict(column) == embedded.predict([*REPLIES[:6], None])


def test_a_column_of_mixed_names_is_refused_or_read_but_never_a_traceback() -> None:
    frame = pd.DataFrame({"account": [1, "a1", 2], "time": [0.0, 60.0, 120.0], "text": REPLIES[:3]})
    for posts in (frame, frame.to_dict("records")):
        try:
            names = set(read_dump(posts).accounts)
        except InvalidInput:
            continue
        assert names == {"1", "2", "a1"}


def objects_of(*urls: str) -> int:
    posts = [{"account": f"a{i}", "time": 60.0 * i, "url": url} for i, url in enumerate(urls)]
    return len(set(find_traces(read_dump(posts)).object.tolist()))


@Cases(
    "urls",
    [
        ("http://x.example/a", "https://x.example/a"),
        ("https://m.x.example/a", "https://x.example/a"),
        ("https://www.x.example/a", "https://m.x.example/a"),
        ("http://mobile.x.example/a?utm_source=b", "https://x.example/a"),
        ("HTTPS://X.example/a", "https://x.example/a"),
    ],
)
def test_one_page_is_one_object_however_it_is_linked(urls: tuple[str, str]) -> None:
    assert objects_of(*urls) == 1


@Cases(
    "urls",
    [
        ("https://x.example/a", "https://x.example/A"),
        ("https://m.example/a", "https://example/a"),
        ("https://max.example/a", "https://ax.example/a"),
        ("https://x.example/m.a", "https://x.example/a"),
        ("https://x.example/a?id=1", "https://x.example/a?id=2"),
        ("https://x.example:8080/a", "https://x.example/a"),
    ],
)
def test_two_pages_are_two_objects(urls: tuple[str, str]) -> None:
    assert objects_of(*urls) == 2


# --- Seen besides ---------------------------------------------------------------------------------


def test_verdicts_keep_the_index_that_came_in(embedded: Detector) -> None:
    frame = pd.DataFrame({"text": REPLIES + COMMENTS})
    expected = embedded.predict(list(frame.text)).p_value
    shuffled = frame.sample(frac=1, random_state=0)
    kept = frame[frame.text.str.len() > 40]
    named = frame.set_index(pd.Index([f"post{i}" for i in range(len(frame))], name="post"))
    for part in (shuffled, kept, named.sample(frac=1, random_state=1), kept.iloc[::-1]):
        joined = part.join(embedded.predict(part.text).to_pandas())
        places = [int(str(name).removeprefix("post")) for name in joined.index]
        assert len(joined) == len(part)
        assert np.array_equal(joined.p_value, expected[places], equal_nan=True)


def test_verdicts_are_picked_as_numpy_picks(embedded: Detector) -> None:
    found = embedded.predict(REPLIES[:6])
    mask = np.array([True, False, True, False, False, False])
    for picked in (found[[0, 2]], found[np.array([0, 2])], found[mask], found[mask.tolist()]):
        assert picked.logit.tolist() == found.logit[[0, 2]].tolist()
        assert type(picked) is type(found)
    assert found[pd.Series(mask)].logit.tolist() == found.logit[mask].tolist()
    assert found["p_value"].tolist() == found.p_value.tolist()
    for wrong in ("nothing", [0.5], [True], np.array([[0, 1]]), None, 1.5):
        with pytest.raises((InvalidInput, IndexError)):
            found[wrong]


@Cases("n", [0, 1, 23, 25])
def test_languages_of_another_length_are_refused(n: int, embedded: Detector) -> None:
    for ask in (
        lambda: embedded.calibrate(REPLIES, languages=["en"] * n),
        lambda: embedded.predict(REPLIES, language=["en"] * n),
        lambda: embedded.score(REPLIES, language=["en"] * n),
    ):
        with pytest.raises(InvalidInput):
            ask()


@Cases("kind", [np.float32, np.float64, np.float16])
def test_numpys_numbers_are_rates(kind: Any, embedded: Detector) -> None:
    rate = kind(0.05)
    found = embedded.predict(REPLIES, max_fpr=rate)
    assert found.flagged.tolist() == embedded.predict(REPLIES, max_fpr=float(rate)).flagged.tolist()
    assert score_accounts(as_rows(REPLIES), detector=embedded, fdr=rate).fdr == float(rate)


SHORT = [
    "hello there my friend",
    "good morning to you all",
    "what a lovely day",
    "see you all later",
]
SHORT += ["that was a good one", "no idea who that is", "have a great weekend everyone"]


def test_a_probability_never_contradicts_its_p_value(embedded: Detector) -> None:
    """Posts of one language and length: the rarer among people, the likelier a machine's."""
    found = embedded.predict(SHORT, max_fpr=0.05, language="en")
    same = found.n_tokens < 8
    p, probability = found.p_value[same], found.probability[same]
    order = np.argsort(p)
    assert np.all(np.diff(probability[order])[np.diff(p[order]) > 0] < 0)
    assert not np.any((found.p_value >= 0.2) & (found.probability > 0.5))
    hello = found[0]
    assert hello.flagged == (hello.p_value <= 0.05)
    assert hello.flagged or hello.probability < 0.9


def test_no_verdict_is_called_human(embedded: Detector) -> None:
    found = embedded.predict([*REPLIES, *COMMENTS, *MACHINES[:8], "", "so", "ร้านนี้อาหารอร่อยมาก"])
    assert set(found.label.tolist()) <= {"machine", "not_flagged", "uncertain"}
    assert "not_flagged" in found.label.tolist()
    assert "human" not in repr(found)


def test_flat_files_name_the_notes(tmp_path: Path) -> None:
    code, _ = tool("score", CASES / "replies_mastodon.csv", "-o", tmp_path / "s.csv")
    assert code == 0
    with (tmp_path / "s.csv").open(encoding="utf-8", newline="") as stream:
        assert {row["td_notes"] for row in csv.DictReader(stream)} == {"html"}


# --- People of a corpus, in other forms -----------------------------------------------------------

FORMS: dict[str, Way] = {
    "HTML": lambda own, bot: mastodon(own),
    "below a quote": lambda own, bot: quoted(bot, width=10_000) + "\n\n" + own,
    "before RT": lambda own, bot: f"{own} RT @name: {bot}",
    "before a chain": lambda own, bot: f"{own}//@name:{bot}",
}
PEOPLES = {
    "en": ["botornot_challenge", "xlmt_human", "tweepfake"],
    "zh": ["ced_weibo_human_zh", "covid_weibo_human", "cstance_human_zh"],
}
MAKERS = {
    "en": ["tweepfake", "botornot_challenge", "showerthoughts", "building_tweets_llama33"],
    "zh": [
        "paired_zh",
        "zh_coursework",
        "hc3_8models_zh",
        "emollm_zh",
        "cpsycoun_zh",
        "halluqa_zh",
    ],
}


def unseen(
    folder: Path, sources: list[str], language: str, kind: str, n: int, detector: Detector
) -> list[str]:
    """Draw posts of a corpus that trained nothing, and are nothing but plain own words."""
    rng = np.random.default_rng(0)
    assert detector.checkpoint is not None
    seen = detector.checkpoint.seen_in_training()
    assert seen is not None
    found: list[str] = []
    most = 280 if kind == "human" else 600
    for source in sources:
        posts = load_posts(folder, sources=[source])
        rows = (posts.column("kind") == kind) & (posts.column("language") == language)
        texts = [t for t in dict.fromkeys(posts.take(rows).texts) if t and len(t) <= most]
        some = [texts[i] for i in rng.permutation(len(texts))[: 3 * n]]
        fresh = [text for text, what in zip(some, seen.look_up(some), strict=True) if not what]
        plain = [
            text
            for text in fresh
            if not others_words(text) and "html" not in notes(text) and own_words(text).strip()
            if "\\" not in text  # escapes of JSON are line ends, or not
        ]
        found += plain[: n - len(found) if source == sources[-1] else n // len(sources)]
    n_found = len(found)  # and not the texts, which belong in no log
    assert n_found == n
    return [found[i] for i in rng.permutation(len(found))[:n]]


class Remembering:
    """A runtime that runs each text once: what an earlier form gave is not run again."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime, self.known = runtime, dict[str, tuple[float, int, bool]]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.runtime, name)

    def run(self, texts: Sequence[str]) -> Scores:
        if fresh := [text for text in dict.fromkeys(texts) if text not in self.known]:
            scores = self.runtime.run(fresh)
            rows = zip(scores.logits, scores.n_tokens, scores.truncated, strict=True)
            self.known.update(zip(fresh, rows, strict=True))
        return Scores(*map(np.array, zip(*(self.known[text] for text in texts), strict=True)))


@pytest.fixture(scope="module")
def remembering(embedded: Detector) -> Detector:
    detector = copy.copy(embedded)
    detector.runtime = Remembering(embedded.runtime)
    return detector


@pytest.fixture(scope="module")
def four_hundred(corpus: Path, embedded: Detector) -> tuple[list[str], list[str]]:
    """Give eight posts each of 200 made-up people in English and 200 in Chinese, and machines'."""
    people, machines = [], []
    for code in ("en", "zh"):
        people += unseen(corpus, PEOPLES[code], code, "human", 1_600, embedded)
        made = unseen(corpus, MAKERS[code], code, "machine", 400, embedded)
        machines += [made[i % len(made)] for i in range(1_600)]
    return people, machines


@pytest.mark.slow
@pytest.mark.corpus
@Cases("form", FORMS)
def test_peoples_posts_in_any_form_normalise_to_their_plain_own_words(
    form: str, four_hundred: tuple[list[str], list[str]]
) -> None:
    apart = [
        place
        for place, (own, bot) in enumerate(zip(*four_hundred, strict=True))
        if normalise(FORMS[form](own, bot)) != normalise(own)
    ]
    assert apart == []  # places, as no text of the corpus belongs in a log


@pytest.fixture(scope="module")
def plain_people(
    four_hundred: tuple[list[str], list[str]], remembering: Detector
) -> tuple[Any, dict[str | None, dict[str, Any]]]:
    people = four_hundred[0]
    accounts = judged(as_rows(people, people=400), remembering)
    return remembering.predict(people, max_fpr=0.05), accounts


@pytest.mark.slow
@pytest.mark.corpus
@Cases("form", FORMS)
def test_four_hundred_accounts_of_people_are_judged_by_their_own_words_in_any_form(
    form: str,
    four_hundred: tuple[list[str], list[str]],
    plain_people: tuple[Any, dict[str | None, dict[str, Any]]],
    remembering: Detector,
) -> None:
    posts = [FORMS[form](own, bot) for own, bot in zip(*four_hundred, strict=True)]
    plain, accounts = plain_people
    found = remembering.predict(posts, max_fpr=0.05)
    assert np.flatnonzero(found.label != plain.label).tolist() == []
    assert np.array_equal(found.p_value, plain.p_value, equal_nan=True)
    assert np.array_equal(found.logit, plain.logit, equal_nan=True)
    again = judged(as_rows(posts, people=400), remembering)
    assert [again[name] for name in accounts] == list(accounts.values())
    assert sum(row["flagged"] for row in again.values()) <= 20


@pytest.mark.slow
@pytest.mark.corpus
@Cases("code", ["en", "zh"])
def test_machines_are_found_as_often_in_html_as_in_plain_text(
    code: str, corpus: Path, embedded: Detector
) -> None:
    made = unseen(corpus, MAKERS[code], code, "machine", 240, embedded)
    plain = embedded.predict(made, max_fpr=0.05)
    found = embedded.predict([mastodon(text) for text in made], max_fpr=0.05)
    assert plain.flagged.sum() >= 40  # enough of both to compare, however good the model is
    assert (~plain.flagged).sum() >= 40
    assert found.label.tolist() == plain.label.tolist()
    assert np.array_equal(found.logit, plain.logit, equal_nan=True)
    assert np.array_equal(found.p_value, plain.p_value, equal_nan=True)


# --- Any text at all ------------------------------------------------------------------------------

BITS = [
    *(
        "<p>",
        "</p>",
        "<br>",
        "<br/>",
        "<a href='",
        '<a href="',
        "</a>",
        "<span class=invisible>",
        "<!--",
    ),
    *(
        "-->",
        "<",
        ">",
        "/>",
        "<script>",
        "</script>",
        "<blockquote>",
        "</blockquote>",
        "<b",
        "</",
        "<>",
    ),
    *(
        "&amp;",
        "&lt;",
        "&gt;",
        "&quot;",
        "&#62;",
        "&#x3c;",
        "&amp;gt;",
        "&amp;amp;lt;",
        "&",
        "&#",
        ";",
    ),
    *(
        "> ",
        "\n> ",
        "\n>> ",
        "\n\n",
        "\n",
        "\r\n",
        "\r",
        "\\n",
        "\u2028",
        "＞ ",
        "\n&gt; ",
        ">>123",
    ),
    *(
        "RT @a: ",
        " RT @b ",
        "rt@c",
        "MT @d:",
        "QT @e:",
        "//@某:",
        "//@a:",
        "// @b：",
        "回复@小明:",
        "@",
        "//",
    ),
    *(
        "转发微博",
        "轉發",
        "分享图片",
        "转发理由:",
        "原始用户:",
        "转发内容:",
        "转发了 @某 的微博：",
        "[deleted]",
    ),
    *(
        "[quote]",
        "[/quote]",
        "[quote=a]",
        "[QUOTE=",
        "[",
        "]",
        "On Mon, Ann wrote:",
        "wrote:",
        "[removed]",
    ),
    *(
        "哈",
        "哈哈哈",
        "顶",
        "lol ",
        "ha",
        "ha ",
        "lol lol ",
        "好不好",
        "天气",
        "，",
        "。",
        "「",
        "」",
        "…",
    ),
    *(
        "so good",
        " to see",
        "you",
        "a",
        "B",
        "1",
        "2333",
        " ",
        "  ",
        "\t",
        "!",
        "?",
        "??",
        ".",
        "..",
        "-",
    ),
    *(
        "https://t.co/x",
        "http://",
        "www.x.example",
        "t.cn/",
        "@ann",
        "@",
        "#tag",
        "#",
        "'",
        '"',
        "`",
        "''",
    ),
    *(
        "\x00",
        "\x1b",
        "\u200b",
        "\u202e",
        "\ufeff",
        "\ud83d",
        "\ude00",
        "\ud800",
        "\udfff",
        "\U000e0041",
    ),
    *(
        "😂",
        "👍🏽",
        "👨‍👩‍👧",
        "e\u0301",
        "\u0301" * 4,
        "ﬁ",
        "Ａ",
        "а",
        "ο",
        "ß",
        "İ",
        "ı",
        "ǰ",
        "ŉ",
        "ㅋㅋ",
        "ｶﾞ",
    ),
    *(
        "As an AI language model",
        "citeturn0search1",
        "【1†source】",
        "\\",
        "\\\\",
        "\\'",
        "\\u4e00",
        "%20",
    ),
    *(
        "RT ",
        "-",
        ": //",
        "http",
        "@user",
        "[user]",
        "@-",
        "url_1",
        "deleted ",
        "خ",
        "x.org",
        ":",
    ),
]


def fuzzed(n: int, seed: int) -> Iterator[str]:
    draw = random.Random(seed)
    for i in range(n):
        if i % 10 == 0:  # any characters at all
            yield "".join(
                chr(int(draw.triangular(0, 0x110000, 0x20))) for _ in range(draw.randrange(30))
            )
        elif i % 3 == 0:  # a few bits again and again: what one step brings out the next one sees
            few = draw.choices(BITS, k=draw.choice((2, 3, 5)))
            bits = draw.choices(few, k=draw.randrange(1, 11))
            yield "".join(bit * draw.choice((1, 1, 1, 2, 3, 9)) for bit in bits)
        else:
            bits = draw.choices(BITS, k=draw.randrange(1, 14))
            yield "".join(bit * draw.choice((1, 1, 1, 1, 2, 5)) for bit in bits)


@pytest.mark.slow
def test_a_hundred_thousand_odd_posts_pass_and_a_second_pass_changes_nothing() -> None:
    known = ("html", "hidden_characters", "model_leftovers", "mostly_quotation")
    failed = []
    for text in fuzzed(100_000, seed=20):
        once = normalise(text)
        own, others = own_words(text), others_words(text)
        named = notes(text)
        assert isinstance(own, str)
        assert isinstance(others, str)
        assert list(named) == [name for name in known if name in named]
        has_words(once, 4)
        once.encode("utf-8")
        if normalise(once) != once:
            failed.append(text)
    assert (len(failed), min(failed, key=len, default="")) == (0, "")


def test_nothing_is_lost_from_plain_words() -> None:
    """Words with no mark beside them are all the account's, in any order."""
    draw = random.Random(0)
    words = re.findall(r"\w+", " ".join(REPLIES))
    for _ in range(2_000):
        text = " ".join(draw.choices(words, k=draw.randrange(1, 30)))
        assert own_words(text) == text
        assert others_words(text) == ""


UNITS = [
    *(
        "<",
        ">",
        "<a",
        "<p>",
        "</p",
        "<!--",
        "<a href='",
        "<b>x",
        "&",
        "&lt;",
        "&amp;amp;",
        "&amp;gt;",
        "&#62",
    ),
    *(
        "> ",
        "\n> ",
        "\n>",
        "\n",
        "\r\n",
        "RT @a ",
        "RT @a: ",
        "RT@",
        "//@a:",
        "//@",
        "// ",
        "/",
        "@",
        "回复@a:",
    ),
    *(
        "哈",
        "哈哈，",
        "lol ",
        "lol",
        "ha",
        "ab ",
        "abc abc ",
        "[quote]",
        "[/quote]",
        "[quote=",
        "[",
        "[quote]x[/quote]",
    ),
    *(
        "<blockquote>",
        "<blockquote>x</blockquote>",
        "<span class=invisible>",
        "<script>",
        "On a, b ",
        "wrote:\n",
    ),
    *(
        "转发理由:",
        "转发微博//",
        "转发了 @a ",
        "[deleted] ",
        "\u200b",
        "\u0301",
        "😂",
        "\ud83d",
        " ",
        "\\n",
        "\\",
        "'",
    ),
    *(
        "http://",
        "www.",
        "As an AI ",
        "cite",
        "turn0search1",
        "a",
        "aа",
        "..",
        "-",
        '"',
        "``",
        "#",
        "On Mon, ",
    ),
    *(
        "=",
        "<p",
        "< ",
        "<a<",
        "<a>x</",
        "-->",
        "<!-- ",
        "&#x",
        "&a",
        "1 2 ",
        "a b a b ",
        "\n\n> ",
        "\n \n",
    ),
]
DOORS: dict[str, Callable[[str], Any]] = {
    "normalise": normalise,
    "own_words": own_words,
    "others_words": others_words,
    "notes": notes,
    "has_words": lambda text: has_words(text, 4),
}


def least_s(door: str, text: str, *, times: int = 3) -> float:
    """Give the shortest of some processor times, of texts with other ends: none is remembered."""
    took_s = []
    for i in range(times):
        other = f"{text} {i}"
        start_s = time.process_time()
        DOORS[door](other)
        took_s.append(time.process_time() - start_s)
    return min(took_s)


@pytest.mark.alone
@pytest.mark.slow
@Cases("door", [name for name in DOORS if name != "has_words"])
def test_ten_megabytes_of_anything_take_half_a_second_at_most(door: str) -> None:
    slow = {}
    for unit in UNITS[::4]:
        text = unit * (10_000_000 // len(unit.encode("utf-8", "surrogatepass")))
        took_s = least_s(door, text, times=1)
        if took_s > 0.5:
            slow[unit] = round(took_s, 2)
    assert slow == {}


@pytest.mark.alone
@pytest.mark.slow
@Cases("door", DOORS)
def test_the_longest_text_that_is_read_takes_time_in_proportion(door: str) -> None:
    """A square of its length would take sixteen times as long for four times the text."""
    slow = {}
    for unit in UNITS:
        long_s = least_s(door, unit * (16_000 // len(unit)))
        if long_s <= 0.03:
            continue
        short_s = least_s(door, unit * (4_000 // len(unit)))
        if long_s > 8 * short_s:
            slow[unit] = (round(short_s, 4), round(long_s, 4))
    assert slow == {}


@pytest.mark.alone
@pytest.mark.slow
def test_long_texts_are_not_held_after_they_were_read() -> None:
    tracemalloc.start()
    try:
        for i in range(40):
            normalise(f"{i} " + "so good to see you " * 100_000)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held < 10_000_000
