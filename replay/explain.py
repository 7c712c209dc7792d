"""The graph of bindings of a log, as `--explain-bindings` prints it: which response feeds which later request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from capture.exchange import Exchange
from replay.bind import Binder
from replay.learn import Learned
from replay.link import Link
from replay.plan import Planner

__all__ = ["explain_bindings", "line_of", "printable"]

_VALUE_MAX = 12


def printable(text: str, length_max: int = 120) -> str:
    """Captured text for a terminal: control and non-ASCII characters escaped, cut to length_max."""
    shown = text.encode("unicode_escape").decode("ascii")
    return shown if len(shown) <= length_max else f"{shown[: length_max - 3]}..."


def line_of(link: Link) -> str:
    """One edge: place in the request, the value's first characters, the response and place that supplied it."""
    value = printable(link.value)
    shown = value if len(value) <= _VALUE_MAX else f"{value[:_VALUE_MAX]}... ({len(link.value)})"
    if not link.sources:
        return f"{printable(link.place.text())} = {shown} <- the cookie jar, where a build sets it"
    first, *others = link.sources
    more = f", or {len(others)} more" if others else ""
    return f"{printable(link.place.text())} = {shown} <- {first.exchange_id} {printable(first.place.text())}{more}"


def explain_bindings(
    exchanges: Iterable[Exchange],
    exclude: Iterable[str] = (),
    allow_writes: bool = False,
    sessions_max: int = 20_000,
    feeds: Iterable[str] = (),
    learned: Learned | None = None,
) -> Iterator[str]:
    """One line a request that is to be sent and carries bound values, then its links; in the end a sum. Pure."""
    binder = Binder(exclude, sessions_max, feeds, learned)
    requests = bound = links_found = lost = 0
    skipped: set[int] = set()
    for planned in Planner(allow_writes, sessions_max).plan(exchanges):
        links = binder.note(planned)
        if planned.skipped is not None:
            skipped.add(planned.position)
            continue
        requests += 1
        if not links:
            continue
        bound += 1
        links_found += len(links)
        request = planned.exchange.request
        yield printable(f"{planned.exchange.id} session {planned.exchange.session} {request.method} {request.target}")
        for link in links:
            gone = bool(link.sources) and all(source.position in skipped for source in link.sources)
            lost += gone
            yield f"    {line_of(link)}" + (" (not sent: cannot be resolved)" if gone else "")
    yield f"{requests} requests to send, {bound} of them carry {links_found} bound values" + (
        f"; {lost} of these come from requests that are not sent" if lost else ""
    )
