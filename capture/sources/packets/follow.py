"""What becomes of the bytes of a reassembled connection: exchanges for the pipeline, or a mere count of them."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, Final, Protocol

from capture.exchange import Exchange, Request
from capture.observe.connection import ConnectionObserver
from capture.observe.events import Finished, Observed
from capture.observe.head import HEAD_BYTES_MAX
from capture.observe.requests import MAY_START, START
from capture.observe.skim import Skim
from capture.sources.packets.turns import UNKNOWN, Direction, Hole, Place, Turns, path

__all__ = ["Counted", "Follow", "Followed", "Recorder"]

_ANSWER: Final = re.compile(rb"HTTP/1\.[01] ([1-5])[0-9][0-9][ \r]")
_MAY_ANSWER: Final = re.compile(rb"H(?:T(?:T(?:P(?:/(?:1(?:\.(?:[01](?: [0-9]{0,3})?)?)?)?)?)?)?)?")
_ANSWER_BYTES: Final = 13
_PREFACE: Final = b"PRI * HTTP/2.0\r\n"


class Recorder(Protocol):
    """What passive capture needs of a pipeline; `capture.pipeline.Pipeline` is the real one."""

    def connection_kept(self, client: str, at_ns: int | None = None) -> bool: ...
    def begin(self, request: Request, client: str, at_ns: int) -> Any: ...
    def finish(self, exchange: Exchange, decision: Any) -> None: ...
    def opaque(self, reason: str) -> None: ...
    def skimmed(self, n: int) -> None: ...
    def lost(self, reason: str, n: int = 1) -> None: ...


class Follow(Protocol):
    """A reader of one connection's bytes in order. wants_server: False where the server's bytes need not be given."""

    wants_server: bool

    def client_bytes(self, data: bytes, at_ns: int) -> None: ...
    def server_bytes(self, data: bytes, at_ns: int) -> None: ...
    def gap(self, hole: Hole, at_ns: int) -> None: ...
    def end(self, direction: Direction, at_ns: int) -> None: ...
    def over(self, reset: bool, at_ns: int, by_client: bool = False) -> None: ...


class Followed:
    """Observes a connection whose exchanges may be kept, and counts those that a hole has swallowed.

    Among pipelined requests no answer can be paired behind a hole: their connection is opaque, and they are counted. A
    connection that was not captured from its start, and in which no message was seen to begin, is not known to be
    HTTP: nothing of it is counted but that it is opaque.
    """

    __slots__ = (
        "_asked",
        "_client",
        "_first",
        "_observer",
        "_pending",
        "_recorder",
        "_rest",
        "_said",
        "_start",
        "_turns",
        "wants_server",
    )

    def __init__(self, recorder: Recorder, client: str, server: str, number: int, body_bytes_max: int) -> None:
        self.wants_server = True
        self._recorder = recorder
        self._client = client
        self._observer = ConnectionObserver(
            self._begin, connection=number, source="sniff", server=server, body_bytes_max=body_bytes_max
        )
        self._turns: Turns | None = None  # from the first hole on
        self._pending: Counter[str] | None = None  # exchanges lost before it is known that this is HTTP
        self._start: bytes | None = None  # what may be the start of an answer behind a hole
        self._first = b""  # what may be the start of a request behind a hole
        self._asked = b""  # the last bytes of the client
        self._said = False  # that the rest is opaque
        self._rest: Skim | None = None  # counts requests of which no answer can be paired any more

    def _begin(self, request: Request, at_ns: int) -> object | None:
        token: object | None = self._recorder.begin(request, self._client, at_ns)
        if self._turns is not None:
            self._turns.begins()
            self._recognised()
        return token

    def client_bytes(self, data: bytes, at_ns: int) -> None:
        if self._rest is not None:
            self._count_rest(self._rest, data)
            return
        turns = self._turns
        if turns is not None:
            turns.asks(captured=True, goes_on=self._goes_on(), begins=turns.torn and self._request_begins(data))
        self._asked = data
        events = self._observer.client_bytes(data, at_ns)
        if events:
            self._take(events)
        if self._turns is not None:
            self._count(self._turns)

    def server_bytes(self, data: bytes, at_ns: int) -> None:
        if self._turns is not None:
            self._turns.answers(captured=True, begins=self._start is not None and self._answer_begins(data))
            self._count(self._turns)
        events = self._observer.server_bytes(data, at_ns)
        if events:
            self._take(events)

    def gap(self, hole: Hole, at_ns: int) -> None:
        """Bytes were not captured."""
        observer = self._observer
        if self._rest is not None and hole.client > 0 and (count := self._rest.gap(hole.client)):
            self._recorder.lost("gap", count)
        if self._said:
            return
        place = observer.place
        turns = self._turns
        if turns is None:
            known = place is not None and UNKNOWN not in hole
            if place is None:
                turns = self._turns = Turns()
            else:
                turns = self._turns = Turns(begun=place.begun, asking=place.asking, answered=place.answered)
            if not known or not self._asked:
                self._pending = Counter()
        left = (place.client_left, place.server_left) if place is not None else (None, None)
        here = Place(turns.answered, *left)
        turns.repeats(self._repeats(hole, here))
        for direction, missing in path(hole, here):
            if missing == UNKNOWN:
                self._take(observer.gap(direction, 0, at_ns))
                continue
            place = observer.place
            if direction == "client":
                between = place is not None and place.client_left == 0
                turns.asks(captured=False, goes_on=self._goes_on(), between=between)
            else:
                ended = place is not None and place.server_left == 0
                turns.answers(captured=False, ended=ended)
            self._take(observer.gap(direction, missing, at_ns))
        self._start = self._first = b""
        self._count(turns)
        if self._rest is not None and not hole.client:
            self._rest.lost = here.client_left != 0

    def _count_rest(self, rest: Skim, data: bytes) -> None:
        if rest.lost:
            if START.match(data) is None:
                return
            rest.restart()
        count = rest.client_bytes(data)
        if count:
            self._recorder.lost("gap", count)

    def _goes_on(self) -> bool:
        place = self._observer.place
        return place is not None and place.asking

    def _request_begins(self, data: bytes) -> bool:
        """True where the client's bytes behind a hole are surely the start of a request."""
        start, self._first = (self._first or b"") + data[:HEAD_BYTES_MAX], b""
        if START.match(start) is None:
            if len(start) < HEAD_BYTES_MAX and MAY_START.fullmatch(start) is not None:
                self._first = start
            return False
        return True

    def _answer_begins(self, data: bytes) -> bool:
        """True where the bytes behind a hole are surely the start of an answer, though not of an interim one."""
        start, self._start = (self._start or b"") + data[:_ANSWER_BYTES], None
        found = _ANSWER.match(start)
        if found is None:
            if _MAY_ANSWER.fullmatch(start) is not None:
                self._start = start
            return False
        self._recognised()
        return found[1] != b"1"

    def _repeats(self, hole: Hole, place: Place) -> int:
        """Exchanges in a hole beside the one that is surely there, where requests of the last one's size fit."""
        size = len(self._asked)
        if place.client_left != 0 or hole.client < 2 * size or not size or hole.client % size:
            return 0
        count = hole.client // size
        answered = hole.server - ((place.server_left or 0) if place.answered else 0)
        more, fewer = hole.before == "client" and not place.answered, hole.before == "server" and place.answered
        answers = count + more - fewer
        if answered < answers * _ANSWER_BYTES or answered % max(1, answers):
            return 0
        skim = Skim()
        if skim.client_bytes(self._asked) != 1 or not skim.between:
            return 0
        return count - 1 - (fewer and answered > 0)

    def end(self, direction: Direction, at_ns: int) -> None:
        observer = self._observer
        self._take(observer.client_end(at_ns) if direction == "client" else observer.server_end(at_ns))

    def over(self, reset: bool, at_ns: int, by_client: bool = False) -> None:
        self._take(self._observer.abort(at_ns, by_client) if reset else self._observer.close(at_ns))
        if self._turns is not None:
            self._turns.over()
            self._count(self._turns)
            if self._pending:
                self._recorder.opaque("unrecognised")
            self._turns = None

    def _recognised(self) -> None:
        """This is HTTP: what was lost before counts."""
        pending, self._pending = self._pending, None
        for reason, n in (pending or {}).items():
            self._recorder.lost(reason, n)

    def _count(self, turns: Turns) -> None:
        for reason, n in turns.take().items():
            if self._pending is None:
                self._recorder.lost(reason, n)
            else:
                self._pending[reason] += n

    def _take(self, events: list[Observed]) -> None:
        for event in events:
            if isinstance(event, Finished):
                self._recorder.finish(event.exchange, event.token)
            else:
                self._said, self._turns = True, None  # how many exchanges there are in what follows is not known
                self._recorder.opaque(event.reason)
                if event.reason == "gap" and self._observer.place is not None:
                    self._rest = Skim()
                    self._rest.lost = True


