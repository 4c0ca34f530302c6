"""Files scored into files: what comes out, what it is counted as, and what it agrees with."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textdetect.bulk import score_files
from textdetect.bulk.summary import Tally
from textdetect.errors import InvalidInput, TooFewCalibration
from textdetect.model.detector import Detector
from textdetect.model.runtimes import StubRuntime
from textdetect.posts.rows import Chunk
from textdetect.posts.scored import FIELDS
from textdetect.posts.writers import TD_COLUMNS, Annotations, TerminalWriter


@pytest.fixture(scope="module")
def detector() -> Detector:
    humans = [f"a person wrote this post, and it has the number {i}" for i in range(1_000)]
    return Detector(
        StubRuntime(lambda text: text.count("machine") - 2.0), languages=["en"]
    ).calibrate(humans, languages=["en"] * len(humans))


@pytest.fixture
def posts_csv(tmp_path: Path) -> Path:
    path = tmp_path / "posts.csv"
    with open(path, "w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "lang", "post"])
        for i in range(50):
            rows.writerow([i, "en", f"so good to see you all again, for the {i}th time"])
        rows.writerow([50, "en", "this post was made by a machine machine machine machine"])
        rows.writerow([51, "", ""])
        rows.writerow([52, "", "NA"])
        rows.writerow([53, "xx", "so good to see you all again"])
        rows.writerow([54, "en", "one", "two"])
    return path


def table(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def test_every_row_is_counted_once(posts_csv: Path, tmp_path: Path, detector: Detector) -> None:
    out = tmp_path / "out.csv"
    summary = score_files(posts_csv, out, detector=detector, language_column="lang")
    assert (summary.n_rows, summary.n_flagged, summary.n_not_flagged) == (55, 1, 50)
    assert summary.uncertain == {"empty": 1, "too_short": 1, "unsupported_language": 1}
    assert summary.n_unreadable == 1
    assert summary.unreadable == ((55, 56, "expected 3 fields, got 4"),)
    assert summary.output == str(out)
    assert summary.posts_per_s > 0
    assert [row["td_label"] for row in table(out)].count("machine") == 1


def test_a_file_gets_the_verdicts_that_predict_gives(
    posts_csv: Path, tmp_path: Path, detector: Detector
) -> None:
    out = tmp_path / "out.jsonl"
    score_files(posts_csv, out, detector=detector, chunk_rows=7, max_fpr=0.05)
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    readable = [row for row in rows if row["td_reason"] != "unreadable"]
    expected = detector.predict([row["post"] for row in readable], max_fpr=0.05)
    for row, verdict in zip(readable, expected.to_dicts(nan_as_none=True), strict=True):
        assert {name: row[f"td_{name}"] for name in FIELDS} == verdict | {"notes": ""}


def test_the_chunk_size_changes_nothing(
    posts_csv: Path, tmp_path: Path, detector: Detector
) -> None:
    outputs = []
    for chunk_rows in (1, 8, 4_096):
        out = tmp_path / f"{chunk_rows}.csv"
        score_files(posts_csv, out, detector=detector, chunk_rows=chunk_rows)
        outputs.append(out.read_bytes())
    assert len(set(outputs)) == 1
    with pytest.raises(InvalidInput, match="chunk_rows"):
        score_files(posts_csv, tmp_path / "out.csv", detector=detector, chunk_rows=0)


def test_a_language_column_replaces_identification(
    posts_csv: Path, tmp_path: Path, detector: Detector
) -> None:
    out = tmp_path / "out.csv"
    score_files(posts_csv, out, detector=detector, language_column="lang", output_format="csv")
    assert [row["td_language"] for row in table(out)][-4:] == ["und", "en", "xx", ""]
    with pytest.raises(InvalidInput, match="--language-column"):
        score_files(posts_csv, out, detector=detector, language_column="language")


def test_a_rate_that_cannot_be_is_refused_before_anything_is_written(
    posts_csv: Path, tmp_path: Path, detector: Detector
) -> None:
    for max_fpr, error in ((1.5, InvalidInput), (1e-9, TooFewCalibration)):
        with pytest.raises(error):
            score_files(posts_csv, tmp_path / "out.csv", detector=detector, max_fpr=max_fpr)
    assert [path.name for path in tmp_path.iterdir()] == ["posts.csv"]


def test_a_failing_detector_leaves_no_output(posts_csv: Path, tmp_path: Path) -> None:
    def fail(text: str) -> float:
        raise RuntimeError("out of order")

    humans = [f"a person wrote this post, and it has the number {i}" for i in range(1_000)]
    broken = Detector(StubRuntime()).calibrate(humans, languages=["en"] * 1_000)
    broken.runtime = StubRuntime(fail)
    with pytest.raises(RuntimeError, match="out of order"):
        score_files(posts_csv, tmp_path / "out.csv", detector=broken)
    assert [path.name for path in tmp_path.iterdir()] == ["posts.csv"]


def test_only_the_first_unreadable_rows_are_listed_but_all_are_counted(
    tmp_path: Path, detector: Detector
) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "fine"}\n' + "broken\n" * 100)
    summary = score_files(tmp_path / "a.jsonl", tmp_path / "out.jsonl", detector=detector)
    assert summary.n_unreadable == 100
    assert [row for row, _, _ in summary.unreadable] == list(range(2, 22))


@pytest.mark.parametrize(("name", "body"), [("a.csv", "id,text\n"), ("a.jsonl", ""), ("a.txt", "")])
def test_a_file_without_rows_gives_a_file_without_rows(
    tmp_path: Path, detector: Detector, name: str, body: str
) -> None:
    (tmp_path / name).write_text(body)
    for suffix in ("csv", "jsonl", "parquet"):
        out = tmp_path / f"out.{suffix}"
        assert score_files(tmp_path / name, out, detector=detector).n_rows == 0
        assert out.exists()


def test_a_writer_of_ones_own_gets_the_rows(posts_csv: Path, detector: Detector) -> None:
    class Collector(TerminalWriter):
        labels: list[str] = []  # noqa: RUF012

        def write(self, chunk: Chunk, verdicts: Annotations) -> None:
            assert tuple(verdicts) == TD_COLUMNS
            self.labels += verdicts["td_label"]

    summary = score_files(posts_csv, Collector(), detector=detector)
    assert len(Collector.labels) == summary.n_rows == 55
    assert summary.output == ""


def test_no_post_can_command_the_terminal(
    tmp_path: Path, detector: Detector, capsys: pytest.CaptureFixture[str]
) -> None:
    post = "[bold red]hi[/] \x1b[31m\x07 bell \u202e turned :smile: [link=http://x]\r\ngone"
    (tmp_path / "a.jsonl").write_text((json.dumps({"text": post}) + "\n") * 300)
    writer = TerminalWriter()
    writer.show(score_files(tmp_path / "a.jsonl", writer, detector=detector).n_rows)
    shown = capsys.readouterr().out
    assert "[bold red]hi[/]" in shown
    assert not {"\x1b", "\x07", "\u202e", "\r"} & set(shown)
    assert "and 100 more" in shown


cell = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(cell, cell, cell).filter(any), max_size=30))
def test_any_table_keeps_every_cell_and_the_order(
    tmp_path_factory: pytest.TempPathFactory,
    detector: Detector,
    rows: list[tuple[str, str, str]],
) -> None:
    folder = tmp_path_factory.mktemp("table")
    with open(folder / "in.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([("a", "text", "a"), *rows])
    summary = score_files(folder / "in.csv", folder / "out.csv", detector=detector, chunk_rows=8)
    with open(folder / "out.csv", encoding="utf-8", newline="") as file:
        out = list(csv.reader(file, strict=True))
    assert [tuple(row[:3]) for row in out] == [("a", "text", "a"), *rows]
    assert summary.n_rows == len(rows)
    assert summary.n_unreadable == 0


def test_counts_that_earlier_versions_stored_are_read_with_a_note() -> None:
    stored = {"n_rows": 3, "labels": {"human": 2, "uncertain": 1}, "reasons": {"empty": 1}}
    with pytest.warns(UserWarning, match='say "human"'):
        tally = Tally.from_dict(stored | {"n_unreadable": 0, "unreadable": []})
    assert tally.summary(1.0, "-").n_not_flagged == 2


def test_notes_are_joined_by_blanks_in_every_format(
    tmp_path: Path, detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {"a": (), "b": ("html", "mostly_quotation")}
    monkeypatch.setattr("textdetect.model.judgement.notes", lambda text: found[text[0]])
    source = tmp_path / "in.csv"
    source.write_text("text\na post without notes\nb post with two notes\n")
    for name in ("a.csv", "a.jsonl", "a.parquet"):
        score_files(source, tmp_path / name, detector=detector)
    assert [row["td_notes"] for row in table(tmp_path / "a.csv")] == ["", "html mostly_quotation"]
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [line["td_notes"] for line in lines] == ["", "html mostly_quotation"]
    column = pq.read_table(tmp_path / "a.parquet")["td_notes"]
    assert column.to_pylist() == ["", "html mostly_quotation"]
