"""One planned request under way on all builds, and the shuffled order in which the builds are asked."""

from __future__ import annotations

import itertools
import random

from capture.exchange import Request
from replay.link import Link
from replay.outcome import Binding, Outcome
from replay.passwords import Login
from replay.payload import Payload
from replay.plan import Planned
from replay.rewrite import Template

__all__ = ["Pair", "mix", "orders_of"]


class Pair:
    """One planned request under way. key: iteration and position. blocked: per build, how many earlier requests it
    still waits for, None for none on any. after: index of the build that is asked after its twin has answered, -1 for
    none; after_ns: when that was; alone: it is not to be waited for any longer. begun: per build, whether it was sent,
    None before the first. bytes: what it holds in memory, roughly. waits_for: the plan's, and those that its links
    need. logins: its passwords, where a build has others. payload: its bytes for all builds, None where each gets a
    request of its own from `template`. composed: by build index, what was made ready before the first of them was sent:
    request, bindings, traceparent.

    carried_ns: how long the builds that are ahead were held back before it, slip_ns: with it, by those that are behind.

    Of a stream: opened: per build, whether its answer has begun, None before the first; freed: (dependent, build index)
    of those that went on while it was open, None for none; beside: the pairs under way that production sent while it
    listened, None where that is not known or no stream.
    """

    __slots__ = (
        "after",
        "after_ns",
        "alone",
        "begun",
        "beside",
        "blocked",
        "bytes",
        "carried_ns",
        "composed",
        "dependents",
        "due_ns",
        "exchange",
        "freed",
        "iteration",
        "key",
        "left",
        "links",
        "logins",
        "opened",
        "orders",
        "outcomes",
        "payload",
        "planned",
        "ready_ns",
        "slip_ns",
        "stay",
        "supplying",
        "template",
        "waits_for",
    )

    def __init__(self, planned: Planned, iteration: int, builds: int, orders: tuple[int, ...]) -> None:
        exchange = planned.exchange
        response = exchange.response
        self.planned = planned
        self.exchange = exchange
        self.stay = planned.stay
        self.waits_for = planned.waits_for
        self.iteration = iteration
        self.key = (iteration, planned.position)
        self.links: tuple[Link, ...] = ()
        self.logins: tuple[Login, ...] = ()
        self.supplying = False
        self.due_ns = 0
        self.ready_ns = 0
        self.carried_ns = 0
        self.slip_ns = 0
        self.left = builds
        self.outcomes: list[Outcome | None] = [None] * builds
        self.blocked: list[int] | None = None
        self.begun: list[bool] | None = None
        self.after = -1
        self.after_ns = 0
        self.alone = False
        self.dependents: list[Pair] | None = None
        self.orders = orders
        self.opened: list[bool] | None = None
        self.freed: set[tuple[Pair, int]] | None = None
        self.beside: set[Pair] | None = None
        self.payload: Payload | None = None
        self.template: Template | None = None
        self.composed: dict[int, tuple[Request, tuple[Binding, ...], str]] | None = None
        self.bytes = len(exchange.request.body or b"") + len((response and response.body) or b"") + 1024

    def is_before_leaving(self, other: Pair) -> bool:
        """True where production sent `other` before it left this stream, as far as is known when that was."""
        left = self.exchange.times.left
        return left is None or other.exchange.times.request_start < left

    def is_open_on(self, index: int) -> bool:
        """True where this is a stream that has begun on that build."""
        return self.opened is not None and self.opened[index]

    def is_open_to(self, other: Pair, index: int) -> bool:
        """True where this is a stream that has begun on that build, and `other` need not wait for more of it."""
        return self.is_open_on(index) and self.is_before_leaving(other) and not self.links_of(other)

    def links_of(self, other: Pair) -> tuple[Link, ...]:
        """The values that `other` carries and this one may have supplied."""
        position = self.planned.position
        return tuple(link for link in other.links if any(source.position == position for source in link.sources))


def orders_of(builds: int, chance: random.Random) -> list[tuple[int, ...]]:
    """All orders of a few builds, or a sample of the orders of many."""
    if builds <= 5:
        return list(itertools.permutations(range(builds)))
    return [tuple(chance.sample(range(builds), builds)) for _ in range(256)]


def mix(seed: int, iteration: int, position: int) -> int:
    """A number that looks random and depends on nothing else (splitmix64), so that a run can be done again."""
    x = (seed * 0x9E3779B97F4A7C15 + iteration * 0xD1B54A32D192ED03 + position + 1) & 0xFFFFFFFFFFFFFFFF
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return x ^ (x >> 31)
