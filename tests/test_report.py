"""The report: what it shows and how it says what it can't; what it escapes; what a browser does."""

from __future__ import annotations

import math
import random
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from textdetect.errors import InvalidInput, MissingDependency
from textdetect.evaluation.report import Results, render, write
from textdetect.evaluation.report.cells import cell

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")

NASTY = "<script>document.title='ran'</script>\u202etxt.\x00 \ud800 $x^2$ {{ 7 * 7 }}"
OURS, THEIRS = "textdetect 1.0.0", "<img src=https://example.org/x onerror=document.title='ran'>"
ATTACKS = [
    *("homoglyph", "homoglyph_word", "homoglyph_rare", "full_width", "zero_width", "space_double"),
    *("newline", "space_drop", "space_insert", "upper", "lower", "alternating", "leet", "typo"),
    *("plain_marks", "drop_marks", "misspelling", "spelling", "article", "number", "synonym"),
    *("emoji", "hashtag", "mention", "link", "truncate", "worst_of_k"),
]
GROUPS = (
    *(f"source={name}" for name in ("reviews", "forum", "microblog", "news_comments", "weibo")),
    *(f"language={code}" for code in ("en", "zh")),
    *(f"panel={name}" for name in ("non-native", "teenagers", "very formal people", "poets")),
    *(
        f"account={name}"
        for name in ("new", "old", "verified", "with-a-very-long-name-without-end")
    ),
    *(f"source=论坛{i}" for i in range(3)),
    "source=<b>bold</b>",
    "panel=\u202eevil",
)
LENGTHS = ("0-32", "32-64", "64-128", "128-256", "256-512", "512+")
GENERATORS = ("gpt-2", "markov", "a-chat-model-with-a-long-name-7b-instruct-v0.3", "template")
METRICS = {
    "auroc": 0.94,
    "average_precision": 0.93,
    "tpr_at_0.1%": 0.31,
    "tpr_at_1%": 0.62,
    "tpr_at_5%": 0.83,
    "accuracy": 0.87,
    "macro_f1": 0.868,
    "fpr": 0.008,
    "tpr": 0.58,
    "brier": 0.094,
    "ece": 0.021,
    "ppv_at_0.1%": 0.067,
    "ppv_at_1%": 0.42,
    "ppv_at_10%": 0.89,
    "answered": 0.91,
    "selective_accuracy": 0.93,
}


