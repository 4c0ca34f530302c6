"""Zero-shot metrics: each is its formula over the model's own logits, whoever the neighbours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_lm import N_PLACES, tiny_lm

import textdetect.evaluation.zeroshot as zeroshot
from textdetect.errors import DetectorFailed, InvalidInput, ModelNotFound
from textdetect.evaluation.zeroshot import METRICS, LanguageModel, TokenStatistics, ZeroShot
from textdetect.statistics.metrics import auroc

TEXTS = [
    "So good, so cheap.",
    "no",
    "a",
    "",
    "The train was late, and we waited in the rain for an hour 🚆 before it came.",
    "你好 world",
    "xyz" * 40,
    "lone surrogate \ud83d here",
    "   ",
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Give two language models with one tokenizer; the second has three outputs more."""
    root = tmp_path_factory.mktemp("lm")
    first, second = tiny_lm(root / "one", seed=1), tiny_lm(root / "two", seed=2, extra_outputs=3)
    return str(first), str(second)


@pytest.fixture(scope="module")
def pair(folders: tuple[str, str]) -> LanguageModel:
    return LanguageModel(folders[0], reference=folders[1])


def logits_of(folder: str, ids: list[int]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Run one text alone, without padding or mask; shape (len(ids), vocabulary)."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].double().numpy()


def tokens_of(folder: str, text: str) -> list[int]:
    from transformers import AutoTokenizer

    clean = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return list(AutoTokenizer.from_pretrained(folder)(clean)["input_ids"])[:N_PLACES]


def log_softmax(logits: Any) -> Any:
    return logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)


def by_the_book(scoring: Any, reference: Any, ids: list[int]) -> dict[str, float]:
    """Compute every metric from logits (t + 1, vocabulary), as the papers write them."""
    width = min(scoring.shape[1], reference.shape[1])
    lp, lq = log_softmax(scoring[:-1, :width]), log_softmax(reference[:-1, :width])
    p, q, targets = np.exp(lp), np.exp(lq), np.array(ids[1:])
    n = len(targets)
    observed = lp[np.arange(n), targets]
    order = np.argsort(-lp, axis=1)
    ranks = np.argmax(order == targets[:, None], axis=1) + 1
    mean = (q * lp).sum(1)
    variance = (q * lp**2).sum(1) - mean**2
    return {
        "log-likelihood": observed.mean(),
        "rank": -ranks.mean(),
        "log-rank": -np.log(ranks).mean(),
        "entropy": -(p * lp).sum(1).mean(),
        "lrr": -observed.sum() / np.log(ranks).sum(),
        "fast-detectgpt": (observed.sum() - mean.sum()) / np.sqrt(variance.sum()),
        "binoculars": -(-observed.mean() / -(q * lp).sum(1).mean()),
    }


def test_every_metric_is_its_formula_over_the_models_own_logits(
    folders: tuple[str, str], pair: LanguageModel
) -> None:
    scores = pair.metrics(TEXTS)
    assert set(scores) == set(METRICS)
    for place, text in enumerate(TEXTS):
        ids = tokens_of(folders[0], text)
        if len(ids) < 2:
            assert all(np.isnan(scores[name][place]) for name in METRICS)
            continue
        wanted = by_the_book(logits_of(folders[0], ids), logits_of(folders[1], ids), ids)
        for name, value in wanted.items():
            assert scores[name][place] == pytest.approx(value, abs=1e-5), name


def test_one_model_is_its_own_sampling_model(folders: tuple[str, str]) -> None:
    model = LanguageModel(folders[1])
    ids = tokens_of(folders[1], TEXTS[0])
    logits = logits_of(folders[1], ids)
    wanted = by_the_book(logits, logits, ids)
    scores = model.metrics(TEXTS[:1])
    assert "binoculars" not in scores
    for name, values in scores.items():
        assert values[0] == pytest.approx(wanted[name], abs=1e-5), name


def test_a_score_does_not_depend_on_the_neighbours(pair: LanguageModel) -> None:
    together = pair.metrics(TEXTS)
    back = pair.metrics(TEXTS[::-1])
    for place, text in enumerate(TEXTS):
        alone = pair.metrics([text])
        for name in METRICS:
            each = [together[name][place], back[name][::-1][place], alone[name][0]]
            assert np.ptp(each) <= 1e-5 or np.isnan(each).all(), name


