"""The sampler: keeps whole sessions with a known probability, by a public hash that every instance shares.

The decision is a hash of the session key against the probability; instances that share no state, and have different
redaction keys, keep the same sessions. The session's name in the record is a keyed hash of the same key.

A request that carries no session key is decided when its response is there: if the response hands out a key (the
cookie that the session key names, a token), that key decides, so a login is kept or left with the calls that need it.
If it hands out none, the client address decides. A key that a kept response hands out to a session that already had
one (a cookie that is renewed) is kept with that session, whatever its own hash says.
"""

from __future__ import annotations

import hashlib

import msgspec

from capture.exchange import Exchange, Request, header
from capture.pseudonym import Pseudonyms
from capture.sample.handout import can_hand_out, handed_out
from capture.sample.key import KeySpec, SessionKey, client_of, key_in, key_of
from capture.sample.memory import Memory
from capture.sample.routes import RouteCount, route_of

__all__ = ["FELL_BACK", "HEAD_LOST", "WITH_SESSION", "Decision", "Sampler", "position"]

FELL_BACK = "session fell back to client"
HEAD_LOST = "session head not seen"
WITH_SESSION = "kept with its session"

_NAMES_MAX = 16384
_HASHER = hashlib.blake2b(digest_size=6, person=b"understudy-sampl")


class Decision(msgspec.Struct, frozen=True, gc=False):
    """What was decided about an exchange when its request began.

    session, kept_with, notes: as in the record. pending: nothing is decided yet; `Sampler.settle` does it with the
    response. client: the address that the request falls back to. at_ns: when the request began.
    """

    session: str
    kept_with: float
    client: str
    at_ns: int
    notes: tuple[str, ...] = ()
    pending: bool = False
    rare: bool = False


def position(key: SessionKey) -> float:
    """Where a session key stands in [0, 1): its session is kept where the probability is greater. Alike everywhere."""
    hasher = _HASHER.copy()
    hasher.update(f"{key.kind}\0{key.value}".encode("utf-8", "surrogatepass"))
    return int.from_bytes(hasher.digest(), "big") / (1 << 48)


