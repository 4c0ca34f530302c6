"""Commands that make checkpoints: train, calibrate, export."""

from __future__ import annotations

import logging
from typing import Annotated, Any, Final

import typer
from typer import Argument

from textdetect.cli.app import (
    DataFolder,
    ModelArgument,
    OutFolder,
    Runtime,
    command,
    option,
    reads,
)
from textdetect.cli.exits import TOO_FEW, say
from textdetect.errors import NotCalibrated

ASKED: Final = 0.01
"""The rate that the commands take where none is said."""


@command
def train(
    config: Annotated[str, Argument(metavar="CONFIG", help="YAML file, as configs/default.yaml.")],
    data: DataFolder = None,
    out: Annotated[
        str | None,
        option(
            "Folder of the run.", "FOLDER", "--out", "-o", show_default="runs/NAME of the config"
        ),
    ] = None,
) -> int:
    """Train a detector: config to checkpoint, calibrated and measured. A cut-off run goes on.

    Prints which file set each value, then where the checkpoint is. Says on stderr, before it
    trains, how many posts each part has and what they can't support. In the folder of a finished
    run, another name, version or calibration is made without training again. Needs the extra
    "train".
    """
    from textdetect._ground import config as configs
    from textdetect.training import corpus_folder
    from textdetect.training import train as train_on

    logging.getLogger("textdetect").setLevel(logging.INFO)  # until it ends
    settings, origin = configs.load_config(config, configs.TrainConfig)
    for key, file in origin.items():
        typer.echo(f"{key}: from {file}")
    typer.echo(train_on(settings, corpus_folder(data), out or f"runs/{settings.name}"))
    return 0


@command
@reads()
def calibrate(
    model: ModelArgument,
    human: Annotated[str, option("Posts that people wrote, in any format.", "FILE")],
    out: OutFolder,
    labelled: Annotated[
        str | None,
        option("Posts with text and label (0 human, 1 machine): for probabilities.", "FILE"),
    ] = None,
    runtime: Runtime = "auto",
    **reading: Any,
) -> int:
    """Fit a model's p-values on human posts of your own, and write it as a new checkpoint.

    The posts must be none that the model was trained on; 600 or more of a
    language support --max-fpr 0.01; exit code 3 where none has as many.
    """
    from textdetect.cli.tables import show
    from textdetect.model.detector import Detector
    from textdetect.training import recalibrate

    folder = recalibrate(model, human, out, labelled=labelled, runtime=runtime, **reading)
    calibration = Detector.from_pretrained(folder, runtime=runtime).calibration
    if calibration is None:
        raise NotCalibrated(f"{folder} has no calibration for this engine")
    strata = calibration.describe()
    show(f"calibration for {calibration.numerics}", strata)
    for code in calibration.languages:
        supported = [row for row in strata if row["language"] == code]
        rates = (f"{row['smallest_p_value']:.2g} ({row['tokens']})" for row in supported)
        typer.echo(f"{code}: --max-fpr from, by tokens: {', '.join(rates)}")
    typer.echo(folder)
    if calibration.smallest <= ASKED:
        return 0
    say(
        f"textdetect: --max-fpr {ASKED:g} is not supported, and nothing below "
        f"{calibration.smallest:.2g}: that takes 600 posts or more of a language"
    )
    return TOO_FEW


@command
def export(
    model: Annotated[
        str, Argument(metavar="MODEL", help="transformers folder, or hub id, of a classifier.")
    ],
    out: OutFolder,
    name: Annotated[str, option("The model's name.", "NAME")],
    max_length: Annotated[int, option("Tokens that the model reads.", "N", min=3)] = 256,
) -> int:
    """Write a classifier (0 human, 1 machine) as a checkpoint that runs without torch.

    It has no calibration yet: see "textdetect calibrate". Needs the extra "train".
    """
    from textdetect.training.export import export as export_to

    typer.echo(export_to(model, out, name=name, max_length=max_length))
    return 0
