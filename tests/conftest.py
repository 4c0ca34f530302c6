"""What many tests share: a tiny checkpoint, the embedded model, the corpus, a browser; marks.

`model`, `browser` and `process` are given here, by what a test and its fixtures name: nobody has to
remember them. `make quick` leaves them out.
"""

from __future__ import annotations

import inspect
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import settings
from tiny import tiny_checkpoint

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
if "PYTEST_XDIST_WORKER" in os.environ:  # workers of two threads each wait for one another
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read where numpy and torch are imported

from textdetect import Detector
from textdetect.model.runtimes import host

if "PYTEST_XDIST_WORKER" in os.environ:
    n_workers = int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    host.share_cores(max(1, host.available_cores() // n_workers))

settings.register_profile("textdetect", deadline=None, derandomize=True)
settings.load_profile("textdetect")

HERE = str(Path(__file__).parent)
MARKED_BY = {
    "model": {"embedded", "from_pretrained", "tiny_checkpoint", "torch", "transformers"},
    "browser": {"chromium"},
    "process": {"multiprocessing", "subprocess"},
}
"""A test whose code, helpers or fixtures use one of these names gets the mark."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what starts a model, a browser or a process."""
    for item in items:
        if isinstance(item, pytest.Function):
            names = set(item.fixturenames)
            fixtures = item._fixtureinfo.name2fixturedefs.values()
            for function in [item.function, *(each[-1].func for each in fixtures)]:
                names |= _names(function, set())
            for mark in (mark for mark, signs in MARKED_BY.items() if names & signs):
                item.add_marker(mark)


def _names(function: object, seen: set[CodeType]) -> set[str]:
    """Give the names that a function uses, and those of the helpers in tests/ that it calls."""
    function = getattr(getattr(function, "hypothesis", None), "inner_test", function)
    function = inspect.unwrap(function) if callable(function) else function
    if not isinstance(function, FunctionType) or function.__code__ in seen:
        return set()
    if not function.__code__.co_filename.startswith(HERE):
        return set()
    names: set[str] = set()
    codes = [function.__code__]
    while codes:
        code = codes.pop()
        seen.add(code)
        names |= set(code.co_names)
        codes += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    helpers = [function.__globals__.get(name) for name in names]
    return names.union(*(_names(helper, seen) for helper in helpers))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a calibrated checkpoint of random weights; copy it before changing it.

    The first worker to ask makes it, the others wait: an export takes longer than most tests.
    """
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    with FileLock(shared / "tiny.lock"):
        if not (shared / "tiny").exists():
            tiny_checkpoint(shared / "making").parent.rename(shared / "tiny")
    return shared / "tiny" / "checkpoint"


@pytest.fixture(scope="session")
def embedded() -> Detector:
    """Give the embedded model."""
    return Detector.from_pretrained()


@pytest.fixture(scope="session")
def corpus() -> Path:
    """Give the corpus folder, or skip."""
    folder = os.environ.get("TEXTDETECT_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("needs the corpus folder, named by TEXTDETECT_DATA")
    return Path(folder)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Start a headless browser of this machine's, or skip."""
    playwright = pytest.importorskip("playwright.sync_api")
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"needs a browser: none of {', '.join(names)} is installed")
    quiet = ("background-networking", "component-update", "gpu", "quic", "sync")
    flags = ["--no-sandbox", "--no-first-run", *(f"--disable-{name}" for name in quiet)]
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=flags)
        yield browser
        browser.close()
