"""What the packets of a torture capture cannot tell: exchanges that nothing captured sets apart from their neighbours.

Asked of the truth, not of the bytes: an exchange is witnessed by any of its segments, since a client's acknowledges the
answer before it and a server's the request that it answers. Only where it was lost whole, or a request's answer and
the next answer's request both were, may two look like one; this says when.
"""

from __future__ import annotations

from tests.support.torture import Exchanged, Talked

__all__ = ["hidden", "is_recognised"]


def hidden(talk: Talked) -> int:
    """Exchanges of a connection that cannot be told from others in what was captured."""
    count, run = 0, 0
    last: Exchanged | None = None
    for exchange in talk.exchanges:
        if not exchange.asked and not exchange.answered:
            run += 1
            continue
        if last is None:
            count += _before(exchange, run, talk)
        else:
            count += _between(last, exchange, run)
        last, run = exchange, 0
    if last is None:
        return run - ((talk.asks_open or talk.answers_open) and talk.ended)
    return count + _behind(last, run, talk.ended)


def _before(first: Exchanged, run: int, talk: Talked) -> int:
    """Hidden before the first exchange of which something was captured."""
    if first.asked:
        told = talk.answers_open or (talk.asks_open and _starts(first))
    else:
        told = talk.answers_open and _answer_starts(first)
    return run - told if run else 0


def _between(last: Exchanged, following: Exchanged, run: int) -> int:
    """Hidden between two exchanges of which something was captured, with `run` between them that were lost whole."""
    if last.answered:  # that acknowledged where the request ended
        told = (
            _answer_end(last) or _starts(following)
            if following.asked
            else _answer_end(last) and _answer_starts(following)
        )
    elif following.asked:
        told = _ask_end(last) and _starts(following)
    else:
        return run + (not (_ask_end(last) or _answer_starts(following)))
    return run - told if run else 0


def _behind(last: Exchanged, run: int, ended: bool) -> int:
    """Hidden behind the last exchange of which something was captured; ended: it is known where the connection did."""
    told = ended and (last.answered or _ask_end(last))
    return run - told if run else 0


def _captured(segments: list[tuple[bytes, bool]], start: int, end: int) -> bool:
    """True where all of these bytes were captured."""
    at = 0
    for data, kept in segments:
        if at < end and at + len(data) > start and not kept:
            return False
        at += len(data)
    return True


def _head_bytes(segments: list[tuple[bytes, bool]]) -> int:
    return b"".join(data for data, _ in segments).index(b"\r\n\r\n") + 4


def _ask_end(exchange: Exchanged) -> bool:
    """True where the request's head says where it ends."""
    return _captured(exchange.ask, 0, _head_bytes(exchange.ask))


def _answer_end(exchange: Exchanged) -> bool:
    """True where the answer's head says where it ends; without the request that is not sure (HEAD has no body).

    Of a chunked one the line with the only chunk's size and the last chunk must have been captured too.
    """
    message, head = b"".join(data for data, _ in exchange.answer), _head_bytes(exchange.answer)
    end = _captured(exchange.answer, 0, head)
    if b"chunked" in message[:head]:
        size = message.index(b"\r\n", head) + 2
        end = (
            end
            and _captured(exchange.answer, head, size)
            and _captured(exchange.answer, len(message) - 7, len(message))
        )
    return end and _ask_end(exchange)


def _starts(exchange: Exchanged) -> bool:
    """True where the line with which the request starts was captured."""
    return _captured(exchange.ask, 0, b"".join(data for data, _ in exchange.ask).index(b"\r\n") + 2)


def _answer_starts(exchange: Exchanged) -> bool:
    return exchange.answer[0][1]


def is_recognised(talk: Talked) -> bool:
    """True where the start of a message was captured, so that it is known that this is HTTP."""
    first = talk.exchanges[0]
    return ((talk.asks_open or talk.answers_open) and first.ask[0][1]) or any(
        _ask_end(e) or _answer_starts(e) for e in talk.exchanges
    )
