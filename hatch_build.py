"""Building the wheel with the engine's hot modules compiled by mypyc, where the environment asks for it.

Without `UNDERSTUDY_COMPILE=1` this does nothing, and the wheel is the same for every machine. The sources are in both,
and the only thing that is maintained: a compiled module lies beside the one it was made from and is found first.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

GROUP = "understudy"
"""What the library that holds all compiled code is called: understudy__mypyc."""


class CompileHook(BuildHookInterface[Any]):
    """modules: in pyproject.toml, the files that are compiled together."""

    def dependencies(self) -> list[str]:
        """mypyc, and the library whose types the modules are checked with; nothing where nothing is compiled."""
        return ["mypy[mypyc]>=2.4,<3", "msgspec>=0.19"] if _wanted() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and have what came of it put into the wheel. Ends the build where that fails."""
        if not _wanted():
            return
        if version == "editable":
            # A compiled module would hide the source that is being edited.
            self.app.display_warning("an editable install runs the sources: nothing is compiled")
            return
        self._scratch = tempfile.TemporaryDirectory(prefix="understudy-build-")
        libraries = Path(self._scratch.name, "lib")
        _compile(self.config["modules"], Path(self.root), Path(self._scratch.name), libraries)
        for path in sorted(libraries.rglob("*.*")):
            if path.is_file():
                build_data["force_include"][str(path)] = str(path.relative_to(libraries))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was made on the way."""
        if hasattr(self, "_scratch"):
            self._scratch.cleanup()


def _wanted() -> bool:
    return os.environ.get("UNDERSTUDY_COMPILE", "") not in ("", "0")


def _compile(modules: list[str], root: Path, scratch: Path, libraries: Path) -> None:
    """Compile the modules into `libraries`, laid out as in the wheel; nothing is written into the tree."""
    from mypyc.build import mypycify
    from setuptools import Distribution

    # Checked without the project's configuration: what a build environment lacks is no error here but in `make check`.
    checks = ["--config-file=", "--ignore-missing-imports", f"--cache-dir={scratch / 'cache'}"]
    here = Path.cwd()
    os.chdir(root)
    try:
        extensions = mypycify(
            [*checks, *modules],
            opt_level="3",
            debug_level="0",
            target_dir=str(scratch / "c"),
            group_name=GROUP,
        )
        command = Distribution({"name": GROUP, "ext_modules": extensions}).get_command_obj("build_ext")
        command.build_lib, command.build_temp = str(libraries), str(scratch / "objects")
        command.ensure_finalized()
        command.run()
    finally:
        os.chdir(here)
