r"""A raw post → the words of its own account, and those that it only quotes or reposts.

Platforms give posts as HTML, with entities, with others' words in front, behind and in between; a
verdict on them would be one on somebody else. What a page shows is read here, and split: quoted
lines and blocks, reposts and what a platform says in place of a post are not the account's. It
knows nothing of how words are normalised for a model.
"""

from __future__ import annotations

import html
import re
import tomllib
import unicodedata
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import Final

MAX_RAW_CHARS: Final = 16_384
"""Raw characters that are read at all; the tokens that a model sees end far earlier."""

# Controls, zero-width and bidi characters, soft hyphens, variation selectors, fillers that show as
# nothing, private use and what stands for undecodable bytes.
_UNSEEN_CHARACTERS: Final = (
    "\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff"
    "\ue000-\uf8ff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U0010ffff"
)
_MARKS: Final = "\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
_INVISIBLE = re.compile(f"[{_UNSEEN_CHARACTERS}]+")
_MANY_MARKS = re.compile(f"([{_MARKS}]{{3}})[{_MARKS}]+")
_RARE = re.compile(f"[{_UNSEEN_CHARACTERS}{_MARKS}\ud800-\udfff]")
_PUNCTUATION: Final[dict[str, str]] = (
    {chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
    | dict.fromkeys("‘’‚‛′‵´ʻʼʽˈ`｀＇", "'")
    | dict.fromkeys("“”„‟″‶«»「」『』《》〈〉〝〞〟", '"')
    | dict.fromkeys("‐‑‒–—―−⸺⸻", "-")
    | dict.fromkeys("【〔〖", "[")
    | dict.fromkeys("】〕〗", "]")
    | dict.fromkeys("\u2800\u1680\u3000", " ")
    | {"。": ".", "、": ",", "⁄": "/", "…": "..."}
)
_MAPPED = re.compile(f"[{re.escape(''.join(_PUNCTUATION))}]")
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});?")
_AMPERSANDS = re.compile(r"&(?:(?:amp|AMP|#0*38|#[xX]0*26);?)+")
_BACKSLASHES = re.compile(r"\\{2,}")
_ESCAPED_SPACE = re.compile(r"\\[nrt](?![a-zA-Z])|\\[nr](?=[A-Z@#>])")
_ESCAPED_MARK = re.compile(r"\\(?=[\"'/#@&]|$)")
_LINE_ENDS = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_LAYERS: Final = 8
"""How often tags and entities within entities are undone; a platform writes two at the most."""

_BLOCKS: Final = (
    "address|article|aside|blockquote|body|br|center|dd|details|div|dl|dt|figcaption|figure|footer"
    "|form|h[1-6]|head|header|hr|html|li|main|nav|ol|option|pre|p|section|summary|table|tbody|td"
    "|tfoot|thead|th|title|tr|ul"
)
_INLINE: Final = (
    "abbr|a|audio|big|b|button|cite|code|del|em|font|iframe|img|input|ins|i|kbd|label|link|mark"
    "|meta|noscript|object|picture|q|ruby|rp|rt|samp|script|select|small|source|span|strike|strong"
    "|style|sub|sup|svg|s|template|textarea|tg-emoji|tg-spoiler|time|tt|u|var|video|wbr"
)
_HIDDEN: Final = {"head", "script", "style", "svg", "template", "title"}
_VOID: Final = {"br", "hr", "img", "input", "link", "meta", "source", "wbr"}
# A comment ends before another begins: or each of many that never end is read to the post's end.
_TAG = re.compile(
    r"<!--[^<-]*+(?:(?!-->|<!--)[<-][^<-]*+)*+-->|<!doctype[^<>]{0,200}>"
    rf"|<(/?)({_BLOCKS}|{_INLINE})((?:\s++[\w:.@-]++(?:\s*+=\s*+(?:\"[^\"]{{0,2000}}+\""
    r"|'[^']{0,2000}+'|[^\s\"'<>]++))?+)*+)\s*+/?>",
    re.IGNORECASE,
)
_IS_BLOCK = re.compile(_BLOCKS)
_CLASSES = re.compile(r"\bclass\s*=\s*(\"[^\"]*\"|'[^']*'|[^\s\"'>]+)", re.IGNORECASE)
_UNSEEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden|\shidden\b", re.IGNORECASE)
_BARE_LINK = re.compile(r"(?!https?:|[@#])[\w\-]+(?:\.[\w\-]+)+(?:/\S*|…|\.\.\.)?", re.IGNORECASE)
_OPEN, _CLOSE = "[quote]", "[/quote]"  # what `<blockquote>` becomes, as forums write it
_BBCODE = re.compile(r"\[(/?)quote(?:[\s=:][^\]\n]{0,200})?\]", re.IGNORECASE)

