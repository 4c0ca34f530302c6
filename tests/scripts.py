"""The scripts of training/ as modules; their folder must not come into sys.path."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

TRAINING = Path(__file__).parent.parent / "training"


def script(name: str) -> ModuleType:
    """Load training/NAME.py, once."""
    known = f"script_{name}"
    if known not in sys.modules:
        spec = importlib.util.spec_from_file_location(known, TRAINING / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[known] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[known])
    return sys.modules[known]
