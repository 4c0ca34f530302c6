"""Posts files, read and written: every row once, in order, whatever its neighbours are."""

from __future__ import annotations

import csv
import datetime
import gzip
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textdetect.errors import DataError, InvalidInput
from textdetect.posts import files, rows, writers
from textdetect.posts.fields import find_fields
from textdetect.posts.rows import Row
from textdetect.posts.scored import Verdict, Verdicts

VERDICT = Verdict("not_flagged", 0.25, -1.5, 0.5, False, "en", None, 4, False)
EMPTY = Verdict(
    "uncertain", float("nan"), float("nan"), float("nan"), False, "und", "empty", 0, False
)


def read(path: Path, **options: Any) -> list[Row]:
    options.setdefault("format", files.format_of_input(path))
    with files.open_posts(path, **options) as reader:
        return [row for chunk in reader.chunks(7) for row in chunk.rows]


def write_verdicts(source: Path, out: Path, **options: Any) -> list[Row]:
    """Copy a file with made-up verdicts, as a detector would have it."""
    into = writers.format_of_output(out, None, files.format_of_input(source))
    seen: list[Row] = []
    with (
        files.open_posts(
            source, format=files.format_of_input(source), into=into, **options
        ) as reader,
        writers.open_output(out, reader, format=into, source=source) as writer,
    ):
        for chunk in reader.chunks(7):
            verdicts = [VERDICT if row.text else EMPTY for row in chunk.rows if not row.problem]
            made = Verdicts.from_list(verdicts, max_fpr=0.01)
            writer.write(chunk, writers.annotate(chunk.rows, made))
            seen += chunk.rows
    return seen


