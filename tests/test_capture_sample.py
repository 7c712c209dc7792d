"""Sampling keeps whole sessions, alike on every instance, and says with what probability."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.errors import UsageError
from capture.exchange import Exchange, Headers, Request, Response, Times
from capture.observe.head import parse_request
from capture.pseudonym import Pseudonyms
from capture.sample import Decision, KeySpec, Sampler, SessionKey, parse_specs, position
from capture.sample.handout import handed_out
from capture.sample.key import client_of, cookie_value, key_in, key_of, query_value
from capture.sample.memory import Memory
from capture.sample.routes import RouteCount, route_of

_MINUTE = 60_000_000_000


def sampler(probability: float, *specs: str, key: bytes = b"k", **options: object) -> Sampler:
    options.setdefault("rare_factor", 1.0)
    return Sampler(probability, parse_specs(specs), Pseudonyms(key), **options)  # type: ignore[arg-type]


def request(target: str = "/", headers: Headers = (), method: str = "GET") -> Request:
    return Request(method, target, "HTTP/1.1", headers)


def exchange(asked: Request, headers: Headers = (), body: bytes = b"") -> Exchange:
    return Exchange("", "", "relay", 1.0, asked, Response(200, "OK", "HTTP/1.1", headers, body), Times(0))


def cookie_on_side(kept: bool, probability: float) -> str:
    """A value of the cookie sid whose session is kept, or left, at that probability."""
    return next(
        value
        for value in (f"session-{n}" for n in range(1000))
        if (position(SessionKey("cookie:sid", value)) < probability) is kept
    )


def client_on_side(kept: bool, probability: float) -> str:
    return next(
        value
        for value in (f"10.0.{n // 250}.{n % 250}" for n in range(1000))
        if (position(SessionKey("client", value)) < probability) is kept
    )


# ---- session keys


@given(
    st.sampled_from(["header:x-user", "header:authorization", "cookie:sid", "query:u", "traceparent"]),
    st.sampled_from(["/", "/?u=a%20b&u=c", "*", "http://h/?x=1&u=%41#u=2"]),
    st.lists(
        st.tuples(
            st.sampled_from(
                ["X-User", "x-user", "Authorization", "Cookie", "cookie", "traceparent", "X-User2", "2X-User"]
            ),
            st.sampled_from(
                [
                    "",
                    "u1",
                    " u2 ",
                    "Bearer t",
                    "a=b; sid=x",
                    'sid="y"; sid=z',
                    "sid=",
                    "x-user: no",
                    "\xe9",
                    "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01",
                ]
            ),
        ),
        max_size=5,
    ),
)
def test_the_key_in_the_bytes_of_a_head_is_that_of_the_request(
    word: str, target: str, fields: list[tuple[str, str]]
) -> None:
    (spec,) = parse_specs((word,))
    lines = "".join(f"{name}:{value}\r\n" for name, value in fields)
    head = f"GET {target} HTTP/1.1\r\n{lines}".encode("latin-1")
    assert key_in(spec)(head + b"\r\n") == key_of(spec, parse_request(head).request)


@pytest.mark.parametrize(
    ("client", "address"),
    [
        ("", ""),
        ("10.0.0.1", "10.0.0.1"),
        ("10.0.0.1:5123", "10.0.0.1"),
        ("[2001:db8::1]:80", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
    ],
)
def test_the_port_is_no_part_of_the_client(client: str, address: str) -> None:
    assert client_of(client) == address


def test_specs_are_read_as_they_are_spelt() -> None:
    assert parse_specs(()) == (KeySpec("client"),)
    assert parse_specs(("cookie:sid", "header:X-User", "query:u", "traceparent", "client")) == (
        KeySpec("cookie", "sid"),
        KeySpec("header", "x-user"),
        KeySpec("query", "u"),
        KeySpec("traceparent"),
        KeySpec("client"),
    )


@pytest.mark.parametrize("word", ["cookies:sid", "cookie", "cookie:", "client:1", "header:a b", "traceparent:x", ""])
def test_a_spec_that_is_not_known_is_refused(word: str) -> None:
    with pytest.raises(UsageError, match="--session-key"):
        parse_specs((word,))


def test_a_cookie_is_found_among_others_and_in_a_second_field() -> None:
    headers = (("Cookie", 'theme=dark; xsid=no; sid="abc"'), ("cookie", "late=1"))
    assert cookie_value(headers, "sid") == "abc"
    assert cookie_value(headers, "late") == "1"
    assert cookie_value(headers, "id") is None


def test_a_query_field_is_percent_decoded() -> None:
    assert query_value("/p?a=1&u=an%20na+x#u=no", "u") == "an na x"
    assert query_value("/u=1", "u") is None


def test_the_token_of_a_bearer_header_is_the_key_without_its_scheme() -> None:
    asked = request(headers=(("Authorization", "Bearer abc.def"),))
    assert key_of(KeySpec("header", "authorization"), asked) == SessionKey("header:authorization", "abc.def")


def test_all_requests_of_one_trace_have_one_key() -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    spec = KeySpec("traceparent")
    first = key_of(spec, request(headers=(("traceparent", f"00-{trace}-00f067aa0ba902b7-01"),)))
    second = key_of(spec, request(headers=(("Traceparent", f"00-{trace}-b7ad6b7169203331-00"),)))
    assert first == second == SessionKey("traceparent", trace)
    assert key_of(spec, request(headers=(("traceparent", "garbage"),))) is None


# ---- the decision


@given(st.ip_addresses(v=4).map(str), st.floats(0.01, 0.99))
def test_instances_with_different_redaction_keys_decide_alike(client: str, probability: float) -> None:
    one = sampler(probability, key=b"one").begin(request(), client, 0)
    other = sampler(probability, key=b"other").begin(request("/else"), f"{client}:99", 5)
    assert (one is None) == (other is None)
    if one is not None and other is not None:
        assert one.session != other.session
        assert one.kept_with == other.kept_with == probability


@given(st.text(min_size=1, max_size=30), st.floats(0, 1), st.floats(0, 1))
def test_what_is_kept_at_a_probability_is_kept_at_a_greater_one(client: str, first: float, second: float) -> None:
    low, high = sorted((first, second))
    if sampler(low).begin(request(), client, 0) is not None:
        assert sampler(high).begin(request(), client, 0) is not None


def test_the_share_of_kept_sessions_is_the_probability() -> None:
    tenth = sampler(0.1)
    kept = sum(tenth.begin(request(), f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", 0) is not None for n in range(20000))
    assert 1850 <= kept <= 2150


def test_at_one_everything_is_kept_and_at_nought_nothing() -> None:
    assert sampler(1.0).begin(request(), "10.0.0.1", 0) is not None
    assert sampler(0.0).begin(request(), "10.0.0.1", 0) is None
    assert sampler(0.0, "cookie:sid").begin(request(), "10.0.0.1", 0) is None


def test_a_session_is_sixteen_hexadecimal_digits_and_the_same_for_the_same_key() -> None:
    whole = sampler(1.0)
    first, second = whole.begin(request("/a"), "10.0.0.1:1", 0), whole.begin(request("/b"), "10.0.0.1:2", 9)
    assert first is not None
    assert second is not None
    assert first.session == second.session
    assert len(first.session) == 16
    int(first.session, 16)


def test_the_first_spec_that_a_request_carries_decides() -> None:
    whole = sampler(1.0, "cookie:sid", "header:x-user")
    both = whole.begin(request(headers=(("Cookie", "sid=a1"), ("X-User", "u"))), "c", 0)
    same = whole.begin(request(headers=(("Cookie", "sid=a1"),)), "d", 0)
    user = whole.begin(request(headers=(("X-User", "u"),)), "c", 0)
    assert both is not None
    assert same is not None
    assert user is not None
    assert both.session == same.session != user.session


def test_a_connection_can_be_left_unread_only_where_the_client_alone_decides() -> None:
    left, kept = client_on_side(False, 0.5), client_on_side(True, 0.5)
    assert not sampler(0.5).connection_kept(f"{left}:80")
    assert sampler(0.5).connection_kept(f"{kept}:80")
    assert sampler(0.5, "cookie:sid").connection_kept(left)
    assert sampler(0.5, "header:x-user", "client").connection_kept(left)
    assert sampler(0.5, trust_forwarded=True).connection_kept(left)
    assert sampler(1.0).connection_kept(left)


def test_a_forwarded_address_is_the_client_only_where_it_is_trusted() -> None:
    asked = request(headers=(("X-Forwarded-For", "203.0.113.9, 10.0.0.1"),))
    direct = sampler(1.0).begin(request(), "203.0.113.9", 0)
    trusted = sampler(1.0, trust_forwarded=True).begin(asked, "10.0.0.1", 0)
    wary = sampler(1.0).begin(asked, "10.0.0.1", 0)
    assert direct is not None
    assert trusted is not None
    assert wary is not None
    assert trusted.session == direct.session != wary.session


# ---- keys that responses hand out


def test_a_login_is_decided_by_the_cookie_that_it_hands_out() -> None:
    for wanted in (True, False):
        half = sampler(0.5, "cookie:sid")
        value = cookie_on_side(wanted, 0.5)
        login = request("/login", method="POST")
        begun = half.begin(login, client_on_side(not wanted, 0.5), 0)
        assert begun is not None
        assert begun.pending
        settled = half.settle(begun, exchange(login, (("Set-Cookie", f"sid={value}; Path=/; HttpOnly"),)))
        later = half.begin(request("/cart", (("Cookie", f"sid={value}"),)), "10.9.9.9", 1)
        assert (settled is not None) is wanted
        assert (later is not None) is wanted
        if settled is not None and later is not None:
            assert settled.session == later.session
            assert settled.kept_with == later.kept_with == 0.5
            assert later.notes == ()


def test_a_request_without_a_key_falls_back_to_its_client_and_says_so() -> None:
    half = sampler(0.5, "cookie:sid")
    for wanted in (True, False):
        begun = half.begin(request(), client_on_side(wanted, 0.5), 0)
        assert begun is not None
        settled = half.settle(begun, exchange(request()))
        assert (settled is not None) is wanted
        if settled is not None:
            assert settled.notes == ("session fell back to client",)
    assert half.fell_back == 2


def test_falling_back_to_a_client_that_was_named_is_no_news() -> None:
    whole = sampler(1.0, "header:x-user", "client")
    begun = whole.begin(request(), "10.0.0.1", 0)
    assert begun is not None
    settled = whole.settle(begun, exchange(request()))
    assert settled is not None
    assert settled.notes == ()
    assert whole.fell_back == 0


def test_a_renewed_cookie_stays_in_its_session() -> None:
    half = sampler(0.5, "cookie:sid")
    first, second = cookie_on_side(True, 0.5), cookie_on_side(False, 0.5)
    asked = request("/login", (("Cookie", f"sid={first}"),))
    begun = half.begin(asked, "c", 0)
    assert begun is not None
    settled = half.settle(begun, exchange(asked, (("set-cookie", f"sid={second}"),)))
    assert settled == begun
    later = half.begin(request("/cart", (("Cookie", f"sid={second}"),)), "c", 1)
    assert later is not None
    assert later.session == begun.session
    assert later.kept_with == 1.0
    assert later.notes == ("kept with its session",)
    assert sampler(0.5, "cookie:sid").begin(request("/cart", (("Cookie", f"sid={second}"),)), "c", 1) is None


def test_what_was_handed_out_is_forgotten_after_the_idle_time() -> None:
    half = sampler(0.5, "cookie:sid", session_idle_ns=_MINUTE)
    first, second = cookie_on_side(True, 0.5), cookie_on_side(False, 0.5)
    asked = request(headers=(("Cookie", f"sid={first}"),))
    begun = half.begin(asked, "c", 0)
    assert begun is not None
    half.settle(begun, exchange(asked, (("Set-Cookie", f"sid={second}"),)))
    assert half.begin(request(headers=(("Cookie", f"sid={second}"),)), "c", _MINUTE) is not None
    assert half.begin(request(headers=(("Cookie", f"sid={second}"),)), "c", 2 * _MINUTE + 1) is None


@pytest.mark.parametrize(
    ("spec", "headers", "body", "value"),
    [
        ("cookie:sid", (("Set-Cookie", "sid=abc; Path=/"),), b"", "abc"),
        ("cookie:sid", (("Set-Cookie", "sid=; Max-Age=0"),), b"", None),
        ("cookie:sid", (("Set-Cookie", "sid=x; max-age=0"),), b"", None),
        ("cookie:sid", (("Set-Cookie", "xsid=abc"),), b"", None),
        ("header:authorization", (), b'{"access_token": "tok-1", "x": 1}', "tok-1"),
        ("header:authorization", (("Authorization", "Bearer tok-2"),), b"", "tok-2"),
        ("header:x-session", (("X-Session", "s-3"),), b"", "s-3"),
        ("query:ticket", (), b' {"ticket":"t-44"}', "t-44"),
        ("query:ticket", (), b"ticket", None),
    ],
)
def test_a_key_is_found_where_a_response_hands_it_out(
    spec: str, headers: Headers, body: bytes, value: str | None
) -> None:
    found = handed_out(parse_specs((spec,))[0], Response(200, "OK", "HTTP/1.1", headers, body))
    assert (found.value if found else None) == value


def test_a_token_session_begins_with_the_response_that_gave_the_token() -> None:
    whole = sampler(1.0, "header:authorization")
    login = request("/token", method="POST")
    begun = whole.begin(login, "c", 0)
    assert begun is not None
    settled = whole.settle(begun, exchange(login, body=b'{"token": "abc123def456"}'))
    later = whole.begin(request("/me", (("Authorization", "Bearer abc123def456"),)), "c", 1)
    assert settled is not None
    assert later is not None
    assert settled.session == later.session


def test_a_session_whose_head_was_not_seen_says_so_once() -> None:
    whole = sampler(1.0, "cookie:sid")
    asked = request(headers=(("Cookie", "sid=from-before"),))
    first, second = whole.begin(asked, "c", 0), whole.begin(asked, "c", 1)
    assert first is not None
    assert second is not None
    assert first.notes == ("session head not seen",)
    assert second.notes == ()


# ---- the floor for rare routes


def warm(made: Sampler, clients: int = 4000) -> None:
    for n in range(clients):
        made.begin(request("/common"), f"192.168.{n >> 8}.{n & 255}", 0)


def between(low: float, high: float) -> str:
    return next(
        f"172.16.{n >> 8}.{n & 255}"
        for n in range(60000)
        if low <= position(SessionKey("client", f"172.16.{n >> 8}.{n & 255}")) < high
    )


def test_a_session_that_begins_on_a_rare_route_is_kept_with_the_floor() -> None:
    made = sampler(0.5, rare_factor=1.8)
    warm(made)
    client = between(0.55, 0.85)
    first = made.begin(request("/refund/17"), client, 1)
    later = made.begin(request("/common"), client, 2)
    assert first is not None
    assert later is not None
    assert first.kept_with == later.kept_with == 0.9
    assert made.begin(request("/common"), between(0.86, 0.89), 3) is None
    assert made.rare == 1


def test_a_session_below_the_probability_that_begins_on_a_rare_route_has_the_floor_stored_too() -> None:
    made = sampler(0.5, rare_factor=1.8)
    warm(made)
    client = between(0.1, 0.4)
    first = made.begin(request("/refund/17"), client, 1)
    common = made.begin(request("/common"), between(0.41, 0.49), 1)
    assert first is not None
    assert common is not None
    assert first.kept_with == 0.9
    assert common.kept_with == 0.5


def test_a_session_that_reaches_a_rare_route_later_is_not_kept_for_it() -> None:
    made = sampler(0.5, rare_factor=1.8)
    warm(made)
    client = between(0.55, 0.85)
    assert made.begin(request("/common"), client, 1) is None
    assert made.begin(request("/refund/17"), client, 2) is None


def test_weights_estimate_the_requests_of_a_rare_and_of_a_common_route_without_bias() -> None:
    made = sampler(0.2, rare_factor=4.0)
    warm(made, 20000)
    weight = {"/common": 0.0, "/rare": 0.0}
    for n in range(8000):
        route = "/rare" if n % 1500 == 0 else "/common"
        decision = made.begin(request(route), f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", 1)
        if decision is not None:
            weight[route] += 1 / decision.kept_with
    assert 7500 <= weight["/common"] <= 8500
    assert 3 <= weight["/rare"] <= 8


def test_a_connection_is_read_where_the_floor_could_keep_it() -> None:
    made = sampler(0.1, rare_factor=5.0)
    assert made.connection_kept(between(0.3, 0.45))
    assert not made.connection_kept(between(0.55, 0.9))


@pytest.mark.parametrize(
    ("method", "target", "route"),
    [
        ("GET", "/products/4711/reviews?page=2", "GET /products/*/reviews"),
        ("GET", "/v2/users/anna", "GET /v2/users/anna"),
        ("POST", "/", "POST /"),
        ("GET", "http://shop.example/cart/9", "GET /cart/*"),
        ("GET", "/x/550e8400-e29b-41d4-a716-446655440000", "GET /x/*"),
        ("GET", "/a/b/c/d/e/f/g/h/i/j", "GET /a/b/c/d/e/f/g/h/**"),
    ],
)
def test_a_route_leaves_out_what_changes(method: str, target: str, route: str) -> None:
    assert route_of(method, target) == route


def test_no_route_is_rare_before_enough_was_counted_or_when_there_are_too_many() -> None:
    early = RouteCount(least=100)
    assert not early.add("GET /once")
    crowded = RouteCount(routes_max=10, least=0, share=0.5)
    for n in range(12):
        crowded.add(f"GET /{n}")
    assert not crowded.add("GET /new")


def test_route_counts_fade() -> None:
    routes = RouteCount(least=2, share=0.5, halve_at=10)
    for _ in range(10):
        routes.add("GET /a")
    assert routes.total == 5
    assert routes.add("GET /b")


# ---- changes while running, and memory


def test_the_probability_can_be_changed_while_running() -> None:
    made = sampler(1.0)
    client = client_on_side(False, 0.5)
    assert made.begin(request(), client, 0) is not None
    made.set_probability(0.5)
    assert made.probability == 0.5
    assert made.begin(request(), client, 1) is None
    made.set_probability(1.0)
    again = made.begin(request(), client, 2)
    assert again is not None
    assert again.kept_with == 1.0
    assert again.notes == ("session head not seen",)


@pytest.mark.parametrize("probability", [-0.1, 1.1])
def test_no_probability_is_refused(probability: float) -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        sampler(probability)


def test_memory_is_bounded_and_forgets_the_least_recently_used() -> None:
    memory: Memory[int] = Memory(2, 100)
    memory.put("a", 1, 0)
    memory.put("b", 2, 0)
    assert memory.get("a", 10) == 1
    memory.put("c", 3, 10)
    assert memory.get("b", 10) is None
    assert memory.get("a", 10) == 1
    assert len(memory) == 2
    assert memory.get("a", 111) is None


def test_many_clients_do_not_make_the_sampler_grow() -> None:
    made = sampler(0.5, rare_factor=2.0, sessions_max=1000)
    for n in range(20000):
        made.begin(request(f"/{n}"), f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", n)
    assert len(made._placed) <= 16384
    assert len(made._begun) <= 1000


def test_a_decision_is_settled_as_it_is_where_nothing_was_pending() -> None:
    made = sampler(1.0)
    decision = made.begin(request(), "c", 0)
    assert isinstance(decision, Decision)
    assert made.settle(decision, exchange(request())) is decision
