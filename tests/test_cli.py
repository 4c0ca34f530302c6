"""The commands beside `score`, as a shell sees them: what they print, write and refuse."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from tiny import MAX_LENGTH, human_posts, machine_posts
from typer.testing import CliRunner, Result

import textdetect
from textdetect import Detector
from textdetect.cli import app
from textdetect.cli.exits import guard
from textdetect.errors import ParityError

COMMANDS = ("score", "accounts", "train", "calibrate", "export", "info", "bench")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refused(*arguments: str | Path) -> tuple[int, str]:
    """Run a command that fails; its exit code and the one line it says."""
    result = run(*arguments)
    assert result.stderr.count("\n") == 1, result.stderr
    assert result.stderr.startswith("textdetect: ")
    return result.exit_code, result.stderr.strip()


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    """Give a copy of the tiny checkpoint that may be damaged."""
    return Path(shutil.copytree(tiny, tmp_path / "copy"))


@pytest.fixture
def humans_csv(tmp_path: Path) -> Path:
    lines = ["id,message", *(f'{i},"{post}"' for i, post in enumerate(human_posts(800, seed=5)))]
    (tmp_path / "humans.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "humans.csv"


def test_version_is_the_package_version() -> None:
    result = run("--version")
    assert (result.exit_code, result.stdout) == (0, f"textdetect {textdetect.__version__}\n")


def test_python_m_textdetect_is_the_command() -> None:
    command = [sys.executable, "-m", "textdetect"]
    said = subprocess.run([*command, "--help"], capture_output=True, check=True, text=True).stdout
    assert "Usage: textdetect " in said
    assert subprocess.run([*command, "nothing"], capture_output=True).returncode == 2


def test_a_command_shows_warnings_once_whatever_ran_before_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    package = logging.getLogger("textdetect")
    before = (package.handlers[:], package.level)

    @guard
    def warns() -> int:
        package.setLevel(logging.INFO)
        package.getChild("detector").warning("%d of %d posts left out", 900, 1_200)
        package.info("going on")
        return 3

    for _ in range(2):
        with pytest.raises(typer.Exit) as ended:
            warns()
        assert ended.value.exit_code == 3
        said = capsys.readouterr()
        assert said.err == "textdetect: 900 of 1200 posts left out\ntextdetect: going on\n"
        assert said.out == ""
        assert (package.handlers, package.level) == before
    package.warning("to nobody's terminal")
    assert capsys.readouterr().err == ""


def test_the_help_lists_every_command_and_says_what_a_flag_is_not() -> None:
    said = run("--help").stdout
    assert all(command in said for command in COMMANDS)
    assert "never about a person" in said


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"Usage: textdetect {command}" in result.stdout


def test_info_prints_versions_machine_files_and_strata(tiny: Path) -> None:
    result = run("info", "--model", tiny)
    assert (result.exit_code, result.stderr) == (0, "")
    model = Detector.from_pretrained(tiny)
    for word in (textdetect.__version__, model.fingerprint, "model.safetensors", "as listed"):
        assert word in result.stdout
    assert "calibration for onnxruntime-fp32" in result.stdout
    assert "0.00498" in result.stdout


def test_info_as_json_is_json(tiny: Path) -> None:
    report = json.loads(run("info", "--json", "--model", tiny).stdout)
    assert report["model"]["name"] == "tiny"
    assert report["model"]["error"] is None


def test_info_without_a_model_prints_the_rest_and_fails_in_one_line() -> None:
    code, said = refused("info", "--model", "no-such-model", "--json")
    assert code == 1
    assert "no-such-model" in said
    report = json.loads(run("info", "--model", "no-such-model", "--json").stdout)
    assert report["textdetect"] == textdetect.__version__
    assert report["model"]["error"] in said


def test_info_names_the_file_that_was_changed(copy: Path) -> None:
    (copy / "tokenizer.json").write_text("{}")
    code, said = refused("info", "--model", copy, "--json")
    assert code == 1
    assert "ChecksumMismatch" in said
    assert "tokenizer.json" in said


def test_calibrate_writes_a_checkpoint_and_prints_its_strata(
    tiny: Path, humans_csv: Path, tmp_path: Path
) -> None:
    posts = tmp_path / "labelled.jsonl"
    rows = [(text, 0) for text in human_posts(80, seed=6)]
    rows += [(text, 1) for text in machine_posts(80, seed=6)]
    lines = [json.dumps({"text": text, "label": label}) for text, label in rows]
    posts.write_text("\n".join(lines) + "\n")
    options = ["--text-column", "message", "--labelled", posts]
    result = run("calibrate", tiny, "--human", humans_csv, "-o", tmp_path / "out", *options)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.endswith(f"{tmp_path / 'out'}\n")
    calibration = Detector.from_pretrained(tmp_path / "out").calibration
    assert calibration is not None
    assert calibration.probability_fitted
    for row in calibration.describe():
        assert f"{row['n_humans']}" in result.stdout
        assert f"{row['smallest_p_value']:.4g}" in result.stdout
        assert f"{row['smallest_p_value']:.2g} ({row['tokens']})" in result.stdout


def test_calibrate_on_too_few_posts_says_which_rate_they_support_and_ends_with_3(
    tiny: Path, tmp_path: Path
) -> None:
    (tmp_path / "people.txt").write_text("\n".join(human_posts(300, seed=7)) + "\n")
    result = run("calibrate", tiny, "--human", tmp_path / "people.txt", "-o", tmp_path / "out")
    assert result.exit_code == 3
    assert "en: --max-fpr from, by tokens: 0.02 (0+)" in result.stdout
    assert result.stdout.endswith(f"{tmp_path / 'out'}\n")
    assert "0.01 is not supported, and nothing below 0.02" in result.stderr
    assert "600 posts" in result.stderr


@pytest.mark.parametrize(
    ("human", "options", "code", "why"),
    [
        ("humans.csv", ["--format", "xls"], 2, "'xls'"),
        ("humans.csv", ["--text-column", "nope"], 2, "no column 'nope'"),
        ("nowhere.csv", [], 1, "No such file"),
        ("humans.xls", [], 2, "say it with --format"),
        ("humans.csv", ["--text-column", "message", "--labelled", "no.csv"], 1, "no.csv"),
    ],
)
def test_calibrate_refuses_what_it_cannot_read(
    tiny: Path, humans_csv: Path, human: str, options: list[str], code: int, why: str
) -> None:
    folder = humans_csv.parent
    arguments = ["calibrate", tiny, "--human", folder / human, "--out", folder / "out", *options]
    assert refused(*arguments)[0] == code
    assert why in refused(*arguments)[1]
    assert not (folder / "out").exists()


def test_export_writes_a_checkpoint_without_a_calibration(tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ["--out", out, "--name", "mine", "--max-length", str(MAX_LENGTH)]
    result = run("export", tiny.parent / "classifier", *options)
    assert (result.exit_code, result.stdout) == (0, f"{out}\n")
    detector = Detector.from_pretrained(out)
    assert (detector.name, detector.calibration) == ("mine", None)
    texts = human_posts(20, seed=7)
    assert detector.logits(texts).tolist() == Detector.from_pretrained(tiny).logits(texts).tolist()
    code, said = refused("bench", "--model", out)
    assert (code, "textdetect calibrate" in said) == (1, True)


@pytest.mark.parametrize(
    ("change", "code", "why"),
    [
        ({}, 2, "max_length: expected at most 64"),
        ({"id2label": {"0": "machine", "1": "human"}}, 2, "human, machine in this order"),
    ],
)
def test_export_refuses_a_model_of_another_shape(
    tiny: Path, tmp_path: Path, change: dict[str, object], code: int, why: str
) -> None:
    model = Path(shutil.copytree(tiny.parent / "classifier", tmp_path / "model"))
    config = json.loads((model / "config.json").read_text()) | change
    (model / "config.json").write_text(json.dumps(config))
    result = refused("export", model, "--out", tmp_path / "out", "--name", "mine")
    assert result[0] == code
    assert why in result[1]
    assert not (tmp_path / "out").exists()


def test_export_of_nothing_fails_in_one_line(tmp_path: Path) -> None:
    code, said = refused("export", tmp_path / "no", "--out", tmp_path / "out", "--name", "mine")
    assert code == 1
    assert "no model" in said
    assert not (tmp_path / "out").exists()


def test_a_failed_parity_check_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise ParityError("the exported graph\ndiffers")

    monkeypatch.setattr("textdetect.training.export.export", fail)
    assert refused("export", "m", "--out", "o", "--name", "n") == (
        1,
        "textdetect: the exported graph differs",
    )


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "cannot read the config"),
        ("name: x\nseeed: 1\n", "unknown key 'seeed'"),
        ("name: x\nseed: [1, 2]\n", "seed: expected a int, got [1, 2]"),
        ("- a list\n", "expected a mapping of keys"),
        ("name: [\n", "is not YAML"),
    ],
)
def test_train_refuses_a_wrong_config_in_one_line(
    tmp_path: Path, content: str | None, why: str
) -> None:
    if content is not None:
        (tmp_path / "wrong.yaml").write_text(content)
    code, said = refused("train", tmp_path / "wrong.yaml", "--out", tmp_path / "run")
    assert code == 1
    assert why in said
    assert not (tmp_path / "run").exists()


def test_train_prints_origins_and_asks_for_the_corpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TEXTDETECT_DATA", raising=False)
    (tmp_path / "mine.yaml").write_text("name: mine\nfinetune: {epochs: 2}\n")
    result = run("train", tmp_path / "mine.yaml")
    assert result.exit_code == 1
    assert result.stdout == "name: from mine.yaml\nfinetune.epochs: from mine.yaml\n"
    assert "no corpus folder" in result.stderr


def test_train_prints_the_checkpoint_and_names_the_run_after_its_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[object] = []
    monkeypatch.setattr(
        "textdetect.training.train", lambda *parts: given.append(parts[2]) or "done"
    )
    (tmp_path / "file.yaml").write_text("name: mine\n")
    result = run("train", tmp_path / "file.yaml", "--data", tmp_path)
    assert (result.exit_code, result.stdout) == (0, "name: from file.yaml\ndone\n")
    assert given == ["runs/mine"]


@pytest.mark.parametrize("seconds", ["0", "-1", "nan"])
def test_bench_refuses_no_time_at_all(tiny: Path, seconds: str) -> None:
    code, said = refused("bench", "--model", tiny, "--seconds", seconds)
    assert (code, "seconds" in said) == (2, True)


def test_a_missing_option_is_a_usage_error(tiny: Path) -> None:
    for arguments in (["calibrate", tiny], ["export", tiny], ["train"], ["bench", "--nope"]):
        assert run(*arguments).exit_code == 2
