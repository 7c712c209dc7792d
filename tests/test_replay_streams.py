"""Streams on builds: left where production left them, open for what was sent meanwhile, and a hang is still seen."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest

from capture.exchange import Exchange, Response, Times
from replay.clients.base import Limits
from replay.outcome import Outcome, Performance
from replay.pace import Closed, Pace, Rate, Recorded
from replay.perform import Performer
from tests.support.replaying import perform_on
from tests.support.rude import Rude, exchange, get, rude_server

pytestmark = pytest.mark.net

EVENTS = (("Content-Type", "text/event-stream"),)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
PACES = {
    "closed": Closed(4),
    "closed by one": Closed(1),
    "recorded": Recorded(1),
    "fast": Recorded(20),
    "rate": Rate(50),
}
SID = "chan-00aa11bb22cc33dd"
MS = 1_000_000

Steps = list[bytes | float | str]


def listened(
    position: int, body: bytes | None, start_ms: int = 0, listened_ms: int = 300, target: str = "/events"
) -> Exchange:
    """A request whose client left, after an answer of this body, or without one."""
    response = None if body is None else Response(200, "OK", "HTTP/1.1", EVENTS, body, len(body))
    one = exchange(position, get(target), response, start_ms=start_ms)
    start = one.times.request_start
    first = None if body is None else start + MS
    times = Times(start, start, first, None, start + listened_ms * MS)
    return msgspec.structs.replace(one, response=response, times=times, incomplete_reason="reset")


def stream(*steps: bytes | float | str) -> Callable[[bytes], Awaitable[Steps]]:
    async def answer(raw: bytes) -> Steps:
        return list(steps) if b" /events" in raw else [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"]

    return answer


def performed(
    answers: dict[str, Callable[[bytes], Awaitable[Steps]]],
    exchanges: list[Exchange],
    pace: Pace,
    limits: Limits | None = None,
    **options: Any,
) -> list[Performance]:
    async def main() -> list[Performance]:
        async with contextlib.AsyncExitStack() as stack:
            servers = {name: await stack.enter_async_context(rude_server(answer)) for name, answer in answers.items()}
            return await asyncio.wait_for(perform_on(servers, exchanges, pace, limits, **options), 60)

    return asyncio.run(main())


def body_of(outcome: Outcome) -> bytes:
    assert outcome.failure is None
    assert outcome.response is not None
    return outcome.response.body or b""


@pytest.mark.parametrize("pace", PACES.values(), ids=PACES)
def test_a_stream_without_end_is_left_by_the_replay_as_it_was_by_production(pace: Pace) -> None:
    endless = stream(HEAD + b"data: 1\n\n", 0.05, b"data: 2\n\n", "silence")
    done = performed(
        {"current": endless, "candidate": endless},
        [listened(0, b"data: 1\n\ndata: 2\n\n"), exchange(1, get("/ok"), start_ms=500)],
        pace,
    )
    assert [performance.skipped for performance in done] == [None, None]
    for outcome in done[0].outcomes:
        assert body_of(outcome) == b"data: 1\n\ndata: 2\n\n"
        assert outcome.left
        assert outcome.response is not None
        assert not outcome.response.truncated
        assert outcome.first_byte_ns is not None
    assert not any(outcome.left for outcome in done[1].outcomes)


def test_an_answer_that_ends_is_whole_though_production_left_it() -> None:
    whole = stream(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc", 0.05, b"def")
    (done,) = performed({"current": whole, "candidate": whole}, [listened(0, b"abcde")], Closed(4))
    assert [(body_of(one), one.left) for one in done.outcomes] == [(b"abcdef", False)] * 2


def test_where_it_is_not_known_when_production_left_a_stream_is_left_after_the_bound() -> None:
    endless = stream(HEAD + b"data: 1\n\n", "silence")
    unknown = listened(0, b"data: 1\n\ndata: 2\n\n")
    unknown = msgspec.structs.replace(unknown, times=msgspec.structs.replace(unknown.times, left=None))
    alone = msgspec.structs.replace(unknown, response=None, incomplete_reason=None, id="log-1", times=Times(10**18))
    done = performed({"current": endless, "candidate": endless}, [unknown, alone], Closed(4), stream_ns=100 * MS)
    assert [(body_of(one), one.left) for p in done for one in p.outcomes] == [(b"data: 1\n\n", True)] * 4


def test_of_a_request_alone_an_answer_that_is_no_stream_is_waited_for_or_is_a_timeout() -> None:
    alone = msgspec.structs.replace(exchange(0, get("/events")), response=None, times=Times(10**18))
    part = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab"
    answers = {"current": stream(part, 0.2, b"cd"), "candidate": stream(part, "silence")}
    limits = Limits(timeout_ns=3_000 * MS, first_byte_timeout_ns=3_000 * MS)
    (done,) = performed(answers, [alone], Closed(4), limits, stream_ns=MS)
    assert (body_of(done.outcomes[0]), done.outcomes[0].left) == (b"abcd", False)
    assert done.outcomes[1].failure is not None
    assert (done.outcomes[1].failure.kind, done.outcomes[1].failure.phase) == ("timeout", "body")


@pytest.mark.parametrize("pace", [Closed(4), Recorded(10)])
def test_a_build_that_alone_says_nothing_on_a_stream_is_a_timeout(pace: Pace) -> None:
    speaks, silent = stream(HEAD + b"data: 1\n\n", "silence"), stream(HEAD, "silence")
    answers = {"current": speaks, "candidate": silent, "candidate2": stream("silence")}
    limits = Limits(timeout_ns=3_000 * MS, first_byte_timeout_ns=3_000 * MS)
    (done,) = performed(answers, [listened(0, b"data: 1\n\n", listened_ms=100)], pace, limits, timeout_ns=3_000 * MS)
    current, silent_one, dead = done.outcomes
    assert (body_of(current), current.left) == (b"data: 1\n\n", True)
    for outcome, phase in ((silent_one, "body"), (dead, "first_byte")):
        assert outcome.failure is not None
        assert (outcome.failure.kind, outcome.failure.phase, outcome.left) == ("timeout", phase, False)


def test_builds_that_all_say_nothing_on_a_stream_are_left() -> None:
    silent = stream(HEAD, "silence")
    (done,) = performed(
        {"current": silent, "candidate": silent}, [listened(0, b"data: 1\n\n", listened_ms=50)], Closed(4)
    )
    assert [(body_of(one), one.left) for one in done.outcomes] == [(b"", True)] * 2


def test_a_long_poll_that_production_gave_up_without_an_answer_is_given_up() -> None:
    polls = [listened(0, None, listened_ms=50), exchange(1, get("/ok"), start_ms=100)]
    done = performed({"current": stream("silence"), "candidate": stream("silence")}, polls, Closed(4))
    for outcome in done[0].outcomes:
        assert outcome.left
        assert outcome.failure is not None
        assert (outcome.failure.kind, outcome.failure.phase) == ("timeout", "first_byte")
    assert all(outcome.response is not None for outcome in done[1].outcomes)


def test_a_long_poll_that_one_build_answers_is_waited_for_on_the_others() -> None:
    limits = Limits(timeout_ns=4_000 * MS, first_byte_timeout_ns=4_000 * MS)
    answers = {"current": stream(b"HTTP/1.1 204 No Content\r\n\r\n"), "candidate": stream("silence")}
    (done,) = performed(answers, [listened(0, None, listened_ms=50)], Closed(4), limits)
    assert body_of(done.outcomes[0]) == b""
    assert done.outcomes[1].failure is not None
    assert (done.outcomes[1].failure.kind, done.outcomes[1].left) == ("timeout", False)


class Channel:
    """A service as MCP over server-sent events: what is posted to an open stream is answered on that stream."""

    def __init__(self) -> None:
        self.port = 0
        self.open: dict[str, asyncio.StreamWriter] = {}
        self.posts: list[tuple[str, bool]] = []
        self._tokens = itertools.count(1)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        token = ""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                target = head.split(b" ")[1].decode()
                if target == "/events":
                    token = f"chan-{self.port:08x}{next(self._tokens):08x}"
                    self.open[token] = writer
                    writer.write(HEAD)
                    await asyncio.sleep(0.1)  # its first event takes a while, and nobody may post before
                    writer.write(f"event: endpoint\ndata: /messages?sid={token}\n\n".encode())
                    await reader.read()
                    return
                sid = target.partition("sid=")[2]
                self.posts.append((sid, sid in self.open))
                if sid in self.open:
                    self.open[sid].write(b"event: message\ndata: {}\n\n")
                writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return  # the replay is done with this connection
        finally:
            self.open.pop(token, None)
            writer.close()


@contextlib.asynccontextmanager
async def channel() -> AsyncIterator[tuple[Channel, Rude]]:
    made = Channel()
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(asyncio.CancelledError):
            await made.serve(reader, writer)
        tasks.discard(task)

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made, Rude(made.port)
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def visit() -> list[Exchange]:
    """A stream, three posts beside it, one of them a long while later, and one more request when it had been left."""
    endpoint = b"event: endpoint\ndata: /messages?sid=%b\n\n" % SID.encode()
    posts = [
        exchange(n, get(f"/messages?sid={SID}", method="POST"), start_ms=at) for n, at in ((1, 20), (2, 40), (3, 280))
    ]
    answered = b"event: message\ndata: {}\n\n" * 3
    return [listened(0, endpoint + answered), *posts, exchange(4, get("/after"), start_ms=400)]


@pytest.mark.parametrize("pace", PACES.values(), ids=PACES)
@pytest.mark.parametrize("reference", [False, True], ids=["alone", "with a reference that is the same process"])
def test_what_was_sent_beside_a_stream_is_sent_while_it_is_open_with_what_it_gave(pace: Pace, reference: bool) -> None:
    async def main() -> tuple[list[Performance], list[Channel]]:
        async with channel() as (current, one), channel() as (candidate, other):
            servers = {"current": one, **({"reference": one} if reference else {}), "candidate": other}
            done = await asyncio.wait_for(perform_on(servers, visit(), pace), 60)
            return done, [current, candidate]

    done, (current, candidate) = asyncio.run(main())
    assert [performance.skipped for performance in done] == [None] * 5
    for service, builds in ((current, 1 + reference), (candidate, 1)):
        posts = service.posts[:-builds]  # without what came after the stream
        assert len(posts) == 3 * builds
        assert all(is_open for _, is_open in posts)
        assert len({sid for sid, _ in posts}) == builds
    for outcome in done[0].outcomes:
        assert outcome.left
        assert body_of(outcome).count(b"event: message") == 3
    after = done[4].outcomes
    for outcome, stream_outcome in zip(after, done[0].outcomes, strict=True):
        assert outcome.sent_ns is not None
        assert outcome.sent_ns >= stream_outcome.end_ns


def test_a_value_that_one_build_never_gives_does_not_hold_its_stream_for_ever() -> None:
    limits = Limits(timeout_ns=3_000 * MS, first_byte_timeout_ns=3_000 * MS)
    nothing = stream(HEAD + b"event: other\ndata: 1\n\n", "silence")

    async def main() -> list[Performance]:
        async with channel() as (_, one), rude_server(nothing) as other:
            servers = {"current": one, "candidate": other}
            return await asyncio.wait_for(perform_on(servers, visit(), Closed(4), limits, timeout_ns=3_000 * MS), 60)

    done = asyncio.run(main())
    assert [performance.skipped for performance in done] == [None] * 5
    assert all(one.left for one in done[0].outcomes)
    assert [b.origin.partition(":")[0] for b in done[1].outcomes[1].bindings] == ["unresolved"]


def test_many_streams_at_once_do_not_keep_others_from_being_sent() -> None:
    endless = stream(HEAD + b"data: 1\n\n", "silence")
    streams = [
        msgspec.structs.replace(listened(n, b"data: 1\n\n", start_ms=n, listened_ms=500), session=f"s{n}")
        for n in range(12)
    ]
    others = [msgspec.structs.replace(exchange(n, get("/ok"), start_ms=n), session=f"s{n - 12}") for n in range(12, 24)]
    done = performed({"current": endless, "candidate": endless}, [*streams, *others], Closed(2))
    for p in done[:12]:
        assert all(one.left for one in p.outcomes)
    for p in done[12:]:
        beside = done[p.position - 12]
        for other, listening in zip(p.outcomes, beside.outcomes, strict=True):
            assert other.sent_ns is not None
            assert other.sent_ns <= listening.end_ns


def test_a_long_poll_that_production_had_more_patience_for_than_the_replay_is_given_up_in_time() -> None:
    limits = Limits(timeout_ns=3_000 * MS, first_byte_timeout_ns=3_000 * MS)
    silent = {"current": stream("silence"), "candidate": stream("silence")}
    poll = listened(0, None, listened_ms=60_000)
    (done,) = performed(silent, [poll], Recorded(1), limits, timeout_ns=3_000 * MS, first_byte_ns=3_000 * MS)
    assert all(outcome.left for outcome in done.outcomes)


def test_where_silences_are_shortened_so_is_the_time_that_a_stream_is_listened_to() -> None:
    endless = stream(HEAD + b"data: 1\n\n", "silence")
    hours = [listened(0, b"data: 1\n\n", listened_ms=7_200_000), exchange(1, get("/ok"), start_ms=3_600_000)]
    pace = Recorded(1, pause_max_ns=100 * MS)
    done = performed({"current": endless, "candidate": endless}, hours, pace)
    for listening, beside in zip(done[0].outcomes, done[1].outcomes, strict=True):
        assert (listening.left, beside.left) == (True, False)
        assert beside.sent_ns is not None
        assert beside.sent_ns <= listening.end_ns


def test_the_end_of_the_time_for_a_run_leaves_what_is_listened_to() -> None:
    endless = stream(HEAD + b"data: 1\n\n", "silence")
    long, later = listened(0, b"data: 1\n\n" * 9, listened_ms=3_600_000), exchange(1, get("/ok"), start_ms=3_000_000)
    (done,) = performed({"current": endless, "candidate": endless}, [long, later], Recorded(1), duration_ns=500 * MS)
    assert all(outcome.left for outcome in done.outcomes)


def test_a_stop_leaves_what_is_listened_to() -> None:
    endless = stream(HEAD + b"data: 1\n\n", "silence")
    made: list[Performer] = []

    async def main() -> list[Performance]:
        async with rude_server(endless) as current, rude_server(endless) as candidate:
            servers = {"current": current, "candidate": candidate}
            long = listened(0, b"data: 1\n\n" * 9, listened_ms=3_600_000)
            task = asyncio.ensure_future(perform_on(servers, [long], Recorded(1), performer_out=made))
            async with asyncio.timeout(30):
                while not (current.requests and candidate.requests):  # noqa: ASYNC110  # the servers only record
                    await asyncio.sleep(0.01)
            made[0].stop("asked to")
            return await asyncio.wait_for(task, 30)

    (done,) = asyncio.run(main())
    assert all(outcome.left for outcome in done.outcomes)
