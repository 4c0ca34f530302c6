"""The deployment files: what they name is there; Docker itself is not at hand everywhere."""

from __future__ import annotations

import configparser
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from textdetect.cli import app

FOLDER = Path(__file__).parents[1] / "configs" / "deploy"
ROOT = FOLDER.parents[1]


def _options_of_serve() -> set[str]:
    from typer.main import get_command

    command = get_command(app).commands["serve"]  # type: ignore[attr-defined]
    return {option for parameter in command.params for option in parameter.opts}


def test_the_image_is_built_of_what_is_there_and_runs_as_nobody() -> None:
    lines = (FOLDER / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    steps = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    assert {step for step, _ in steps} <= {
        *("FROM", "WORKDIR", "COPY", "RUN", "USER", "ENV", "EXPOSE", "STOPSIGNAL"),
        *("HEALTHCHECK", "ENTRYPOINT", "CMD"),
    }
    for step, rest in steps:
        if step == "COPY" and not rest.startswith("--from"):
            assert all((ROOT / name).exists() for name in rest.split()[:-1])
        if step in ("ENTRYPOINT", "CMD"):
            words = json.loads(rest)
            assert {word for word in words if word.startswith("--")} <= _options_of_serve()
    names = [step for step, _ in steps]
    assert names.index("USER") < names.index("ENTRYPOINT")
    assert all("latest" not in rest for step, rest in steps if step == "FROM")
    assert any(step == "HEALTHCHECK" and "/health/ready" in rest for step, rest in steps)


@pytest.mark.slow
def test_the_image_can_be_built_and_answers() -> None:
    base = ["docker", "image", "inspect", "python:3.11-slim"]
    if shutil.which("docker") is None or subprocess.run(base, capture_output=True).returncode:
        pytest.skip("needs docker, and its image python:3.11-slim")
    command = ["docker", "build", "-q", "-f", str(FOLDER / "Dockerfile"), str(ROOT)]
    image = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    help_of = ["docker", "run", "--rm", "--entrypoint", "textdetect", image, "info", "--json"]
    assert json.loads(subprocess.check_output(help_of))["model"]["version"]


def test_the_unit_runs_the_command_and_lets_it_finish() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string((FOLDER / "textdetect.service").read_text())
    service = unit["Service"]
    words = service["ExecStart"].split()
    assert words[1] == "serve"
    assert {word for word in words if word.startswith("--")} <= _options_of_serve()
    assert service["KillMode"] == "mixed"
    assert int(service["TimeoutStopSec"]) > 30
    if shutil.which("systemd-analyze"):
        path = str(FOLDER / "textdetect.service")
        done = subprocess.run(["systemd-analyze", "verify", path], capture_output=True, text=True)
        assert "Unknown" not in done.stderr


def test_the_dashboard_asks_for_metrics_that_there_are() -> None:
    pytest.importorskip("prometheus_client")
    source = (ROOT / "textdetect" / "serving" / "metrics.py").read_text()
    there = set(re.findall(r'"(textdetect_\w+)"', source))
    asked = set(
        re.findall(
            r"textdetect_\w+",
            json.dumps(json.loads((FOLDER / "grafana.json").read_text())["panels"]),
        )
    )
    assert {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in asked} <= there
    assert len(asked) >= 7
