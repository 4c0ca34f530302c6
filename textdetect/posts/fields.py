"""Where the fields of a post stand (account, time, text, marks of a repost), and what takes them.

Names and layouts are a table, `layouts.yaml`. It does not know formats or files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml

from textdetect.errors import InvalidInput
from textdetect.posts.text import is_missing
from textdetect.posts.values import table, words

FIELDS: Final = ("id", "account", "time", "text", "language", "url", "hashtags", "reply_to")
"""The fields of the common form, beside `repost`."""
OWN_FILE: Final = "<file>"
_LISTS: Final = {"url", "hashtags", "reply_to", "language"}
_NAME_LIKE: Final = re.compile(r"[^\s]{1,24}(?: [^\s]{1,24}){0,2}")
_OTHERS: Final = re.compile(
    r"retweet|quot|reblog|repost|original|parent|reply|embed", re.IGNORECASE
)

Get = Callable[[Any], Any]
"""Row → value."""


def usual_names(purpose: str) -> tuple[str, ...]:
    """Give the names that a field usually has, the likeliest first; case does not matter."""
    return tuple(table()["names"].get(purpose, (purpose,)))


@dataclass(frozen=True, slots=True)
class Fields:
    """Where the fields of a post stand in a row.

    Attributes:
        columns: the names of a row's cells; of objects, their keys.
        paths: field → path, as in layouts.yaml.
        layout, zone: the layout's name, "" for none, and the zone of its times without one.
        inner: names within objects, for messages.
        function: the layout, where it is one: a row as a mapping → its fields.
    """

    columns: list[str]
    paths: dict[str, str] = field(default_factory=dict)
    layout: str = ""
    zone: str | None = None
    inner: list[str] = field(default_factory=list)
    function: Callable[[dict[str, Any]], Mapping[str, Any]] | None = None

    def need(self, purpose: str) -> str:
        """Give the path of a field; raises InvalidInput, with the names there are, without one."""
        if purpose in self.paths:
            return self.paths[purpose]
        usual = f"of a usual name for {'post' if purpose == 'text' else purpose}s"
        raise self.lacks(usual, f"; name one with {purpose}= (--{purpose}-column)")

    def lacks(self, what: str, advice: str) -> InvalidInput:
        """Make the error that says which columns there are."""
        # In a file without a header these are a post's: what doesn't look like a name is not shown.
        names = [*self.columns, *self.inner]
        shown = [
            repr(name) if _NAME_LIKE.fullmatch(name) else f"<column {i}>"
            for i, name in enumerate(names[:30], 1)
        ]
        more = f" and {len(names) - 30} more" if len(names) > 30 else ""
        return InvalidInput(f"no column {what} among {', '.join(shown)}{more}{advice}")

    def places(self, purpose: str) -> list[int]:
        """Give the places of the columns that a field stands in, the likeliest first."""
        path = self.paths.get(purpose, "")
        ways = [path, *(way.partition("=")[0].removesuffix("[]") for way in path.split("|"))]
        tops = dict.fromkeys(way if way in self.columns else way.split(".")[0] for way in ways)
        return [self.columns.index(top) for top in tops if top in self.columns]

    def getter(self, purpose: str, *, cells: bool, file: str = "") -> Get:
        """Give what takes a field out of a row, a mapping or (`cells`) a list; None if nowhere."""
        path, names = self.paths.get(purpose), self.columns
        if path is None:
            return lambda _: None
        if (function := self.function) is not None:
            as_mapping = (lambda row: dict(zip(names, row, strict=True))) if cells else dict
            return lambda row: function(as_mapping(row)).get(purpose)
        if purpose != "repost":
            return _getter(path, names, cells, file)
        tests = [one.partition("=") for one in path.split("|")]
        says = [(_getter(at, names, cells, file), said) for at, _, said in tests]
        return lambda row: any(_marks(get(row), said) for get, said in says)


def find_fields(
    columns: Sequence[str],
    samples: Sequence[Mapping[str, Any]],
    wanted: Mapping[str, str | None],
    *,
    layout: Any = None,
    need: Sequence[str] = (),
) -> Fields:
    """Find where the fields stand: as asked for, as the layout says, by their usual names.

    Args:
        columns: the names of the rows' cells, or keys.
        samples: a few rows, if there are objects in them.
        wanted: field → column or path; InvalidInput if it is not there, or holds objects.
        layout: the name of a known one ("": none); one as in layouts.yaml, as a mapping or YAML
            file; or a function of a row, as a mapping, that gives the fields.
        need: fields that must be there, but for texts in a known layout.

    >>> posts = [{"user": {"screen_name": "ann"}, "body": "hello", "when": 3}]
    >>> find_fields(list(posts[0]), posts, {"time": "when"}).paths["account"]
    'user.screen_name'
    """
    kinds = dict.fromkeys(columns, "cell") | _kinds(samples)
    if callable(layout):
        paths = dict.fromkeys((*FIELDS, "repost"), layout.__name__)
        return Fields(list(columns), paths, layout.__name__, function=layout)
    name, known = _layout(layout, kinds)
    fields = Fields(list(columns), {}, name, known.get("zone"), [k for k in kinds if "." in k])
    for purpose in dict.fromkeys((*FIELDS, "repost", *known, *wanted)):
        path: str | None
        if (given := wanted.get(purpose)) is not None:
            path = _given(purpose, given, fields, kinds)
        elif purpose in known or (name and purpose == "text"):
            path = known.get(purpose)
        else:
            path = _usual(purpose, columns, kinds)
        if path is not None and purpose not in ("when", "zone"):
            fields.paths[purpose] = path
    for purpose in need:
        if purpose != "text" or not name:
            fields.need(purpose)
    return fields


def _layout(asked: Any, kinds: Mapping[str, str]) -> tuple[str, Mapping[str, Any]]:
    layouts = table()["layouts"]
    if isinstance(asked, Mapping):
        return "of your own", asked
    if asked in layouts or asked == "":
        return asked, layouts.get(asked, {})
    if asked is None:
        fitting = (one for one in layouts if all(path in kinds for path in layouts[one]["when"]))
        name = next(fitting, "")
        return name, layouts.get(name, {})
    if Path(asked).suffix not in (".yaml", ".yml"):
        raise InvalidInput(f"layout {asked!r}: expected a YAML file or one of {', '.join(layouts)}")
    found = yaml.safe_load(Path(asked).read_text(encoding="utf-8"))
    if not isinstance(found, dict) or not all(isinstance(v, (str, list)) for v in found.values()):
        raise InvalidInput(f"{asked}: no layout: expected a mapping of fields to paths")
    return Path(asked).stem, found


def _kinds(samples: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Give each path in the samples and what is there: "cell", "object", "list", "none"."""
    kinds: dict[str, str] = {}

    def look(value: Any, path: str, depth: int, within: str) -> None:
        if isinstance(value, Mapping) and depth < 7 and len(kinds) < 5_000:
            if path and kinds.get(path, "none") == "none":
                kinds[path] = "object"
            for key, inner in value.items():
                look(inner, f"{path}.{key}" if path else str(key), depth + 1, within)
        elif isinstance(value, (list, tuple, np.ndarray)):
            kinds[path] = "list" if kinds.get(path, "none") == "none" else kinds[path]
            for inner in value[:3]:
                if isinstance(inner, Mapping):
                    look(inner, path, depth, "list")
        elif is_missing(value):
            kinds.setdefault(path, "none")
        else:
            kinds[path] = within

    for sample in samples:
        look(sample, "", 0, "cell")
    return kinds


