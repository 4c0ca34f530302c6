"""Posts → suggested tactics, each with the sentence and the cue behind it; a codebook decides.

Suggestions for an analyst to accept or not: they have no error rate, and enter no verdict. It does
not know whether a claim is false.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import yaml

from textdetect.errors import ConfigError
from textdetect.posts.text import normalise

_SENTENCE: Final = re.compile(r"[^.!?。！？\n]+[.!?。！？]*")
_MOST_QUOTED: Final = 200


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A tactic that a post may be of.

    Attributes:
        tactic: as the codebook names it.
        group: of cues.
        cue: the words that matched.
        sentence: the one around them, at most 200 characters.
    """

    tactic: str
    group: str
    cue: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Codebook:
    """Groups of cues, and the rules that make tactics of them.

    Attributes:
        groups: name → what matches one of its cues, in any language.
        rules: tactic → rules, each the names of groups that must all match.
    """

    groups: dict[str, re.Pattern[str]]
    rules: dict[str, tuple[tuple[str, ...], ...]]

    @classmethod
    def read(cls, file: str | os.PathLike[str] | None = None) -> Codebook:
        """Read a codebook; without a file, the one that comes with the package.

        Raises:
            ConfigError: no codebook: a group without cues, a cue that is no regular expression, a
                rule with a group that there is not.
            OSError: a file that can't be read.

        >>> sorted(Codebook.read().rules)
        ['division', 'false_claim', 'unfair_comparison']
        """
        source = Path(file) if file else files("textdetect.campaigns").joinpath("codebook.yaml")
        try:
            return cls._of(yaml.safe_load(source.read_text(encoding="utf-8")))
        except (yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError) as error:
            raise ConfigError(f"{file or 'codebook.yaml'}: no codebook: {error}") from None

    @classmethod
    def _of(cls, values: dict[str, Any]) -> Codebook:
        groups = {}
        for name, by_language in values["groups"].items():
            cues = [cue for each in by_language.values() for cue in each]
            try:
                groups[name] = re.compile("|".join(f"(?:{cue})" for cue in cues), re.IGNORECASE)
            except re.error as error:
                raise ValueError(f"group {name}: {error}") from None
            if not cues or groups[name].search("") is not None:
                raise ValueError(f"group {name}: no cue, or one that nothing matches")
        rules = {
            tactic: tuple(tuple(rule) for rule in each) for tactic, each in values["rules"].items()
        }
        unknown = {name for each in rules.values() for rule in each for name in rule} - set(groups)
        if unknown:
            raise ValueError(f"rules name no group {sorted(unknown)[0]!r}")
        return cls(groups, rules)

    def suggest(self, text: str) -> list[Suggestion]:
        """Suggest tactics for a post, with every cue of the rules that hold.

        >>> found = Codebook.read().suggest("They quietly recall it. DO NOT BUY one!")
        >>> [(each.tactic, each.cue) for each in found][:2]
        [('false_claim', 'quietly'), ('false_claim', 'recall')]
        """
        text = normalise(text)
        hits = {name: cue.search(text) for name, cue in self.groups.items()}
        found = []
        for tactic, rules in self.rules.items():
            held = [name for rule in rules if all(hits[name] for name in rule) for name in rule]
            for name in dict.fromkeys(held):
                hit = hits[name]
                if hit is not None:
                    found.append(Suggestion(tactic, name, hit[0], _sentence(text, hit.start())))
        return found

    def tactics(self, texts: Sequence[str]) -> list[tuple[str, ...]]:
        """Give the suggested tactics of each post, in the codebook's order."""
        return [tuple(dict.fromkeys(s.tactic for s in self.suggest(text))) for text in texts]


def _sentence(text: str, place: int) -> str:
    for sentence in _SENTENCE.finditer(text):
        if sentence.end() > place:
            return sentence[0].strip()[:_MOST_QUOTED]
    return text[:_MOST_QUOTED]
