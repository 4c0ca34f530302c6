"""Labelled posts: what is read, from which files, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textdetect.errors import DataError
from textdetect.posts.corpus import COLUMNS, Posts, load_posts

ROWS: list[dict[str, Any]] = [
    {"text": "lovely walk today", "label": 0, "language": "en", "account": "007"},
    {"text": 'as they say, "tomorrow"\nis another day', "label": 1, "language": "en"},
    {"text": "今天天气很好", "label": 0, "language": "zh", "account": ""},
]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows as Parquet, csv, tsv or jsonl, by the file's name."""
    table = pa.Table.from_pylist(rows)
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    elif path.suffix in (".csv", ".tsv"):
        delimiter = "," if path.suffix == ".csv" else "\t"
        pa.csv.write_csv(table, path, pa.csv.WriteOptions(delimiter=delimiter))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def refused(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        load_posts(path)
    return str(caught.value)


@pytest.mark.parametrize("suffix", ["parquet", "csv", "tsv", "jsonl", "ndjson"])
def test_every_kind_of_file_gives_the_same_posts(tmp_path: Path, suffix: str) -> None:
    posts = load_posts(write(tmp_path / f"mine.{suffix}", ROWS))
    assert len(posts) == 3
    assert posts.table.schema.names == list(COLUMNS)
    assert posts.table.schema.types == list(COLUMNS.values())
    assert posts.texts == [row["text"] for row in ROWS]
    assert posts.labels.tolist() == [0, 1, 0]
    assert posts.labels.dtype == np.int64
    assert posts.column("language").tolist() == ["en", "en", "zh"]
    assert posts.column("account").tolist() == ["007", "", ""]
    assert posts.column("source").tolist() == ["mine"] * 3
    assert posts.column("kind").tolist() == ["human", "machine", "human"]
    assert posts.column("generator").tolist() == [""] * 3


def test_a_path_may_be_a_str(tmp_path: Path) -> None:
    assert len(load_posts(str(write(tmp_path / "mine.jsonl", ROWS)))) == 3


def test_a_folder_is_read_file_by_file_in_order_of_name(tmp_path: Path) -> None:
    write(tmp_path / "b.parquet", ROWS[:1])
    write(tmp_path / "a.parquet", ROWS[1:])
    (tmp_path / "notes.md").write_text("not posts")
    assert load_posts(tmp_path).column("source").tolist() == ["a", "a", "b"]
    assert load_posts(tmp_path, sources=["b"]).column("source").tolist() == ["b"]
    assert load_posts(tmp_path, sources=["b", "a"]).column("source").tolist() == ["b", "a", "a"]


def test_what_a_file_says_of_source_and_kind_stands(tmp_path: Path) -> None:
    rows = [
        {"text": "a", "label": 1, "source": "forum", "kind": "assisted"},
        {"text": "b", "label": 1, "source": "forum", "kind": None},
        {"text": "c", "label": 0, "source": None, "kind": ""},
    ]
    for suffix in ("parquet", "csv"):
        posts = load_posts(write(tmp_path / f"mine.{suffix}", rows))
        assert posts.column("source").tolist() == ["forum", "forum", ""]
        assert posts.column("kind").tolist() == ["assisted", "machine", "human"]


def test_columns_that_are_not_of_ours_are_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.parquet", [{"text": "a", "label": 0, "likes": 3}])
    assert "likes" not in load_posts(path).table.column_names


def test_a_missing_text_is_kept_as_none(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"text": None, "label": 0}, {"text": "a", "label": 1}]
    for suffix in ("parquet", "jsonl"):
        assert load_posts(write(tmp_path / f"mine.{suffix}", rows)).texts == [None, "a"]