def made_up(*, texts: bool = True) -> Results:
    """Make the results of an evaluation that never was, of every kind that a report must show."""
    rng = random.Random(7)
    table: list[dict[str, Any]] = []

    def add(metric: str, value: float, *, n: int = 20_000, width: float = 0.02, **row: Any) -> None:
        width *= max(0.2, min(abs(value), 1 - abs(value)))
        least = -1 if value < 0 or metric == "auroc_lost" else 0
        low, high = max(value - width, least), min(value + width, 1)
        table.append(
            {"suite": "made-up", "part": "report", "slice": "all", "attack": "none", "note": ""}
            | {"metric": metric, "value": value, "low": low, "high": high, "n": n}
            | {"n_clusters": n // 3, "threshold": 1.5, "fingerprint": "ab" * 32}
            | {"p_value": None, "p_holm": None}
            | row
        )

    for name, loss in ((OURS, 0.0), (THEIRS, 0.07)):
        for metric, value in METRICS.items():
            at = {"fpr": value + loss / 10, "tpr": (0.008 + loss / 10) ** (0.09 + loss)}
            add(metric, at.get(metric, value * (1 - loss)), detector=name)
        for i, attack in enumerate(ATTACKS):
            note = "seen family" if i < 6 else ""
            lost = abs(rng.gauss(0, 0.05)) + loss * (i % 3) + 0.2 * (attack == "worst_of_k")
            for metric, value in (("auroc_lost", lost), ("newly_flagged", lost / 20)):
                row = {"detector": name, "attack": attack, "slice": "attacked"}
                if i == 9:
                    add(metric, math.nan, low=None, high=None, note="not for Chinese", **row)
                else:
                    add(metric, value, note=note, width=0.1, **row)
        for where in GROUPS:
            n = rng.choice([17, 120, 900, 9_000])
            fpr = 0.0 if n == 17 else rng.lognormvariate(-5, 0.8) + loss / 20
            note = "small" if n < 500 else rng.choice(["", "transfer"])
            ends = {"low": fpr * 0.5 if n > 17 else 0.0, "high": fpr * 1.6 + 1.5 / n, "note": note}
            add("fpr", fpr, detector=name, slice=where, n=n, **ends)
            add("answered", 0.9, detector=name, slice=where, n=n, note=note)
            if where == "panel=poets":
                add("auroc", math.nan, detector=name, slice=where, n=n, note="one class")
            else:
                add("auroc", 0.93 - loss, detector=name, slice=where, n=n, note=note, width=0.2)
        for i, length in enumerate(LENGTHS):
            where, found = f"length={length}", 0.2 + 0.12 * i - loss
            add("tpr", found, detector=name, slice=where, n=3_000, width=0.15)
            add("fpr", 0.008, detector=name, slice=where, n=3_000, width=0.015)
        add("fpr", 0.009, detector=name, slice="attacked", n=500)
        add("flagged", 0.22 - loss, detector=name, slice="kind=assisted", n=400, note="small")
        for generator in GENERATORS:
            where, found = f"generator={generator}", rng.uniform(0.8, 0.99) - loss
            for metric, value in (("auroc", found), ("tpr_at_1%", found - 0.2), ("tpr", found / 2)):
                add(metric, value, detector=name, slice=where, n=2_000, width=0.1)
    for metric, value in (("auroc", 0.066), ("tpr_at_1%", 0.043), ("fpr", -0.0061)):
        p = {"p_value": 0.0004 if metric == "auroc" else 0.04}
        p["p_holm"] = 2 * p["p_value"]
        add(metric, value, detector=f"{OURS} - {THEIRS}", width=0.1, **p)
    curves = []
    for name, power in ((OURS, 0.09), (THEIRS, 0.16)):
        row = {"suite": "made-up", "detector": name}
        for i in range(200):
            x = 0.0 if i == 0 else 10 ** (-4 + 4 * i / 199)
            curves.append(row | {"kind": "roc", "x": x, "y": x**power * (i > 0), "n": 10_000})
        for i in range(10):
            x = (i + 0.5) / 10
            y = x ** (1 + 3 * power)
            curves.append(
                row | {"kind": "reliability", "x": x, "y": y, "n": 400 + 300 * (i - 5) ** 2}
            )
    errors = [
        {"detector": name, "label": i % 2, "score": 4.25 - i, "source": "forum", "language": "en"}
        | {"generator": "gpt-2" if i % 2 else None, "key": f"{i:016x}"}
        | {"text": (NASTY, "مرحبا بالعالم " * 9, "a\nb " * 200)[i] if texts else None}
        for name in (OURS, THEIRS)
        for i in range(3)
    ]
    facts = {
        "title": "The made-up suite",
        "description": "Posts that nobody wrote, in two languages, to see what a report is like.",
        "part": "report",
        "looks": 3,
        "max_fpr": 0.01,
        "models": {OURS: {"version": "1.0.0", "fingerprint": "ab" * 32}, THEIRS: {"version": None}},
        "contamination": {"exact": 0, "near": 12, "accounts": 3},
        "seed": 0,
        "libraries": {"numpy": "2.4.6", "onnxruntime": "1.32.0"},
        "date": "2001-02-03",
        "command": "textdetect evaluate made-up --detectors default other --seed 0",
    }
    caution = [
        "A flag is a statistical statement about a text, not about a person.",
        "It is never the sole ground for a sanction or a legal claim.",
    ]
    return Results(table, curves, errors, facts, caution)


@pytest.fixture(scope="module")
def html() -> str:
    return render(made_up())


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
def test_a_browser_shows_all_and_asks_for_nothing(
    chromium: Any, tmp_path: Path, width: int, scheme: str
) -> None:
    file = write(made_up(), tmp_path / "report.html")
    size = {"width": width, "height": 900}
    with chromium.new_context(viewport=size, color_scheme=scheme) as context:
        tab, said, asked = context.new_page(), [], []
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(file.as_uri())
        assert (said, asked) == ([], [file.as_uri()])
        assert tab.title() == "The made-up suite"  # no script changed it
        assert tab.evaluate("document.documentElement.scrollWidth") == width
        shown = tab.inner_text("body")
        assert "<script>document.title='ran'</script>[U+202E]txt.[U+0000]" in shown
        assert THEIRS in shown
        assert "source=<b>bold</b>" in shown
        assert tab.locator("script, img, link, iframe, b").count() == 0
        assert tab.locator("[role=img] > svg").count() == 3
        too_pale = tab.evaluate(PALE)
        assert too_pale == []


PALE = """() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const over = (colour, under) => {
    canvas.fillStyle = under; canvas.fillRect(0, 0, 1, 1);
    canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return canvas.getImageData(0, 0, 1, 1).data;
  };
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const paper = getComputedStyle(document.documentElement).backgroundColor;
  const found = [];
  for (const e of document.querySelectorAll("p, td, th, small, caption, a, bdi, .tag, li, code")) {
    const cell = e.closest("td, th, pre");
    const under = over(cell ? getComputedStyle(cell).backgroundColor : paper, paper);
    const ground = `rgb(${under[0]} ${under[1]} ${under[2]})`;
    const [a, b] = [light(over(getComputedStyle(e).color, ground)), light(under)];
    const contrast = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (contrast < 4.5) found.push([e.tagName, e.innerText.slice(0, 20), contrast]);
  }
  return found;
}"""
"""Elements whose text has less contrast than WCAG 2 asks for (AA: 4.5), as painted."""


def test_the_same_results_give_the_same_page_whatever_the_caller_draws_like(html: str) -> None:
    import matplotlib

    with matplotlib.rc_context({"font.size": 30, "svg.fonttype": "path", "axes.facecolor": "red"}):
        before = dict(matplotlib.rcParams)
        assert render(made_up()) == html
        assert dict(matplotlib.rcParams) == before


def test_no_pyplot_is_loaded() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from test_report import *; render(made_up());"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(Path(__file__).parent)], check=True)


def test_nothing_in_the_page_can_run_or_fetch(html: str) -> None:
    page = Tags(html)
    assert not {"script", "img", "link", "iframe", "object", "form", "base"} & set(page.names)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    links = [v or "" for k, v in page.attributes if k in ("href", "xlink:href", "src", "action")]
    assert links
    assert all(link.startswith("#") for link in links)
    assert "default-src 'none'" in html
    assert "url(#" in html
    assert not re.search(r"url\((?!#)|@import", html)


def test_ids_are_there_once_and_what_refers_to_one_finds_it(html: str) -> None:
    page = Tags(html)
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    wanted = [v for k, v in page.attributes if k == "aria-labelledby"]
    wanted += [v[1:] for k, v in page.attributes if k in ("href", "xlink:href") and v]
    assert set(wanted) <= set(ids)
    assert [name for name in page.names if re.fullmatch("h[1-6]", name)][:3] == ["h1", "h2", "h2"]
    assert page.names.count("table") == page.names.count("caption")


def test_texts_are_shown_only_where_they_were_asked_for() -> None:
    assert "$x^2$ {{ 7 * 7 }}" in render(made_up())
    bare = render(made_up(texts=False))
    assert "x^2" not in bare
    assert "not asked for" in bare


def test_a_section_without_data_says_why_in_one_line() -> None:
    row = made_up().table[0]
    html = render(Results([row]))
    assert html.count('<p class="soft">Left out: ') == 10
    assert "Left out: no attacks were run." in html
    assert "can’t be told" in html


def test_what_is_no_number_is_a_dash_with_its_reason() -> None:
    for value in (None, math.nan, math.inf, "0.5"):
        shown = cell({"metric": "auroc", "value": value, "note": "one class; small"})
        assert (shown.text, shown.detail, shown.value) == ("–", "one class; small", None)
    assert cell({}).detail == "not measured"
    html = render(made_up())
    assert "nan" not in re.sub(r"<[^>]*>", "", html).lower().replace("dominan", "")


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("fpr", 0.0, "0\u00a0%"),
        ("fpr", 0.00001, "<0.01\u00a0%"),
        ("tpr", 0.99999, ">99.9\u00a0%"),
        ("tpr", 1.0, "100.0\u00a0%"),
        ("auroc", 0.9999, ">0.999"),
        ("auroc_lost", -0.00001, "0.000"),
        ("auroc_lost", -0.031, "−0.031"),
        ("someone's own", 1234.5, "1234.500"),
    ],
)
def test_rounding_makes_nothing_of_nothing(metric: str, value: float, text: str) -> None:
    assert cell({"metric": metric, "value": value}).text == text