def test_small_batches_and_small_chunks_give_the_same(
    folders: tuple[str, str], pair: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = pair.metrics(TEXTS)
    monkeypatch.setattr(zeroshot, "_CHUNK", 1_000)  # three tokens of this vocabulary
    small = LanguageModel(folders[0], reference=folders[1], batch_tokens=1)
    for name, scores in small.metrics(TEXTS).items():
        np.testing.assert_allclose(scores, wanted[name], atol=1e-5)


def test_a_text_is_cut_at_the_models_length(folders: tuple[str, str], pair: LanguageModel) -> None:
    assert pair.max_length == N_PLACES
    short, long = pair.statistics(["xyz" * 16, "xyz" * 400])
    assert len(short.log_p) == len(long.log_p) == N_PLACES - 1
    np.testing.assert_allclose(short.log_p, long.log_p, atol=1e-5)
    assert len(LanguageModel(folders[0], max_length=8).statistics(["xyz" * 9])[0].log_p) == 7
    with pytest.raises(InvalidInput, match="at least 2 tokens, got 1"):
        LanguageModel(folders[0], max_length=1)


def test_the_first_token_counts_only_where_one_stands_before_it(
    folders: tuple[str, str], tmp_path: Path
) -> None:
    plain = LanguageModel(folders[0])
    asked = LanguageModel(folders[0], bos=True)
    itself = LanguageModel(str(tiny_lm(tmp_path / "llama", seed=1, bos=True)), bos=True)
    texts = ["abcd", "a", ""]
    assert [len(t.log_p) for t in plain.statistics(texts)] == [3, 0, 0]
    for model in (asked, itself):
        assert [len(t.log_p) for t in model.statistics(texts)] == [4, 1, 0]
    np.testing.assert_allclose(asked.metrics(texts)["lrr"], itself.metrics(texts)["lrr"])
    assert np.isnan(asked.metrics(texts)["lrr"]).tolist() == [False, False, True]


def test_what_the_model_wrote_itself_scores_higher(
    folders: tuple[str, str], pair: LanguageModel
) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folders[0])
    letters = tokenizer.convert_tokens_to_ids([chr(i) for i in range(33, 127)])
    model = AutoModelForCausalLM.from_pretrained(folders[0]).eval()
    draw = torch.Generator().manual_seed(0)
    ids = torch.tensor([[letters[i]] for i in range(24)])
    with torch.no_grad():
        for _ in range(30):
            chances = model(ids).logits[:, -1, letters].softmax(-1)
            drawn = torch.multinomial(chances, 1, generator=draw)
            ids = torch.cat([ids, torch.tensor(letters)[drawn]], dim=1)
    machine = [tokenizer.decode(row) for row in ids]
    rng = np.random.default_rng(0)
    human = ["".join(chr(i) for i in rng.integers(33, 127, size=31)) for _ in machine]
    for name, scores in pair.metrics(machine + human).items():
        if name != "entropy":  # its direction is an observation, not a law
            assert auroc([1] * 24 + [0] * 24, scores) > 0.9, name


def test_no_texts_give_no_scores(pair: LanguageModel) -> None:
    assert all(scores.shape == (0,) for scores in pair.metrics([]).values())


def test_scorers_of_one_model_share_its_forward_pass(
    pair: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    forward = LanguageModel._forward
    monkeypatch.setattr(
        LanguageModel,
        "_forward",
        lambda *a: calls.append(1) or forward(*a),  # type: ignore[func-returns-value]
    )
    texts = ["one text", "two text"]
    scores = [ZeroShot(pair, name).score(texts) for name in METRICS]
    assert len(calls) == 1
    scores[0][:] = 0
    assert (ZeroShot(pair, "log-likelihood").score(texts) < 0).all()


def test_where_a_ratio_has_no_value_it_is_finite_or_unanswered() -> None:
    zero, one = np.zeros(2), np.ones(2)
    sure = TokenStatistics(log_p=-one, rank=one, entropy=zero, mean=zero, variance=zero)
    assert zeroshot.lrr(sure) == pytest.approx(2 / np.log(2))
    assert np.isnan(zeroshot.fast_detectgpt(sure))
    assert np.isnan(zeroshot.binoculars(sure))


def test_a_model_that_is_not_there_or_does_not_fit_is_refused(
    folders: tuple[str, str], tmp_path: Path
) -> None:
    with pytest.raises(ModelNotFound, match="causal language model"):
        LanguageModel(str(tmp_path / "nothing"))
    with pytest.raises(InvalidInput, match="needs two models"):
        ZeroShot(LanguageModel(folders[0]), "binoculars")
    with pytest.raises(InvalidInput, match="expected one of"):
        ZeroShot(LanguageModel(folders[0]), "perplexity")
    with pytest.raises(InvalidInput, match="no such device"):
        LanguageModel(folders[0], device="abacus")


def test_two_models_with_two_tokenizers_are_refused(
    folders: tuple[str, str], tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    other = tiny_lm(tmp_path / "other")
    tokenizer = AutoTokenizer.from_pretrained(other)
    tokenizer.add_tokens(["delve"])
    tokenizer.save_pretrained(other)
    with pytest.raises(InvalidInput, match="different vocabularies"):
        LanguageModel(folders[0], reference=str(other))


def test_logits_that_are_not_numbers_are_an_error_and_not_a_score(folders: tuple[str, str]) -> None:
    import torch

    model = LanguageModel(folders[0])
    with torch.no_grad():
        model._models[0].transformer.wte.weight[5] = float("nan")
    with pytest.raises(DetectorFailed, match="not finite"):
        model.metrics(["some text"])


def test_two_tokens_with_round_numbers_give_these_scores() -> None:
    columns = ([-1.0, -3.0], [1, 4], [1.0, 2.0], [-1.0, -2.0], [0.5, 0.5])
    tokens = TokenStatistics(*np.array(columns, dtype=np.float64))
    assert {name: round(metric(tokens), 4) for name, metric in METRICS.items()} == {
        "log-likelihood": -2.0,
        "rank": -2.5,
        "log-rank": -0.6931,
        "entropy": 1.5,
        "lrr": 2.8854,
        "fast-detectgpt": -1.0,
        "binoculars": -1.3333,
    }