_POST_NUMBER = re.compile(r">>\d{1,12}\b")  # an image board's mention
# A face, an arrow and a comparison are no quotation: ">:(", ">_<", ">->", ">= 5", ">90%".
_QUOTED_LINES = re.compile(
    r"(?:^(?:On [^\n]{10,200}\n)?[^\n]{0,200}(?:wrote|writes|schrieb"
    r"|a écrit|escribió|escreveu|ha scritto|schreef|пишет"
    r"|написал|写道|寫道)[^\n]{0,40}:[ \t]*\n[ \t\n]*)?"
    r"(?:^[ \t]*>(?![:;=][-'^o]?[()\[\]DPpOoSs03/\\|<>]|[._oO0uTvw-]{1,3}[<>]|=|-[<>]"
    r"|\d+\s?%)[^\n]*(?:\n|\Z)[ \t\n]*)+",
    re.MULTILINE,
)
_QUOTE_MARKS = re.compile(r"^[ \t>]+", re.MULTILINE)
_QUOTED_POST = re.compile(r"\"@\w{1,30}\s?:\s[^\"\n]{1,500}\"")
_NAME: Final = r"@\s?[\w\-·.]{1,50}"
_TAIL = re.compile(
    rf"(?<![a-zA-Z0-9])(?:R[Tt]|MT|QT)[\s:]*\"?{_NAME}|(?<![a-zA-Z0-9])rt\s?{_NAME}\s?:"
    rf"|(?<!http:)(?<!https:)(?<!ftp:)//\s?{_NAME}|\|\|\s?{_NAME}\s?:|转发了\s?@?[^\s:]{{1,40}}\s?的微博\s?:"
    rf"|原始用户\s?:|转发内容\s?:|[转轉](?:[发發載载]?自)\s?{_NAME}"
    r"|(?:^|(?<=[\n#]))(?:[Rr]epost(?:ed|ing)?|[Rr]egram(?:med)?|[Rr]eblogged)"
    r"(?: (?:from|by|via|of))? ?@\w|\b[Rr]eposted from @\w"
    r"|(?<!-)-{3,20}\s?(?:Original Message|Forwarded [Mm]essage)|Begin forwarded message:"
)
_TAIL_SIGNS: Final = (
    *("RT", "Rt", "MT", "QT", "rt@", "rt @", "//@", "// @", "||", "自"),
    *("epost", "egram", "eblogged"),
)
_LONG_SIGNS: Final = ("elet", "emov", "vailab", "uspend", "ithheld", "抱歉")
_REASON = re.compile(r"(?:转发理由\s*:\s*)+")
_REPLY = re.compile(r"回[复覆]\s?(@[\w\-·.]{1,50})\s?:")
_HEADS = re.compile(
    rf"(?:[Rr][Tt]|MT|QT)[\s:]*\"?{_NAME}\s?:?|(?://|\|\|)\s?{_NAME}\s?:?|[\"]{_NAME}\s?:"
    r"|原始用户\s?:\s?\S+|转发内容\s?:|转发了\s?@?[^\s:]{1,40}\s?的微博\s?:"
)

