"""For `evaluate.load`, which wants a folder for each module: see `hub.modules`."""

from textdetect.evaluation.hub.modules import OperatingPoint

__all__ = ["OperatingPoint"]
