"""A scoring server whose model is a stub of a known speed: for tests of everything around it."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence

from textdetect.model.detector import Detector
from textdetect.model.runtimes import StubRuntime
from textdetect.posts.scored import Scores
from textdetect.serving import Limits, serve

parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int)
parser.add_argument("--workers", type=int, default=1)
parser.add_argument("--post-ms", type=float, default=0.0, help="of a worker's time")
parser.add_argument("--limits", default="{}", help="JSON of `Limits`")
parser.add_argument("--keys")


class SlowRuntime(StubRuntime):
    """A stub that takes its time; a post that says so ends its process."""

    post_ms = 0.0

    def run(self, texts: Sequence[str]) -> Scores:
        if any("end this process" in text for text in texts):
            os._exit(9)
        time.sleep(self.post_ms * len(texts) / 1e3)
        return super().run(texts)


def main() -> None:
    arguments = parser.parse_args()
    runtime = SlowRuntime()
    runtime.post_ms = arguments.post_ms
    humans = [f"so good to see you all again, for the {i}th time" for i in range(600)]
    quick = Detector(StubRuntime()).calibrate(humans, languages=["en"] * len(humans))
    detector = Detector(runtime, calibration=quick.calibration, languages=["en"])
    serve(
        detector,
        port=arguments.port,
        workers=arguments.workers,
        limits=Limits(**json.loads(arguments.limits)),
        keys=arguments.keys,
    )


if __name__ == "__main__":
    main()
