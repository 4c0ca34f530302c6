"""How good a detector is, and at whose expense: posts and scores in, tables out."""

from textdetect.evaluation.baselines import BagOfWords
from textdetect.evaluation.figures import figures, human_panels

__all__ = ["BagOfWords", "figures", "human_panels"]
