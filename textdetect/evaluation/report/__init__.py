"""The result of an evaluation → one HTML page that opens offline and asks nothing of any network.

It knows tables, not who made them; what each column means is said at `Results`.
"""

from __future__ import annotations

import os
import re
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from textdetect._ground.files import write_atomically
from textdetect._ground.optional import require
from textdetect.evaluation.report.results import Results
from textdetect.evaluation.report.sections import SECTIONS, page

__all__ = ["Results", "render", "write"]

# What would not show, or would turn the text around it: controls, directions, zero widths, tags.
_UNSEEN: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ud800-\udfff\ufeff\U000e0000-\U000e007f]"
)


def render(results: Results) -> str:
    """Render the page: HTML with its styles and charts inside, without scripts.

    Every name and text is escaped, and characters that don't show are written as [U+202E]. The
    same results give the same page. No rows to show, or a chart's without numbers: `InvalidInput`.

    >>> row = {"suite": "s", "part": "report", "slice": "all", "attack": "none", "detector": "d"}
    >>> html = render(Results([row | {"metric": "auroc", "value": 0.9, "low": 0.8, "high": 0.95}]))
    >>> "0.900" in html, "<script" in html
    (True, False)
    """
    jinja2 = require("jinja2", extra="report")
    environment = jinja2.Environment(
        autoescape=True,
        finalize=_visible,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    source = files("textdetect.evaluation.report").joinpath("page.html").read_text(encoding="utf-8")
    html: str = environment.from_string(source).render(page(results), sections=SECTIONS)
    return html


def write(results: Results, file: str | os.PathLike[str]) -> Path:
    """Write the page into a file, whole or not at all; see `render`."""
    path = Path(file)
    write_atomically(path, render(results).encode())
    return path


def _visible(value: Any) -> Any:
    if type(value) is not str:  # what the template itself made of escaped parts is Markup
        return value
    return _UNSEEN.sub(lambda found: f"[U+{ord(found[0]):04X}]", value)
