"""Matrices: who was fitted on what, who was scored against whom, and going on after a cut."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest
from scripts import script
from synthetic import human_post, markov_post, template_post, write_encoder

from textdetect.errors import DataError, InvalidInput
from textdetect.evaluation.baselines import BagOfWords, LengthOnly
from textdetect.evaluation.scorers import Checked
from textdetect.posts.corpus import COLUMNS, Posts
from textdetect.posts.dimensions import dimension
from textdetect.posts.text import normalise
from textdetect.statistics.metrics import auroc

matrices, probe = script("matrices"), script("probe")
Options, cross, leave_one_out = matrices.Options, matrices.cross, matrices.leave_one_out

SOURCES = {"blog": "en", "chat": "en", "forum": "de", "panel": "en"}
Part = np.ndarray[Any, np.dtype[np.object_]]
Table = list[dict[str, Any]]


def make_posts(n: int = 60, *, seed: int = 0) -> tuple[Posts, Part]:
    """Make four sources, one of people only; every other post of a class is for training."""
    rng = random.Random(seed)
    rows: list[dict[str, Any]] = []
    for source, language in SOURCES.items():
        for i in range(n):
            makers: list[Callable[[random.Random], str]] = [human_post]
            if source != "panel":
                makers.append(template_post if i % 4 < 2 else markov_post)
            for label, make in enumerate(makers):
                rows.append(
                    dict.fromkeys(COLUMNS)
                    | {"text": make(rng), "label": label, "language": language, "source": source}
                    | {"kind": "machine" if label else "human", "domain": "comment"}
                    | {"generator": make.__name__ if label else "human"}
                    | {"account": f"a{i // 4 * 2 + i % 2}" if source == "chat" else None}
                    | {"part": "train" if i % 2 else "report"}
                )
    part = np.array([row.pop("part") for row in rows], dtype=object)
    return Posts(pa.Table.from_pylist(rows, schema=pa.schema(list(COLUMNS.items())))), part


POSTS, PART = make_posts()


class Recorder:
    """A scorer that remembers what it was fitted on and what it scored."""

    name = "recorder"
    fingerprint = "1"
    seen: ClassVar[list[tuple[set[str], set[str]]]] = []

    def __init__(self) -> None:
        self.is_fitted = False

    def fit(self, texts: Sequence[str], labels: Sequence[int]) -> None:
        assert set(labels) == {0, 1}
        self.is_fitted, self.texts = True, set(texts)

    def score(self, texts: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float64]]:
        self.seen.append((self.texts, set(texts)))
        return np.array([len(text) for text in texts], dtype=np.float64)


class Shortest(LengthOnly):
    name = "shortest"

    def score(self, texts: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float64]]:
        return -np.array([len(text) for text in texts], dtype=np.float64)


@pytest.fixture(autouse=True)
def _forget() -> None:
    Recorder.seen.clear()


def rows_of(table: Table, **where: str) -> Table:
    return [row for row in table if all(row[key] == value for key, value in where.items())]


def texts_of(mask: Any) -> set[str]:
    return {normalise(text or "") for text in POSTS.take(np.asarray(mask)).texts}


def test_a_cross_matrix_has_a_cell_for_each_pair_and_its_diagonal() -> None:
    table = cross(POSTS, PART, [lambda: BagOfWords(n_features=2**10)])
    assert [(row["train"], row["test"]) for row in table] == [
        (a, b) for a in SOURCES for b in SOURCES
    ]
    cell = rows_of(table, train="blog", test="chat")[0]
    assert cell["value"] > 0.8
    assert cell["low"] is None or cell["low"] <= cell["value"] <= cell["high"]
    assert (cell["n_human"], cell["n_machine"], cell["note"]) == (30, 30, "small")
    assert cell["difference"] is None


def test_a_source_with_one_class_neither_trains_nor_is_scored_by_itself() -> None:
    table = cross(POSTS, PART, [Recorder])
    for row in [*rows_of(table, train="panel"), *rows_of(table, test="panel")]:
        assert row["value"] is None
        assert "one class" in row["note"]
    assert len(Recorder.seen) == 3
    assert rows_of(table, train="panel", test="blog")[0]["n_machine"] == 30


def test_a_figure_is_the_auroc_of_the_scores_on_held_out_posts() -> None:
    table = cross(POSTS, PART, [Recorder])
    held = POSTS.take((PART == "report") & (POSTS.column("source") == "forum"))
    wanted = auroc(held.labels, [len(normalise(text or "")) for text in held.texts])
    assert rows_of(table, train="chat", test="forum")[0]["value"] == wanted


@pytest.mark.parametrize("by", ["source", "language", "length", "generator"])
def test_what_is_left_out_is_not_in_the_fit(by: str) -> None:
    values = dimension(POSTS, by)
    table = leave_one_out(POSTS, PART, [Recorder], by=by)
    assert {row["train"] for row in table} == {"rest"}
    for row, (fit, scored) in zip(table, Recorder.seen, strict=True):
        out = values == row["test"]
        assert not fit & texts_of(out)
        assert fit == texts_of((PART == "train") & ~out)
        assert texts_of(out & (PART == "report")) <= scored
        assert not scored & texts_of(PART == "train")


def test_a_left_out_generator_is_scored_against_held_out_people_of_its_sources() -> None:
    table = leave_one_out(POSTS, PART, [Recorder], by="generator")
    assert [row["test"] for row in table] == ["markov_post", "template_post"]
    people = (PART == "report") & (POSTS.labels == 0) & (POSTS.column("source") != "panel")
    for row, (fit, scored) in zip(table, Recorder.seen, strict=True):
        machines = (PART == "report") & (POSTS.column("generator") == row["test"])
        assert scored == texts_of(people | machines)
        assert texts_of((PART == "train") & (POSTS.labels == 0)) <= fit
        assert row["note"] == "humans of its sources, small"


def test_a_left_out_panel_of_people_is_scored_against_machines_of_its_language() -> None:
    row = rows_of(leave_one_out(POSTS, PART, [Recorder]), test="panel")[0]
    assert row["note"] == "machine posts of its languages, small"
    assert (row["n_human"], row["n_machine"]) == (30, 60)


def test_generators_can_be_crossed() -> None:
    table = cross(POSTS, PART, [Recorder], by="generator")
    assert len(table) == 4
    fit, _ = Recorder.seen[0]
    machines = POSTS.column("generator") == "markov_post"
    people = (POSTS.labels == 0) & (POSTS.column("source") != "panel")
    assert fit == texts_of((PART == "train") & (machines | people))


def test_posts_that_are_neither_class_are_left_out() -> None:
    kinds = np.where(np.arange(len(POSTS)) % 3 == 0, "assisted", POSTS.column("kind"))
    place = POSTS.table.column_names.index("kind")
    posts = Posts(POSTS.table.set_column(place, "kind", pa.array(kinds, pa.string())))
    table = cross(posts, PART, [Recorder])
    used = set().union(*(fit | scored for fit, scored in Recorder.seen))
    assert used == texts_of(
        (kinds != "assisted") & ((POSTS.column("source") != "panel") | (PART == "report"))
    )
    assert table


def test_the_caps_hold_and_do_not_depend_on_the_order_of_the_posts() -> None:
    options = Options(max_rows=10, max_tested=8)
    leave_one_out(POSTS, PART, [Recorder], by="language", options=options)
    first = list(Recorder.seen)
    assert [len(fit) for fit, _ in first] == [50, 20]
    Recorder.seen.clear()
    backwards = np.arange(len(POSTS))[::-1]
    leave_one_out(
        POSTS.take(backwards), PART[backwards], [Recorder], by="language", options=options
    )
    assert Recorder.seen == first
    Recorder.seen.clear()
    leave_one_out(POSTS, PART, [Recorder], by="language", options=Options(max_rows=10, seed=1))
    assert Recorder.seen[0][0] != first[0][0]


def test_a_matrix_that_was_cut_off_goes_on_and_gives_the_same_rows(tmp_path: Path) -> None:
    whole = cross(POSTS, PART, [Recorder, LengthOnly])
    n_fits = len(Recorder.seen)
    store = tmp_path / "results" / "cells.jsonl"
    options = Options(store=store)
    assert cross(POSTS, PART, [Recorder, LengthOnly], options=options) == whole
    lines = store.read_text(encoding="utf-8").splitlines(keepends=True)
    assert len(lines) == 16
    store.write_text("".join(lines[:6]) + lines[6][:40], encoding="utf-8")
    Recorder.seen.clear()
    assert cross(POSTS, PART, [Recorder, LengthOnly], options=options) == whole
    assert len(Recorder.seen) == n_fits - 1
    assert store.read_text(encoding="utf-8") == "".join(lines)
    Recorder.seen.clear()
    assert cross(POSTS, PART, [Recorder, LengthOnly], options=options) == whole
    assert not Recorder.seen


def test_a_cell_of_other_posts_seed_or_scorer_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "cells.jsonl"

    def n_fits(posts: Posts, part: Part, **more: Any) -> int:
        Recorder.seen.clear()
        cross(posts, part, [Recorder], options=Options(store=store, **more))
        return len(Recorder.seen)

    assert n_fits(POSTS, PART) == 3
    assert n_fits(POSTS, PART) == 0
    fewer = ~(
        (POSTS.column("source") == "chat") & (PART == "train") & (np.arange(len(POSTS)) < 150)
    )
    assert n_fits(POSTS.take(fewer), PART[fewer]) == 1
    without = POSTS.column("source") != "chat"
    assert n_fits(POSTS.take(without), PART[without]) == 0
    assert n_fits(POSTS, PART, seed=1) == 3
    monkeypatch.setattr(Recorder, "fingerprint", "2")
    assert n_fits(POSTS, PART) == 3
    monkeypatch.setattr(Recorder, "fingerprint", "")
    before = store.read_bytes()
    assert n_fits(POSTS, PART) == 3
    assert store.read_bytes() == before


def test_the_file_holds_no_text(tmp_path: Path) -> None:
    store = tmp_path / "cells.jsonl"
    cross(POSTS, PART, [Recorder], options=Options(store=store))
    content = store.read_text(encoding="utf-8")
    assert not any(text in content for text in texts_of(np.ones(len(POSTS), dtype=np.bool_)))
    assert set(json.loads(content.splitlines()[0])) == {"key", "rows"}


@pytest.mark.parametrize("content", ["not a matrix\n", '{"a": 1}\n', "[1]\n", "no line end"])
def test_another_file_is_refused_and_left_as_it_is(tmp_path: Path, content: str) -> None:
    store = tmp_path / "cells.jsonl"
    store.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match="expected a cell of a matrix"):
        cross(POSTS, PART, [Recorder], options=Options(store=store))
    assert store.read_text(encoding="utf-8") == content


def test_what_cannot_be_a_matrix_is_refused() -> None:
    with pytest.raises(InvalidInput, match="by: expected one of source, language"):
        cross(POSTS, PART, [Recorder], by="colour")
    with pytest.raises(InvalidInput, match="a part for each post"):
        leave_one_out(POSTS, PART[1:], [Recorder])
    with pytest.raises(InvalidInput, match="'train' not scored"):
        leave_one_out(POSTS, PART, [Recorder], options=Options(evaluate=("train",)))
    with pytest.raises(InvalidInput, match="of different names"):
        cross(POSTS, PART, [Recorder, Recorder])
    with pytest.raises(InvalidInput, match="scorers that learn"):
        cross(POSTS, PART, [lambda: _NoLearner()])


class _NoLearner:
    name = "no learner"

    def score(self, texts: Sequence[str]) -> Any:
        return np.zeros(len(texts))


def test_a_scorer_is_compared_with_the_first_on_the_same_posts() -> None:
    table = cross(POSTS, PART, [LengthOnly, lambda: Checked(Shortest()), BagOfWords])
    assert all(row["difference"] is None for row in rows_of(table, detector="length"))
    for row in rows_of(table, train="blog", detector="bag-of-words"):
        first = rows_of(table, train="blog", test=row["test"], detector="length")[0]
        if row["value"] is not None:
            assert row["difference"] == row["value"] - first["value"]
            assert row["difference_low"] <= row["difference"] <= row["difference_high"]


def test_unanswered_posts_are_not_counted() -> None:
    class Silent(Recorder):
        def score(self, texts: Sequence[str]) -> Any:
            scores = super().score(texts)
            scores[::3] = np.nan
            return scores

    table = cross(POSTS, PART, [LengthOnly, Silent])
    whole, half = rows_of(table, train="blog", test="blog")
    assert half["n_human"] + half["n_machine"] < whole["n_human"] + whole["n_machine"]
    assert half["difference"] is not None


def test_the_same_seed_gives_the_same_rows_and_accounts_widen_an_interval() -> None:
    posts, part = make_posts(200)
    options = Options(seed=3)
    table = leave_one_out(posts, part, [Recorder], options=options)
    assert leave_one_out(posts, part, [Recorder], options=options) == table
    assert rows_of(table, test="blog")[0]["note"] == ""
    alone = Posts(
        posts.table.set_column(
            posts.table.column_names.index("account"),
            "account",
            pa.nulls(len(posts), pa.string()),
        )
    )
    other = leave_one_out(alone, part, [Recorder], options=options)
    clustered, independent = (rows_of(rows, test="chat")[0] for rows in (table, other))
    assert clustered["value"] == independent["value"]
    assert (clustered["low"], clustered["high"]) != (independent["low"], independent["high"])


def test_a_probe_fills_a_matrix_and_embeds_each_post_once(tmp_path: Path) -> None:
    features = probe.Features(str(write_encoder(tmp_path / "encoder")))
    table = leave_one_out(POSTS, PART, [lambda: probe.Probe(features)])
    assert [row["test"] for row in table] == list(SOURCES)
    assert all(row["value"] > 0.6 for row in table)
    assert len(features._memory) == len(texts_of(np.ones(len(POSTS), dtype=np.bool_)))
