"""A detector that pickles, and posts that are the end of the process that reads them.

Small, as worker processes import it.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from textdetect.model.detector import Detector
from textdetect.model.runtimes import StubRuntime

DEADLY = "this post is the end of whoever reads it"
DEADLY_ONCE = "this post is the end of whoever reads it first"
RAISING = "this secret post is more than the detector can bear"


def logit(text: str) -> float:
    """Count machines; the posts above do what they say."""
    if text == DEADLY:
        os.kill(os.getpid(), signal.SIGKILL)
    if text == DEADLY_ONCE:
        try:
            Path(os.environ["DEADLY_ONCE"]).touch(exist_ok=False)
        except FileExistsError:
            return 0.0
        os.kill(os.getpid(), signal.SIGKILL)
    if text == RAISING:
        raise RuntimeError(f"can't read {text}")
    if delay_s := os.environ.get("DELAY_S"):
        time.sleep(float(delay_s))
    return text.count("machine") - 2.0


def calm(text: str) -> float:
    """Score as people's posts are scored, at once."""
    return -2.0


def make_detector(*, n_humans: int = 600) -> Detector:
    """Make a detector for English whose only high scores are those of many machines."""
    humans = [f"a person wrote this post, and it has the number {i}" for i in range(n_humans)]
    detector = Detector(StubRuntime(calm), languages=["en"])
    detector = detector.calibrate(humans, languages=["en"] * n_humans)
    detector.runtime = StubRuntime(logit)
    return detector
