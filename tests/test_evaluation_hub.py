"""The metrics as modules of the library evaluate, loaded by their path, without a network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from textdetect.errors import InvalidInput
from textdetect.evaluation import hub
from textdetect.metrics import (
    accuracy,
    auroc,
    average_precision,
    brier,
    ece,
    macro_f1,
    predictive_value,
    rates,
    tpr_at_fpr,
)

LABELS = [0, 0, 0, 1, 1, 1]
SCORES = [0.1, 0.6, 0.3, 0.35, 0.6, 0.9]
COMPUTE = """
import json, socket, sys

def refuse(*_, **__):
    raise OSError("the network was asked for")

socket.socket.connect = socket.getaddrinfo = refuse
import textdetect.evaluation
from textdetect.evaluation import hub
late = not {"evaluate", "datasets", "torch"} & set(sys.modules)
import evaluate
from textdetect.errors import InvalidInput
labels, scores = json.loads(sys.argv[1])
found = {"late": late}
for name, options in (
    ("ranking", {"max_fpr": 0.4}), ("operating_point", {"threshold": 0.5}), ("reliability", {})
):
    module = evaluate.load(str(hub.folder(name)))
    found[name] = module.compute(predictions=scores, references=labels, **options)
    try:
        module.compute(predictions=[float("nan"), 1.0], references=[0, 1], **options)
    except InvalidInput:
        found[name]["refused"] = True
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Load and compute every module in an interpreter of its own, with an empty cache."""
    home = str(tmp_path_factory.mktemp("hf"))
    output = subprocess.check_output(
        [sys.executable, "-c", COMPUTE, json.dumps([LABELS, SCORES])],
        env=os.environ | {"HF_HOME": home, "HF_EVALUATE_OFFLINE": "1"},
        text=True,
    )
    return dict(json.loads(output.splitlines()[-1]))


@pytest.mark.slow
def test_modules_load_offline_and_give_the_figures_of_metrics(found: dict[str, Any]) -> None:
    at = rates(LABELS, SCORES, threshold=0.5)
    worth = predictive_value(at.tpr, at.fpr)
    assert found["ranking"] == {
        "auroc": auroc(LABELS, SCORES),
        "average_precision": average_precision(LABELS, SCORES),
        "tpr_at_fpr": tpr_at_fpr(LABELS, SCORES, 0.4),
        "max_fpr": 0.4,
        "refused": True,
    }
    assert found["operating_point"] == {
        "tpr": at.tpr,
        "fpr": at.fpr,
        "accuracy": accuracy(LABELS, SCORES, threshold=0.5),
        "macro_f1": macro_f1(LABELS, SCORES, threshold=0.5),
        "ppv_at_base_rate_0.001": worth[0.001],
        "ppv_at_base_rate_0.01": worth[0.01],
        "ppv_at_base_rate_0.1": worth[0.1],
        "refused": True,
    }
    assert found["reliability"] == {
        "brier": brier(LABELS, SCORES),
        "ece": ece(LABELS, SCORES),
        "refused": True,
    }


@pytest.mark.slow
def test_evaluate_is_imported_by_a_module_alone(found: dict[str, Any]) -> None:
    assert found["late"]


def test_every_folder_is_found_by_name_and_another_name_is_refused() -> None:
    folders = {path.name for path in Path(hub.__file__).parent.iterdir() if path.is_dir()}
    for name in folders - {"__pycache__"}:
        assert (hub.folder(name) / f"{name}.py").is_file()
    for name in ("nothing", "", "__pycache__", "../hub"):
        with pytest.raises(InvalidInput, match="operating_point"):
            hub.folder(name)
