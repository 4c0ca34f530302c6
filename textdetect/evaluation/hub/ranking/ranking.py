"""For `evaluate.load`, which wants a folder for each module: see `hub.modules`."""

from textdetect.evaluation.hub.modules import Ranking

__all__ = ["Ranking"]
