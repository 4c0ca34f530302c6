"""The bundle of evidence: sound as it is, and whatever is changed in it is found and named."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet
import pytest
from typer.testing import CliRunner

from textdetect.accounts import AccountVerdicts, benjamini_hochberg
from textdetect.checkpoint import sha256
from textdetect.cli import app
from textdetect.coordination import Campaigns, find_campaigns
from textdetect.coordination.files import read_posts
from textdetect.errors import DataError, InvalidInput
from textdetect.evidence import DumpFile, forget, verify, write_bundle
from textdetect.evidence.bundle import MANIFEST, VERDICTS, manifest_bytes
from textdetect.evidence.keys import read_key, read_or_make_key
from textdetect.posts.files import write_table
from textdetect.simulate import Planted, simulate_world

KEY = bytes(range(32))


@pytest.fixture(scope="module")
def dump(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a world of 400 accounts, 40 of them a campaign's, as a csv."""
    file = tmp_path_factory.mktemp("dump") / "dump.csv"
    campaign = Planted(n_accounts=40, reach=0.2)
    world = simulate_world(n_accounts=400, n_posts=4_000, campaigns=[campaign])
    write_table(world.posts, file, format="csv")
    return file


@pytest.fixture(scope="module")
def found(dump: Path) -> Campaigns:
    """Search it."""
    return find_campaigns(read_posts(dump)[0])


def judged(found: Campaigns) -> AccountVerdicts:
    """Make up verdicts on the accounts' texts: the first third are a machine's."""
    names = found.accounts["account"].to_pylist()
    p = np.where(np.arange(len(names)) < len(names) / 3, 0.001, 0.5)
    p[-1] = np.nan
    q, n = benjamini_hochberg(p), len(names)
    return AccountVerdicts(
        account=np.array(names, dtype=object),
        n_posts=np.ones(n, np.int64),
        n_scored=np.ones(n, np.int64),
        language=np.array(["en"] * n, dtype=object),
        score=-np.log(p),
        p_value=p,
        p_conditional=p,
        q_value=q,
        flagged=q <= 0.05,
        reason=np.array([None] * n, dtype=object),
        fdr=0.05,
        fewest=3,
        n_unreadable=0,
        model="stub",
        version="1",
        fingerprint="f",
        numerics="stub",
    )


def write(found: Campaigns, dump: Path, folder: Path, **options: Any) -> str:
    """Write a bundle of the dump."""
    rows = read_posts(dump)[0].num_rows
    return write_bundle(found, folder, dump=DumpFile.of(dump, rows, {}), **options)