class Counted:
    """Counts the requests of a connection that the sampler has left out, those in holes included."""

    __slots__ = ("_recorder", "_said", "_skim", "wants_server")

    def __init__(self, recorder: Recorder) -> None:
        self.wants_server = False
        self._recorder = recorder
        self._skim = Skim()
        self._said = False

    def client_bytes(self, data: bytes, at_ns: int) -> None:
        if self._said:
            return
        skim = self._skim
        if skim.lost:
            if START.match(data) is None and not data.startswith(_PREFACE):
                return
            skim.restart()
        count = skim.client_bytes(data)
        if count:
            self._recorder.skimmed(count)
        if skim.opaque is not None:
            self._said = True
            self._recorder.opaque(skim.opaque)

    def server_bytes(self, data: bytes, at_ns: int) -> None:
        pass

    def gap(self, hole: Hole, at_ns: int) -> None:
        """Bytes of the client were not captured; what they held is left out like the rest."""
        if self._said or not hole.client:
            return
        if hole.client == UNKNOWN:
            self._skim = Skim()
            self._skim.lost = True
        elif not self._skim.lost:
            self._recorder.skimmed(self._skim.gap(hole.client))

    def end(self, direction: Direction, at_ns: int) -> None:
        pass

    def over(self, reset: bool, at_ns: int, by_client: bool = False) -> None:
        pass
