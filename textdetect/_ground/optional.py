"""Importing an optional library, or saying in one line how to install it; and which are there."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from importlib import metadata
from typing import Any, Final

from textdetect.errors import MissingDependency

LIBRARIES: Final = (
    *("numpy", "onnxruntime", "fastapi", "granian", "openvino"),
    *("tokenizers", "py3langid", "pyarrow", "torch", "transformers"),
)
"""What a report on an install gives the versions of."""


def require(module: str, *, extra: str) -> Any:
    """Import `module`, or raise `MissingDependency` with the command that installs `extra`.

    >>> require("json", extra="train").dumps([1])
    '[1]'
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        if error.name is not None and error.name.split(".")[0] != module.split(".")[0]:
            raise
        raise MissingDependency(
            f"this needs {module}, which is not installed; "
            f"install it in a checkout of textdetect with: pip install '.[{extra}]'"
        ) from error


def installed_version(distribution: str) -> str | None:
    """Return the version of an installed distribution, without importing it; None if there is none.

    >>> installed_version("no-such-library") is None
    True
    """
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def installed_versions(distributions: Iterable[str]) -> dict[str, str]:
    """Return each distribution's version, or "not installed".

    >>> installed_versions(["no-such-library"])
    {'no-such-library': 'not installed'}
    """
    return {name: installed_version(name) or "not installed" for name in distributions}
