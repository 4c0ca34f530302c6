"""textdetect tells, with stated error rates, whether a machine wrote a post.

>>> from textdetect import Detector
>>> detector = Detector.from_pretrained()

Importing it loads nothing heavy and changes nothing: each name is fetched when it is first used.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from textdetect import errors
from textdetect._ground.version import __version__

if TYPE_CHECKING:
    from textdetect.accounts import AccountVerdicts, score_accounts
    from textdetect.bulk import score_files
    from textdetect.campaigns import Campaigns, find_campaigns
    from textdetect.model.client import AsyncClient, Client
    from textdetect.model.detector import Detector
    from textdetect.posts.corpus import Posts, load_posts
    from textdetect.posts.scored import Verdict, Verdicts

__all__ = [
    "AccountVerdicts",
    "AsyncClient",
    "Campaigns",
    "Client",
    "Detector",
    "Posts",
    "Verdict",
    "Verdicts",
    "__version__",
    "errors",
    "find_campaigns",
    "load_posts",
    "score_accounts",
    "score_files",
]

_HOMES = {
    "AccountVerdicts": "textdetect.accounts",
    "AsyncClient": "textdetect.model.client",
    "Campaigns": "textdetect.campaigns",
    "Client": "textdetect.model.client",
    "Detector": "textdetect.model.detector",
    "Posts": "textdetect.posts.corpus",
    "Verdict": "textdetect.posts.scored",
    "Verdicts": "textdetect.posts.scored",
    "find_campaigns": "textdetect.campaigns",
    "load_posts": "textdetect.posts.corpus",
    "score_accounts": "textdetect.accounts",
    "score_files": "textdetect.bulk",
}

logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'textdetect' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
