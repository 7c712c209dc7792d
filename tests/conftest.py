"""Shared fixtures: where the corpora lie, and how deep the property tests go."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("quick", max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("deep", max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The directory of shared corpora: $CORPORA_DIR, or ../shared/corpora beside the checkout; skips without it."""
    named = os.environ.get("CORPORA_DIR")
    path = Path(named) if named else Path(__file__).parents[2] / "shared" / "corpora"
    if not path.is_dir():
        pytest.skip(f"no corpora at {path}; set CORPORA_DIR to the directory that holds them")
    return path
