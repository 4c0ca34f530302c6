"""The wheel alone: built, installed into an empty environment, used with the network cut off."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
POST = "The room was clean, the staff were kind and breakfast was better than we expected."
PREDICT = f"""
import json, sys
from textdetect import Detector
verdict = Detector.from_pretrained().predict({POST!r})
heavy = [name for name in ("torch", "transformers") if name in sys.modules]
import textdetect
print(json.dumps([verdict.label, verdict.probability, textdetect.__file__, heavy]))
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out)]
    subprocess.run([*command, str(ROOT)], check=True, capture_output=True)
    (file,) = out.glob("*.whl")
    return file


def test_the_wheel_holds_the_package_and_the_model_and_nothing_else(wheel: Path) -> None:
    assert wheel.name.startswith("textdetect_social-")
    names = zipfile.ZipFile(wheel).namelist()
    assert "textdetect/model/embedded/default/model.safetensors" in names
    assert "textdetect/posts/attacks/tables.toml" in names
    assert "textdetect/evaluation/report/page.html" in names
    assert "textdetect/evaluation/suites/shared/corpus.yaml" in names
    assert "textdetect/py.typed" in names
    folders = {name.split("/")[0] for name in names}
    assert {name for name in folders if not name.endswith(".dist-info")} == {"textdetect"}
    assert {"LICENSE", "MODEL_LICENSE"} <= {Path(name).name for name in names}
    assert wheel.stat().st_size < 95_000_000


def test_it_predicts_in_an_empty_environment_without_a_network(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "empty", with_pip=True)
    python = tmp_path / "empty" / "bin" / "python"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "HF_"))}
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    pins = ["--constraint", str(ROOT / "constraints.txt")]
    subprocess.run([*pip, *pins, str(wheel)], check=True, env=environment, cwd=tmp_path)
    cut_off = ["unshare", "--map-root-user", "--net"]
    if not shutil.which("unshare") or subprocess.run([*cut_off, "true"]).returncode:
        pytest.skip("needs unshare, which may cut a process off the network")
    command = [*cut_off, str(python), "-c", PREDICT]
    output = subprocess.check_output(command, env=environment, cwd=tmp_path, text=True)
    label, probability, home, heavy = json.loads(output)
    assert label in ("machine", "not_flagged", "uncertain")
    assert 0 <= probability <= 1
    assert Path(home).is_relative_to(tmp_path)
    assert heavy == []
