"""The metrics as modules of the library evaluate, each a folder to load by its path, offline.

>>> from textdetect.evaluation import hub
>>> hub.folder("ranking").name  # evaluate.load(str(hub.folder("ranking")))
'ranking'
"""

from pathlib import Path

from textdetect.errors import InvalidInput


def folder(name: str) -> Path:
    """Give the folder of a module: "ranking", "operating_point" or "reliability".

    Raises:
        InvalidInput: another name.

    >>> folder("reliability").is_dir()
    True
    """
    path = Path(__file__).parent / name
    if not (path / f"{name}.py").is_file():
        raise InvalidInput(f"ranking, operating_point or reliability expected, got {name!r}")
    return path
