"""The bundle of evidence: sound as it is, and whatever is changed in it is found and named."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripts import script
from typer.testing import CliRunner

from textdetect._ground.files import sha256
from textdetect.accounts import AccountVerdicts
from textdetect.campaigns import Campaigns, find_campaigns
from textdetect.campaigns.evidence import dump_facts, forget, name_accounts, verify, write_bundle
from textdetect.campaigns.evidence.bundle import (
    MANIFEST,
    VERDICTS,
    alias_by,
    make_tables,
    manifest_bytes,
)
from textdetect.campaigns.evidence.keys import read_key, read_or_make_key
from textdetect.campaigns.evidence.page import _timeline, render
from textdetect.campaigns.evidence.verify import FORMERLY, options_of
from textdetect.campaigns.results import Settings
from textdetect.cli import app
from textdetect.errors import DataError, InvalidInput
from textdetect.posts.tables import read_posts
from textdetect.posts.writers import write_table
from textdetect.statistics.multiplicity import benjamini_hochberg

simulate = script("simulate")
Planted, simulate_world = simulate.Planted, simulate.simulate_world

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
        modelled=np.zeros(n, np.bool_),
        q_value=q,
        flagged=q <= 0.05,
        reason=np.array([None] * n, dtype=object),
        fdr=0.05,
        fewest=3,
        n_unreadable=0,
        n_by_order=0,
        model="stub",
        version="1",
        fingerprint="f",
        numerics="stub",
    )


def write(found: Campaigns, dump: Path, folder: Path, **options: Any) -> str:
    """Write a bundle of the dump."""
    return write_bundle(found, folder, dump=dump_facts(dump, read_posts(dump)[0]), **options)


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


def test_a_bundle_of_the_format_before_is_run_again_as_it_was(dump: Path, tmp_path: Path) -> None:
    found = find_campaigns(read_posts(dump)[0], **options_of(FORMERLY))
    write(found, dump, tmp_path / "old", key=KEY)
    facts = json.loads((tmp_path / "old" / MANIFEST).read_text())
    facts["format"] = 3
    for name in FORMERLY:
        del facts["settings"][name]
    (tmp_path / "old" / MANIFEST).write_bytes(manifest_bytes(facts))
    assert verify(tmp_path / "old", dump=dump, key=KEY) == []


def test_what_could_have_been_found_is_in_the_bundle_and_verified(tmp_path: Path) -> None:
    dump = tmp_path / "dump.csv"
    write_table(simulate_world(n_accounts=200, n_posts=2_000).posts, dump, format="csv")
    write(find_campaigns(read_posts(dump)[0], power=True), dump, tmp_path / "out")
    assert verify(tmp_path / "out", dump=dump) == []
    assert "equal texts: " in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    facts = json.loads((tmp_path / "out" / MANIFEST).read_text())
    facts["power"][0]["n_accounts"] = 4
    facts["own_sha256"] = ""
    (tmp_path / "out" / MANIFEST).write_bytes(manifest_bytes(facts))
    assert any(line.startswith("power") for line in verify(tmp_path / "out", dump=dump))


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
    "timeline": ("timeline", lambda t: t.slice(100)),
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


def test_the_timeline_has_every_post_of_a_campaign_once(found: Campaigns, dump: Path) -> None:
    timeline, posts = found.timeline, read_posts(dump)[0]
    rows = timeline["row"].to_pylist()
    assert len(set(rows)) == len(rows) >= found.campaigns[0].n_posts
    of_messages = {row for each in found.narratives["rows"].to_pylist() for row in each}
    assert of_messages <= set(rows)
    for row, time in zip(rows, timeline["time"].to_pylist(), strict=True):
        assert posts["account"][row].as_py() in found.campaigns[0].accounts
        posted = posts["time"][row].as_py()
        assert 0 <= (posted - time).total_seconds() < 60


def test_a_second_wave_twelve_days_later_is_seen() -> None:
    crowd = simulate_world(n_accounts=300, n_posts=3_000, bursts=()).posts.to_pylist()
    start, rng = datetime(2024, 12, 5, 9, tzinfo=UTC), np.random.default_rng(0)
    waves = [
        {"account": f"bot{bot}", "time": start + timedelta(days=day, hours=hour, seconds=4 * i),
         "text": f"day{day} hour{hour} " + " ".join(f"word{day}h{hour}n{n}x" for n in range(12))}
        for day in (0, 12) for hour in range(10)
        for i, bot in enumerate(rng.permutation(20)[:12])
    ]  # fmt: skip
    rows = [{name: row[name] for name in ("account", "time", "text")} for row in crowd]
    found = find_campaigns(rows + waves)
    assert len(found.campaigns) == 1
    page = render(make_tables(found), facts_of(found))
    assert "240 posts of its messages and meetings, in 2 stretches" in page
    assert page.count(" (120)") == 2
    assert re.search(r"<title>from 2024-12-17 [^<]*: \d+</title>", page)


@given(st.lists(st.integers(0, 60 * 24 * 365), min_size=1, max_size=400))
def test_every_post_is_under_a_mark_however_many_they_are(minutes: list[int]) -> None:
    times = np.sort(np.array(minutes, np.int64)) * 60_000_000
    drawn = _timeline(times)
    assert sum(n for _, n, _, _ in drawn["columns"]) == drawn["n"] == len(minutes)
    assert all(
        0 < n <= marks * drawn["per"] < n + drawn["per"] for _, n, marks, _ in drawn["columns"]
    )
    assert max(marks for _, _, marks, _ in drawn["columns"]) <= 25
    assert sum(n for *_, n in drawn["stretches"]) == len(minutes)


def test_a_hundred_thousand_posts_leave_the_page_small(found: Campaigns) -> None:
    n, rng = 100_000, np.random.default_rng(0)
    first = 1_733_011_200_000_000
    times = np.r_[rng.integers(0, 10**12, n - 1), 12 * 86_400_000_000 * 2] + first
    timeline = pa.table({"campaign": np.zeros(n, np.int64), "row": np.arange(n),
                         "time": pa.array(np.sort(times), pa.timestamp("us", "UTC"))})  # fmt: skip
    tables = make_tables(found, named=False)
    few = render(tables, facts_of(found))
    many = render(tables | {"timeline": timeline}, facts_of(found))
    assert len(many) < len(few) + 20_000
    assert "2024-12-25 00:00</span> (1) UTC" in many


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1280, "dark")])
def test_the_page_fits_and_no_heading_breaks_by_letters(
    chromium: Any, bundle: Path, width: int, scheme: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    size = {"width": width, "height": 844}
    with chromium.new_context(viewport=size, color_scheme=scheme) as context:
        tab = context.new_page()
        tab.goto((bundle / "report.html").as_uri())
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.evaluate(BROKEN_WORDS) == []
        assert axe.Axe().run(tab).response["violations"] == []


BROKEN_WORDS = """() => [...document.querySelectorAll("th, h1, h2, h3, dt, td.n")].flatMap(
    cell => [...cell.childNodes].filter(node => node.nodeType === 3).flatMap(
        node => [...node.data.matchAll(/[^\\s-]+/g)].filter(word => {
            const range = document.createRange();
            range.setStart(node, word.index);
            range.setEnd(node, word.index + word[0].length);
            return new Set([...range.getClientRects()].map(box => box.top)).size > 1;
        }).map(word => word[0])))"""
"""Words of headings that stand on more than one line."""


def facts_of(found: Campaigns) -> dict[str, Any]:
    """Give what the page says of a search."""
    settings = asdict(found.settings)
    facts = {"settings": settings, "dump": None, "model": None, "pseudonyms": None}
    return facts | {"textdetect": "0", "python": "3", "libraries": {}, "notes": []}


def test_the_page_explains_its_terms(bundle: Path) -> None:
    page = (bundle / "report.html").read_text()
    terms = ("object", "meeting", "false-discovery rate", "permuted world", "score", "p-value")
    terms += ("core", "cell", "statistic", "message", "pseudonym", "partners", "verdict")
    assert [term for term in terms if f"<dt>{term}</dt><dd>" not in page] == []
    settings = re.findall(r"<tr><td>\w+</td><td>[^<]*</td><td class=\"any\">\w", page)
    assert len(settings) >= len(Settings.__dataclass_fields__)


def test_the_key_turns_pseudonyms_back_into_names(
    found: Campaigns, bundle: Path, dump: Path, tmp_path: Path
) -> None:
    table = name_accounts(bundle, key=KEY, dump=dump)
    assert sorted(table["account"].to_pylist()) == found.accounts["account"].to_pylist()
    assert alias_by(KEY)(table["account"].to_pylist()) == table["pseudonym"].to_pylist()
    members = table.filter(pc.is_valid(table["campaign"]))
    assert table["account"].to_pylist()[: members.num_rows] == members["account"].to_pylist()
    assert set(members["account"].to_pylist()) == set(found.campaigns[0].accounts)
    folder = shutil.copytree(bundle, tmp_path / "evidence")
    with pytest.raises(InvalidInput, match="neither here nor beside"):
        name_accounts(folder, key=KEY)
    shutil.copy(dump, tmp_path / "dump.csv")
    assert name_accounts(folder, key=KEY).equals(table)


def test_what_cannot_be_named_is_refused(
    found: Campaigns, bundle: Path, dump: Path, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match="the key is not"):
        name_accounts(bundle, key=KEY[::-1], dump=dump)
    with pytest.raises(DataError, match="no bundle"):
        name_accounts(tmp_path, key=KEY, dump=dump)
    write(found, dump, tmp_path / "named")
    with pytest.raises(InvalidInput, match="no pseudonyms"):
        name_accounts(tmp_path / "named", key=KEY, dump=dump)
    (tmp_path / "other.csv").write_text("account,time,text\nzoe,2024-12-01T00:00:00Z,hello\n")
    with pytest.raises(InvalidInput, match="none of the names"):
        name_accounts(bundle, key=KEY, dump=tmp_path / "other.csv")
    folder = shutil.copytree(bundle, tmp_path / "forged")
    rewrite(folder, "accounts", lambda t: swapped(t, "campaign"))
    with pytest.raises(DataError, match="changed"):
        name_accounts(folder, key=KEY, dump=dump)


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
    assert len(forget(folder)) == 11
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
    options = ["--input", str(dump), "-o", str(tmp_path / "names.csv")]
    named = runner.invoke(app, ["names", str(out), "--key", f"{out}.key", *options])
    assert named.exit_code == 0, named.output
    with (tmp_path / "names.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert all(row["account"].startswith("user") for row in rows if row["campaign"])
    (tmp_path / "other.key").write_text(KEY.hex())
    refused = runner.invoke(app, ["names", str(out), "--key", str(tmp_path / "other.key")])
    assert refused.exit_code == 2
    assert "the key is not the one" in refused.stderr
    (out / "edges.parquet").write_bytes(b"nothing")
    checked = runner.invoke(app, ["verify", str(out)])
    assert checked.exit_code == 1
    assert "edges.parquet: it was changed" in checked.stderr
    refused = runner.invoke(app, ["campaigns", str(dump), "-o", str(tmp_path / "b"),
                                  "--account-column", "author"])  # fmt: skip
    assert refused.exit_code == 2
    assert "no column 'author' among" in refused.stderr
    assert not (tmp_path / "b.key").exists()