_ASIDE = re.compile(r"https?://\S+|@[\w\-·.]+")
_EMOTICON = re.compile(r"\[[^\[\]\s]{1,12}\]")
_NO_WORD = re.compile(r"[\W_]+")
_CHINESE_GAP = re.compile(r"(?<=[\u4e00-\u9fff]) (?=[\u4e00-\u9fff])")
_PHRASES: Final = tomllib.loads((Path(__file__).parent / "phrases.toml").read_text("utf-8"))
_PLACEHOLDER = re.compile(
    "|".join(_PHRASES["placeholders"])
    .replace("THING", _PHRASES["thing"])
    .replace("STATE", _PHRASES["state"])
)
_BEGINS = re.compile(
    rf"(?:[^\w\[@]|_|@[\w\-·.]*+|https?://\S*+)*+(?:\[|{_PHRASES['begins']})", re.IGNORECASE
).match
_LEFTOVERS = re.compile("|".join(_PHRASES["leftovers"]), re.IGNORECASE)
_HIDDEN_CHARACTERS = re.compile(
    "(?<=\\w)[\xad\u034f\u115f\u1160\u180e\u200b\u2060-\u2064\u3164\ufeff\uffa0]+(?=\\w)"
    "|(?<=[a-zA-Z])[\u200c\u200d\u200e\u200f]+(?=[a-zA-Z])"
    "|[\u202d\u202e]|(?<![\U0001f3f4\U000e0020-\U000e007f])[\U000e0020-\U000e007f]"
)
# What most posts are: nothing in them could be a sign. First of ASCII, then of any characters.
_SIMPLE = re.compile(rf"[\n -%'-;=?-Z\]^_a-~]{{0,{MAX_RAW_CHARS}}}").fullmatch
_MAY_BE_TAG = re.compile(r"<[a-zA-Z/!]").search
_NO_SIGN = re.compile(r"[^<&\\\[>回转]*").fullmatch


def own_words(text: str) -> str:
    r"""Return the part of a raw post that its account worded itself, as plain text.

    HTML is taken for what it shows: blocks end lines, a link is its link, a mention its name, and
    attributes and hidden parts are no words. Not its own are quoted lines ("> ", with the line of
    a mail that names their author), `<blockquote>` and `[quote]`, all that follows "RT @name",
    "MT @name", "//@name", 转发内容 and their kin, and what a platform says in place of a post
    ("[deleted]", 转发微博). "回复@name:" is a mention. Docs: docs/text.md.

    Returns:
        Unicode in NFKC, lines kept; "" where the account worded nothing.

    >>> own_words("<p>no way &lt;3</p>"), own_words("> so\n\nnot so"), own_words("why?//@a:so")
    ('no way <3', 'not so', 'why?')
    """
    return _parts(text)[0]


def others_words(text: str) -> str:
    r"""Return what a raw post quotes or reposts, as plain text; "" where it does neither.

    The names of those who are quoted are left out, so that two reposts of one post are equal.

    >>> others_words("look RT @ann: so good"), others_words("so good")
    ('so good', '')
    """
    return _parts(text)[1]


def notes(text: str) -> tuple[str, ...]:
    """Name what else a raw post shows: evidence beside a verdict, not part of the score.

    Returns:
        Of "html" (it came with tags), "hidden_characters" (that show as nothing, within words),
        "model_leftovers" (of a language model, its prompt or its citations) and "mostly_quotation"
        (more of it is others' words than its own), in this order.

    >>> notes("<p>As an AI language model, I have no car.</p>"), notes("I have no car.")
    (('html', 'model_leftovers'), ())
    """
    own, others, tagged = _parts(text)
    found = []
    if tagged:
        found.append("html")
    if not text.isascii() and _HIDDEN_CHARACTERS.search(text[:MAX_RAW_CHARS]):
        found.append("hidden_characters")
    if any(map(own.casefold().__contains__, _PHRASES["signs"])) and _LEFTOVERS.search(own):
        found.append("model_leftovers")
    if len(others) > len(own):
        found.append("mostly_quotation")
    return tuple(found)


