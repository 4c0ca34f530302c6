"""A training list → a fine-tuned classifier in an ordinary transformers folder.

It knows nothing of sources, calibration or ONNX.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import re
import shutil
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from textdetect._ground.config import FinetuneConfig
from textdetect._ground.optional import require
from textdetect.errors import TrainingFailed
from textdetect.model.checkpoint import encoder_folder
from textdetect.model.runtimes.host import has_bf16
from textdetect.posts.mixture import TrainingList

DONE = "done"


def load_tokenizer(folder: str, max_length: int) -> Any:
    """Load a fast tokenizer that truncates at `max_length` and never pads by itself."""
    transformers = require("transformers", extra="train")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, model_max_length=max_length)
    if tokenizer.pad_token is None:  # as in some causal language models
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.backend_tokenizer.enable_truncation(max_length)
    return tokenizer


def encode(
    tokenizer: Any, texts: Sequence[str], listed: TrainingList, *, max_length: int
) -> list[list[int]]:
    """Tokenise the normalised texts of a training list, in its order, each cut to its crop."""
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    around = backend.encode("a")
    first_word = around.special_tokens_mask.index(0)
    prefix, suffix = around.ids[:first_word], around.ids[first_word + 1 :]
    special = len(prefix) + len(suffix)
    ids: list[list[int]] = []
    for first in range(0, len(texts), 4096):
        part = list(texts[first : first + 4096])
        for encoding in backend.encode_batch(part, add_special_tokens=False):
            position = len(ids)
            room = min(int(listed.crops[position]) or max_length, max_length) - special
            skip = int(float(listed.offsets[position]) * max(0, len(encoding.ids) - room))
            ids.append([*prefix, *encoding.ids[skip : skip + room], *suffix])
    backend.enable_truncation(max_length)
    return ids


def finetune(
    config: FinetuneConfig,
    texts: Sequence[str],
    labels: Sequence[int],
    listed: TrainingList,
    out: str | Path,
    *,
    seed: int,
) -> Path:
    """Fine-tune the encoder on a training list; a run that was cut off goes on where it was.

    With `config.runs` of several, the runs start alike and differ in the order of the posts and in
    dropout, and their weights are averaged (Wortsman et al., "Model soups", ICML 2022). Without a
    GPU they run side by side, as far as there are cores.

    Args:
        texts: normalised texts of the list's rows, in its order.
        labels: 0 human, 1 machine; in the list's order.
        out: folder of the run; the classifier is written to `out`/model.

    Returns:
        The folder of the classifier (float32, labels human and machine).

    Raises:
        TrainingFailed: the loss is not a number.
    """
    out = Path(out)
    if (out / "model" / DONE).is_file():
        return out / "model"
    if config.runs == 1:
        return _finetune(config, texts, labels, listed, out, seed, seed)
    torch = require("torch", extra="train")
    listed = dataclasses.replace(listed, attacks=())  # the texts hold them; functions don't travel
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    workers = 1 if torch.cuda.is_available() else min(config.runs, n_cores or 1)
    with ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=torch.set_num_threads,
        initargs=(max(1, (n_cores or 1) // workers),),
    ) as pool:
        runs = [
            pool.submit(_finetune, config, texts, labels, listed, out / f"run-{i}", seed, seed + i)
            for i in range(config.runs)
        ]
        return average([run.result() for run in runs], out / "model")


def average(folders: Sequence[Path], out: Path) -> Path:
    """Write the mean of several classifiers' weights, beside the first one's tokenizer."""
    safetensors = require("safetensors.torch", extra="train")
    shutil.copytree(folders[0], out, dirs_exist_ok=True)
    (out / DONE).unlink()
    weights = [safetensors.load_file(folder / "model.safetensors") for folder in folders]
    mean = {name: sum(w[name] for w in weights) / len(weights) for name in weights[0]}
    safetensors.save_file(mean, out / "model.safetensors", metadata={"format": "pt"})
    (out / DONE).touch()
    return out


def _finetune(
    config: FinetuneConfig,
    texts: Sequence[str],
    labels: Sequence[int],
    listed: TrainingList,
    out: Path,
    seed: int,
    order: int,
) -> Path:
    """Fine-tune once: `seed` draws what is new in the model, `order` the order and the dropout."""
    model_folder = out / "model"
    if (model_folder / DONE).is_file():
        return model_folder
    transformers, torch = require("transformers", extra="train"), require("torch", extra="train")
    datasets = require("datasets", extra="train")
    transformers.set_seed(seed)
    encoder = encoder_folder(config.encoder)
    tokenizer = load_tokenizer(encoder, config.max_length)
    ids = encode(tokenizer, texts, listed, max_length=config.max_length)
    dataset = datasets.Dataset.from_dict(
        {
            "input_ids": ids,
            "labels": [int(label) for label in labels],
            "length": [len(row) for row in ids],
        }
    )
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        encoder,
        num_labels=2,
        id2label={0: "human", 1: "machine"},
        label2id={"human": 0, "machine": 1},
        dtype=torch.float32,
        **how_to_load(encoder, config),
    )
    if config.lora_rank:
        # All but the head is frozen, and each linear layer learns a low-rank change: Hu et al.,
        # "LoRA: low-rank adaptation of large language models", ICLR 2022, section 4.1.
        peft, rank = require("peft", extra="train"), config.lora_rank
        kind = {"task_type": peft.TaskType.SEQ_CLS, "target_modules": "all-linear"}
        model = peft.get_peft_model(model, peft.LoraConfig(r=rank, lora_alpha=2 * rank, **kind))
    average = _averaging(model, config.averaging) if config.averaging else None
    trainer = resumable_trainer(order)(
        model=model,
        args=arguments(config, out / "steps", order),
        train_dataset=dataset,
        processing_class=tokenizer,
        data_collator=transformers.DataCollatorWithPadding(tokenizer, pad_to_multiple_of=8),
        optimizers=(torch.optim.AdamW(parameter_groups(model, config), fused=True), None),
        callbacks=[average] if average else None,
    )
    last = transformers.trainer_utils.get_last_checkpoint(str(out / "steps"))
    result = trainer.train(resume_from_checkpoint=last)
    if not np.isfinite(result.training_loss):
        raise TrainingFailed(
            f"the training loss became {result.training_loss}; lower finetune.learning_rate"
        )
    if average is not None:
        model.load_state_dict(average.weights.module.state_dict())
    if config.lora_rank:
        model = model.merge_and_unload()
    model.float().save_pretrained(model_folder)
    tokenizer.save_pretrained(model_folder)
    (model_folder / DONE).touch()
    shutil.rmtree(out / "steps")
    return model_folder


def how_to_load(encoder: str, config: FinetuneConfig) -> dict[str, Any]:
    """Say how to load an encoder: its dropout, and without a GPU the attention that trains faster.

    On a processor, the backward pass of torch's fused attention takes more time than all other
    layers together, and so does drawing what dropout leaves out.
    """
    transformers, torch = require("transformers", extra="train"), require("torch", extra="train")
    how: dict[str, Any] = {} if torch.cuda.is_available() else {"attn_implementation": "eager"}
    known = transformers.AutoConfig.from_pretrained(encoder)
    if config.dropout >= 0:
        names = ("hidden_dropout_prob", "attention_probs_dropout_prob", "attention_dropout")
        how |= {name: config.dropout for name in names if hasattr(known, name)}
    return how


def parameter_groups(model: Any, config: FinetuneConfig) -> list[dict[str, Any]]:
    """Give each layer its learning rate, and only matrices a weight decay.

    The rate is `learning_rate` in the head and falls by `layer_decay` for each layer below it, the
    embeddings being the lowest (Howard & Ruder, "Universal language model fine-tuning for text
    classification", ACL 2018, section 3.2).
    """
    n_layers = model.config.num_hidden_layers
    groups: dict[tuple[int, bool], list[Any]] = {}
    for name, parameter in model.named_parameters():
        layer = re.search(r"\.(?:layers?|h|block)\.(\d+)\.", name)
        below = n_layers - int(layer[1]) if layer else n_layers + 1 if "embed" in name else 0
        groups.setdefault((below, parameter.ndim > 1), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": config.learning_rate * config.layer_decay**below,
            "weight_decay": config.weight_decay if is_matrix else 0.0,
        }
        for (below, is_matrix), parameters in groups.items()
    ]


def resumable_trainer(seed: int) -> Any:
    """Make the Trainer whose order of posts is the epoch's own, so that a resumed run keeps it."""
    transformers, torch = require("transformers", extra="train"), require("torch", extra="train")
    by_length = transformers.trainer_pt_utils.LengthGroupedSampler

    class ByEpoch(by_length):  # type: ignore[misc,valid-type]
        def set_epoch(self, epoch: int) -> None:
            self.generator = torch.Generator().manual_seed(seed + epoch)

    class Resumable(transformers.Trainer):  # type: ignore[misc,name-defined]
        def _get_train_sampler(self, *_: Any) -> Any:
            return ByEpoch(self.args.train_batch_size, lengths=self.train_dataset["length"])

    return Resumable


def _averaging(model: Any, decay: float) -> Any:
    """Make the callback that averages a model's weights, over resumed runs too."""
    transformers, torch = require("transformers", extra="train"), require("torch", extra="train")
    swa = torch.optim.swa_utils
    safetensors = require("safetensors.torch", extra="train")

    class Averaging(transformers.TrainerCallback):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            self.weights = swa.AveragedModel(model, multi_avg_fn=swa.get_ema_multi_avg_fn(decay))

        def _file(self, args: Any, state: Any) -> Path:
            return Path(args.output_dir) / f"checkpoint-{state.global_step}" / "average.safetensors"

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step:
                self.weights.load_state_dict(safetensors.load_file(self._file(args, state)))

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step > 0.3 * state.max_steps:
                self.weights.update_parameters(model)

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            safetensors.save_file(self.weights.state_dict(), self._file(args, state))

    return Averaging()


def arguments(config: FinetuneConfig, folder: Path, seed: int) -> Any:
    """Say to the Trainer what a config says, and how this machine trains."""
    transformers, torch = require("transformers", extra="train"), require("torch", extra="train")
    folder.mkdir(parents=True, exist_ok=True)
    gpu = torch.cuda.is_available()
    bf16 = torch.cuda.is_bf16_supported() if gpu else has_bf16()
    return transformers.TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=config.epochs,
        per_device_train_batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        warmup_steps=config.warmup,
        label_smoothing_factor=config.label_smoothing,
        weight_decay=config.weight_decay,
        bf16=bf16,
        fp16=gpu and not bf16,
        use_cpu=not gpu,
        save_steps=config.save_steps,
        save_total_limit=1,
        logging_steps=100,
        report_to="none",
        seed=seed,
        data_seed=seed,
        dataloader_pin_memory=gpu,
        disable_tqdm=None,
    )
