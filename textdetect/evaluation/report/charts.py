"""Points → charts as SVG to stand inside a page, which gives them their fonts and colours.

The only words in them are numbers and fixed ones: names are the page's to write and to escape.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from textdetect._ground.optional import require
from textdetect.evaluation.report.cells import Cell, rate

Point = tuple[float, float, float]
"""x, y, and the posts that it stands for."""
Curves = Mapping[int, Sequence[Point]]
"""A detector's place in the legend → its points."""

# Colours that nobody sees: each stands for one of the page's, which has a light and a dark set.
_INK, _GRID, _SHADE, _SOFT = "#0000f0", "#0000f1", "#0000f2", "#0000f3"
_COLOURS: Final = tuple(f"#0000c{i}" for i in range(6))
_PAGE: Final = {colour: f"var(--c{i})" for i, colour in enumerate(_COLOURS)} | {
    _INK: "currentColor",
    _GRID: "var(--rule)",
    _SHADE: "var(--shade)",
    _SOFT: "var(--soft)",
}
_DASHES: Final = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (6, 1.5, 1.5, 1.5)))
_MARKS: Final = "osDv^"
_HASH: Final = re.compile("|".join(_PAGE))
_NOISE: Final = re.compile(
    r"\A.*?(?=<svg)|<metadata>.*?</metadata>\s*|<style.*?</style>\s*"
    r'| (?:width|height)="[\d.]+pt"| id="[\w.]+_\d+"',  # ids that are used hold a hash
    re.DOTALL,
)


def roc(curves: Curves, frozen: Mapping[int, tuple[float, float]]) -> str:
    """Draw ROC curves over a log FPR axis, with a mark at each frozen threshold's (FPR, TPR)."""
    least = 1 / min(max(n, 2.0) for points in curves.values() for _, _, n in points)
    left = next(10.0**-i for i in range(1, 12) if 10.0**-i < least or i == 11)

    def draw(axes: Any) -> None:
        axes.set_xscale("log")
        axes.axvspan(left, least, color=_SHADE, linewidth=0)
        chance = [left ** (i / 50) for i in range(51)]
        axes.plot(chance, chance, color=_SOFT, linewidth=0.8)
        for place, points in curves.items():
            x, y, _ = zip(*sorted(points), strict=True)
            clipped = [max(value, left) for value in x]
            axes.plot(clipped, y, drawstyle="steps-post", linewidth=1.6, **_line(place))
        for place, (fpr, tpr) in frozen.items():
            axes.plot([max(fpr, left)], [tpr], markersize=6, clip_on=False, **_mark(place))
        axes.set(xlim=(left, 1), ylim=(0, 1), xlabel="humans flagged (FPR)", ylabel=_FOUND)
        axes.xaxis.set_major_formatter(lambda value, _: rate(value))
        axes.xaxis.set_minor_formatter("")
        axes.yaxis.set_major_formatter(_percent)

    return _svg("roc", draw)


def reliability(curves: Curves) -> str:
    """Draw the share of machines over the mean probability; a mark's area goes by its posts."""
    most = max(n for points in curves.values() for _, _, n in points)

    def draw(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], color=_SOFT, linewidth=0.8)
        for place, points in curves.items():
            x, y, n = zip(*sorted(points), strict=True)
            sizes = [8 + 70 * value / max(most, 1) for value in n]
            axes.plot(x, y, linewidth=1.2, **_line(place))
            mark = {"color": _mark(place)["color"], "marker": _mark(place)["marker"]}
            axes.scatter(x, y, sizes, linewidth=0, clip_on=False, **mark)
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="mean probability", ylabel="share of machines")

    return _svg("reliability", draw)


def by_length(labels: Sequence[str], cells: Sequence[Sequence[Cell]]) -> str:
    """Draw the TPR of each detector over bins of length, with intervals."""

    def draw(axes: Any) -> None:
        for place, row in enumerate(cells):
            shift = 0.12 * (place - (len(cells) - 1) / 2)
            known = [(i + shift, c) for i, c in enumerate(row) if c.value is not None]
            for x, c in known:
                if c.low is not None and c.high is not None:
                    axes.vlines(x, c.low, c.high, _mark(place)["color"], linewidth=1.2)
            middle, y = [x for x, _ in known], [c.value for _, c in known]
            axes.plot(middle, y, linewidth=1.2, **_line(place))
            axes.plot(middle, y, markersize=5, **_mark(place))
        plain = [label.encode("ascii", "replace").decode() for label in labels]
        axes.set_xticks(range(len(plain)), plain, parse_math=False, rotation=30, ha="right")
        axes.set(xlim=(-0.5, len(plain) - 0.5), ylim=(0, 1), xlabel="length", ylabel=_FOUND)
        axes.yaxis.set_major_formatter(_percent)

    return _svg("length", draw)


_FOUND: Final = "machines found (TPR)"


def _percent(value: float, _: object) -> str:
    return f"{100 * value:.0f} %"


def _line(place: int) -> dict[str, Any]:
    """Give colour and dashes, which tell 12 detectors apart, and 4 without seeing colours."""
    return {"color": _COLOURS[place % len(_COLOURS)], "linestyle": _DASHES[place % len(_DASHES)]}


def _mark(place: int) -> dict[str, Any]:
    return _line(place) | {"linestyle": "none", "marker": _MARKS[place % len(_MARKS)]}


def _svg(name: str, draw: Callable[[Any], None]) -> str:
    """Draw under matplotlib's own defaults, and put back what the caller had.

    The salt makes ids the same in each run, and different in each chart of a page; a style context
    is the one way to give it. pyplot stays out.
    """
    fixed: dict[str, Any] = {"svg.hashsalt": name, "svg.fonttype": "none", "font.size": 10}
    fixed |= dict.fromkeys(("axes.edgecolor", "axes.labelcolor", "xtick.color"), _INK)
    fixed |= {"ytick.color": _INK, "text.color": _INK, "grid.color": _GRID}
    figure_class = require("matplotlib.figure", extra="report").Figure
    with require("matplotlib.style", extra="report").context(["default", fixed]):
        figure = figure_class(figsize=(4.6, 3.7), layout="constrained")
        axes = figure.add_subplot()
        axes.grid(linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        draw(axes)
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    return _HASH.sub(lambda found: _PAGE[found[0]], _NOISE.sub("", file.getvalue()))
