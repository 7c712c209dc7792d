"""The wheel: for every machine unless it is asked for compiled, and nothing in the list that mypyc would change."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
import zipfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from hatch_build import CompileHook

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MODULES: list[str] = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]["modules"]


class App:
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def display_warning(self, message: str) -> None:
        self.warnings.append(message)


def hook(app: App) -> CompileHook:
    made: Any = CompileHook
    found: CompileHook = made(str(ROOT), {"modules": MODULES}, None, None, "", "wheel", app)
    return found


def tree(name: str) -> ast.Module:
    return ast.parse((ROOT / name).read_text(encoding="utf-8"))


def names_of(caught: ast.expr | None) -> set[str]:
    return {node.id for node in ast.walk(caught) if isinstance(node, ast.Name)} if caught is not None else set()


def test_a_wheel_is_for_every_machine_where_nobody_asks_for_another(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, env={"PATH": "/nowhere"}, check=True, capture_output=True, timeout=100)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.endswith("-py3-none-any.whl")
    files = zipfile.ZipFile(wheel).namelist()
    assert set(MODULES) <= set(files)
    assert [name for name in files if name.endswith((".so", ".pyd"))] == []


@pytest.mark.parametrize("value", [None, "", "0"])
def test_nothing_is_needed_or_done_where_nobody_asks_for_it(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv("UNDERSTUDY_COMPILE", raising=False)
    if value is not None:
        monkeypatch.setenv("UNDERSTUDY_COMPILE", value)
    quiet, data = hook(App()), dict[str, Any]()
    assert quiet.dependencies() == []
    quiet.initialize("standard", data)
    quiet.finalize("standard", data, "")
    assert data == {}


def test_an_editable_install_runs_the_sources_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERSTUDY_COMPILE", "1")
    app, data = App(), dict[str, Any]()
    hook(app).initialize("editable", data)
    assert data == {}
    assert app.warnings == ["an editable install runs the sources: nothing is compiled"]


def test_what_compiling_needs_is_asked_for_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERSTUDY_COMPILE", "1")
    assert [wanted.partition(">")[0] for wanted in hook(App()).dependencies()] == ["mypy[mypyc]", "msgspec"]


@pytest.mark.parametrize("name", MODULES)
def test_no_compiled_module_has_a_class_with_keywords_which_mypyc_drops(name: str) -> None:
    # A msgspec.Struct would come out neither frozen nor as an array.
    classes = [node for node in ast.walk(tree(name)) if isinstance(node, ast.ClassDef)]
    assert [found.name for found in classes if found.keywords] == []


def test_no_compiled_function_binds_one_name_to_two_kinds_of_our_errors_which_mypyc_confuses() -> None:
    # It takes the second for one of the first kind and raises TypeError.
    ours = {node.name for name in MODULES for node in ast.walk(tree(name)) if isinstance(node, ast.ClassDef)}
    found = []
    for name in MODULES:
        for function in ast.walk(tree(name)):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            caught: defaultdict[str, list[set[str]]] = defaultdict(list)
            for node in ast.walk(function):
                if isinstance(node, ast.ExceptHandler) and node.name is not None:
                    caught[node.name].append(names_of(node.type))
            found += [
                f"{name}: {function.name}" for kinds in caught.values() if len(kinds) > 1 and set.union(*kinds) & ours
            ]
    assert found == []
