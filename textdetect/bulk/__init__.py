"""Files → files: every row comes out once and in order, with its verdict; any number, any size.

It knows nothing of formats (`posts.files`) nor of models (`Detector`).
"""

from textdetect.bulk.run import score_files
from textdetect.bulk.summary import Summary

__all__ = ["Summary", "score_files"]
