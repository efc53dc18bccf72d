"""Imports may only point down the layers of docs/design.md."""

import ast
from pathlib import Path

import pytest

SRC = Path(__file__).parents[2] / "src" / "rmeeto"
BASE = {"errors", "registry", "config", "typing", "storage"}
# Package → packages of ours that it may import (besides BASE and itself).
ALLOWED = {
    "ops": set(),
    "tokens": {"ops"},
    "reducers": {"tokens", "ops"},
    "backbones": {"tokens", "reducers", "ops"},
    "data": set(),
    "objectives": set(),
    "scores": set(),
    "retrain": {"backbones", "tokens", "reducers", "data", "objectives", "evaluation"},
    "evaluation": {"backbones", "tokens", "data", "scores"},
    "profiling": {"backbones", "tokens", "reducers", "data", "ops", "evaluation"},
    "reporting": set(),
    "workflows": {
        "retrain",
        "evaluation",
        "profiling",
        "reporting",
        "backbones",
        "tokens",
        "reducers",
        "data",
        "scores",
        "ops",
    },
    "cli": {"workflows", "reporting"},
}
FILES = sorted(SRC.rglob("*.py"))


def imports_of(path: Path) -> set[str]:
    """First-level parts of rmeeto that a file imports anywhere, lazily or not."""
    found, depth = set(), len(path.relative_to(SRC).parts)
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.level:
            above = list(path.relative_to(SRC).parts[: depth - node.level])
            base = above + (node.module.split(".") if node.module else [])
            names = [base] if base else [[alias.name] for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("rmeeto"):
            base = node.module.split(".")[1:]
            names = [base] if base else [[alias.name] for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [a.name.split(".")[1:] for a in node.names if a.name.startswith("rmeeto.")]
        found |= {name[0] for name in names if name}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SRC)))
def test_imports_point_down(path):
    parts = path.relative_to(SRC).parts
    if len(parts) == 1:
        above = {"__init__.py": set(ALLOWED), "__main__.py": {"cli"}}
        allowed, own = BASE | above.get(parts[0], set()), set()
    else:
        allowed, own = BASE | ALLOWED[parts[0]], {parts[0]}
    wrong = {
        name for name in imports_of(path) if (SRC / name).exists() or (SRC / f"{name}.py").exists()
    }
    wrong -= allowed | own | {"_native"}
    assert not wrong, f"{'/'.join(parts)} must not import {sorted(wrong)}"


def test_every_package_has_a_rule():
    packages = {p.parent.name for p in SRC.glob("*/__init__.py")}
    assert packages == set(ALLOWED)


@pytest.mark.parametrize("package", ["reporting"])
def test_no_torch_in(package):
    for path in (SRC / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(m.split(".")[0] == "torch" for m in modules), path
