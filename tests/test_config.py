"""Configs: what is read, what is refused, and where each value comes from."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textdetect._ground.config import (
    CalibrationConfig,
    DataConfig,
    FinetuneConfig,
    TrainConfig,
    build,
    dump,
    load_config,
)
from textdetect.errors import ConfigError

CONFIGS = Path(__file__).parent.parent / "configs"


def write(folder: Path, body: str, name: str = "run.yaml") -> Path:
    path = folder / name
    path.write_text(body, encoding="utf-8")
    return path


def refused(folder: Path, body: str) -> str:
    """Give the message with which a config is refused."""
    with pytest.raises(ConfigError) as caught:
        load_config(write(folder, body), TrainConfig)
    return str(caught.value)


def test_a_config_says_only_what_differs_from_the_defaults(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
name: mine
seed: 7
data:
  sources: [a, b]
  parts: [0.7, 0.1, 0.1, 0.1]
  repeat: {a: 3}
finetune:
  epochs: 2
  learning_rate: 5.0e-5
""",
    )
    config, origin = load_config(path, TrainConfig)
    assert config == TrainConfig(
        name="mine",
        seed=7,
        data=DataConfig(sources=("a", "b"), parts=(0.7, 0.1, 0.1, 0.1), repeat={"a": 3}),
        finetune=FinetuneConfig(epochs=2.0, learning_rate=5e-5),
    )
    assert isinstance(config.finetune.epochs, float)
    assert origin["data.repeat.a"] == origin["seed"] == "run.yaml"
    assert "version" not in origin


def test_a_path_may_be_a_str(tmp_path: Path) -> None:
    assert load_config(str(write(tmp_path, "name: mine")), TrainConfig)[0].name == "mine"


def test_a_config_cannot_be_changed_once_it_is_made() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrainConfig(name="mine").seed = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ("name: x\nepoch: 2", "'epoch'"),
        ("name: x\nfinetune: {epoch: 2}", "'finetune.epoch'"),
        ("name: x\n1: 2", "'1'"),
        ("name: x\n1: 2\nepoch: 3", "'1'"),
        ("name: x\ndata: {2: 2, max_row: 3}", "'data.2'"),
    ],
)
def test_an_unknown_key_is_refused_by_its_whole_name(tmp_path: Path, body: str, key: str) -> None:
    message = refused(tmp_path, body)
    assert message.startswith(f"unknown key {key}")
    assert "known here:" in message


