"""How good a detector is, and at whose expense: posts and scores in, tables out."""

from textdetect.evaluation.baselines import BagOfWords
from textdetect.evaluation.figures import figures, human_panels
from textdetect.evaluation.scorers import Checked, Scorer, resolve

__all__ = ["BagOfWords", "Checked", "Scorer", "figures", "human_panels", "resolve"]
