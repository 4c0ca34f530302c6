"""The version of the package; a model has its own, in its detector.json."""

__version__ = "0.1.0a1"
