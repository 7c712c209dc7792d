"""The rules of the whole house that a machine can check: direction, purity, size, public names, documentation."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = {"capture": {"replay", "diff", "fixtures"}, "replay": {"diff", "fixtures"}, "diff": {"fixtures"}}
LINES_MAX = 500
SHELLS = (
    "capture/sources/",
    "capture/log/",
    "capture/admin",
    "capture/guard",
    "capture/config.py",
    "capture/clock.py",
    "capture/cli.py",
    "capture/options.py",
    "replay/alarm",
    "replay/addresses.py",
    "replay/clients/",
    "replay/alarm",
    "replay/perform",
    "replay/run",
    "replay/spread",
    "replay/preflight",
    "replay/workers",
    "replay/progress",
    "diff/report/",
    "diff/run_",
    "diff/query",
    "fixtures/",
)
IMPURE = {"asyncio", "socket", "selectors", "select", "subprocess", "threading", "multiprocessing", "aiohttp", "uvloop"}


def _modules() -> list[Path]:
    found = [path for room in (*ROOMS, "fixtures") for path in sorted((ROOT / room).rglob("*.py"))]
    return [path.relative_to(ROOT) for path in found] + [Path("understudy.py")]


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def _tree(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", _modules(), ids=str)
def test_imports_go_in_one_direction(path: Path) -> None:
    forbidden = ROOMS.get(path.parts[0], set())
    assert not {name for name in _imports(_tree(path)) if name.partition(".")[0] in forbidden}


@pytest.mark.parametrize("path", _modules(), ids=str)
def test_only_shells_touch_sockets_threads_and_processes(path: Path) -> None:
    if str(path).startswith(SHELLS) or "command" in path.name or path.name == "understudy.py":
        return
    assert not {name for name in _imports(_tree(path)) if name.partition(".")[0] in IMPURE}


@pytest.mark.parametrize("path", _modules(), ids=str)
def test_a_module_says_what_it_is_and_what_is_public_and_is_not_too_long(path: Path) -> None:
    text = (ROOT / path).read_text(encoding="utf-8")
    tree = ast.parse(text)
    docstring = ast.get_docstring(tree) or ""
    assert len(docstring.partition("\n")[0]) > 15, f"{path}: the docstring's first line says what the module is"
    assert len(text.splitlines()) <= LINES_MAX, f"{path}: one noun per module, at most {LINES_MAX} lines"
    if path.name not in ("__init__.py", "__main__.py"):
        names = {t.id for n in tree.body if isinstance(n, ast.Assign) for t in n.targets if isinstance(t, ast.Name)}
        assert "__all__" in names, f"{path}: no __all__"


@pytest.mark.parametrize("path", _modules(), ids=str)
def test_no_error_is_swallowed(path: Path) -> None:
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.ExceptHandler):
            blanket = node.type is None or (isinstance(node.type, ast.Name) and node.type.id.endswith("Exception"))
            silent = all(isinstance(step, ast.Pass | ast.Continue) for step in node.body)
            assert not (blanket and silent), f"{path}:{node.lineno}: a blanket except that says nothing"


def test_the_architecture_page_names_every_module_as_it_describes_itself() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "modules.py"), "--check"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_every_relative_link_in_the_documentation_leads_somewhere() -> None:
    import re

    for page in [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
            if "://" not in target and not target.startswith("mailto:"):
                assert (page.parent / target).exists(), f"{page.relative_to(ROOT)}: {target}"