def cells(path: Path, delimiter: str = ",") -> list[list[str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.reader(file, delimiter=delimiter, strict=True))


def objects(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def posts_csv(tmp_path: Path) -> Path:
    path = tmp_path / "posts.csv"
    table = [
        ["id", "text", "Odd, name", "td_label"],
        ["1", 'a "quoted" post,\r\nof two lines', "NA", "old"],
        ["2", "NA", "", "old"],
        ["3", "", " blank at the ends ", "old"],
        ["4", "中文 😀", "=1+1", "old"],
    ]
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(table)
    return path


def test_csv_cells_come_as_they_stand(posts_csv: Path) -> None:
    found = read(posts_csv)
    assert [row.text for row in found] == ['a "quoted" post,\r\nof two lines', "NA", "", "中文 😀"]
    assert [(row.number, row.line) for row in found] == [(1, 2), (2, 4), (3, 5), (4, 6)]
    assert found[2].values == ["3", "", " blank at the ends ", "old"]


def test_a_scored_csv_keeps_every_cell_and_replaces_old_verdicts(
    posts_csv: Path, tmp_path: Path
) -> None:
    write_verdicts(posts_csv, tmp_path / "out.csv")
    before, after = cells(posts_csv), cells(tmp_path / "out.csv")
    assert [row[:3] for row in after] == [row[:3] for row in before]
    assert tuple(after[0][3:]) == writers.TD_COLUMNS
    assert after[0][-1] == "td_model"
    assert {row[-1] for row in after[1:]} == {writers.model_of("", "")}
    assert after[1][3:-1] == [
        "not_flagged",
        "0.25",
        "-1.5",
        "0.5",
        "false",
        "en",
        "",
        "4",
        "false",
        "",
    ]
    assert after[3][3:-1] == ["uncertain", "", "", "", "false", "und", "empty", "0", "false", ""]


BROKEN = {
    "a stray quote": b'9,"a "stray" quote",x',
    "an open quote before more quotes": b'9,"never closed,x',
    "too few fields": b"9,short",
    "too many fields": b"9,one,two,three",
    "a NUL byte": b"9,a\0b,x",
    "bytes that are not UTF-8": b"9,caf\xe9,x",
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
def test_a_broken_csv_row_is_one_unreadable_row_and_swallows_none(
    tmp_path: Path, broken: bytes, end: bytes
) -> None:
    path = tmp_path / "posts.csv"
    good = [b'%d,"post, number %d",x' % (i, i) for i in range(1, 41)]
    path.write_bytes(end.join([b"id,text,c", *good[:20], broken, *good[20:], b""]))
    found = write_verdicts(path, tmp_path / "out.csv")
    assert [row.number for row in found if row.problem] == [21]
    assert (found[20].line, found[20].values) == (22, None)
    assert [row.text for row in found if not row.problem] == [
        f"post, number {i}" for i in range(1, 41)
    ]
    out = cells(tmp_path / "out.csv")[21]
    raw = broken.decode("utf-8", "replace").replace("\0", "\ufffd")
    assert out[:6] == ["", raw, "", "uncertain", "", ""]
    assert out[9] == "unreadable"


def test_an_open_quote_is_followed_only_so_far(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "MAX_RECORD_LINES", 50)
    path = tmp_path / "posts.csv"
    path.write_text('id,text\n0,"open\n' + "".join(f"{i},post {i}\n" for i in range(1, 500)))
    found = read(path)
    assert [row.problem is None for row in found] == [False] + [True] * 499
    assert found[0].raw == b'0,"open'


def test_reading_time_stays_bounded_when_every_line_opens_a_quote(tmp_path: Path) -> None:
    path = tmp_path / "posts.csv"
    path.write_text("id,text\n" + 'a","c and some more text\n' * 40_000)
    start_s = time.process_time()  # which another process does not lengthen
    assert sum(row.problem is not None for row in read(path)) == 40_000
    assert time.process_time() - start_s < 30


def test_a_post_of_ten_megabytes_is_read(tmp_path: Path) -> None:
    path = tmp_path / "posts.csv"
    post = ("word " * 400 + "\n") * 5_000
    path.write_text(f'id,text\n1,"{post}"\n2,after\n')
    assert [len(row.text or "") for row in read(path)] == [len(post), 5]


def test_blank_lines_of_csv_and_jsonl_are_not_rows(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("\n\nid,text\n\n1,one\n\n\n2,two\n\n")
    (tmp_path / "a.jsonl").write_text('\n{"text": "one"}\n  \n{"text": "two"}\n\n')
    assert [(r.number, r.line) for r in read(tmp_path / "a.csv")] == [(1, 5), (2, 8)]
    assert [(r.number, r.line) for r in read(tmp_path / "a.jsonl")] == [(1, 2), (2, 4)]


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    for name, body in (("a.csv", "text,x\npost,1\n"), ("a.jsonl", '{"text": "post"}\n')):
        (tmp_path / name).write_text(body, encoding="utf-8-sig")
        assert [row.text for row in read(tmp_path / name)] == ["post"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le"])
def test_utf16_is_refused_with_advice(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.csv").write_text("text,x\npost,1\n", encoding=encoding)
    with pytest.raises(InvalidInput, match="UTF-8"):
        read(tmp_path / "a.csv")


def test_a_file_of_another_format_is_refused_with_advice(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["post"]}), tmp_path / "a.csv")
    (tmp_path / "a.parquet").write_text("text\npost\n")
    with pytest.raises(InvalidInput, match="--format parquet"):
        read(tmp_path / "a.csv")
    with pytest.raises(DataError, match="not a Parquet file"):
        read(tmp_path / "a.parquet")


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(InvalidInput, match="--format"):
        files.format_of_input("a.csv", "excel")


@pytest.mark.parametrize("out", ["out.xlsx", "out.txt"])
def test_an_output_that_cannot_hold_verdicts_is_refused(out: str) -> None:
    with pytest.raises(InvalidInput, match="--output-format"):
        writers.format_of_output(out, None, "csv")


def test_the_text_column_is_found_by_its_usual_names() -> None:
    for names in (
        ["id", "Text"],
        ["id", "正文"],
        ["body", "TWEET"],
        ["only one"],
        ["x", " Content "],
    ):
        found = find_fields(names, [], {}).paths["text"]
        assert found in ("Text", "正文", "TWEET", "only one", " Content ")
    assert find_fields(["text", "Text"], [], {"text": "Text"}).paths["text"] == "Text"
    with pytest.raises(InvalidInput, match="'a', 'b'; name one with text= "):
        find_fields(["a", "b"], [], {}, need=("text",))


def test_a_post_in_the_place_of_the_header_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('1,"my secret diary is about my dear old cat"\n2,x\n')
    with pytest.raises(InvalidInput, match="column 2") as refused:
        read(tmp_path / "a.csv")
    assert "diary" not in str(refused.value)


def test_double_and_blank_column_names_are_kept_by_place(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x,,text,x,\n1,2,post,4,5\n")
    write_verdicts(path, tmp_path / "out.csv")
    write_verdicts(path, tmp_path / "out.jsonl")
    assert [row[:5] for row in cells(tmp_path / "out.csv")] == cells(path)
    kept = list(objects(tmp_path / "out.jsonl")[0].items())[:5]
    assert kept == [
        ("x", "1"),
        ("column_2", "2"),
        ("text", "post"),
        ("x_2", "4"),
        ("column_5", "5"),
    ]


def test_jsonl_lines_are_kept_to_the_letter(tmp_path: Path) -> None:
    lines = [
        r'{"text": "a \ud83d\ude00 \u00e9", "n": 1.50, "big": 12345678901234567890, "x": [1, {}]}',
        r'  {"x": 1e400, "x": 2, "text": null}  ',
        r"{}",
        r'{"text": "half a pair: \ud800", "text2": "\u0000"}',
    ]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(lines))
    found = write_verdicts(path, tmp_path / "out.jsonl")
    assert [row.text is None for row in found] == [False, True, True, False]
    out = (tmp_path / "out.jsonl").read_text().splitlines()
    assert [new.startswith(old.strip()[:-1]) for old, new in zip(lines, out, strict=True)] == [
        True
    ] * 4
    assert [json.loads(line)["td_label"] for line in out] == [
        "not_flagged",
        "uncertain",
        "uncertain",
        "not_flagged",
    ]
    assert json.loads(out[1])["td_p_value"] is None


def test_old_verdicts_in_jsonl_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"td_label": "old", "text": "post \\ud800", "td_x": 1}\n')
    write_verdicts(tmp_path / "a.jsonl", tmp_path / "out.jsonl")
    out = objects(tmp_path / "out.jsonl")[0]
    assert (out["td_label"], out["text"], out["td_x"]) == ("not_flagged", "post \ud800", 1)
    assert list(out)[:2] == ["text", "td_x"]


BAD_LINES = {
    "not JSON": b'{"text": "secret"',
    "expected a JSON object, got list": b'["secret"]',
    "not UTF-8": b'{"text": "secret\xff"}',
    "nested too deeply": b'{"text": "secret", "x": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    "nested too deeply ": b'{"text": "secret", "x": ' + b"[" * 300 + b"]" * 300 + b"}",
    "a number that is too long": b'{"text": "secret", "x": ' + b"9" * 5_000 + b"}",
    "text: expected str, got int": b'{"text": 5, "x": "secret"}',
    "text: expected str, got bool": b'{"text": true, "x": "secret"}',
    "text: expected str, got list": b'{"text": ["secret"]}',
    "text: expected str, got dict": b'{"text": {"secret": 1}}',
}


@pytest.mark.parametrize(("why", "line"), BAD_LINES.items(), ids=BAD_LINES)
def test_a_bad_jsonl_line_is_one_unreadable_row(tmp_path: Path, why: str, line: bytes) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "before"}\n' + line + b'\n{"text": "after"}\n')
    found = read(path)
    assert [row.text for row in found if not row.problem] == ["before", "after"]
    assert found[1].problem is not None
    assert found[1].problem.startswith(why.strip())
    assert "secret" not in found[1].problem
    for name in ("out.jsonl", "out.csv", "out.parquet"):
        write_verdicts(path, tmp_path / name)
    assert [o["td_reason"] for o in objects(tmp_path / "out.jsonl")] == [None, "unreadable", None]
    assert [row[-5] for row in cells(tmp_path / "out.csv")] == ["td_reason", "", "unreadable", ""]


def test_a_jsonl_file_of_only_bad_lines_still_gives_each_back(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("one\ntwo\n")
    write_verdicts(tmp_path / "a.jsonl", tmp_path / "out.jsonl")
    assert [o["text"] for o in objects(tmp_path / "out.jsonl")] == ["one", "two"]


@pytest.mark.slow
def test_keys_that_only_late_rows_have_become_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    late = {"text": "last", "new": {"k": [1, "é"]}, "n": 2.5, "flag": True}
    with open(path, "w") as file:
        for i in range(3_000):
            print(json.dumps({"text": f"post {i}", "n": i}), file=file)
        print(json.dumps(late), file=file)
    write_verdicts(path, tmp_path / "out.csv")
    write_verdicts(path, tmp_path / "out.parquet")
    table = cells(tmp_path / "out.csv")
    assert table[0][:4] == ["text", "n", "new", "flag"]
    assert (table[1][:4], table[-1][:4]) == (
        ["post 0", "0", "", ""],
        ["last", "2.5", '{"k": [1, "é"]}', "true"],
    )
    schema = pq.read_schema(tmp_path / "out.parquet")
    assert [str(schema.field(n).type) for n in ("n", "new", "flag")] == ["double", "string", "bool"]


def test_jsonl_from_a_stream_becomes_jsonl_only(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(b'{"text": "post"}\n'))
    monkeypatch.setattr("sys.stdin", stdin)
    with (
        pytest.raises(InvalidInput, match="--output-format jsonl"),
        files.open_posts("-", format="jsonl", into="csv"),
    ):
        pass
    with files.open_posts("-", format="jsonl", into="jsonl") as reader:
        assert [row.text for chunk in reader.chunks(9) for row in chunk.rows] == ["post"]
    assert not stdin.closed


def test_plain_text_is_a_post_a_line_and_empty_lines_are_empty_posts(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one, with comma\r\n\nbad \xff\nlast \0 one")
    found = write_verdicts(tmp_path / "a.txt", tmp_path / "out.csv")
    assert [row.text for row in found] == ["one, with comma", "", None, "last \0 one"]
    assert [row[0] for row in cells(tmp_path / "out.csv")] == [
        "text", "one, with comma", "", "bad \ufffd", "last \ufffd one",
    ]  # fmt: skip


@pytest.fixture
def typed_table() -> pa.Table:
    day = datetime.datetime(2026, 1, 2, 3, 4, 5)
    columns = {
        "n": pa.array([1, None, 3], pa.int16()),
        "when": pa.array([day, None, day], pa.timestamp("ns")),
        "tags": pa.array([["a"], [], None], pa.list_(pa.string())),
        "blob": pa.array([b"\x00\xff", None, b""], pa.binary()),
        "share": pa.array([0.5, float("nan"), None], pa.float32()),
        "text": pa.array(["one", None, ""], pa.dictionary(pa.int8(), pa.string())),
        "td_label": pa.array(["old"] * 3),
    }
    return pa.table(columns).replace_schema_metadata({"made": "by hand"})


def test_parquet_columns_keep_their_types(tmp_path: Path, typed_table: pa.Table) -> None:
    pq.write_table(typed_table, tmp_path / "a.parquet", row_group_size=2)
    found = write_verdicts(tmp_path / "a.parquet", tmp_path / "out.parquet")
    assert [row.text for row in found] == ["one", None, ""]
    out = pq.read_table(tmp_path / "out.parquet")
    before = pq.read_table(tmp_path / "a.parquet").drop_columns(["td_label"])
    assert out.schema.names == [*before.schema.names, *writers.TD_COLUMNS]
    for name in before.schema.names:
        assert out.schema.field(name) == before.schema.field(name)
        assert name == "share" or out[name].equals(before[name])
    assert out["td_label"].to_pylist() == ["not_flagged", "uncertain", "uncertain"]
    assert out["td_p_value"].to_pylist() == [0.5, None, None]
    assert out.schema.metadata[b"made"] == b"by hand"


def test_parquet_becomes_plain_values_in_csv_and_jsonl(
    tmp_path: Path, typed_table: pa.Table
) -> None:
    pq.write_table(typed_table, tmp_path / "a.parquet")
    write_verdicts(tmp_path / "a.parquet", tmp_path / "out.csv")
    write_verdicts(tmp_path / "a.parquet", tmp_path / "out.jsonl")
    assert cells(tmp_path / "out.csv")[1][:6] == [
        "1", "2026-01-02T03:04:05", '["a"]', "00ff", "0.5", "one",
    ]  # fmt: skip
    assert cells(tmp_path / "out.csv")[2][:6] == ["", "", "[]", "", "", ""]
    first, second, _ = objects(tmp_path / "out.jsonl")
    assert (first["n"], first["tags"], first["share"]) == (1, ["a"], 0.5)
    assert (second["share"], second["text"], second["n"]) == (None, None, None)


@pytest.mark.parametrize("dtype", [pa.string(), pa.large_string(), pa.string_view(), pa.null()])
def test_parquet_texts_may_be_any_kind_of_string(tmp_path: Path, dtype: pa.DataType) -> None:
    texts = [None, None] if dtype == pa.null() else ["one", None]
    try:
        pq.write_table(pa.table({"text": pa.array(texts, dtype)}), tmp_path / "a.parquet")
    except pa.ArrowNotImplementedError:
        assert dtype == pa.string_view()
        pytest.skip("this pyarrow writes no string views")
    assert [row.text for row in read(tmp_path / "a.parquet")] == texts


def test_parquet_texts_of_another_type_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": [1, 2]}), tmp_path / "a.parquet")
    with pytest.raises(InvalidInput, match="expected strings, got int64"):
        read(tmp_path / "a.parquet")


def test_damaged_parquet_is_an_error_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [f"post {i}" for i in range(5_000)]}), path)
    body = bytearray(path.read_bytes())
    body[4:400] = b"\xff" * 396
    path.write_bytes(body)
    with pytest.raises(DataError, match="Parquet"):
        read(path)


FORMATS = ("csv", "tsv", "jsonl", "parquet")
TEXTS = ['say "hi"', "two\nlines", "tab\there", "NA", "", "中文 😀", " blank ", "comma, comma"]


@pytest.mark.parametrize("middle", FORMATS)
@pytest.mark.parametrize("first", [*FORMATS, "txt"])
def test_texts_survive_a_trip_through_any_two_formats(
    tmp_path: Path, first: str, middle: str
) -> None:
    texts = [text for text in TEXTS if "\n" not in text] if first == "txt" else TEXTS
    start = tmp_path / f"start.{first}"
    if first == "txt":
        start.write_text("".join(text + "\n" for text in texts), encoding="utf-8")
    else:
        seed = tmp_path / "seed.jsonl"
        seed.write_text("".join(json.dumps({"id": "x", "text": t}) + "\n" for t in texts))
        write_verdicts(seed, start)
    write_verdicts(start, tmp_path / f"middle.{middle}")
    found = write_verdicts(tmp_path / f"middle.{middle}", tmp_path / "end.csv")
    assert [row.text for row in found] == texts
    assert [row.problem for row in found] == [None] * len(texts)
    assert cells(tmp_path / "end.csv")[0].count("td_label") == 1


def test_gzip_is_read_and_written(posts_csv: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed.csv.gz"
    packed.write_bytes(gzip.compress(posts_csv.read_bytes()))
    write_verdicts(packed, tmp_path / "out.jsonl.gz")
    with gzip.open(tmp_path / "out.jsonl.gz", "rt", encoding="utf-8") as file:
        assert [json.loads(line)["id"] for line in file] == ["1", "2", "3", "4"]
    packed.write_bytes(packed.read_bytes()[:-20])
    with pytest.raises(DataError, match="gzip"):
        read(packed)


def interrupt_writing(source: Path, out: Path, into: str) -> None:
    with (
        files.open_posts(source, format="csv", into=into) as reader,
        writers.open_output(out, reader, format=into),
    ):
        assert list(out.parent.glob(f".{out.name}.partial-*"))
        raise KeyboardInterrupt


def test_nothing_is_left_of_an_output_that_failed(posts_csv: Path, tmp_path: Path) -> None:
    for name in ("out.csv", "out.parquet", "out.csv.gz"):
        out = tmp_path / name
        out.write_text("of an earlier run")
        into = writers.format_of_output(out, None, "csv")
        with pytest.raises(KeyboardInterrupt):
            interrupt_writing(posts_csv, out, into)
        assert out.read_text() == "of an earlier run"
        assert not list(tmp_path.glob(".*"))


def test_the_input_is_never_the_output(posts_csv: Path, tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to(posts_csv)
    for out in (posts_csv, tmp_path / "link.csv"):
        with pytest.raises(InvalidInput, match="the output is the input"):
            write_verdicts(posts_csv, out)


def test_links_are_written_through_and_devices_into(posts_csv: Path, tmp_path: Path) -> None:
    (tmp_path / "real.csv").touch()
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    write_verdicts(posts_csv, tmp_path / "link.csv")
    assert (tmp_path / "link.csv").is_symlink()
    assert len(cells(tmp_path / "real.csv")) == 5
    write_verdicts(posts_csv, Path("/dev/null"))
    assert Path("/dev/null").is_char_device()


any_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@settings(max_examples=150, deadline=None)
@given(st.data(), st.integers(2, 4), st.sampled_from(["csv", "tsv"]))
def test_any_table_of_strings_comes_back_cell_by_cell(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, width: int, suffix: str
) -> None:
    row = st.lists(any_text, min_size=width, max_size=width)
    header = data.draw(row.filter(any))
    table = data.draw(st.lists(row.filter(any), max_size=20))
    folder = tmp_path_factory.mktemp("any")
    source, out = folder / f"in.{suffix}", folder / f"out.{suffix}"
    delimiter = "," if suffix == "csv" else "\t"
    with open(source, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows([header, *table])
    write_verdicts(source, out, text=header[0])
    kept = [i for i, name in enumerate(header) if name not in writers.TD_COLUMNS]
    again = cells(out, delimiter)
    assert [line[: len(kept)] for line in again] == [[r[i] for i in kept] for r in [header, *table]]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([b'"', b",", b"\n", b"\r\n", b"a", b"b c", b"\xff", b"\0"])))
def test_no_bytes_of_a_csv_are_lost(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes]
) -> None:
    path = tmp_path_factory.mktemp("bytes") / "a.csv"
    body = b"".join(pieces)
    path.write_bytes(b"id,text\n" + body)
    found = read(path)
    starts = [row.line or 0 for row in found]
    assert starts == sorted(set(starts))
    lines = body.replace(b"\r\n", b"\n").split(b"\n")
    within: set[int] = set()
    for row in found:
        assert (row.values is None) == (row.problem is not None)
        n_lines = (
            1 if row.values is None else 1 + "".join(row.values).replace("\r\n", "\n").count("\n")
        )
        within |= set(range(row.line or 0, (row.line or 0) + n_lines))
    assert {i for i, line in enumerate(lines, 2) if line} <= within


def test_rows_are_read_as_they_are_asked_for(tmp_path: Path) -> None:
    def lines() -> Iterator[str]:
        yield "id,text\n"
        for i in range(10**9):
            yield f"{i},post\n"

    _, found = rows.delimited(lines(), ",")
    assert next(found).values == ["0", "post"]
