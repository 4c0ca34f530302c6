"""A scoring server: the same verdicts as in process, bounds on everything; see docs/serve.md."""

from textdetect.serving.run import serve
from textdetect.serving.settings import Limits

__all__ = ["Limits", "serve"]