def test_groups_are_sorted_by_the_upper_end_and_small_ones_are_marked(html: str) -> None:
    table = html[html.index('id="t-groups-1"') : html.index('id="t-groups-2"')]
    assert table.count('<tr class="over">') == table.count("above the promise")
    ends = [float(end) for end in re.findall(r"–([\d.]+)</small>", table)]
    assert len(ends) == len(GROUPS) + len(LENGTHS)
    assert ends == sorted(ends, reverse=True)
    assert '<span class="tag">small</span>' in table
    assert "generator" not in table


def test_attacks_begin_with_the_worst_and_mark_what_was_seen_in_training(html: str) -> None:
    table = html[html.index('id="t-attacks"') : html.index('id="groups"')]
    assert re.findall(r'<th scope="row"><bdi>(.*?)</bdi>', table)[0] == "worst_of_k"
    assert table.count('<span class="tag">seen</span>') == 7  # six attacks, and the legend
    assert table.count("not for Chinese") == 4


def test_assisted_texts_stand_apart_and_notes_stand_by_the_figures(html: str) -> None:
    table = html[html.index('id="t-summary"') : html.index('id="roc"')]
    assert table.count('<span class="n">22.0\u00a0%</span>') == 1
    assert "counted in neither" in table
    assert '<small class="why">small</small>' in table


