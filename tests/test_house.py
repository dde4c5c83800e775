"""The house keeps its own rules: floors are import-linter's, these are the rest."""

import inspect
import pkgutil
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import vivavoce
from vivavoce import errors

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "src" / "vivavoce"


def torch_rooms() -> list[str]:
    """Patterns of the modules that may import torch, as import-linter has them."""
    told = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = told["tool"]["importlinter"]["contracts"]
    allowed = next(c["ignore_imports"] for c in contracts if c.get("forbidden_modules") == ["torch"])
    return [line.partition(" -> ")[0] for line in allowed]


def imports_torch(name: str) -> bool:
    """Whether the module does at its top."""
    path = SOURCES.joinpath(*name.split(".")[1:]).with_suffix(".py")
    return path.is_file() and bool(re.search(r"(?m)^(?:import|from) torch\b", path.read_text(encoding="utf-8")))


def test_importing_everything_never_imports_torch() -> None:
    """The servers that some modules are, are started by ``__main__`` only, so importing them is safe.

    Modules that import torch themselves are left out; that nobody imports them at its top is what is checked.
    """
    rooms = torch_rooms()
    found = [m.name for m in pkgutil.walk_packages([str(SOURCES)], "vivavoce.")]
    names = [name for name in found if not (any(fnmatch(name, room) for room in rooms) and imports_torch(name))]
    assert len(names) > 30
    program = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)\n"
    heavy = "print(sorted({'torch', 'transformers', 'tensorflow', 'mediapipe', 'onnxruntime'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", program + heavy, *names], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "[]"


def test_the_error_trees_docstring_draws_every_error() -> None:
    tree = errors.__doc__ or ""
    classes = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, errors.VivavoceError)]
    assert {c.__name__ for c in classes} == set(errors.__all__)
    for c in classes:
        line = next(line for line in tree.splitlines() if re.search(rf"[*-] {c.__name__}\b", line))
        assert f" {c.status} " in line
        assert f" {c.code}" in line
        assert ("retryable" in line) == c.retryable
        assert c.__doc__


def test_a_file_fits_a_sitting() -> None:
    long = {p.name: n for p in SOURCES.rglob("*.py") if (n := len(p.read_text(encoding="utf-8").splitlines())) > 450}
    assert not long


def test_every_module_says_why_it_exists() -> None:
    silent = [str(p) for p in SOURCES.rglob("*.py") if not p.read_text(encoding="utf-8").lstrip().startswith('"""')]
    assert not silent


def test_the_version_is_in_the_changelog() -> None:
    assert f"## {vivavoce.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_nothing_names_this_machine_or_a_registry() -> None:
    """A checkout works anywhere: no absolute home paths, nor where it lies now, no package index of somebody's."""
    places = re.compile(
        rf"/(?:home|root|Users)/\w+/|{re.escape(str(ROOT))}|https?://[\w.]*(?:pypi|pythonhosted|npmjs)\."
    )
    kinds = {".py", ".toml", ".md", ".yml", ".yaml", ".cfg", ".html", ".css"}
    files = [p for top in ("src", "tests", "docs", "scripts") for p in (ROOT / top).rglob("*") if p.suffix in kinds]
    named = [str(p) for p in (*files, ROOT / "README.md", ROOT / "Makefile") if p != Path(__file__)]
    found = [name for name in named if places.search(Path(name).read_text(encoding="utf-8", errors="replace"))]
    assert not found
