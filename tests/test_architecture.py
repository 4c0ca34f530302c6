"""The house: who may import whom, what the front door shows, what an import costs and changes.

Run as a script it writes what is made from the code: the map in CONTRIBUTING.md, and
constraints-oldest.txt (`make map`).
"""

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
    "_ground": 1,
    "posts": 2,
    "statistics": 2,
    "model": 3,
    "accounts": 4,
    "bulk": 4,
    "evaluation": 4,
    "campaigns": 5,
    "serving": 5,
    "training": 5,
    "cli": 6,
    "__main__": 7,
}
"""Each room's floor. A room imports from lower floors only."""
N_LINES, N_ENTRIES, N_ANY = 22_069, 15, 510
"""Today's lines of the package, entries of its top floor, and annotations `Any`: they only fall.

But for what a new capability takes: 8-bit integers 304 lines, campaigns by meaning 757.
"""
MAP = re.compile(r"(?<=<!-- map: made by `make map` -->\n).*(?=<!-- end of map -->)", re.DOTALL)
OLDEST = ROOT.parent / "constraints-oldest.txt"
LIGHT_EXTRAS = ("campaigns", "files", "report", "server", "test")
"""The extras that need no torch, which is tested at the version in constraints.txt alone."""
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
    return found


def test_every_room_has_a_floor() -> None:
    assert set(rooms()) == set(FLOORS)


def test_rooms_import_from_lower_floors_only() -> None:
    wrong = [
        f"{room} (F{FLOORS[room]}) imports {other} (F{FLOORS[other]})"
        for room, files in rooms().items()
        for other in set().union(*map(imported_rooms, files)) - {room}
        if FLOORS[other] >= FLOORS[room]
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


def first_line(file: Path) -> str:
    """Give the line that a module opens with."""
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
    assert docstring, file
    return docstring.splitlines()[0]


def map_of_the_house() -> str:
    """Draw the rooms by floor, and what is in each, with the first line of its docstring."""
    lines = ["```"]
    for room, files in sorted(rooms().items(), key=lambda item: (FLOORS[item[0]], item[0])):
        for file in sorted(files, key=lambda file: (file.parent, file.name)):
            parts = file.relative_to(ROOT).parts
            opens = file.name == "__init__.py"
            name = f"{parts[-2]}/" if opens else parts[-1]
            depth = len(parts) - 1 - opens
            floor = f"F{FLOORS[room]}" if depth == 0 else ""
            lines.append(f"{floor:3} {'  ' * depth + name:22} {first_line(file)}")
    return "\n".join([*lines, "```", ""])


def oldest_versions() -> str:
    """List the oldest version that pyproject.toml allows of everything but what goes with torch.

    The tools that test stay at the versions in constraints.txt: no user of the package has them.
    """
    project = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())["project"]
    extras = (project["optional-dependencies"][extra] for extra in LIGHT_EXTRAS)
    asked = {line for lines in (project["dependencies"], *extras) for line in lines}
    tools = re.compile("pytest|hypothesis|coverage")
    pins = [line.replace(">=", "==") for line in asked if ">=" in line and not tools.match(line)]
    pinned = (ROOT.parent / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = sorted([*pins, *filter(tools.match, pinned)])
    return "\n".join(["# Made by `make map`: the lower bounds in pyproject.toml.", *pins, ""])


def test_the_map_in_contributing_is_that_of_the_code() -> None:
    drawn = MAP.search((ROOT.parent / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    assert drawn is not None
    assert drawn.group() == map_of_the_house(), "run `make map`"


def test_the_oldest_versions_are_those_of_pyproject() -> None:
    assert OLDEST.read_text(encoding="utf-8") == oldest_versions(), "run `make map`"


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
        assert first_line(file), file


def test_the_package_stays_small_enough_to_read_in_an_afternoon() -> None:
    lines = {f: len(f.read_text(encoding="utf-8").splitlines()) for f in ROOT.rglob("*.py")}
    assert sum(lines.values()) <= N_LINES
    assert max(lines.values()) < 500
    entries = [e.name for e in ROOT.iterdir() if e.name != "__pycache__"]
    assert len(entries) <= N_ENTRIES, sorted(entries)


def test_types_are_said_and_any_is_not_said_more_often() -> None:
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in ROOT.rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    assert sum(isinstance(node, ast.Name) and node.id == "Any" for node in nodes) <= N_ANY


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


def write_made_files() -> None:
    """Write the map into CONTRIBUTING.md, and the oldest versions."""
    contributing = ROOT.parent / "CONTRIBUTING.md"
    text = contributing.read_text(encoding="utf-8")
    contributing.write_text(MAP.sub(lambda _: map_of_the_house(), text), encoding="utf-8")
    OLDEST.write_text(oldest_versions(), encoding="utf-8")


if __name__ == "__main__":
    write_made_files()
