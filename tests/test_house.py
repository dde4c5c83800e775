"""The house keeps its own rules: floors are import-linter's, these are the rest."""

import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import vivavoce
from vivavoce import errors

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "src" / "vivavoce"


def test_importing_everything_never_imports_torch() -> None:
    """The servers that some modules are, are started by ``__main__`` only, so importing them is safe."""
    names = [m.name for m in pkgutil.walk_packages([str(SOURCES)], "vivavoce.")]
    assert len(names) > 30
    program = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)\n"
    heavy = "print(sorted({'torch', 'tensorflow', 'mediapipe', 'onnxruntime'} & set(sys.modules)))"
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
