"""Verdicts: a sequence, a table and a page, whatever was judged."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textdetect.errors import InvalidInput
from textdetect.posts.scored import FIELDS, Verdict, Verdicts, objects

HUMAN = Verdict("not_flagged", 0.1, -2.2, 0.8, False, "en", None, 12, False)
MACHINE = Verdict("machine", 0.99, 4.6, 0.001, True, "zh", None, 80, True)
EMPTY = Verdict("uncertain", math.nan, math.nan, math.nan, False, "und", "empty", 0, False)
SHORT = Verdict("uncertain", 0.7, 0.8, math.nan, False, "en", "too_short", 2, False)


def verdicts(
    *rows: Verdict, max_fpr: float = 0.01, model: str = "m", version: str = "1"
) -> Verdicts:
    return Verdicts.from_list(rows, max_fpr=max_fpr, model=model, version=version)


def same(one: Verdict, other: Verdict) -> bool:
    """Compare field by field, with NaN equal to itself."""
    a, b = dataclasses.astuple(one), dataclasses.astuple(other)
    return all(x == y or (x != x and y != y) for x, y in zip(a, b, strict=True))


some_verdict = st.sampled_from([HUMAN, MACHINE, EMPTY, SHORT])


@given(st.lists(some_verdict, max_size=12), st.integers(-15, 15), st.slices(12))
def test_verdicts_are_a_sequence_like_a_list(rows: list[Verdict], index: int, cut: slice) -> None:
    made = verdicts(*rows)
    assert isinstance(made, Sequence)
    assert len(made) == len(rows)
    assert all(same(a, b) for a, b in zip(made, rows, strict=True))
    assert all(same(a, b) for a, b in zip(reversed(made), reversed(rows), strict=True))
    if -len(rows) <= index < len(rows):
        assert same(made[index], rows[index])
    else:
        with pytest.raises(IndexError):
            made[index]
    assert isinstance(made[cut], Verdicts)
    assert made[cut] == verdicts(*rows[cut])


def test_a_verdict_holds_plain_python_values() -> None:
    kinds = [type(value) for value in dataclasses.astuple(verdicts(MACHINE)[0])]
    assert kinds == [str, float, float, float, bool, str, type(None), int, bool, tuple]


def test_an_index_may_be_of_numpy() -> None:
    index: Any = np.int64(1)
    assert verdicts(HUMAN, MACHINE)[index] == MACHINE


def test_a_mask_or_positions_pick_verdicts_and_keep_the_rate() -> None:
    made = verdicts(HUMAN, MACHINE, HUMAN, max_fpr=0.05)
    assert made[made.flagged] == made[np.array([1])] == verdicts(MACHINE, max_fpr=0.05)
    assert made[made.label == "not_flagged"] == made[::2]


def plain(value: Any) -> Any:
    return value.as_py() if isinstance(value, pa.Scalar) else value


@pytest.mark.parametrize(
    "key",
    [
        [1, 0],
        [-2, 0],
        [False, True, True],
        np.array([1, 0], dtype=np.uint8),
        np.array([True, False, False]),
        pd.Series([True, False, True], dtype="boolean"),
        pd.Series([2, 1]),
        pl.Series([True, False, True]),
        pl.Series([2, 0]),
        pa.array([False, True, True]),
        slice(None, None, -1),
        [],
    ],
)
def test_masks_and_positions_of_any_kind_pick_what_numpy_picks(key: Any) -> None:
    made = verdicts(HUMAN, MACHINE, SHORT)
    at = key if isinstance(key, slice) else np.array(list(map(plain, key)) or np.empty(0, int))
    assert made[key].n_tokens.tolist() == np.array([12, 80, 2])[at].tolist()


@pytest.mark.parametrize(
    "key",
    [
        True,
        np.True_,
        None,
        ...,
        1.0,
        (0, 1),
        ["label", "p_value"],
        [True, False],
        [0.0, 1.0],
        [[0, 1]],
        [[0], [1, 2]],
        {0, 1},
        "certainty",
        pd.Series([True, None, False], dtype="boolean"),
        pl.Series([True, None, False]),
        pd.Series([True, False]),
    ],
)
def test_what_picks_no_rows_is_refused(key: Any) -> None:
    with pytest.raises(InvalidInput):
        verdicts(HUMAN, MACHINE, SHORT)[key]


def test_a_name_gives_a_column_and_a_number_of_numpy_a_verdict() -> None:
    made = verdicts(HUMAN, MACHINE)
    assert made["p_value"] is made.p_value
    assert made[np.int64(1)] == made[np.array(1)] == MACHINE
    with pytest.raises(IndexError):
        made[[5]]


def indexed(labels: Sequence[Any]) -> Verdicts:
    made = verdicts(*[HUMAN, MACHINE, SHORT][: len(labels)])
    made.row_labels = pd.Index(list(labels), name="at")
    return made


def test_the_index_travels_with_the_rows() -> None:
    made = indexed("abc")
    assert made[::-1].to_pandas()["n_tokens"].to_dict() == {"c": 2, "b": 80, "a": 12}
    assert made[made.flagged].to_pandas().index.tolist() == ["b"]
    mask = pd.Series([True, False, True], index=list("abc"))
    assert made[mask].to_pandas().index.tolist() == ["a", "c"]
    with pytest.raises(InvalidInput, match="index"):
        made[mask[::-1]]
    both = Verdicts.joined([made[1:], made[:1]])
    assert both.to_pandas().index.tolist() == ["b", "c", "a"]
    assert Verdicts.joined([made, verdicts(HUMAN)]).row_labels is None
    assert pickle.loads(pickle.dumps(made)).to_pandas().index.tolist() == list("abc")  # noqa: S301


def test_labels_that_repeat_can_be_assigned_and_warn_who_would_join() -> None:
    made = indexed("aab")
    frame = pd.DataFrame({"text": ["x", "y", "z"]}, index=made.row_labels)
    with pytest.warns(UserWarning, match="assign columns"):
        frame["n_tokens"] = made.to_pandas()["n_tokens"]
    assert frame["n_tokens"].tolist() == [12, 80, 2]


def test_stored_verdicts_of_the_old_word_are_read_with_a_note() -> None:
    columns = verdicts(HUMAN, MACHINE).columns()
    del columns["notes"]
    columns["label"] = np.array(["human", "machine"], dtype=object)
    with pytest.warns(UserWarning, match='say "human"'):
        made = Verdicts(columns, max_fpr=0.01, model="m", version="1")
    assert made == verdicts(HUMAN, MACHINE)
    assert columns["label"].tolist() == ["human", "machine"]


def test_notes_are_in_every_form_of_the_verdicts(tmp_path: Path) -> None:
    noted = dataclasses.replace(HUMAN, notes=("html", "hidden_characters"))
    made = verdicts(noted, MACHINE)
    assert made.notes.tolist() == [("html", "hidden_characters"), ()]
    assert made[0] == noted
    assert made.to_dicts()[0]["notes"] == ["html", "hidden_characters"]
    assert made.to_arrow()["notes"].to_pylist() == [["html", "hidden_characters"], []]
    assert made.to_polars()["notes"].to_list() == [["html", "hidden_characters"], []]
    assert made.to_pandas()["notes"].tolist() == made.notes.tolist()
    assert "<td>html hidden_characters</td>" in made._repr_html_()
    made.to_csv(tmp_path / "a.csv")
    read = pd.read_csv(tmp_path / "a.csv", keep_default_na=False)
    assert tuple(read.columns) == FIELDS
    assert read["notes"].tolist() == ["html hidden_characters", ""]


def test_a_csv_begins_with_the_index_that_came_in(tmp_path: Path) -> None:
    indexed("aab").to_csv(tmp_path / "a.csv")
    read = pd.read_csv(tmp_path / "a.csv", index_col="at")
    assert read.index.tolist() == list("aab")
    assert read["p_value"].isna().tolist() == [False, False, True]


def test_a_page_shows_the_posts_and_nothing_else_does() -> None:
    made = verdicts(HUMAN, MACHINE)
    made.posts = objects(["<b>so</b>\n" + "good " * 40, None])
    page = made._repr_html_()
    assert "&lt;b&gt;so&lt;/b&gt; good" in page
    assert page.count("good") < 20
    assert made[1:].posts.tolist() == [None]
    assert Verdicts.joined([made, made]).posts.tolist() == [*made.posts, *made.posts]
    assert made == verdicts(HUMAN, MACHINE)
    assert "good" not in repr(made) + str(made.to_dicts()) + str(made.to_pandas())
    assert pickle.loads(pickle.dumps(made)).posts is None  # noqa: S301
    assert b"good" not in pickle.dumps(made)


def test_a_slice_keeps_the_rate_and_the_model() -> None:
    part = verdicts(HUMAN, MACHINE, max_fpr=0.05, model="m", version="2")[1:]
    assert (part.max_fpr, part.model, part.version) == (0.05, "m", "2")
    assert part.origin == {"model": "m", "version": "2", "fingerprint": "", "numerics": ""}
    assert part[0] == MACHINE


def test_membership_and_counting_work() -> None:
    made = verdicts(HUMAN, MACHINE, HUMAN)
    assert MACHINE in made
    assert made.count(HUMAN) == 2
    assert made.index(MACHINE) == 1


def test_equal_means_the_same_rows_rate_and_model() -> None:
    made = verdicts(HUMAN, EMPTY)
    assert made == verdicts(HUMAN, EMPTY)
    assert made != verdicts(EMPTY, HUMAN)
    assert made != verdicts(HUMAN)
    assert made != verdicts(HUMAN, EMPTY, max_fpr=0.02)
    assert made != verdicts(HUMAN, EMPTY, model="other")
    assert made != [HUMAN, EMPTY]
    assert verdicts() == verdicts()


def test_verdicts_cannot_be_hashed_as_their_arrays_can_change() -> None:
    with pytest.raises(TypeError):
        hash(verdicts(HUMAN))


def test_a_verdict_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        HUMAN.label = "machine"  # type: ignore[misc]
    with pytest.raises((AttributeError, TypeError)):
        HUMAN.certainty = 1.0  # type: ignore[attr-defined]
    assert dataclasses.replace(HUMAN, label="machine") != HUMAN


def test_columns_of_different_lengths_are_refused_with_their_lengths() -> None:
    columns = verdicts(HUMAN, MACHINE).columns()
    columns["p_value"] = columns["p_value"][:1]
    with pytest.raises(InvalidInput, match="'p_value': 1"):
        Verdicts(columns, max_fpr=0.01)


def test_each_field_is_an_array_of_its_type() -> None:
    for made in (verdicts(HUMAN, EMPTY), verdicts()):
        assert tuple(made.columns()) == FIELDS
        assert {name: column.dtype.name for name, column in made.columns().items()} == {
            "label": "object",
            "probability": "float64",
            "logit": "float64",
            "p_value": "float64",
            "flagged": "bool",
            "language": "object",
            "reason": "object",
            "n_tokens": "int64",
            "truncated": "bool",
            "notes": "object",
        }
    assert verdicts(HUMAN).reason.tolist() == [None]


def test_no_verdicts_still_make_typed_tables() -> None:
    made = verdicts()
    assert (len(made), list(made), made.to_dicts()) == (0, [], [])
    assert made.to_pandas().dtypes["p_value"] == np.float64
    assert made.to_pandas().dtypes["flagged"] == np.bool_
    assert tuple(made.to_pandas().columns) == FIELDS
    assert made.to_arrow().schema == verdicts(HUMAN, EMPTY).to_arrow().schema
    assert "0 posts" in made._repr_html_()
    with pytest.raises(IndexError):
        made[0]


def test_a_data_frame_has_the_fields_and_the_rows() -> None:
    frame = verdicts(HUMAN, MACHINE, EMPTY).to_pandas()
    assert tuple(frame.columns) == FIELDS
    assert frame["flagged"].tolist() == [False, True, False]
    assert frame["reason"].isna().tolist() == [True, True, False]
    assert frame["probability"].isna().tolist() == [False, False, True]


def test_an_arrow_table_has_the_fields_and_the_rows() -> None:
    table = verdicts(HUMAN, MACHINE, EMPTY).to_arrow()
    assert table.schema.names == list(FIELDS)
    assert table.schema.field("reason").type == pa.string()
    assert table.schema.field("n_tokens").type == pa.int64()
    assert table["label"].to_pylist() == ["not_flagged", "machine", "uncertain"]
    assert table["reason"].to_pylist() == [None, None, "empty"]
    assert verdicts(HUMAN).to_arrow().schema == table.schema


def test_dicts_are_plain_and_ready_for_json_if_asked() -> None:
    made = verdicts(MACHINE, EMPTY)
    assert made.to_dicts()[0] == dataclasses.asdict(MACHINE) | {"notes": []}
    assert math.isnan(made.to_dicts()[1]["p_value"])
    rows = json.loads(json.dumps(made.to_dicts(nan_as_none=True), allow_nan=False))
    assert rows[0] == made.to_dicts()[0]
    assert rows[1]["p_value"] is rows[1]["probability"] is rows[1]["logit"] is None


def test_a_page_escapes_what_it_shows() -> None:
    odd = dataclasses.replace(HUMAN, language="<script>alert(1)</script>")
    page = verdicts(odd, model="<img src=x>")._repr_html_()
    assert "<script>" not in page
    assert "<img" not in page
    assert "&lt;script&gt;" in page


def test_a_page_shows_nan_and_leaves_out_no_reason() -> None:
    page = verdicts(EMPTY, HUMAN)._repr_html_()
    assert "<td>nan</td>" in page
    assert "<td>empty</td>" in page
    assert "None" not in page


def test_a_page_shows_the_first_rows_and_counts_the_others() -> None:
    page = verdicts(*[HUMAN] * 25)._repr_html_()
    assert page.count("<tr>") == 1 + 20
    assert "… and 5 more" in page
    assert "more" not in verdicts(*[HUMAN] * 20)._repr_html_()
    assert verdicts(*[HUMAN] * 25)._repr_html_(n_rows=3).count("<tr>") == 1 + 3


def test_the_repr_counts_the_labels() -> None:
    shown = repr(verdicts(HUMAN, MACHINE, EMPTY, SHORT))
    assert "4 posts: 1 machine, 1 not flagged, 2 uncertain" in shown
    assert "max_fpr=0.01" in shown


def test_verdicts_survive_pickling_and_copying() -> None:
    made = verdicts(HUMAN, MACHINE, EMPTY)
    for other in (pickle.loads(pickle.dumps(made)), copy.deepcopy(made), copy.copy(made)):  # noqa: S301
        assert other == made
        assert other.columns().keys() == made.columns().keys()
    assert pickle.loads(pickle.dumps(HUMAN)) == HUMAN  # noqa: S301
