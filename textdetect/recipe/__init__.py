"""A training run, and what is made of a checkpoint after it: calibrations, figures, a card.

Public names: `train`, with its steps for trials (`split_corpus`, `lists`, `adapted`, `classifier`,
`calibrate`, `measure`, `write_seen`, `finish`); `recalibrate`, `calibrate_again` and `remeasure`
for a finished checkpoint.
"""

from textdetect.recipe.calibrate import RUNTIMES, calibrate, recalibrate
from textdetect.recipe.card import CAUTION, card, finish, write_report
from textdetect.recipe.run import (
    adapted,
    calibrate_again,
    classifier,
    corpus_folder,
    lists,
    measure,
    remeasure,
    split_corpus,
    train,
    trained_rows,
    write_seen,
)
from textdetect.recipe.sample import capped

__all__ = [
    "CAUTION",
    "RUNTIMES",
    "adapted",
    "calibrate",
    "calibrate_again",
    "capped",
    "card",
    "classifier",
    "corpus_folder",
    "finish",
    "lists",
    "measure",
    "recalibrate",
    "remeasure",
    "split_corpus",
    "train",
    "trained_rows",
    "write_report",
    "write_seen",
]
