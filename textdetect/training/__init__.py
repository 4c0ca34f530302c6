"""A training run, and what is made of a checkpoint after it: calibrations, figures, a card.

Public names: `train`, with steps for trials (`split_corpus`, `calibrate`, `finish`);
`recalibrate`, `calibrate_again` and `remeasure` for a finished checkpoint.
"""

from textdetect.training.calibrate import RUNTIMES, calibrate, capped, recalibrate
from textdetect.training.card import CAUTION, card, finish, write_report
from textdetect.training.run import (
    calibrate_again,
    corpus_folder,
    remeasure,
    split_corpus,
    train,
)

__all__ = ["RUNTIMES", "calibrate", "capped", "recalibrate"]
__all__ += ["CAUTION", "card", "finish", "write_report"]
__all__ += ["calibrate_again", "corpus_folder", "remeasure", "split_corpus", "train"]
