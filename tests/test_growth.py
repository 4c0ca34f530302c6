"""Files that grow: each in a process of its own, as long as there is time."""

from __future__ import annotations

from pathlib import Path

import pytest
from scripts import script

growth = script("growth")


@pytest.mark.process
def test_a_file_is_scored_in_a_fresh_process(tmp_path: Path) -> None:
    (found,) = growth.growth(tmp_path, (50,), seconds=1, skipped={})
    assert (found.n_rows, list(tmp_path.iterdir())) == (50, [])
    assert found.rows_per_s > 0
    assert found.peak_mb > 10


def test_files_grow_until_there_is_no_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        growth, "run_fresh", lambda code, script, file: (0.0, {"rows_per_s": 10.0, "peak_mb": 70.0})
    )
    skipped: dict[str, str] = {}
    grown = growth.growth(tmp_path, (5, 20, 9_000), seconds=30, skipped=skipped)
    assert grown == [growth.Growth(5, 10.0, 70.0), growth.Growth(20, 10.0, 70.0)]
    assert skipped == {"file of 9,000 rows": "needs about 900 s: give more --seconds"}
    assert list(tmp_path.iterdir()) == []
