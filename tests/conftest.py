"""What many tests share: a tiny checkpoint, the embedded model, the corpus, a browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from tiny import tiny_checkpoint

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
if "PYTEST_XDIST_WORKER" in os.environ:  # workers of two threads each wait for one another
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read where numpy and torch are imported

from textdetect import Detector
from textdetect.runtimes import host

if "PYTEST_XDIST_WORKER" in os.environ:
    n_workers = int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    host.share_cores(max(1, host.available_cores() // n_workers))

settings.register_profile("textdetect", deadline=None, derandomize=True)
settings.load_profile("textdetect")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a calibrated checkpoint of random weights; copy it before changing it."""
    return tiny_checkpoint(tmp_path_factory.mktemp("tiny") / "tiny")


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
