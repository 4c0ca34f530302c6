"""Made posts: words from lists, with a seed, in the lengths that posts have; without meaning."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

_WORDS: Final = """
    the a an and but or so because when if to of in on at with for from about into over after i you
    he she we they it this that these my your our their his her is was are were be been have has
    had do does did not never always really just still again maybe will would can could should know
    think want need feel see say tell make take give find keep love hate miss wait walk talk read
    write cook eat drink sleep work play buy sell pay day week month year morning night today
    tomorrow time people friend family mother father child dog cat house room door window street
    city train car road food coffee bread music song film book story phone photo game team match
    school job money price weather rain snow sun summer winter good bad new old big small long
    short happy sad tired late early funny strange beautiful terrible great little much many more
"""
_CHINESE: Final = """
    我 你 他 她 我们 他们 这 那 的 了 在 是 有 不 没有 很 也 都 就 还 和 但是 因为 所以 如果
    今天 明天 昨天 早上 晚上 周末 朋友 家人 妈妈 孩子 老师 学校 公司 工作 时间 天气 下雨 夏天
    冬天 吃饭 喝咖啡 看书 看电影 买 卖 走 来 去 想 觉得 知道 喜欢 希望 等 说 做 给 房子 街 城市
    车站 手机 照片 音乐 比赛 价格 好 坏 新 老 大 小 高兴 累 晚 早 漂亮 有意思 真的 一直 再 一次
"""


def made_posts(kind: str, n: int, *, seed: int = 0) -> list[str]:
    """Make n posts without meaning: "short" and "long" of English words, "chinese" of Chinese ones.

    >>> len(made_posts("short", 3)), len(made_posts("long", 1)[0].split()) >= 250
    (3, True)
    """
    draw = random.Random(f"{kind} {seed}")
    return [KINDS[kind](draw) for _ in range(n)]


def _short(draw: random.Random) -> str:
    """Make a tweet: 5 to 35 words, at times with a mention, a link, a tag or an emoji."""
    words = draw.choices(_WORDS.split(), k=draw.randint(5, 35))
    for extra in ("@someone", "https://example.org/a1b2", "#monday", "😂"):
        if draw.random() < 0.2:
            words.insert(draw.randint(0, len(words)), extra)
    return " ".join(words) + draw.choice((".", "!", "?", ""))


def _chinese(draw: random.Random) -> str:
    """Make a Chinese post: one to six clauses of 3 to 10 words."""
    clauses = [
        "".join(draw.choices(_CHINESE.split(), k=draw.randint(3, 10)))
        for _ in range(draw.randint(1, 6))
    ]
    return "，".join(clauses) + "。"


def _long(draw: random.Random) -> str:
    """Make a text of 250 to 500 words: about as long as a model reads, or longer."""
    words = draw.choices(_WORDS.split(), k=draw.randint(250, 500))
    for end in range(0, len(words), 12):
        words[end] += "."
    return " ".join(words)


KINDS: Final[dict[str, Callable[[random.Random], str]]] = {
    "short": _short,
    "chinese": _chinese,
    "long": _long,
}
"""The kinds of posts that are scored, and what makes one."""
