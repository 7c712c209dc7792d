"""The jar answers for cookies that a build sets more often, or less often, than production did."""

from __future__ import annotations

from capture.exchange import Exchange, Headers
from replay.jar import Jar
from replay.link import Link, Source
from replay.place import Place
from tests.support.rude import exchange, get, json_response

SID = Place("cookie", ("sid",))


def recorded(number: int, *cookies: str) -> Exchange:
    return exchange(number, get("/"), json_response(b"{}", *(("Set-Cookie", cookie) for cookie in cookies)))


def setting(*cookies: str) -> Headers:
    return tuple(("Set-Cookie", cookie) for cookie in cookies)


def link(position: int) -> Link:
    return Link(SID, "old", (Source(position, f"log-{position}", SID, "old"),))


def test_what_the_build_alone_has_set_since_then_is_sent() -> None:
    jar = Jar()
    jar.take(recorded(0, "sid=old"), 0, setting("sid=first; Path=/"))
    assert jar.set_since(link(0)) is None
    jar.take(recorded(1), 1, setting("sid=second", "other=x"))
    assert jar.set_since(link(0)) == ("second", "log-1 cookie:sid")


def test_what_production_set_there_too_is_left_to_the_recorded_request() -> None:
    jar = Jar()
    jar.take(recorded(0, "sid=old"), 0, setting("sid=first"))
    jar.take(recorded(1, "sid=newer"), 1, setting("sid=second"))
    assert jar.set_since(link(0)) is None


def test_a_build_that_sets_it_less_often_keeps_what_it_set_before() -> None:
    jar = Jar()
    jar.take(recorded(0, "sid=older"), 0, setting("sid=first"))
    assert jar.set_before(link(3)) == ("first", "log-0 cookie:sid")
    assert Jar().set_before(link(3)) is None


def test_a_cookie_that_was_taken_away_is_not_sent() -> None:
    jar = Jar()
    jar.take(recorded(0), 0, setting("sid=first"))
    jar.take(recorded(1), 1, setting("sid=gone; Max-Age=0"))
    assert jar.set_since(Link(SID, "old", ())) == ("first", "log-0 cookie:sid")


def test_a_cookie_from_before_the_capture_comes_from_the_jar_alone() -> None:
    jar = Jar()
    assert jar.set_since(Link(SID, "old", ())) is None
    jar.take(recorded(0), 0, setting("sid=fresh"))
    assert jar.set_since(Link(SID, "old", ())) == ("fresh", "log-0 cookie:sid")
