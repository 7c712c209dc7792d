"""Judge the run in a directory as the configuration says: with its rules and the API's description, over processes."""

from __future__ import annotations

import dataclasses
import datetime
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from capture.config import Settings, build
from capture.errors import BadInput
from diff.judge import judge, learn_routes
from diff.openapi import OPENAPI_BYTES_MAX, templates_of
from diff.report.model import Report
from diff.route import Origin
from diff.rules import Rule, read_all_rules
from diff.run_shares import observe_in_processes
from diff.settings import DiffConfig
from diff.share import Watch
from diff.subject import Subject, subject_of
from replay.run import open_run

__all__ = ["Judging", "prepare"]

_ROUTES_LISTED_MAX = 100_000


@dataclasses.dataclass(frozen=True, slots=True)
class Judging:
    """Everything that was said beforehand about how runs are judged, read and found to be right.

    described: the route templates of the API's description, () without one.
    """

    config: DiffConfig
    rules: tuple[Rule, ...]
    described: tuple[str, ...]

    def judge(self, path: Path, watch: Watch | None = None) -> Report:
        """The report of the run at `path`.

        Raises BadInput where there is no such run, RunFailed where its totals do not close, Damaged where records of it
        are missing.
        """
        today = datetime.datetime.now(datetime.UTC).date()
        observe = observe_in_processes(self.config.workers)
        return judge(subject_of(open_run(path)), self.config, self.rules, today, watch, observe, self.described)

    def subject(self, path: Path) -> Subject:
        """Who is who in the run at `path`. Raises BadInput where there is no such run."""
        return subject_of(open_run(path))

    def routes(self, path: Path) -> Iterator[tuple[str, int, Origin]]:
        """The routes of the run at `path`, the most frequent first: name, planned requests, where the name is from."""
        subject = self.subject(path)
        routes, _ = learn_routes(subject, self.config, self.described)
        counts: Counter[str] = Counter()
        origins: dict[str, Origin] = {}
        for performance in subject.performances():
            request = performance.exchange.request
            name = routes.of(request.method, request.target)
            if name not in origins:
                if len(origins) >= _ROUTES_LISTED_MAX:
                    raise BadInput(
                        f"{path}: has more than {_ROUTES_LISTED_MAX} routes; give templates in [diff] routes"
                    )
                origins[name] = routes.origin(request.target)
            counts[name] += 1
        for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
            yield name, count, origins[name]


def prepare(settings: Settings, flags: Mapping[str, Any] | None = None) -> Judging:
    """Read what the configuration and the flags say, with the files that they name, which lie beside the configuration.

    Raises UsageError for a wrong configuration or rule, BadInput for a file that is not there or not what it should be.
    """
    config = build(DiffConfig, "diff", settings, flags)
    rules = read_all_rules(settings, config)
    described: tuple[str, ...] = ()
    if config.openapi is not None:
        described = _described(Path(settings.where).parent / config.openapi)
    return Judging(config, tuple(rules), described)


def _described(place: Path) -> tuple[str, ...]:
    try:
        with place.open("rb") as file:
            text = file.read(OPENAPI_BYTES_MAX + 1)
    except OSError as error:
        raise BadInput(
            f"{place}: the API's description cannot be read: {error.strerror}; [diff] openapi or --openapi names it"
        ) from None
    return templates_of(text, str(place))
