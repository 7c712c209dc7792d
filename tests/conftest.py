"""Shared fixtures: where the corpora lie, and how deep the property tests go."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("quick", max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("deep", max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a test that is skipped because a program is not installed has failed."""
    report = yield
    if report.skipped and os.environ.get("CI") == "true" and "is not installed" in str(report.longrepr):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The directory of shared corpora: $CORPORA_DIR, or ../shared/corpora beside the checkout; skips without it."""
    named = os.environ.get("CORPORA_DIR")
    path = Path(named) if named else Path(__file__).parents[2] / "shared" / "corpora"
    if not path.is_dir():
        pytest.skip(f"no corpora at {path}; set CORPORA_DIR to the directory that holds them")
    return path
