"""A scoring server: requests in, the same verdicts out as in process, bounds on everything.

It knows nothing of models or calibrations (`Detector`), nor of files (`bulk`). See docs/serve.md.
"""

from textdetect.serving.run import serve
from textdetect.serving.settings import Limits

__all__ = ["Limits", "serve"]
