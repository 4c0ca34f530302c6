"""What a post touches beside its words: links, tags, names and contacts, each in one form.

From a column where there is one, otherwise from the account's own words. It does not follow links:
what a shortener stands for stays unknown, and such a link is of a kind of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from textdetect.posts.own_words import own_words

KINDS: Final = ("url", "hashtags", "mention", "contact")
"""What is looked for in texts; "short_url" are the links that a shortener made."""
_CJK: Final = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3"
_HOST = re.compile(r"^(?:www|m|mobile)\.(?=[^.]+\.)")
_FORMERLY = re.compile(r"(?<=[?&])(?:utm_\w+|fbclid|gclid|igshid)=[^&]*&?")
_TRACKING = re.compile(
    r"(?<=[?&])(?:utm_\w+|fbclid|gclid|dclid|gbraid|wbraid|msclkid|yclid|twclid|igshid?|mc_[ce]id"
    r"|_hsenc|_hsmi|mkt_tok|ref_src|ref_url|feature|si|spm|scm|share_\w+|vd_source|wfr|cmpid)"
    r"=[^&]*&?",
    re.IGNORECASE,
)
_SHORTENERS = re.compile(
    r"(?:t\.co|t\.cn|bit\.ly|j\.mp|goo\.gl|tinyurl\.com|ow\.ly|is\.gd|v\.gd|buff\.ly|dlvr\.it"
    r"|trib\.al|lnkd\.in|cutt\.ly|rebrand\.ly|rb\.gy|t\.ly|shorturl\.at|url\.cn|dwz\.cn|suo\.im"
    r"|b23\.tv|v\.douyin\.com|xhslink\.com|m\.tb\.cn|vm\.tiktok\.com|fb\.me|wp\.me|u\.to|clck\.ru"
    r"|vk\.cc|qr\.ae|s\.id)/"
)
_LINK = re.compile(
    rf"(?:https?\s?:\s?//|(?<![\w@./])(?=www\.|{_SHORTENERS.pattern}))[^\s<>\"{_CJK}]+",
    re.IGNORECASE,
)
# A topic of Weibo ends with a sign; of "#so #b" the second begins another tag.
_TOPIC = re.compile(
    rf"#(?=[^#\n]*[{_CJK}])([^\s#]{{1,60}}(?=#)|[^\s#][^#\n]{{0,58}}[^\s#](?=#(?![^\W\d])))#"
)
_TAG = re.compile(r"(?<![a-zA-Z0-9_&/])#(?=\d*[^\W\d])(\w{2,60})")
_ANSWERED = re.compile(r"^\s*(?:\.?@[\w\-·.]+[\s,:]*)+")
_NAME = re.compile(r"(?<![\w@/.])@([\w\-·]{2,50}(?:@[\w-]+(?:\.[\w-]+)+)?)")
_PHONE = re.compile(r"(?<![\w/+])(?:\+\d[\d ().-]{7,16}\d|1[3-9]\d{9})(?!\w)")
_CODE = re.compile(
    r"(?:微信|威信|薇信|加v|v信|邀请码|推荐码|优惠码|q群|(?<![a-z])(?:vx|wx|qq|tg|telegram|whatsapp"
    r"|(?:invit\w{1,7}|promo|referral|discount|coupon)\s+code))[号群]*[\s::]*@?"
    r"((?=[a-z_-]*\d)[a-z0-9_-]{4,24})(?!\w)",
    re.IGNORECASE,
)
_LIST = re.compile(r"[#,;|\[\]'\"]+")


def objects_in(text: str) -> list[tuple[str, str]]:
    """Give the kind and the value of each link, tag, name and contact in an account's own words.

    The names that a post begins with are whom it answers, and no objects.

    >>> objects_in("so true! #Now https://www.x.org/a?utm_source=b t.co/x1")
    [('url', 'x.org/a'), ('short_url', 't.co/x1'), ('hashtags', 'now')]
    """
    if not any(sign in text for sign in "#@/:.") and not any(map(str.isdigit, text)):
        return []
    own = own_words(text)
    links = [link.rstrip(".,;:!?'…*)]}|") for link in _LINK.findall(own)]
    bare = _ANSWERED.sub("", _LINK.sub(" ", own))
    found = [link_object(link) for link in links]
    topics = _TOPIC.findall(bare)
    tags = [*topics, *_TAG.findall(_TOPIC.sub(" ", bare) if topics else bare)]
    found += [("hashtags", tag.casefold()) for tag in tags]
    found += [("mention", name.casefold()) for name in _NAME.findall(bare)]
    found += [("contact", re.sub(r"\D", "", phone)) for phone in _PHONE.findall(bare)]
    found += [("contact", code.casefold()) for code in _CODE.findall(bare)]
    return [each for each in dict.fromkeys(found) if each[1]]


def without_objects(text: str) -> str:
    """Give an account's own words without the links, tags and names among them."""
    own = _LINK.sub(" ", own_words(text))
    for pattern in (_TOPIC, _TAG, _NAME):
        own = pattern.sub(" ", own)
    return own


def link_object(link: str) -> tuple[str, str]:
    """Give the kind and the one form of a link, whatever its scheme, host and trackers."""
    page = page_of(link, tracking=_TRACKING)
    return ("short_url" if _SHORTENERS.match(page) else "url"), page


def page_of(link: str, *, tracking: re.Pattern[str] = _FORMERLY) -> str:
    """Give a page one form: with or without s, in the browser or on a telephone."""
    host, slash, path = link.strip().partition("://")[2 if "://" in link else 0].partition("/")
    path = tracking.sub("", path.partition("#")[0]).rstrip("/?&")
    return f"{_HOST.sub('', host.lower())}{slash and '/'}{path}"


def objects_of_cell(name: str, value: str) -> Iterator[tuple[str, str]]:
    """Give the objects of a cell of a column: lists have a line each, or are written in one."""
    for part in value.split("\n"):
        if name == "url":
            many = part.split() if part.count("://") > 1 else [part.strip()]
            yield from (link_object(link.strip("[]'\",;")) for link in many)
        elif name.startswith("hashtag"):
            split = _LIST.split(part) if _LIST.search(part) else part.split()
            yield from (("hashtags", tag.strip().casefold()) for tag in split)
        else:
            yield name, part.strip()


def joined(name: str, column: Iterable[str]) -> list[str]:
    """Give the one form of each value as bundles of format 3 did: the tags of a string are one."""
    if name == "url":
        return [page_of(value) for value in column]
    if name.startswith("hashtag"):
        return [" ".join(re.split(r"[\s,;#]+", value.lower())).strip() for value in column]
    return [value.strip() for value in column]


def flat(lists: Sequence[Sequence[tuple[str, str]]]) -> tuple[list[int], list[str], list[str]]:
    """Give posts, kinds and values of the objects of each post, without the empty ones."""
    rows = [(i, kind, value) for i, each in enumerate(lists) for kind, value in each if value]
    posts, kinds, values = zip(*rows, strict=True) if rows else ((), (), ())
    return list(posts), list(kinds), list(values)
