"""The typed configuration of the replay room; the sections of `understudy.toml` that it knows."""

from __future__ import annotations

import dataclasses

__all__ = ["SECTIONS", "ReplayConfig"]


@dataclasses.dataclass(frozen=True, slots=True)
class ReplayConfig:
    """[replay]: how a log is performed. seed: of the shuffled order of builds, written into the run's manifest."""

    seed: int = 1


SECTIONS: dict[str, type | None] = {"replay": ReplayConfig, "build": None}