@pytest.fixture(scope="module")
def bundle(found: Campaigns, dump: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the bundle that tests look at, and copy before they change it."""
    folder = tmp_path_factory.mktemp("bundle") / "evidence"
    digest = write(found, dump, folder, key=KEY, automation=judged(found))
    (folder.parent / "digest").write_text(digest)
    return folder


def test_an_untouched_bundle_is_sound(bundle: Path, dump: Path) -> None:
    digest = (bundle.parent / "digest").read_text()
    assert verify(bundle) == []
    assert verify(bundle, dump=dump, digest=digest) == []
    assert verify(bundle, dump=dump, key=KEY, digest=digest) == []


def test_the_same_search_gives_the_same_bytes(
    found: Campaigns, dump: Path, bundle: Path, tmp_path: Path
) -> None:
    digest = write(found, dump, tmp_path / "again", key=KEY, automation=judged(found))
    assert digest == (bundle.parent / "digest").read_text() == sha256(bundle / MANIFEST)


def test_every_flipped_byte_is_found_and_its_file_named(bundle: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    files = sorted(file.name for file in bundle.iterdir())
    for _ in range(100):
        folder = shutil.copytree(bundle, tmp_path / "copy", dirs_exist_ok=True)
        file = folder / str(rng.choice(files))
        content = bytearray(file.read_bytes())
        content[int(rng.integers(len(content)))] ^= int(rng.integers(1, 256))
        file.write_bytes(content)
        wrong = verify(folder)
        assert any(line.startswith(file.name) for line in wrong), (file.name, wrong)


def forge(folder: Path, change: Callable[[dict[str, Any]], None] | None = None) -> None:
    """Make the manifest fit what is in the folder, as a forger would."""
    facts = json.loads((folder / MANIFEST).read_text())
    if change is not None:
        change(facts)
    facts["files"] = {name: sha256(folder / name) for name in facts["files"]}
    (folder / MANIFEST).write_bytes(manifest_bytes(facts))


def rewrite(folder: Path, name: str, change: Callable[[pa.Table], pa.Table]) -> None:
    """Change a table of a bundle."""
    file = folder / f"{name}.parquet"
    pa.parquet.write_table(change(pa.parquet.read_table(file)), file)


def replaced(table: pa.Table, column: str, values: Any) -> pa.Table:
    """Give a table with another column in the place of one."""
    place = table.column_names.index(column)
    return table.set_column(place, column, pa.chunked_array([pa.array(values)]))


def swapped(table: pa.Table, column: str) -> pa.Table:
    """Swap a column's values of the first two rows that differ in it."""
    values = table[column].to_pylist()
    other = next(i for i, value in enumerate(values) if value != values[0])
    values[0], values[other] = values[other], values[0]
    return replaced(table, column, values)


FORGERIES: dict[str, tuple[str, Callable[[pa.Table], pa.Table]]] = {
    "campaigns.p_value": ("campaigns", lambda t: replaced(t, "p_value", [0.001])),
    "campaigns.n_accounts": ("campaigns", lambda t: replaced(t, "n_accounts", [999])),
    "campaigns.n_core": ("accounts", lambda t: swapped(t, "core")),
    "edges.surprise": ("edges", lambda t: swapped(t, "surprise")),
    "edges.": ("accounts", lambda t: swapped(t, "campaign")),
    "accounts.automation_q": ("accounts", lambda t: swapped(t, "automation_p")),
    "posts": ("posts", lambda t: t.slice(5)),
    "null": ("null", lambda t: t.slice(1)),
}


@pytest.mark.parametrize("what", FORGERIES)
def test_a_forged_table_does_not_follow_from_the_others(
    what: str, bundle: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(bundle, tmp_path / "forged")
    name, change = FORGERIES[what]
    rewrite(folder, name, change)
    forge(folder)
    assert any(line.startswith(what) for line in verify(folder)), verify(folder)
    digest = (bundle.parent / "digest").read_text()
    assert any("digest" in line for line in verify(folder, digest=digest))


def test_a_forgery_that_fits_is_found_by_the_dump_and_by_the_digest(
    bundle: Path, dump: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(bundle, tmp_path / "forged")
    rewrite(folder, "accounts", lambda t: swapped(t, "n_posts"))
    forge(folder)
    assert verify(folder) == []
    assert verify(folder, dump=dump, key=KEY) == ["accounts.n_posts: other values when run again"]
    digest = (bundle.parent / "digest").read_text()
    assert verify(folder, digest=digest) == [f"{MANIFEST}: its digest is not the one given"]


def test_a_changed_seed_is_found_when_the_search_is_run_again(
    bundle: Path, dump: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(bundle, tmp_path / "forged")
    forge(folder, lambda facts: facts["settings"].update(seed=7))
    wrong = verify(folder, dump=dump)
    assert any("when run again" in line for line in wrong)


def test_another_dump_and_another_key_are_named(bundle: Path, dump: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_bytes(dump.read_bytes() + b"\n")
    assert verify(bundle, dump=other) == ["other.csv: it is not the dump that was searched"]
    assert verify(bundle, dump=dump, key=KEY[::-1]) == ["key: it is not the one of the pseudonyms"]


def test_files_that_are_gone_or_added_are_named(bundle: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(bundle, tmp_path / "copy")
    (folder / "null.parquet").unlink()
    (folder / "notes.txt").write_text("hello")
    wrong = verify(folder)
    assert "null.parquet: it is missing" in wrong
    assert "notes.txt: it is none of the bundle's" in wrong
    with pytest.raises(DataError, match="no bundle"):
        verify(tmp_path)


def test_no_name_is_in_a_bundle_of_pseudonyms(found: Campaigns, bundle: Path) -> None:
    name = found.campaigns[0].accounts[0].encode()
    assert all(name not in file.read_bytes() for file in bundle.iterdir())
    accounts = pa.parquet.read_table(bundle / "accounts.parquet")
    assert all(len(each) == 16 for each in accounts["account"].to_pylist())


def test_accounts_have_a_row_each_and_three_verdicts(found: Campaigns, bundle: Path) -> None:
    table = pa.parquet.read_table(bundle / "accounts.parquet")
    assert table.num_rows == found.accounts.num_rows
    assert pc.sum(table["n_posts"]).as_py() == 4_000
    verdicts = table["verdict"].to_pylist()
    assert set(verdicts) == {*VERDICTS, None}
    for row in table.to_pylist():
        coordinated, automated = row["campaign"] is not None, (row["automation_q"] or 1) <= 0.05
        expected = {(1, 0): VERDICTS[0], (0, 1): VERDICTS[1], (1, 1): VERDICTS[2]}
        assert row["verdict"] == expected.get((coordinated, automated))


def test_formulas_and_html_in_names_are_inert(tmp_path: Path) -> None:
    posts = simulate_world(n_accounts=200, n_posts=2_000, campaigns=[Planted(n_accounts=40,
                           reach=0.2)], bursts=()).posts  # fmt: skip
    nasty = ['=cmd|" /C calc"!A0', "<script>alert(1)</script>", "+1", "-1", "@sum"]
    found = find_campaigns(posts)
    members = found.campaigns[0].accounts[: len(nasty)]
    new = dict(zip(members, nasty, strict=True))
    names = [new.get(name, name) for name in posts["account"].to_pylist()]
    found = find_campaigns(posts.set_column(1, "account", pa.array(names)))
    assert set(nasty) <= set(found.campaigns[0].accounts)
    write_bundle(found, tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    with (tmp_path / "out" / "accounts.csv").open(newline="") as stream:
        cells = [row["account"] for row in csv.DictReader(stream)]
    assert not [cell for cell in cells if cell[0] in "=+-@"]
    assert "'+1" in cells
    stored = pa.parquet.read_table(tmp_path / "out" / "accounts.parquet")["account"].to_pylist()
    assert set(nasty) <= set(stored)


def test_the_page_asks_nothing_of_any_network(bundle: Path) -> None:
    page = (bundle / "report.html").read_text()
    assert "http" not in page.replace("http-equiv", "")
    assert "never names a sponsor" in page


def test_a_key_is_made_once_for_its_owners_eyes_only(tmp_path: Path) -> None:
    key = read_or_make_key(None, tmp_path / "evidence/")
    file = tmp_path / "evidence.key"
    assert file.stat().st_mode & 0o77 == 0
    assert read_key(file) == key
    with pytest.raises(InvalidInput, match="there already"):
        read_or_make_key(None, tmp_path / "evidence")
    file.chmod(0o600)
    file.write_text("beef")
    with pytest.raises(InvalidInput, match="no key"):
        read_key(file)


def test_a_folder_with_something_in_it_is_not_written_to(found: Campaigns, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InvalidInput, match="not empty"):
        write_bundle(found, tmp_path)


def test_a_forgotten_bundle_is_gone_and_nothing_else_is(bundle: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(bundle, tmp_path / "evidence")
    read_or_make_key(None, folder)
    (tmp_path / "dump.csv").write_text("mine")
    assert forget(folder, key_only=True) == [f"{folder}.key"]
    assert verify(folder) == []
    (folder / "notes.txt").write_text("mine")
    assert len(forget(folder)) == 10
    assert [file.name for file in folder.iterdir()] == ["notes.txt"]
    assert (tmp_path / "dump.csv").is_file()
    with pytest.raises(DataError, match="no bundle"):
        forget(folder)


def test_the_commands_from_dump_to_verdict(dump: Path, tmp_path: Path) -> None:
    runner, out = CliRunner(), tmp_path / "evidence"
    made = runner.invoke(app, ["campaigns", str(dump), "-o", str(out)])
    assert made.exit_code == 0, made.output
    digest = made.stderr.split("digest ")[1].strip()
    options = ["--input", str(dump), "--key", f"{out}.key", "--digest", digest]
    checked = runner.invoke(app, ["verify", str(out), *options])
    assert checked.exit_code == 0, checked.output
    assert "sound" in checked.stderr
    (out / "edges.parquet").write_bytes(b"nothing")
    checked = runner.invoke(app, ["verify", str(out)])
    assert checked.exit_code == 1
    assert "edges.parquet: it was changed" in checked.stderr
    refused = runner.invoke(app, ["campaigns", str(dump), "-o", str(tmp_path / "b"),
                                  "--account-column", "author"])  # fmt: skip
    assert refused.exit_code == 2
    assert "no account column 'author'" in refused.stderr
    assert not (tmp_path / "b.key").exists()