def test_a_rate_may_be_written_as_yaml_takes_for_a_text(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("name: x\nfinetune: {learning_rate: 1e-4, epochs: 2}")
    config, _ = load_config(file, TrainConfig)
    assert (config.finetune.learning_rate, config.finetune.epochs) == (1e-4, 2.0)


@pytest.mark.parametrize(
    ("body", "key", "got"),
    [
        ("name: 3", "name", "3"),
        ("name: x\nseed: true", "seed", "True"),
        ("name: x\nseed: 1.0", "seed", "1.0"),
        ("name: x\nseed: '1'", "seed", "'1'"),
        ("name: x\nseed:", "seed", "None"),
        ("name: x\ndata: 3", "data", "3"),
        ("name: x\ndata:", "data", "None"),
        ("name: x\ndata: [a]", "data", "['a']"),
        ("name: x\nfinetune: {epochs: true}", "finetune.epochs", "True"),
        ("name: x\nfinetune: {learning_rate: fast}", "finetune.learning_rate", "'fast'"),
        ("name: x\ndata: {sources: tweets}", "data.sources", "'tweets'"),
        ("name: x\ndata: {sources: [1]}", "data.sources", "1"),
        ("name: x\ndata: {crops: [64.0]}", "data.crops", "64.0"),
        ("name: x\ndata: {parts: 1}", "data.parts", "1"),
        ("name: x\ndata: {parts: [0.5, 0.5]}", "data.parts", "[0.5, 0.5]"),
        ("name: x\ndata: {repeat: [a]}", "data.repeat", "['a']"),
        ("name: x\ndata: {repeat: {a: often}}", "data.repeat", "'often'"),
        ("name: x\ndata: {repeat: {1: 2}}", "data.repeat", "1"),
    ],
)
def test_a_wrong_type_is_refused_with_the_key_and_the_value(
    tmp_path: Path, body: str, key: str, got: str
) -> None:
    message = refused(tmp_path, body)
    assert message.startswith(f"{key}: expected ")
    assert message.endswith(f", got {got}")


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("data", "parts", "[0.5, 0.5, 0.5, 0.5]"),
        ("data", "parts", "[1.5, -0.5, 0.0, 0.0]"),
        ("data", "max_rows", "0"),
        ("data", "near_duplicate", "1.0"),
        ("data", "near_duplicate", "0.0"),
        ("data", "crops", "[32, 2]"),
        ("data", "drop_links", "1.5"),
        ("data", "drop_links", "-0.1"),
        ("finetune", "max_length", "2"),
        ("finetune", "epochs", "0.0"),
        ("finetune", "batch_size", "-1"),
        ("finetune", "learning_rate", "1.0"),
        ("finetune", "learning_rate", "0.0"),
        ("finetune", "warmup", "1.0"),
        ("finetune", "warmup", "-0.1"),
        ("finetune", "label_smoothing", "1.5"),
        ("finetune", "label_smoothing", ".nan"),
        ("calibration", "delta", "0.0"),
        ("calibration", "delta", "2.0"),
        ("calibration", "min_auroc", ".nan"),
        ("calibration", "min_auroc", "1.1"),
        ("calibration", "min_humans", "-1"),
        ("calibration", "min_panel", "-1"),
        ("calibration", "min_stratum", "-1"),
    ],
)
def test_a_value_out_of_range_is_refused_and_echoed(
    tmp_path: Path, section: str, key: str, value: str
) -> None:
    message = refused(tmp_path, f"name: x\n{section}: {{{key}: {value}}}")
    assert message.startswith(f"{section}.{key}: expected ")
    shown = message.rpartition(", got ")[2] if value[0] != "[" else message.partition(", got ")[2]
    assert shown.strip("([])") == value.strip("[]").replace(".nan", "nan")


def test_ranges_hold_without_a_file_too() -> None:
    with pytest.raises(ConfigError, match=r"finetune\.epochs"):
        FinetuneConfig(epochs=-1)
    with pytest.raises(ConfigError, match=r"calibration\.delta"):
        CalibrationConfig(delta=1)


def test_a_missing_name_is_asked_for(tmp_path: Path) -> None:
    assert "'name'" in refused(tmp_path, "seed: 1")


def test_the_file_wins_over_its_base_key_by_key(tmp_path: Path) -> None:
    write(tmp_path, "name: root\nseed: 1\nversion: 1.0.0\ndata: {max_rows: 5}", "root.yaml")
    write(
        tmp_path,
        "base: root.yaml\nseed: 2\ndata: {repeat: {a: 3, b: 2}, sources: [x, y]}",
        "middle.yaml",
    )
    path = write(
        tmp_path, "base: middle.yaml\nname: leaf\ndata: {repeat: {a: 1, c: 4}, sources: [z]}"
    )
    config, origin = load_config(path, TrainConfig)
    assert config == TrainConfig(
        name="leaf",
        seed=2,
        version="1.0.0",
        data=DataConfig(max_rows=5, repeat={"a": 1, "b": 2, "c": 4}, sources=("z",)),
    )
    assert origin == {
        "name": "run.yaml",
        "seed": "middle.yaml",
        "version": "root.yaml",
        "data.max_rows": "root.yaml",
        "data.repeat.a": "run.yaml",
        "data.repeat.b": "middle.yaml",
        "data.repeat.c": "run.yaml",
        "data.sources": "run.yaml",
    }


def test_a_base_is_looked_for_beside_the_file_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    write(tmp_path, "seed: 9", "root.yaml")
    path = write(tmp_path / "deep", "base: ../root.yaml\nname: leaf")
    assert load_config(path, TrainConfig)[0].seed == 9


def test_a_key_of_the_base_is_checked_like_any_other(tmp_path: Path) -> None:
    write(tmp_path, "sede: 9", "root.yaml")
    assert "'sede'" in refused(tmp_path, "base: root.yaml\nname: leaf")


@pytest.mark.parametrize("first", ["run.yaml", "a.yaml"])
def test_a_circle_of_bases_is_refused(tmp_path: Path, first: str) -> None:
    write(tmp_path, "base: b.yaml", "a.yaml")
    write(tmp_path, "base: a.yaml", "b.yaml")
    assert "is its own base" in refused(tmp_path, f"base: {first}\nname: x")