def is_settled(text: str, *, marked: bool = True) -> bool:
    """Tell, fast, that `own_words` would give a normalised text back as it is; False: perhaps.

    Args:
        marked: whether it may hold marks that HTML, quotations or names are written with.
    """
    if marked and not _NO_SIGN(text):
        if "\\" in text or ">>" in text or "回" in text or "转" in text:
            return False
        if "<" in text and _MAY_BE_TAG(text):
            return False
        if ("&" in text and _ENTITY.search(text)) or ("[" in text and _BBCODE.search(text)):
            return False
    return not ((marked and '"@' in text) or _may_have_tail(text) or _is_placeholder(text))


def _parts(text: str) -> tuple[str, str, bool]:
    """Return a post's own words, others' words, and whether it held tags."""
    if _SIMPLE(text) and '"@' not in text:
        own = text.strip()
        if not (_may_have_tail(own) or _is_placeholder(own)):
            return own, "", False
    return _split(text[:MAX_RAW_CHARS])


@lru_cache(maxsize=256)  # normalising a post and asking for its notes reads it once
def _split(text: str) -> tuple[str, str, bool]:
    """Do the same for a post that may hold others' words, or marks of a page."""
    own, tagged = _shown(text)
    others: list[str] = []
    for _ in range(_LAYERS):  # what was cut may have hidden another sign
        before = own.strip()
        own = _own_part(before, others)
        if own == before:
            break
        own = _shown(own)[0]
    return own, _HEADS.sub(" ", "\n".join(others)).strip() if others else "", tagged


def _own_part(own: str, others: list[str]) -> str:
    """Take others' words (quotes, a repost) out of what is shown, and add them to `others`."""
    if "[" in own and _BBCODE.search(own):
        own = _outside_blocks(own, others)
    if ">" in own:
        own = _cut(_QUOTED_LINES, _POST_NUMBER.sub(" ", own), others)
    if '"@' in own:
        own = _cut(_QUOTED_POST, own, others)
    if "回" in own:
        own = _REPLY.sub(r"\1 ", own)
    if "转发理由" in own and (reason := _REASON.search(own)):
        others.append(own[: reason.start()])
        own = own[reason.end() :].lstrip("> ")
    if _may_have_tail(own) and (tail := _TAIL.search(own)):
        others.append(own[tail.start() :])
        own = own[: tail.start()]
    own = own.strip()
    return "" if own and _is_placeholder(own) else own


def _may_have_tail(own: str) -> bool:
    """Tell, faster than the expression could, whether a text may hold a repost."""
    if own.rfind("@") > 0 and any(map(own.__contains__, _TAIL_SIGNS)):
        return True
    return "orward" in own or "nal Mess" in own or "原始用户" in own or "转发" in own


def _cut(pattern: re.Pattern[str], text: str, taken: list[str]) -> str:
    """Take the matches of a pattern out of a text, and add them to those taken."""

    def take(part: re.Match[str]) -> str:
        taken.append(_QUOTE_MARKS.sub("", part[0]))
        return "\n"

    return pattern.sub(take, text)


def _outside_blocks(text: str, taken: list[str]) -> str:
    """Take out what stands between marks of quotation; a mark without its other half is none."""
    own, starts, end = [""], [], 0
    for mark in _BBCODE.finditer(text):
        own.append(text[end : mark.start()])
        end = mark.end()
        if not mark[1]:
            starts.append(len(own))
        elif starts:
            start = starts.pop()
            if not starts:
                taken.append("".join(own[start:]))
                own[start:] = ["\n"]
    return "".join([*own, text[end:]])


def _is_placeholder(own: str) -> bool:
    """Tell whether a platform says this in place of a post; links, names and faces aside."""
    if len(own) > 160:
        return False
    if not (any(map(own.__contains__, _LONG_SIGNS)) if len(own) > 40 else _BEGINS(own)):
        return False
    bare = _ASIDE.sub(" ", own.casefold())
    for words in {bare, _EMOTICON.sub(" ", bare)}:
        if _PLACEHOLDER.fullmatch(_CHINESE_GAP.sub("", _NO_WORD.sub(" ", words).strip())):
            return True
    return False


