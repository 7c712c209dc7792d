"""Shared fixtures: where the corpora lie, and how deep the property tests go."""

from __future__ import annotations

import faulthandler
import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A submission is judged on the same examples every time; new ones are looked for by everybody's own runs.
settings.register_profile(
    "quick",
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=os.environ.get("CI") == "true",
)
settings.register_profile("deep", max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

# The time limit of a test is a signal, which Python handles between two instructions of its own: it ends no test that
# is stuck in C, and none that waits again while it cleans up. So the process ends itself some time later, with the
# stack of every thread; its other tests go to another process.
_STUCK_S = 200
_stderr = os.dup(2)


def pytest_configure(config: pytest.Config) -> None:
    """Keep the real stderr, which capturing hides while tests run; nothing is captured at this moment."""
    os.dup2(2, _stderr)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """End the process, with every thread's stack, where one test is stuck."""
    faulthandler.dump_traceback_later(_STUCK_S, exit=True, file=_stderr)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


class FailuresAtOnce:
    """Says each failure when it happens and not only at the end, which a run that is cut off never reaches."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Print one line of a failed report."""
        reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        if report.failed and reporter is not None:
            crash = getattr(report.longrepr, "reprcrash", None)
            reason = crash.message if crash is not None else str(report.longrepr)
            reporter.write_line(f"\n{report.nodeid} ({report.when}): {reason.strip()[:300]}")

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Leave the exit status where .ci/run finds it: 1 is the only one for a whole run with failed tests."""
        cache = getattr(self.config, "cache", None)
        if cache is not None:
            cache.set("run/exitstatus", int(exitstatus))


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Only the process that has the terminal reports."""
    if not hasattr(session.config, "workerinput"):
        session.config.pluginmanager.register(FailuresAtOnce(session.config))


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
