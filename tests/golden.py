"""What the product answers to 2,000 posts, on every way in: for two builds to be compared.

python tests/golden.py OUT, once with each build on one machine; then `diff -r OUT OTHER` is empty,
or the change explains it. Committed answers would differ by processor; two builds must not.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from served import served

import textdetect

EXAMPLES = Path(__file__).parents[1] / "examples"
N_POSTS, N_ACCOUNTS, N_BOTS = 2_000, 120, 20
WAVE = 80
"""Rows in which each fourth is a bot's, all with one text and in one minute."""
TIMES = re.compile(rb" in [\d.,]+ (?:s|min) \([\d.,]+ a second\)")


def dump(file: Path) -> None:
    """Write the posts of people and of a campaign, seeded, as a platform's dump."""
    rng = random.Random(0)
    with (EXAMPLES / "posts.csv").open(encoding="utf-8") as stream:
        posts = [(row["text"], row["language"], row["style"]) for row in csv.DictReader(stream)]
    for name in ("written", "public_domain"):
        lines = (EXAMPLES / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        posts += [(json.loads(x)["text"], json.loads(x)["language"], "human") for x in lines]
    lines = (EXAMPLES / "campaign_posts.jsonl").read_text(encoding="utf-8").splitlines()
    campaign = [(json.loads(x)["text"], json.loads(x)["language"], "campaign") for x in lines]
    start = datetime(2024, 12, 1, tzinfo=UTC)
    with file.open("w", encoding="utf-8", newline="") as stream:
        out = csv.writer(stream)
        out.writerow(["id", "author_id", "created_at", "text", "lang", "label"])
        for i in range(N_POSTS):
            bot = i % 4 == 0
            pool = campaign[17 * (i // WAVE) :][:1] if bot else [*posts, *campaign]
            text, language, style = rng.choice(pool)
            words = text.split(" ")
            if not bot and len(words) > 6 and rng.random() < 0.7:  # most posts stand once
                del words[rng.randrange(len(words))]
            moment = timedelta(
                minutes=30 * (i // WAVE) if bot else rng.randrange(4_320), seconds=rng.randrange(60)
            )
            account = f"u{rng.randrange(N_BOTS) if bot else rng.randrange(N_BOTS, N_ACCOUNTS)}"
            when = (start + moment).isoformat()
            label = int(style != "human")
            out.writerow([f"p{i}", account, when, " ".join(words), language, label])


def command(*arguments: str, cwd: Path) -> None:
    """Run the command line, and keep what it says."""
    code = "from textdetect.cli import main; main()"
    run = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(run, cwd=cwd, capture_output=True, check=False)
    said = b"\n".join([str(done.returncode).encode(), done.stdout, done.stderr])
    (cwd / f"{arguments[0]}.txt").write_bytes(TIMES.sub(b"", said))


def answers(posts: Path, out: Path) -> None:
    """Write the answer of each way in."""
    command("score", str(posts), "-o", "scored.csv", cwd=out)
    command("accounts", str(posts), "-o", "accounts.csv", cwd=out)
    command("campaigns", str(posts), "-o", "evidence", "--keep-names", "--worlds", "99", cwd=out)
    command("evaluate", "default", str(posts), "-o", "figures", "--most", "200", cwd=out)
    with posts.open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    verdicts = textdetect.Detector.from_pretrained().predict([row["text"] for row in rows])
    with (out / "predict.jsonl").open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps(row) + "\n" for row in verdicts.to_dicts())
    with served(out) as server, (out / "served.jsonl").open("w", encoding="utf-8") as stream:
        with textdetect.Client(f"http://127.0.0.1:{server.port}") as client:
            rows_ = client.predict([row["text"] for row in rows]).to_dicts()
        stream.writelines(json.dumps(row) + "\n" for row in rows_)


def main() -> None:
    """Write the posts where they are seen alike, and the answers into OUT."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out.resolve()
    out.mkdir(parents=True)
    posts = Path(tempfile.gettempdir()) / "textdetect-golden.csv"
    dump(posts)
    answers(posts, out)
    for file in (*out.glob("*.log"), out / "figures" / "ledger.jsonl"):  # they say when it ran
        file.unlink()
    shutil.rmtree(out / "figures" / "cache")


if __name__ == "__main__":
    main()
