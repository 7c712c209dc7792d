"""Write the list of modules in docs/architecture.md from the first line of each module's docstring.

Run as `python docs/modules.py`; with `--check` nothing is written and the exit code says whether the page is current.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "architecture.md"
START, END = "<!-- modules: made by docs/modules.py -->", "<!-- end of modules -->"
ROOMS = ("capture", "replay", "diff", "fixtures")


def modules() -> list[Path]:
    """Every module of the project, as paths below its root, packages' __init__ before what is in them."""
    found = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
    return [path.relative_to(ROOT) for path in [ROOT / "understudy.py", *found] if "__pycache__" not in path.parts]


def first_line(path: Path) -> str:
    """The first line of the module's docstring, "" without one."""
    docstring = ast.get_docstring(ast.parse((ROOT / path).read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0]


def table() -> str:
    """The Markdown list, one line a module, a heading a room."""
    lines: list[str] = []
    room = ""
    for path in modules():
        if path.parts[0] != room:
            room = path.parts[0]
            lines += ["", f"### {room}", "", "| module | what it is |", "| --- | --- |"]
        name = str(path.parent) + "/" if path.name == "__init__.py" else str(path)
        lines.append(f"| `{name}` | {first_line(path).replace('|', chr(92) + '|')} |")
    return "\n".join(lines[1:])


def current_page() -> tuple[str, str]:
    """The page as it is, and as it should be."""
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(START)
    _, _, after = rest.partition(END)
    return page, f"{before}{START}\n\n{table()}\n\n{END}{after}"


if __name__ == "__main__":
    is_now, should_be = current_page()
    if "--check" in sys.argv:
        sys.exit(is_now != should_be and "docs/architecture.md is out of date: run `python docs/modules.py`")
    PAGE.write_text(should_be, encoding="utf-8")