def test_words_that_look_like_missing_values_are_texts(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("text,label\nNA,0\nnull,1\n007,0\n")
    assert load_posts(tmp_path / "mine.csv").texts == ["NA", "null", "007"]


@pytest.mark.parametrize("labels", [[0, 1], [0.0, 1.0], [False, True], ["0", "1"]])
def test_labels_may_be_written_as_numbers_booleans_or_digits(
    tmp_path: Path, labels: list[Any]
) -> None:
    rows = [{"text": "a", "label": label} for label in labels]
    assert load_posts(write(tmp_path / "mine.parquet", rows)).labels.tolist() == [0, 1]


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
@pytest.mark.parametrize(
    "labels", [[0, 2], [-1, 1], [0, None], [0.5, 1.0], [300, 1], ["human", "machine"]]
)
def test_labels_other_than_0_and_1_are_refused(
    tmp_path: Path, suffix: str, labels: list[Any]
) -> None:
    rows = [{"text": "a", "label": label} for label in labels]
    message = refused(write(tmp_path / f"mine.{suffix}", rows))
    assert message == f"mine.{suffix}: labels must be 0 (human) or 1 (machine)"


@pytest.mark.parametrize("column", ["text", "label"])
def test_a_file_without_text_or_label_is_refused(tmp_path: Path, column: str) -> None:
    rows = [{name: value for name, value in ROWS[0].items() if name != column}]
    message = refused(write(tmp_path / "mine.parquet", rows))
    assert f"no column {column!r} among" in message


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_columns_of_other_names_are_taken_where_they_are_named(tmp_path: Path, suffix: str) -> None:
    rows = [{"body": row["text"], "text": "no", "bot": row["label"], "label": 1} for row in ROWS]
    file = write(tmp_path / f"mine.{suffix}", rows)
    posts = load_posts(file, text_column="body", label="bot")
    assert posts.texts == [row["text"] for row in ROWS]
    assert posts.labels.tolist() == [row["label"] for row in ROWS]


def test_a_column_named_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("text,label,text\na,0,b\n")
    assert "several columns are named 'text'" in refused(tmp_path / "mine.csv")


def test_nothing_there_is_refused_by_name(tmp_path: Path) -> None:
    assert "no Parquet file in the folder" in refused(tmp_path)
    assert "not found" in refused(tmp_path / "none.csv")
    write(tmp_path / "a.parquet", ROWS)
    with pytest.raises(DataError, match=r"other\.parquet"):
        load_posts(tmp_path, sources=["a", "other"])


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("mine.parquet", b"not parquet"),
        ("mine.csv", b""),
        ("mine.csv", b"text,label\n\xff\xfe,0\n"),
        ("mine.jsonl", b""),
        ("mine.jsonl", b"[1]"),
        ("mine.jsonl", b'{"text": {"a": 1}, "label": 0}'),
        ("mine.txt", b"text"),
        ("mine", b"text"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_by_name(
    tmp_path: Path, name: str, body: bytes
) -> None:
    (tmp_path / name).write_bytes(body)
    assert name in refused(tmp_path / name)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    table = pa.table({"text": pa.array([b"\xff"], pa.binary()), "label": [0]})
    pq.write_table(table, tmp_path / "mine.parquet")
    assert "mine.parquet" in refused(tmp_path / "mine.parquet")


def test_no_message_holds_the_text_of_a_post(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    for body in (
        "text,label\nsecret,0,1\n",
        "text,label\nfine,0\nsecret\n",
        "text,label\nsecret,x",
    ):
        path.write_text(body)
        with pytest.raises(DataError) as caught:
            load_posts(path)
        assert "secret" not in str(caught.value)
        assert caught.value.__cause__ is None


def test_files_without_rows_give_no_posts(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("text,label\n")
    posts = load_posts(tmp_path / "mine.csv")
    assert (len(posts), posts.texts, posts.labels.tolist()) == (0, [], [])
    assert posts.column("source").tolist() == []


def test_posts_are_taken_by_position_or_mask(tmp_path: Path) -> None:
    posts = load_posts(write(tmp_path / "mine.parquet", ROWS))
    assert posts.take([2, 0]).texts == [ROWS[2]["text"], ROWS[0]["text"]]
    assert posts.take(posts.labels == 1).texts == [ROWS[1]["text"]]
    assert posts.take([1, 1]).labels.tolist() == [1, 1]
    assert len(posts.take([])) == len(posts.take(np.zeros(3, dtype=np.bool_))) == 0


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=["Cs"]), max_size=30), st.integers(0, 1)
        ),
        max_size=10,
    )
)
def test_any_texts_and_labels_come_back_from_parquet(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, int]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.parquet"
    texts, labels = [text for text, _ in rows], [label for _, label in rows]
    pq.write_table(
        pa.table({"text": pa.array(texts, pa.string()), "label": pa.array(labels, pa.int64())}),
        path,
    )
    posts = load_posts(path)
    assert isinstance(posts, Posts)
    assert posts.texts == texts
    assert posts.labels.tolist() == labels
