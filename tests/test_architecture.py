"""The house: who may import whom, what the front door shows, what an import costs and changes."""

from __future__ import annotations

import ast
import graphlib
import importlib
import inspect
import json
import re
import statistics
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

import textdetect

ROOT = Path(textdetect.__file__).parent
FLOORS = {
    "errors": 0,
    "progress": 0,
    "types": 0,
    "_optional": 0,
    "_files": 0,
    "_version": 0,
    "text": 1,
    "own_words": 1,
    "attacks": 1,
    "language": 1,
    "calibration": 1,
    "metrics": 1,
    "intervals": 1,
    "multiplicity": 1,
    "config": 1,
    "posts": 2,
    "account_null": 2,
    "checkpoint": 2,
    "contamination": 2,
    "runtimes": 2,
    "judgement": 2,
    "detector": 3,
    "client": 3,
    "accounts": 4,
    "finetune": 4,
    "export": 4,
    "evaluation": 4,
    "report": 3,
    "bulk": 4,
    "recipe": 5,
    "campaigns": 5,
    "benchmark": 5,
    "serving": 5,
    "cli": 6,
    "__main__": 7,
}
"""Each room's floor. A room imports from lower floors only."""
NEIGHBOURS = {
    ("types", "errors"),
    ("types", "_optional"),
    ("_optional", "errors"),
    ("language", "text"),
    ("text", "own_words"),
    ("runtimes", "checkpoint"),
    ("checkpoint", "contamination"),
    ("checkpoint", "account_null"),
}
"""The doors between rooms of one floor."""
EVERYWHERE = {"textdetect", "_version"}
_WRITTEN = {".py", ".md", ".ipynb", ".service", ".yaml", ".toml", ".html"}


def rooms() -> dict[str, list[Path]]:
    """Give each room's files."""
    files: dict[str, list[Path]] = {}
    for file in sorted(ROOT.rglob("*.py")):
        parts = file.relative_to(ROOT).with_suffix("").parts
        if parts != ("__init__",):
            files.setdefault(parts[0], []).append(file)
    return files


def imported_rooms(file: Path) -> set[str]:
    """Give the rooms that a file imports from, late imports too."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file.name}: a relative import"
            names = [node.module or ""]
            if node.module == "textdetect":
                names = [f"textdetect.{alias.name}" for alias in node.names]
        found |= {n.split(".")[1] for n in names if n.startswith("textdetect.")}
    return found - EVERYWHERE


def test_every_room_has_a_floor() -> None:
    assert set(rooms()) == set(FLOORS)


def test_rooms_import_from_lower_floors_only() -> None:
    wrong = [
        f"{room} (F{FLOORS[room]}) imports {other} (F{FLOORS[other]})"
        for room, files in rooms().items()
        for other in set().union(*map(imported_rooms, files)) - {room}
        if FLOORS[other] >= FLOORS[room] and (room, other) not in NEIGHBOURS
    ]
    assert wrong == []


def test_there_is_no_cycle_inside_a_room() -> None:
    graph = {}
    for file in ROOT.rglob("*.py"):
        name = ".".join(("textdetect", *file.relative_to(ROOT).with_suffix("").parts))
        tree = ast.parse(file.read_text(encoding="utf-8"))
        graph[name.removesuffix(".__init__")] = {
            node.module
            for node in tree.body
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("textdetect.")
        }
    list(graphlib.TopologicalSorter(graph).static_order())


def test_the_map_in_contributing_names_every_room() -> None:
    map_of_the_house = (ROOT.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    missing = [r for r in FLOORS if r != "_version" and f"{r}.py" not in map_of_the_house]
    assert [room for room in missing if f"{room}/" not in map_of_the_house] == []


def test_every_public_name_is_there_and_documented_with_an_example() -> None:
    assert textdetect.__all__ == sorted(textdetect.__all__)
    for name in textdetect.__all__:
        thing = getattr(textdetect, name)
        if name in ("__version__", "errors"):
            continue
        assert inspect.getdoc(thing), name
    assert set(dir(textdetect)) == set(textdetect.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = textdetect.nothing


def test_every_module_opens_by_saying_what_it_is() -> None:
    for file in ROOT.rglob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), file


def test_the_package_stays_small_enough_to_read_in_an_afternoon() -> None:
    lines = {f: len(f.read_text(encoding="utf-8").splitlines()) for f in ROOT.rglob("*.py")}
    assert sum(lines.values()) <= 21_030
    assert max(lines.values()) < 500


def test_each_error_says_where_it_belongs() -> None:
    errors = importlib.import_module("textdetect.errors")
    names = [
        n for n, e in vars(errors).items() if inspect.isclass(e) and e.__module__ == errors.__name__
    ]
    tree = inspect.getdoc(errors)
    assert tree is not None
    for name in names:
        assert name in tree
        assert issubclass(getattr(errors, name), errors.TextdetectError)


CHANGES = """
import json, logging, os, sys, threading, warnings
before = (dict(os.environ), list(warnings.filters), os.getcwd(), len(logging.root.handlers),
          sorted(os.listdir()), threading.active_count())
import textdetect
after = (dict(os.environ), list(warnings.filters), os.getcwd(), len(logging.root.handlers),
         sorted(os.listdir()), threading.active_count())
heavy = [m for m in ("torch", "transformers", "numpy", "onnxruntime", "pyarrow", "typer", "rich",
                     "tokenizers", "py3langid", "pandas") if m in sys.modules]
print(json.dumps({"same": before == after, "heavy": heavy,
                  "handlers": [str(h) for h in logging.getLogger("textdetect").handlers]}))
"""


def test_importing_changes_nothing_and_loads_nothing_heavy(tmp_path: Path) -> None:
    output = subprocess.check_output([sys.executable, "-c", CHANGES], cwd=tmp_path, text=True)
    assert json.loads(output) == {"same": True, "heavy": [], "handlers": ["<NullHandler (NOTSET)>"]}


@pytest.mark.alone
def test_importing_takes_less_than_a_fifth_of_a_second() -> None:
    def took_s(statement: str) -> float:
        start_s = time.perf_counter()
        subprocess.check_call([sys.executable, "-c", statement])
        return time.perf_counter() - start_s

    took_s("import textdetect")
    empty = statistics.median(took_s("pass") for _ in range(5))
    assert statistics.median(took_s("import textdetect") for _ in range(5)) - empty <= 0.2


def test_no_install_line_names_the_other_textdetect_of_the_package_index() -> None:
    house = ROOT.parent
    name = tomllib.loads((house / "pyproject.toml").read_text())["project"]["name"]
    assert name == "textdetect-social"
    files = [house / "pyproject.toml", house / "Makefile", *house.glob("*.md")]
    for folder in ("textdetect", "docs", "notebooks", "configs", "examples", "training"):
        files += [file for file in (house / folder).rglob("*") if file.suffix in _WRITTEN]
    other = re.compile(r"pip install[^`\n]* '?textdetect(?![\w-])|(?<![\w-])textdetect\[\w")
    said = [str(file) for file in files if other.search(file.read_text(encoding="utf-8"))]
    assert said == []
