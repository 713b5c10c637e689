"""The rooms of the package: each imports only from those before it, and the libraries at its door stay there."""

import ast
from pathlib import Path

import pytest

import bayesjoint

ROOMS = ("data", "light", "render", "model", "infer", "report")
PACKAGE = Path(bayesjoint.__file__).parent
FILES = sorted(path for room in ROOMS for path in (PACKAGE / room).glob("*.py"))
DOORS = {
    "numpyro": lambda path: path.parts[0] in ("model", "infer", "report"),
    "arviz": lambda path: path.as_posix() == "report/statistics.py",
    # an archive holds the headers of the images it was made from
    "astropy.wcs": lambda path: path.parts[0] == "data" or path.as_posix() == "report/archive.py",
    "astropy.io.fits": lambda path: path.parts[0] == "data" or path.as_posix() == "report/archive.py",
}


def imported(path):
    """Full names of all that a file imports, `from a import b` as a.b, in functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports(path):
    inside = path.relative_to(PACKAGE)
    allowed = ROOMS[: ROOMS.index(inside.parts[0]) + 1]
    for name in imported(path):
        if name.startswith("bayesjoint."):
            # the version, units, and how programs are compiled, may come from the top
            assert name.split(".")[1] in (*allowed, "__version__", "compilation", "units"), (
                f"{inside} imports {name}"
            )
        for library, may in DOORS.items():
            assert may(inside) or not f"{name}.".startswith(f"{library}."), f"{inside} imports {name}"


def test_every_folder_is_a_room():
    assert {path.parent.name for path in PACKAGE.glob("*/*.py")} == set(ROOMS)
