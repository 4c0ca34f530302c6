"""Seeded worlds of posts: a crowd, organic bursts, planted campaigns, and the truth about them.

For tests and for studies of power: how small, how well disguised a campaign is still found. The
texts come from a small grammar in English or Chinese, or from the user; they are about nothing. A
world knows the sorts of people and campaigns that were thought of here, and no others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from textdetect.errors import InvalidInput

BURSTS: Final = ("press_release", "petition", "breaking_news", "recall", "live_event")
"""The organic bursts: people who act alike at the same time, without any campaign."""
RARE_BURSTS: Final = ("viral_link", "quarrel", "match_days", "headlines")
"""More of them, on request: one link within an hour; a brand's name in everyone's words for three
days; the same fans under one tag on four evenings; the same people who retell each headline."""
_SHARES: Final = dict(
    zip(BURSTS + RARE_BURSTS, (0.08, 0.15, 0.2, 0.08, 0.1, 0.2, 0.2, 0.1, 0.06), strict=True)
)
# Parts of a sentence: what a quarrel is about, what a message keeps however it is worded, and the
# conjunction before its second clause; by the number of parts, in English and in Chinese.
_BRAND: Final = {12: [3, 11], 11: [3, 10]}
_CONTENT: Final = {12: [3, 4, 6, 8, 9, 11], 11: [3, 5, 7, 9, 10]}
_TURN: Final = {12: 7, 11: 6}
START_S: Final = 1_733_011_200  # 2024-12-01T00:00:00Z
DAY_S: Final = 86_400
_HOUR_S: Final = 3600
_TOPIC_SIZE: Final = 150  # accounts that follow one topic, about
_WINDOW: Final = 48  # recent objects of a topic that compete for attention

_ENGLISH: Final = (
    "today|honestly|again|well|so|look|finally|apparently|last night|this morning|okay|somehow|"
    "by the way|for once|quietly|as ever|between us|in short",
    "the|this|that|our|their|every|another|no|some|my|your|one",
    "old|new|red|quiet|broken|cheap|tall|lucky|green|heavy|strange|bright|tiny|famous|slow|early",
    "market|garden|station|kettle|battery|bridge|camera|engine|ferry|jacket|library|novel|oven|"
    "piano|recipe|scooter|teacher|umbrella|violin|window",
    "opens|breaks|sings|waits|arrives|changes|costs|disappears|glows|improves|lasts|matters|rattles",
    "before|after|near|behind|without|beyond|despite|under|against|inside",
    "the rain|the match|lunch|winter|a storm|the holidays|midnight|the old harbour|the neighbours|"
    "the exam|a long walk|the last train|the concert|breakfast",
    "and|but|because|while|although|so|until|since|unless",
    "nobody|everyone|my sister|the driver|a friend|the baker|the kids|our coach|the doctor|a guest",
    "asked|noticed|forgot|laughed|paid|complained|promised|answered|hoped|cared|agreed|knew",
    "about|for|with|over|beside|around",
    "tickets|coffee|bicycles|onions|letters|music|pancakes|taxes|shoes|oranges|sleep|weather|tea",
)
_CHINESE: Final = (
    "今天|昨天|终于|其实|居然|刚才|早上|晚上|最近|说实话|没想到|果然|据说|周末|放学后|下班路上",
    "那家|这个|我们的|隔壁的|新来的|老王的|学校的|门口的|每一个|另一个",
    "便宜|安静|奇怪|热闹|漂亮|破旧|好吃|著名|小小|可爱|厉害|普通",
    "书店|公园|火锅|相机|自行车|电影院|老师|邻居|面馆|地铁站|猫咪|球队|手机壳|咖啡",
    "突然|慢慢|悄悄|一直|好像|竟然|终究|偶尔",
    "关门了|下雨了|涨价了|变好了|排长队|没电了|很开心|迟到了|唱起歌|回来了|搬走了",
    "因为|但是|所以|虽然|而且|结果|除非|直到",
    "大家|妹妹|司机|朋友|医生|教练|房东|同学|店员|奶奶",
    "都在|也想|不肯|忘了|答应|开始|后悔|喜欢",
    "讨论|买|分享|等|打听|准备|担心|回忆",
    "演唱会|车票|橘子|考试|早餐|天气|毛衣|旧照片|比赛|作业|红包",
)


@dataclass(frozen=True, slots=True)
class Planted:
    """A campaign to be planted, and how it hides.

    Attributes:
        n_accounts: accounts of the campaign, ≥ 2.
        filler: share of their posts that look like the crowd's, in [0, 1).
        jitter_s: a message's posts are spread evenly over ± this many seconds.
        paraphrase: share of a message's words that each post draws anew, in [0, 1].
        reach: share of the campaign's accounts that post one message, in (0, 1]; at least 8.
        reworded: each post words the message anew: it keeps what it is about, and either clause
            may come first.
        links, tags: share of messages with a link, or a tag, of their own, in [0, 1].
        one_object: all messages have the same link, and the same tag.
        age_days: the accounts post nothing before the last `age_days` days of the world.
    """

    n_accounts: int = 50
    filler: float = 0.5
    jitter_s: float = 180.0
    paraphrase: float = 0.0
    reach: float = 0.03
    links: float = 0.3
    age_days: float = 1e9
    reworded: bool = False
    tags: float = 0.0
    one_object: bool = False

    def __post_init__(self) -> None:
        if self.n_accounts < 2 or not 0 <= self.filler < 1 or not 0 < self.reach <= 1:
            raise InvalidInput(
                f"n_accounts ≥ 2, filler in [0, 1) and reach in (0, 1] expected, got {self}"
            )
        if self.jitter_s < 0 or not 0 <= self.paraphrase <= 1 or not 0 <= self.links <= 1:
            raise InvalidInput(f"jitter_s ≥ 0, paraphrase and links in [0, 1] expected, got {self}")
        if not 0 <= self.tags <= 1:
            raise InvalidInput(f"tags in [0, 1] expected, got {self}")


@dataclass(frozen=True, slots=True)
class World:
    """Posts and the truth about their accounts.

    Attributes:
        posts: a row a post, in order of time: id, account, time (UTC), text, url, hashtags,
            reply_to (null where there is none), repost (bool).
        truth: a row an account: account; campaign, its number from 0, null for genuine people;
            bursts, the organic bursts it took part in.
    """

    posts: pa.Table
    truth: pa.Table


_Rows = dict[str, NDArray[Any]]
"""Posts to be: account, time_s, words, url, tags, reply (−1 where there is none) and repost."""


def simulate_world(
    *,
    n_accounts: int = 1000,
    n_posts: int = 10_000,
    days: float = 28.0,
    bursts: Sequence[str] = BURSTS,
    campaigns: Sequence[Planted] = (),
    n_releases: int = 3,
    language: str = "en",
    texts: Sequence[str] | None = None,
    in_text: bool = False,
    seed: int = 0,
) -> World:
    """Make a world: about `n_posts` posts of `n_accounts` accounts over `days` days.

    The crowd's activity is heavy-tailed (log-normal, σ = 1.2), with a time of day for each account;
    people follow one or two topics, and link, repost and answer what is popular in them just then.
    Campaign accounts are about evenly active; their fillers are the crowd's posts.

    Args:
        n_accounts: accounts in all, campaigns' among them; ≥ 20.
        n_posts: posts in all, about.
        days: length of the world, > 0.
        bursts: of `BURSTS` and `RARE_BURSTS`; a name may come again for another burst of its sort.
        campaigns: what is planted.
        n_releases: how many press releases the fans of one `press_release` burst share.
        language: of the built-in grammar, "en" or "zh".
        texts: texts to draw from instead; then a paraphrase is another text.
        in_text: links and tags stand in the texts, and in no columns.
        seed: the same arguments and seed give the same world.

    Raises:
        InvalidInput: an argument out of range, or campaigns larger than the world.

    >>> world = simulate_world(n_accounts=100, n_posts=500, campaigns=[Planted(n_accounts=10)])
    >>> world.truth["campaign"].null_count, world.posts.column_names[:3]
    (90, ['id', 'account', 'time'])
    """
    n_planted = sum(c.n_accounts for c in campaigns)
    unknown = set(bursts) - set(_SHARES)
    if n_accounts < 20 or n_posts < 1 or days <= 0 or n_planted > n_accounts or unknown:
        raise InvalidInput(
            f"n_accounts ≥ 20 and ≥ the campaigns' {n_planted}, n_posts ≥ 1, days > 0 and bursts "
            f"of {list(_SHARES)} expected, got {n_accounts}, {n_posts}, {days}, {list(bursts)}"
        )
    if language not in ("en", "zh"):
        raise InvalidInput(f'language "en" or "zh" expected, got {language!r}')
    if texts is not None and not len(texts):
        raise InvalidInput("at least one text to draw from expected")
    grammar = [part.split("|") for part in (_ENGLISH if language == "en" else _CHINESE)]
    grammar = [list(texts)] if texts is not None else grammar
    maker = _Maker(np.random.default_rng(seed), grammar, n_accounts, days)
    campaign, activity = maker.people(campaigns, n_posts)
    parts = [
        maker.planted(c, np.flatnonzero(campaign == i), activity, first_url=10_000_000 * (i + 1))
        for i, c in enumerate(campaigns)
    ]
    took_part: list[list[str]] = [[] for _ in range(n_accounts)]
    genuine = np.flatnonzero(campaign < 0)
    for number, name in enumerate(bursts if len(genuine) else ()):
        rows = maker.burst(name, genuine, activity, number, n_releases)
        for account in np.unique(rows["account"]):
            took_part[account].append(name)
        parts.append(rows)
    n_left = max(0, n_posts - sum(len(p["account"]) for p in parts))
    share = np.where(campaign < 0, 1.0, [campaigns[i].filler if i >= 0 else 1.0 for i in campaign])
    age = np.array([campaigns[i].age_days if i >= 0 else 1e9 for i in campaign])
    parts.append(maker.crowd(activity * share, n_left, age))
    posts = maker.table(parts, language)
    if in_text:
        said = [pc.fill_null(posts[name], "") for name in ("text", "url", "hashtags")]
        text = pc.utf8_trim_whitespace(pc.binary_join_element_wise(*said, " "))
        posts = posts.set_column(3, "text", text).drop_columns(["url", "hashtags"])
    return World(posts, _truth(campaign, took_part))


def _truth(campaign: NDArray[np.int64], took_part: list[list[str]]) -> pa.Table:
    return pa.table(
        {
            "account": [f"user{i:06d}" for i in range(len(campaign))],
            "campaign": pa.array([int(c) if c >= 0 else None for c in campaign], pa.int64()),
            "bursts": pa.array(took_part, pa.list_(pa.string())),
        }
    )


class _Maker:
    """Draws the parts of one world from one generator."""

    def __init__(
        self, rng: np.random.Generator, grammar: list[list[str]], n_accounts: int, days: float
    ) -> None:
        self.rng, self.grammar, self.n, self.days = rng, grammar, n_accounts, days
        self.sizes = np.array([len(part) for part in grammar])
        self.peak_h = rng.normal(19.0, 4.0, n_accounts) % 24
        self.n_topics = max(1, n_accounts // _TOPIC_SIZE)
        self.topics = rng.integers(0, self.n_topics, (n_accounts, 2))

    def people(
        self, campaigns: Sequence[Planted], n_posts: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Say who is in which campaign (−1: none), and how active each account is, in posts."""
        campaign = np.full(self.n, -1, dtype=np.int64)
        order, begin = self.rng.permutation(self.n), 0
        for number, planted in enumerate(campaigns):
            campaign[order[begin : begin + planted.n_accounts]] = number
            begin += planted.n_accounts
        sigma = np.where(campaign >= 0, 0.4, 1.2)
        activity = np.exp(self.rng.normal(0.0, 1.0, self.n) * sigma - sigma**2 / 2)
        return campaign, activity * n_posts / self.n

    def new_words(self, n: int) -> NDArray[np.int64]:
        """Draw n texts, as the choice made in each part of the grammar."""
        return self.rng.integers(0, self.sizes, (n, len(self.sizes)))

    def rows(self, account: NDArray[Any], time_s: NDArray[Any], **columns: Any) -> _Rows:
        """Make rows of new texts that touch no object, but for the given columns."""
        n, none = len(account), np.full(len(account), -1, dtype=np.int64)
        plain = {"words": self.new_words(n), "repost": np.zeros(n, dtype=bool)}
        plain["turned"] = np.zeros(n, dtype=bool)
        objects = {"url": none, "tags": none, "second_tag": none, "reply": none}
        return {"account": account, "time_s": time_s, **plain, **objects, **columns}

    def hours(self, account: NDArray[Any]) -> NDArray[np.float64]:
        """Draw a time of day in seconds, around each account's own."""
        hours = self.peak_h[account] + self.rng.normal(0, 3.5, len(account))
        return np.asarray(hours % 24 * _HOUR_S, dtype=np.float64)

    def crowd(self, activity: NDArray[np.float64], n: int, age_days: NDArray[np.float64]) -> _Rows:
        """Draw n posts of daily life: originals, links, reposts, answers and hashtags."""
        rng = self.rng
        account = rng.choice(self.n, n, p=activity / activity.sum()) if n else np.zeros(0, int)
        first = np.maximum(0.0, self.days - age_days[account])
        day = np.floor(first + rng.random(n) * (self.days - first))
        time_s = np.minimum(day * DAY_S + self.hours(account), self.days * DAY_S)
        kind = rng.choice(5, n, p=[0.45, 0.2, 0.2, 0.1, 0.05])
        pick = self.popular(account, time_s, max(1, n // 6))
        sources = self.new_words(int(pick.max(initial=0)) + 1)
        words = np.where((kind == 2)[:, None], sources[pick], self.new_words(n))
        tags = np.where(kind == 4, pick % 97, np.where(rng.random(n) < 0.1, pick % 31, -1))
        objects = {"url": np.where(kind == 1, pick, -1), "reply": np.where(kind == 3, pick, -1)}
        return self.rows(account, time_s, words=words, repost=kind == 2, tags=tags, **objects)

    def popular(
        self, account: NDArray[Any], time_s: NDArray[Any], n_objects: int
    ) -> NDArray[np.int64]:
        """Pick for each post an object that is fresh and popular in one of the account's topics.

        Attention falls log-normally with age (median two hours); of eight objects around, the most
        popular wins.
        """
        rng, n = self.rng, len(account)
        per_topic = max(_WINDOW, n_objects // self.n_topics)
        popularity = rng.random((per_topic, self.n_topics))
        births = np.sort(rng.random(per_topic)) * self.days * DAY_S
        topic = self.topics[account, rng.integers(0, 2, n)]
        topic = np.where(rng.random(n) < 0.7, topic, rng.integers(0, self.n_topics, n))
        delay = np.exp(rng.normal(np.log(2.0), 1.5, n)) * _HOUR_S
        newest = np.searchsorted(births, time_s - delay)
        around = np.clip(newest[:, None] - rng.integers(0, _WINDOW, (n, 8)), 0, per_topic - 1)
        best = np.argmax(popularity[around, topic[:, None]], axis=1) if n else np.zeros(0, int)
        return np.asarray(around[np.arange(n), best] * self.n_topics + topic, dtype=np.int64)

    def planted(
        self, planted: Planted, members: NDArray[Any], activity: NDArray[Any], *, first_url: int
    ) -> _Rows:
        """Draw a campaign's messages, each posted by some of its accounts at about one time."""
        rng = self.rng
        n_own = rng.poisson(activity[members] * (1 - planted.filler))
        slots = rng.permutation(np.repeat(members, n_own))
        team = max(8, round(planted.reach * len(members)))
        message = np.arange(len(slots)) // team
        n_messages = int(message.max(initial=0)) + 1
        first = max(0.0, self.days - planted.age_days)
        day = np.floor(first + rng.random(n_messages) * (self.days - first))
        start = day * DAY_S + (rng.normal(17, 4, n_messages) % 24) * _HOUR_S
        time_s = start[message] + rng.uniform(-1, 1, len(slots)) * planted.jitter_s
        words = self.new_words(n_messages)[message]
        anew = rng.random(words.shape) < planted.paraphrase
        words = np.where(anew, self.new_words(len(slots)), words)
        link = np.where(rng.random(n_messages) < planted.links, np.arange(n_messages), -1)
        own: dict[str, NDArray[Any]] = {}
        if planted.reworded:
            other = self.new_words(len(slots))
            kept = _CONTENT.get(len(self.grammar), [])
            other[:, kept] = words[:, kept]
            own = {"words": other, "turned": rng.random(len(slots)) < 0.5}
        if planted.one_object:
            link = np.minimum(link, 0)
        if planted.tags:
            tag = np.where(rng.random(n_messages) < planted.tags, np.arange(n_messages), -1)
            tag = (np.minimum(tag, 0) if planted.one_object else tag)[message]
            beside = rng.integers(0, 31, len(slots))
            own |= {"tags": np.where(tag >= 0, first_url + tag, -1), "second_tag": beside}
        url = np.where(link[message] >= 0, first_url + link[message], -1)
        times = np.clip(time_s, 0, self.days * DAY_S)
        return self.rows(slots, times, **({"words": words, "url": url} | own))

    def burst(
        self, name: str, genuine: NDArray[Any], activity: NDArray[Any], number: int, n_releases: int
    ) -> _Rows:
        """Draw one organic burst; its participants are active people, at hours they are awake."""
        rng = self.rng
        n = max(3, round(_SHARES[name] * len(genuine)))
        p = np.sqrt(activity[genuine])
        who = rng.choice(genuine, min(n, len(genuine)), replace=False, p=p / p.sum())
        own = 1_000_000 + 1000 * number  # objects of this burst
        evening = np.floor(rng.random() * max(1.0, self.days - 3)) * DAY_S + 17 * _HOUR_S
        if name == "press_release":
            return self._releases(who, own, n_releases)
        if name == "petition":
            late = np.exp(rng.normal(np.log(5.0), 1.2, len(who))) * _HOUR_S
            words = np.repeat(self.new_words(1), len(who), axis=0)
            columns = {"words": words, "url": np.where(rng.random(len(who)) < 0.5, own, -1)}
        elif name == "breaking_news":
            who = np.repeat(who, rng.integers(1, 4, len(who)))
            late = rng.exponential(0.7, len(who)) * _HOUR_S
            url = np.where(rng.random(len(who)) < 0.6, own + rng.integers(0, 5, len(who)), -1)
            columns = {"url": url, "tags": np.full(len(who), own)}
        elif name == "recall":
            who = np.repeat(who, rng.integers(1, 4, len(who)))
            late = rng.exponential(14.0, len(who)) * _HOUR_S
            reply = own + rng.integers(0, 2, len(who))
            columns = {"reply": reply, "tags": np.where(rng.random(len(who)) < 0.5, own, -1)}
        elif name == "viral_link":
            late = np.exp(rng.normal(np.log(0.5), 1.0, len(who))) * _HOUR_S
            columns = {"url": np.full(len(who), own)}
        elif name == "quarrel":
            who = np.repeat(who, rng.integers(1, 9, len(who)))
            late = rng.exponential(20.0, len(who)) * _HOUR_S
            words = self.new_words(len(who))
            brand = _BRAND.get(len(self.grammar), [])
            words[:, brand] = self.new_words(1)[:, brand]
            columns = {"words": words, "tags": np.where(rng.random(len(who)) < 0.5, own, -1)}
        elif name == "match_days":
            who, evening_of = np.repeat(who, 12), np.tile(np.arange(12) // 3, len(who))
            late = (evening_of * 7 * 24 + rng.random(len(who)) * 2) * _HOUR_S
            columns = {"tags": np.full(len(who), own)}
        elif name == "headlines":
            n_news = 30
            fan, news = np.nonzero(rng.random((len(who), n_news)) < 0.5)
            who = who[fan]
            late = (rng.random(n_news)[news] * 20 * 24 + rng.exponential(0.5, len(who))) * _HOUR_S
            words = self.new_words(len(who))
            kept = rng.random(words.shape) < 0.6
            words = np.where(kept, self.new_words(n_news)[news], words)
            columns = {"words": words, "url": np.where(rng.random(len(who)) < 0.5, own + news, -1)}
        else:
            who = np.repeat(who, rng.integers(3, 11, len(who)))
            late = rng.random(len(who)) * 2.5 * _HOUR_S
            moment = np.minimum((late / (0.125 * _HOUR_S)).astype(np.int64), 19)
            repost = rng.random(len(who)) < 0.4
            words = np.where(repost[:, None], self.new_words(20)[moment], self.new_words(len(who)))
            tags = own + rng.integers(0, 4, len(who))
            columns = {"words": words, "repost": repost, "tags": tags}
        return self.rows(who, self._inside(evening + late), **columns)

    def _releases(self, fans: NDArray[Any], own: int, n_releases: int) -> _Rows:
        """Let fans share each press release with a chance of 0.6, most within the first hours."""
        rng = self.rng
        out_s = np.floor(rng.random(n_releases) * max(1.0, self.days - 1)) * DAY_S + 10 * _HOUR_S
        fan, release = np.nonzero(rng.random((len(fans), n_releases)) < 0.6)
        late = np.exp(rng.normal(np.log(0.7), 1.2, len(fan))) * _HOUR_S
        verbatim = rng.random((len(fan), 1)) < 0.5
        words = np.where(verbatim, self.new_words(n_releases)[release], self.new_words(len(fan)))
        tags, time_s = np.full(len(fan), own), self._inside(out_s[release] + late)
        return self.rows(fans[fan], time_s, words=words, url=own + release, tags=tags)

    def _inside(self, time_s: NDArray[Any]) -> NDArray[Any]:
        """Keep times inside the world."""
        return np.asarray(np.minimum(time_s, self.days * DAY_S))

    def table(self, parts: list[_Rows], language: str) -> pa.Table:
        """Write the parts as one table, in order of time."""
        names = ("account", "time_s", "words", "url", "tags", "reply", "repost", "second_tag")
        account, time_s, words, url, tags, reply, repost, second = (
            np.concatenate([part[name] for part in parts]) for name in names
        )
        turned = np.concatenate([part["turned"] for part in parts])
        order = np.argsort(time_s, kind="stable")
        micros = ((START_S + time_s[order]) * 1e6).astype(np.int64)
        said = [
            pa.array(part).take(pa.array(words[order, i])) for i, part in enumerate(self.grammar)
        ]
        between = " " if language == "en" else ""
        text = pc.binary_join_element_wise(*said, between)
        if turned.any() and (turn := _TURN.get(len(said))):  # the second clause first
            parts_again = (*said[turn + 1 :], said[turn], *said[:turn], between)
            again = pc.binary_join_element_wise(*parts_again)
            text = pc.if_else(pa.array(turned[order]), again, text)
        tag = _numbered("#tag", tags[order], 1)
        beside = pc.binary_join_element_wise(tag, _numbered("#tag", second[order], 1), " ")
        return pa.table(
            {
                "id": _numbered("p", np.arange(len(order)), 8),
                "account": _numbered("user", account[order], 6),
                "time": pa.array(micros).cast(pa.timestamp("us", "UTC")),
                "text": text,
                "url": _numbered("https://example.org/", url[order], 8),
                "hashtags": pc.if_else(pc.is_valid(beside), beside, tag),
                "reply_to": _numbered("p", reply[order], 8),
                "repost": pa.array(repost[order]),
            }
        )


def _numbered(prefix: str, numbers: NDArray[Any], width: int) -> pa.Array:
    """Name numbered things; null below 0."""
    digits = pc.utf8_lpad(pa.array(numbers.astype(np.int64)).cast(pa.string()), width, "0")
    names = pc.binary_join_element_wise(prefix, digits, "")
    return pc.if_else(pa.array(numbers >= 0), names, pa.scalar(None, pa.string()))
