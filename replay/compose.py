"""What each build is sent for one planned request: as bytes made once, or as a request of its own."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from capture.exchange import Request
from replay.clients.base import Job
from replay.hook import HookFailed
from replay.outcome import Binding
from replay.pair import Pair
from replay.passwords import logins_in, with_passwords
from replay.payload import Traces, payload_of, trace_flags
from replay.rewrite import template
from replay.stage import Stage
from replay.supplies import Supplies

__all__ = ["Composer"]


class Composer:
    """Makes the jobs of the builds. run_id: first half of the marker. chance: of trace ids, shared with nobody."""

    def __init__(self, stages: Sequence[Stage], run_id: str, supplies: Supplies, chance: random.Random) -> None:
        self._stages = stages
        self._run_id = run_id
        self._supplies = supplies
        self._traces = Traces(chance)
        self._any_plain = any(stage.plain for stage in stages)
        self._any_passwords = any(stage.passwords for stage in stages)

    def plan(self, pair: Pair) -> None:
        """Make what can be made before the request is due."""
        if self._any_passwords:
            pair.logins = logins_in(pair.exchange)
        if self._any_plain and not pair.links and not pair.logins:
            planned = pair.planned
            pair.payload = payload_of(planned.exchange, planned.row, planned.values)

    def sign_first(self, pair: Pair) -> bool:
        """Make all requests that a hook signs before the first of the pair is sent; False where a hook failed."""
        pair.composed = {}
        try:
            for index, stage in enumerate(self._stages):
                if stage.hook is not None and (pair.blocked is None or not pair.blocked[index]):
                    pair.composed[index] = self._compose(pair, index)
        except HookFailed:
            return False
        return True

    def job(self, pair: Pair, index: int, order: int, done: Callable[[Job], None]) -> Job:
        """What the build of that index is to be sent; the context is (pair, index, order, bindings, traceparent).

        Raises HookFailed.
        """
        stage = self._stages[index]
        payload = pair.payload
        if payload is not None and stage.plain:
            exchange = pair.exchange
            traceparent = self._traces.new(payload.flags)
            data = payload.for_build(stage.authority, traceparent, f"{self._run_id}/{exchange.id}")
            return Job(exchange.request, done, data, (pair, index, order, (), traceparent))
        composed = None if pair.composed is None else pair.composed.pop(index, None)
        request, bindings, traceparent = composed or self._compose(pair, index)
        return Job(request, done, b"", (pair, index, order, bindings, traceparent))

    def _compose(self, pair: Pair, index: int) -> tuple[Request, tuple[Binding, ...], str]:
        """The request as one build gets it, what was bound in it, and its traceparent. Raises HookFailed."""
        stage, exchange = self._stages[index], pair.exchange
        ready = pair.template
        if ready is None:
            ready = pair.template = template(exchange)
        bound: Request | None = None
        bindings: tuple[Binding, ...] = ()
        if pair.links:
            bound, bindings = self._supplies.bind(ready.request, pair.links, exchange.session, pair.iteration, index)
        if pair.logins and stage.passwords:
            bound, given = with_passwords(bound or ready.request, pair.logins, stage.passwords)
            bindings += given
        if stage.injected:
            bindings += tuple(Binding(f"header:{name.lower()}", f"injected:{name}") for name in stage.injected)
        traceparent = self._traces.new(trace_flags(ready.recorded_trace))
        marker = f"{self._run_id}/{exchange.id}"
        request = ready.for_build(stage.authority, marker, traceparent, stage.injected, bound)
        if stage.hook is not None:
            request, signatures = stage.sign(request)
            bindings += signatures
        return request, bindings, traceparent