def _shown(text: str) -> tuple[str, bool]:
    """Return what a page shows of a text: no tags, entities, escapes or hidden characters."""
    tagged = False
    for layer in range(_LAYERS):
        text = _characters(text)
        before = text
        if "<" in text and _TAG.search(text):
            text, tagged = _rendered(text, typed=layer > 0), True
        if "&" in text and _ENTITY.search(text):
            text = html.unescape(_AMPERSANDS.sub("&", text))
        if "\\" in text:
            text = _BACKSLASHES.sub(r"\\", text)
            text = _ESCAPED_MARK.sub("", _ESCAPED_SPACE.sub("\n", text))
        if text == before:
            break
    return text, tagged


def _characters(text: str) -> str:
    """Join surrogates, drop what shows as nothing, and put the rest into one Unicode form."""
    if "\r" in text or "\u2028" in text:
        text = _LINE_ENDS.sub("\n", text)
    if text.isascii():
        if "`" in text:
            text = text.replace("`", "'")
        # Most posts that hold a control hold line breaks only.
        return text if text.replace("\n", "").isprintable() else _INVISIBLE.sub("", text)
    if _RARE.search(text):
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "ignore")
        text = _MANY_MARKS.sub(r"\1", _INVISIBLE.sub("", text))
    text = _MAPPED.sub(_ascii, text)
    if not unicodedata.is_normalized("NFKC", text):
        text = _MANY_MARKS.sub(r"\1", unicodedata.normalize("NFKC", text))
        text = _MAPPED.sub(_ascii, text)
    return text


def _ascii(mark: re.Match[str]) -> str:
    return _PUNCTUATION[mark[0]]


def _rendered(text: str, *, typed: bool) -> str:
    """Return a text without its tags; what it quotes stands between `_OPEN` and `_CLOSE`.

    Args:
        typed: the tags came out of entities, so that readers see what they seem to hide.
    """
    shown: list[str] = []
    stack: list[tuple[str, str, int]] = []  # of open elements: name, what it does, where it began
    open_names: Counter[str] = Counter()
    end = 0
    for tag in _TAG.finditer(text):
        shown.append(text[end : tag.start()])
        end = tag.end()
        name = (tag[2] or "").lower()
        if not name:  # a comment
            shown += [tag[0][4:-3]] if typed and tag[0].startswith("<!--") else []
            continue
        if _IS_BLOCK.fullmatch(name):
            shown.append("\n")
        if not tag[1] and name not in _VOID:
            does = _effect(name, tag[3], any_link=open_names["a"] > 0)
            stack.append((name, does, len(shown)))
            open_names[name] += 1
            shown += [_OPEN] if does == "quote" else []
        while tag[1] and open_names[name]:
            inner, does, start = stack.pop()
            open_names[inner] -= 1
            if does == "quote":
                shown.append(_CLOSE)
            elif does == "hide" and not typed and inner == name:
                del shown[start:]
            elif inner == "a":
                shown[start:] = [_link("".join(shown[start:]))]
            if inner == name:
                break
    return "".join(shown) + text[end:]


def _effect(name: str, attributes: str, *, any_link: bool) -> str:
    """Tell whether an element quotes somebody or hides what it holds."""
    classes = _CLASSES.search(attributes)
    named = classes[1].lower() if classes else ""
    if name == "blockquote" or "quote" in named:
        return "quote"
    unseen = _UNSEEN.search(attributes) or ("invisible" in named and not any_link)
    return "hide" if name in _HIDDEN or unseen else ""


def _link(shown: str) -> str:
    """Give what a link shows as a link, where it shows an address in short."""
    return f" https://{shown.strip()} " if _BARE_LINK.fullmatch(shown.strip()) else shown