def _given(purpose: str, given: str, fields: Fields, kinds: Mapping[str, str]) -> str:
    """Check a path that was asked for."""
    at = usual_place(list(kinds), (given,))
    path = given if at is None else list(kinds)[at]
    if at is None and not any(mark in given for mark in (".", "|", "[]", "=", OWN_FILE)):
        option = f"; name one with --{purpose}-column" if purpose in (*FIELDS, "repost") else ""
        raise fields.lacks(repr(given), option)
    if kinds.get(path) == "object":
        inside = [name for name in kinds if name.startswith(f"{path}.") and kinds[name] == "cell"]
        raise InvalidInput(
            f"column {path!r} holds objects: expected names or numbers; name what is in it, as "
            f"{', '.join(inside[:5]) or path + '.id'}"
        )
    return path


def _usual(purpose: str, columns: Sequence[str], kinds: Mapping[str, str]) -> str | None:
    """Find a field by its usual names: on top, in an object of that name, deeper down."""
    names, inner = usual_names(purpose), table()["names_of_an_object"]
    if purpose == "repost":
        marks = [name.partition("=") for name in names]
        found = [(usual_place(columns, [name]), equals + said) for name, equals, said in marks]
        return "|".join(columns[at] + mark for at, mark in found if at is not None) or None
    fitting = {"cell", "none", *(["list"] if purpose in _LISTS else [])}
    on_top = [name for name in columns if kinds[name] in fitting]
    at = usual_place(on_top, names)
    if at is not None or (purpose == "text" and len(columns) == 1 and on_top):
        return on_top[at or 0]
    deeper: dict[tuple[int, ...], str] = {}
    for path in kinds if purpose in ("account", "time", "text") else ():
        *above, last = path.split(".")
        if not above or kinds[path] != "cell" or _OTHERS.search(path):
            continue
        if last in names:
            deeper[1, len(above), names.index(last)] = path
        if purpose == "account" and last in inner and usual_place(above[-1:], names) is not None:
            deeper[0, len(above), inner.index(last)] = path
    return deeper[min(deeper)] if deeper else None


