"""The typed configuration of the diff room; the sections of `understudy.toml` that it knows."""

from __future__ import annotations

import dataclasses

__all__ = ["SECTIONS", "DiffConfig"]


@dataclasses.dataclass(frozen=True, slots=True)
class DiffConfig:
    """[diff]: how a run is judged. fdr: the false discovery rate over everything tested."""

    fdr: float = 0.01


SECTIONS: dict[str, type | None] = {"diff": DiffConfig, "ignore": None, "tolerate": None, "expect": None}