@pytest.mark.parametrize("base", ["3", "[root.yaml]", "{a: b}"])
def test_a_base_that_names_no_file_is_refused(tmp_path: Path, base: str) -> None:
    assert refused(tmp_path, f"name: x\nbase: {base}").startswith("base: expected")


@pytest.mark.parametrize("name", ["none.yaml", "."])
def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot read the config"):
        load_config(tmp_path / name, TrainConfig)
    assert "cannot read the config" in refused(tmp_path, f"name: x\nbase: {name}")


@pytest.mark.parametrize("body", [b"a: [", b"\xff\xfe\x00", b"name: \x00", b"name: !!python/none"])
def test_a_file_that_is_not_yaml_is_refused(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "run.yaml").write_bytes(body)
    with pytest.raises(ConfigError, match="is not YAML"):
        load_config(tmp_path / "run.yaml", TrainConfig)


@pytest.mark.parametrize(("body", "what"), [("", "NoneType"), ("- a", "list"), ("word", "str")])
def test_yaml_that_is_no_mapping_is_refused(tmp_path: Path, body: str, what: str) -> None:
    assert refused(tmp_path, body).endswith(f"expected a mapping of keys, got {what}")


def test_yaml_cannot_run_code(tmp_path: Path) -> None:
    body = f"name: !!python/object/apply:pathlib.Path.touch [{tmp_path / 'touched'}]"
    assert "is not YAML" in refused(tmp_path, body)
    assert not (tmp_path / "touched").exists()


words = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=12)
share = st.floats(0.01, 0.99)
configs = st.builds(
    TrainConfig,
    name=words,
    version=words,
    seed=st.integers(-(2**40), 2**40),
    data=st.builds(
        DataConfig,
        sources=st.lists(words, max_size=3).map(tuple),
        parts=st.sampled_from([(0.5, 0.2, 0.1, 0.2), (1.0, 0.0, 0.0, 0.0), (0.1, 0.2, 0.3, 0.4)]),
        max_rows=st.integers(1, 10**6),
        repeat=st.dictionaries(words, st.integers(1, 9), max_size=3),
        near_duplicate=share,
        drop_links=share,
        crops=st.lists(st.integers(3, 512), max_size=3).map(tuple),
    ),
    finetune=st.builds(
        FinetuneConfig,
        encoder=words,
        epochs=st.floats(1e-3, 1e3),
        learning_rate=st.floats(1e-12, 0.5),
        warmup=share,
    ),
    calibration=st.builds(CalibrationConfig, delta=share),
)


@given(config=configs)
def test_what_is_dumped_is_what_is_read(
    tmp_path_factory: pytest.TempPathFactory, config: TrainConfig
) -> None:
    path = write(tmp_path_factory.getbasetemp(), dump(config), "dumped.yaml")
    assert load_config(path, TrainConfig)[0] == config


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(CONFIGS.glob("*.yaml")) if path.name != "base.yaml"],
    ids=lambda path: path.stem,
)
def test_every_config_of_the_repository_can_be_trained(path: Path) -> None:
    config, origin = load_config(path, TrainConfig)
    assert config.name == path.stem
    assert set(origin.values()) <= {file.name for file in CONFIGS.glob("*.yaml")}
    assert {"detectrl", "outfox", "rusentiment_human"} <= set(config.data.evaluation_only)
    assert not set(config.data.sources) & set(config.data.evaluation_only)


def test_there_are_configs_to_check() -> None:
    assert {"base.yaml", "default.yaml"} <= {path.name for path in CONFIGS.glob("*.yaml")}


@dataclasses.dataclass(frozen=True)
class Nested:
    maybe: int | None = None
    pairs: dict[str, float] = dataclasses.field(default_factory=dict)


def test_any_dataclass_can_be_built() -> None:
    values: dict[str, Any] = {"maybe": None, "pairs": {"a": 1}}
    assert build(Nested, values) == Nested(None, {"a": 1.0})
    assert build(Nested, {"maybe": 3}) == Nested(3)
    with pytest.raises(ConfigError, match="maybe"):
        build(Nested, {"maybe": "3"})