def usual_place(names: Sequence[str], usual: Iterable[str]) -> int | None:
    """Return the place of the first of the `usual` names that there is, or None.

    The exact name wins, then the same name in another case.

    >>> usual_place(["id", "Text"], usual_names("text"))
    1
    """
    folded = [name.strip().casefold() for name in names]
    for name in usual:
        for known, one in ((names, name), (folded, name.strip().casefold())):
            if one in known:
                return known.index(one)
    return None


def _getter(path: str, columns: Sequence[str], cells: bool, file: str) -> Get:
    if path == OWN_FILE:
        return lambda _: file
    if path not in columns and "|" in path:
        ways = [_getter(one, columns, cells, file) for one in path.split("|")]
        return lambda row: next((v for way in ways if not _empty(v := way(row))), None)
    if path not in columns and path.endswith("[]"):
        pieces = _getter(path[:-2], columns, cells, file)
        return lambda row: _joined(pieces(row))
    top, *parts = [path] if path in columns else path.split(".")
    if cells and top not in columns:
        return lambda _: None
    take: Get = itemgetter(columns.index(top)) if cells else lambda row: row.get(top)
    return (lambda row: _dig(take(row), parts)) if parts else take


def _empty(value: Any) -> bool:
    return value in ("", [], {}) if isinstance(value, (str, list, dict)) else is_missing(value)


def _dig(value: Any, parts: Sequence[str]) -> Any:
    for i, part in enumerate(parts):
        if isinstance(value, (list, tuple, np.ndarray)):
            found = [_dig(member, parts[i:]) for member in value]
            return [member for member in found if not _empty(member)]
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _joined(value: Any) -> Any:
    """Join a text that comes in pieces, strings and objects with a `text`."""
    if not isinstance(value, list):
        return value
    pieces = (piece.get("text") if isinstance(piece, dict) else piece for piece in value)
    return "".join(piece for piece in pieces if isinstance(piece, str))


def _marks(value: Any, said: str) -> bool:
    """Tell whether a value says `said` ("yes", "no", a word), or, if "", anything at all."""
    if isinstance(value, (list, tuple)):
        return any(_marks(member, said) for member in value)
    if isinstance(value, Mapping):
        return bool(value) and not said
    word = "" if is_missing(value) else str(value).strip().casefold()
    if not said:
        return word not in words("no", "nothing")
    return word in words(said) if said in ("yes", "no") else word == said.casefold()