def test_comparisons_show_the_adjusted_p_value_and_embolden_only_what_is_left(html: str) -> None:
    table = html[html.index('id="t-comparisons"') : html.index('id="figures"')]
    assert re.findall('class="sure">(.*?)<', table) == ["&lt;0.001"]
    assert "+4.30\u00a0points" in table


def test_figures_of_another_part_are_left_out() -> None:
    results = made_up()
    rows = [{**row, "part": "select", "value": 0.123} for row in results.table]
    both = replace(results, table=[*rows, *results.table])
    assert "0.123" not in render(both)
    chosen = render(replace(both, facts={"part": "select"}))
    assert "0.123" in chosen
    assert "so the figures are hopeful" in chosen


@pytest.mark.parametrize("n", [1, 9])
def test_any_number_of_detectors_is_shown(n: int) -> None:
    results = made_up()
    rows = [row for row in results.table if row["detector"] == OURS]
    points = [row for row in results.curves if row["detector"] == OURS]
    names = [f"d{i}" for i in range(n)]
    html = render(
        Results(
            [{**row, "detector": name} for name in names for row in rows],
            [{**row, "detector": name} for name in names for row in points],
        )
    )
    assert "var(--c6)" not in html
    assert f"<bdi>d{n - 1}</bdi>" in html


def test_what_cannot_be_shown_is_refused() -> None:
    row, point = made_up().table[0], made_up().curves[0]
    with pytest.raises(InvalidInput, match="same figure twice"):
        Results([row, dict(row)])
    with pytest.raises(InvalidInput, match="one suite a report"):
        Results([row, {**row, "suite": "other", "slice": "language=en"}])
    with pytest.raises(InvalidInput, match="no 'x'"):
        Results([row], curves=[{"detector": OURS, "kind": "roc", "y": 1}])
    with pytest.raises(InvalidInput, match="no figures of the part 'report'"):
        render(Results([], facts={"part": "report"}))
    for wrong in ({"x": math.nan}, {"kind": "other"}, {"detector": "nobody"}):
        with pytest.raises(InvalidInput, match="curves, row 0"):
            render(Results([row], curves=[{**point, **wrong}]))


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text("before")
    with pytest.raises(InvalidInput):
        write(Results([]), file)
    assert file.read_text() == "before"
    assert write(made_up(), str(file)) == file
    assert list(tmp_path.iterdir()) == [file]


def test_a_library_that_is_missing_is_named_with_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingDependency, match=r"pip install '\.\[report\]'"):
        render(made_up())


class Tags(HTMLParser):
    """The names and attributes of a page's tags, in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += attrs
