"""How good a detector is, and at whose expense: posts and scores in, tables out."""

from textdetect.evaluation.baselines import BagOfWords
from textdetect.evaluation.figures import figures
from textdetect.evaluation.harness import Evaluation, evaluate
from textdetect.evaluation.scorers import Checked, Scorer, resolve
from textdetect.evaluation.suite import Suite, find_suite

__all__ = ["BagOfWords", "Checked", "Evaluation", "Scorer", "Suite"]
__all__ += ["evaluate", "figures", "find_suite", "resolve"]