class Sampler:
    """Decides for every request of a source. Pure: times are arguments, chance is the hash of what the request carries.

    fell_back: requests that carried none of the named session keys. rare: sessions that were kept for a rare route.
    """

    def __init__(
        self,
        probability: float,
        specs: tuple[KeySpec, ...],
        names: Pseudonyms,
        trust_forwarded: bool = False,
        rare_factor: float = 10.0,
        session_idle_ns: int = 1_800_000_000_000,
        sessions_max: int = 65536,
    ) -> None:
        """names: gives sessions their names. rare_factor: 1 for no floor. Raises ValueError for no probability."""
        self._specs = tuple(spec for spec in specs if spec.kind != "client") or ()
        before = [spec.kind for spec in specs]
        if "client" in before:
            self._specs = tuple(specs[: before.index("client")])
        self._client_named = "client" in before or not specs
        self._keys_in = [key_in(spec) for spec in self._specs]
        self._forwarded_in = key_in(KeySpec("header", "x-forwarded-for"))
        self._giving = tuple(spec for spec in self._specs if can_hand_out(spec))
        self._names = names
        self._trust_forwarded = trust_forwarded
        self._rare_factor = rare_factor
        self._idle_ns = session_idle_ns
        self._routes = RouteCount()
        self._placed: dict[SessionKey, tuple[str, float]] = {}
        self._begun: Memory[float] = Memory(sessions_max, session_idle_ns)
        self._joined: Memory[str] = Memory(sessions_max, session_idle_ns)
        self._headed: Memory[bool] = Memory(sessions_max, session_idle_ns)
        self._raised: tuple[float, float, int | None] | None = None
        self.fell_back = 0
        self.rare = 0
        self._probability = self._ceiling = 1.0
        self.set_probability(probability)
        self._raised = None

    @property
    def probability(self) -> float:
        """The probability that holds now for sessions that begin on a common route."""
        return self._probability

    def set_probability(self, probability: float, rare_factor: float | None = None) -> None:
        """Sample with another probability from the next request on, and another floor where one is given.

        Raises ValueError outside [0, 1].
        """
        if not 0 <= probability <= 1:
            raise ValueError(f"probability must be from 0 to 1, found {probability}")
        if probability > self._probability:
            self._raised = (self._probability, probability, None)
        self._probability = probability
        self._rare_factor = self._rare_factor if rare_factor is None else rare_factor
        self._ceiling = min(1.0, probability * self._rare_factor)

    def connection_kept(self, client: str, at_ns: int | None = None) -> bool:
        """False where nothing that this client sends can be kept, so that its bytes need not be read at all.

        at_ns: now, where a session that has begun on a common route is to be left out too.
        """
        if self._specs or self._trust_forwarded or self._ceiling >= 1:
            return True
        session, place = self._place(SessionKey("client", client_of(client)))
        if place < self._probability or place >= self._ceiling or at_ns is None:
            return place < self._ceiling
        kept_with = self._begun.get(session, at_ns)
        return kept_with is None or place < kept_with

    def left_out(self, head: bytes, client: str, at_ns: int) -> bool:
        """True where `begin` would surely return None for the request whose head has these bytes, and would change
        nothing; False says nothing. The cheap way where most requests are left out, one by one."""
        if self._ceiling >= 1:
            return False
        for find in self._keys_in:
            key = find(head)
            if key is not None:
                break
        else:
            if self._giving or not self._client_named:
                return False
            forwarded = self._forwarded_in(head) if self._trust_forwarded else None
            address = client if forwarded is None else forwarded.value.partition(",")[0].strip()
            key = SessionKey("client", client_of(address))
        if key not in self._placed and not len(self._joined):
            return position(key) >= self._ceiling  # a session that is left out needs no name
        session, place = self._place(key)
        return place >= self._ceiling and (not self._giving or self._joined.get(session, at_ns) is None)

    def begin(self, request: Request, client: str, at_ns: int) -> Decision | None:
        """Decide for a request whose head is there; None where it is sampled out."""
        if self._probability <= 0:
            return None
        address = self._client(request, client)
        for spec in self._specs:
            key = key_of(spec, request)
            if key is not None:
                return self._decide(key, request, address, at_ns, ())
        if self._giving:
            return Decision("", 1.0, address, at_ns, (), True)
        return self._fall_back(request, address, at_ns)

    def settle(self, decision: Decision, exchange: Exchange) -> Decision | None:
        """The decision after the response: the same, a new one where it was pending, or None for sampled out."""
        response = exchange.response
        if not self._giving or response is None:
            if decision.pending:
                return self._fall_back(exchange.request, decision.client, decision.at_ns)
            return decision
        given = [key for spec in self._giving if (key := handed_out(spec, response)) is not None]
        if decision.pending:
            if not given:
                return self._fall_back(exchange.request, decision.client, decision.at_ns)
            self._headed.put(self._place(given[0])[0], True, decision.at_ns)
            settled = self._decide(given[0], exchange.request, decision.client, decision.at_ns, ())
            if settled is None:
                return None
            decision, given = settled, given[1:]
        for key in given:
            name = self._place(key)[0]
            if name != decision.session:
                self._joined.put(name, decision.session, decision.at_ns)
        return decision

    def _client(self, request: Request, client: str) -> str:
        if self._trust_forwarded:
            forwarded = header(request.headers, "x-forwarded-for")
            if forwarded:
                return client_of(forwarded.partition(",")[0].strip())
        return client_of(client)

    def _fall_back(self, request: Request, address: str, at_ns: int) -> Decision | None:
        notes: tuple[str, ...] = ()
        if not self._client_named:
            self.fell_back += 1
            notes = (FELL_BACK,)
        return self._decide(SessionKey("client", address), request, address, at_ns, notes)

    def _decide(
        self, key: SessionKey, request: Request, address: str, at_ns: int, notes: tuple[str, ...]
    ) -> Decision | None:
        session, place = self._place(key)
        joined = self._joined.get(session, at_ns) if self._giving else None
        if joined is not None:
            if place < self._probability:
                return Decision(joined, self._probability, address, at_ns, notes)
            return Decision(joined, 1.0, address, at_ns, (*notes, WITH_SESSION))
        if place >= self._ceiling:
            return None
        kept_with = self._probability
        if self._ceiling > self._probability:
            kept_with = self._floor(session, request, at_ns)
            if place >= kept_with:
                return None
        given = key.kind.startswith("cookie:") or key.kind == "header:authorization"
        if (given and self._head_lost(session, at_ns)) or (self._raised and self._raised_over(place, at_ns)):
            notes = (*notes, HEAD_LOST)
        return Decision(session, kept_with, address, at_ns, notes)

    def _floor(self, session: str, request: Request, at_ns: int) -> float:
        """The probability with which this session is kept: the ceiling where it began on a rare route."""
        rare = self._routes.add(route_of(request.method, request.target))
        kept_with = self._begun.get(session, at_ns)
        if kept_with is None:
            if rare:
                self.rare += 1
            kept_with = self._ceiling if rare else 0.0
            self._begun.put(session, kept_with, at_ns)
        return max(kept_with, self._probability)

    def _head_lost(self, session: str, at_ns: int) -> bool:
        """True once for a session whose key no kept response handed out while we looked."""
        if self._headed.get(session, at_ns):
            return False
        self._headed.put(session, True, at_ns)
        return True

    def _raised_over(self, place: float, at_ns: int) -> bool:
        """True where this session was left out until the probability was raised, a session's idle time ago at most."""
        assert self._raised is not None
        low, high, until_ns = self._raised
        if until_ns is None:
            until_ns = at_ns + self._idle_ns
            self._raised = (low, high, until_ns)
        if at_ns > until_ns:
            self._raised = None
            return False
        return low <= place < high

    def _place(self, key: SessionKey) -> tuple[str, float]:
        """The name of the key's session and its position."""
        found = self._placed.get(key)
        if found is None:
            found = (self._names.token(key.kind, key.value), position(key))
            if len(self._placed) >= _NAMES_MAX:
                self._placed.clear()
            self._placed[key] = found
        return found
