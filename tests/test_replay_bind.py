"""Correlation: the values that a response supplied are found in later requests, and look-alikes are left alone."""

from __future__ import annotations

import base64
import json

import msgspec
import pytest

from capture.exchange import Request, Response
from replay.bind import Binder
from replay.carry import replace_values
from replay.learn import learn_links
from replay.plan import Planner
from replay.strong import is_strong
from replay.supplies import value_answered
from tests.support.binding import (
    FORM,
    GRPC,
    JSON,
    NDJSON,
    PROTOBUF,
    TOKEN,
    html,
    links_of,
    login,
    of_type,
    shown,
)
from tests.support.lookalikes import told_by
from tests.support.protobuf import field, frame
from tests.support.rude import exchange, get, json_response


@pytest.mark.parametrize(
    ("request_", "place"),
    [
        (get("/me", ("Authorization", f"Bearer {TOKEN}")), "header:authorization"),
        (get("/me", ("X-Api-Token", TOKEN)), "header:x-api-token"),
        (get(f"/sessions/{TOKEN}/items"), "path[1]"),
        (get(f"/me?a=1&t={TOKEN}"), "query:t"),
        (get("/me", JSON, method="POST", body=b'{"auth": {"t": "%b"}}' % TOKEN.encode()), "$['auth']['t']"),
        (get("/me", FORM, method="POST", body=b"x=1&t=%b" % TOKEN.encode()), "form:t"),
        (
            get(
                "/me",
                ("Content-Type", "multipart/form-data; boundary=B"),
                method="POST",
                body=b'--B\r\nContent-Disposition: form-data; name="t"\r\n\r\n%b\r\n--B--\r\n' % TOKEN.encode(),
            ),
            "part:t",
        ),
        (
            get("/x", NDJSON, method="POST", body=b'{"index": {}}\n{"doc": {"t": "%b"}}\n' % TOKEN.encode()),
            "$[1]['doc']['t']",
        ),
        (
            get("/x", JSON, method="POST", body=b'{"index": {}}\n{"doc": {"t": "%b"}}\n' % TOKEN.encode()),
            "$[1]['doc']['t']",
        ),
        (get("/x", GRPC, method="POST", body=frame(field(3, field(1, TOKEN)))), "protobuf:0:3:0:1:0"),
        (get("/x", PROTOBUF, method="POST", body=field(1, 5) + field(2, f"of {TOKEN}")), "protobuf:2:0/at/3"),
    ],
)
def test_a_token_is_found_wherever_a_request_carries_it(request_: Request, place: str) -> None:
    links = links_of(login(b'{"data": {"token": "%b"}}' % TOKEN.encode()), exchange(1, request_))
    assert shown(links[1]) == [(place, "log-0 $['data']['token']")]


def _jwt(claims: dict[str, object]) -> str:
    parts = [json.dumps({"alg": "none"}), json.dumps(claims), "sig"]
    return ".".join(base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts)


@pytest.mark.parametrize(
    ("response", "origin"),
    [
        (json_response(b'{"a": [0, {"t": "%b"}]}' % TOKEN.encode()), "$['a'][1]['t']"),
        (json_response(b"{}", ("X-Session-Token", TOKEN)), "header:x-session-token"),
        (json_response(b"{}", ("Location", f"/carts/{TOKEN}?x=1")), "header:location/path/1"),
        (json_response(b"{}", ("Location", f"https://h/next?t={TOKEN}")), "header:location/query/t/0"),
        (json_response(b"{}", ("Link", f'</items?cursor={TOKEN}>; rel="next"')), "header:link/query/cursor/0"),
        (json_response(b'{"next": "/items?cursor=%b"}' % TOKEN.encode()), "$['next']/query/cursor/0"),
        (html(b'<form><input type="hidden" name="csrf" value="%b"></form>' % TOKEN.encode()), "html:input:csrf:0"),
        (html(b'<meta name="csrf-token" content="%b">' % TOKEN.encode()), "html:meta:csrf-token:0"),
        (html(b'<a href="/carts/%b">cart</a>' % TOKEN.encode()), "html:a::0/path/1"),
        (json_response(json.dumps({"jwt": _jwt({"sid": TOKEN})}).encode()), "$['jwt']/jwt/sid"),
        (
            json_response(json.dumps({"state": base64.b64encode(b'{"s": "%b"}' % TOKEN.encode()).decode()}).encode()),
            "$['state']/base64/s",
        ),
        (Response(200, "", "HTTP/1.1", (("Content-Type", "text/plain"),), TOKEN.encode() + b"\n", 17), "text"),
        (html(b'{"careless": "%b"}' % TOKEN.encode()), "$['careless']"),
        (
            html(b'<?xml version="1.0"?><R xmlns="u"><N/><Id>%b</Id></R>' % TOKEN.encode()),
            "xml:R:Id:0",
        ),
        (
            Response(
                200, "", "HTTP/1.1", (("Content-Type", "application/xml"),), b'<R><s t="%b"/></R>' % TOKEN.encode()
            ),
            "xml:R:s:0:@t",
        ),
        (of_type("application/x-ndjson", b'{"n": 0}\n{"n": 1, "t": "%b"}\n' % TOKEN.encode()), "$[1]['t']"),
        (of_type("application/x-ndjson", b'{"t": "%b"}\n' % TOKEN.encode()), "$[0]['t']"),
        (of_type("text/plain", b'{"n": 0}\r\n\r\n{"t": "%b"}' % TOKEN.encode()), "$[1]['t']"),
        (of_type("application/json-seq", b'\x1e{"n":\n 0}\n\x1e{"t": "%b"}\n' % TOKEN.encode()), "$[1]['t']"),
        (
            of_type("text/event-stream", b': hi\n\nid: 1\ndata: {"n": 0}\n\nid: 2\ndata: {"t": "%b"}' % TOKEN.encode()),
            "event:1:data/json/t",
        ),
        (of_type("text/event-stream", b"data: x\r\nid: %b\r\n\r\n" % TOKEN.encode()), "event:0:id"),
        (of_type("application/javascript", b'/**/cb({"t": "%b"});' % TOKEN.encode()), "script:cb:0/json/t"),
        (
            html(b'<script id="state" type="application/json">{"a": [{"t": "%b"}]}</script>' % TOKEN.encode()),
            "html:script:state:0/json/a/0/t",
        ),
        (
            html(b'<script>window.__STATE__ = {"a": {"t": "%b"}};</script>' % TOKEN.encode()),
            "html:script:__STATE__:0/json/a/t",
        ),
        (html(b"<script>var a = 1, csrf = '%b';</script>" % TOKEN.encode()), "html:script:csrf:0"),
        (html(b"<script>go({user: {csrf: '%b'}})</script>" % TOKEN.encode()), "html:script:csrf:0"),
        (
            html(b'<script>s = {\'a\': 1}; t = {"x": "/a/zzz999zzz", "y": "/carts/%b"}</script>' % TOKEN.encode()),
            "html:script:t:0/json/y/path/1",
        ),
        (
            of_type("text/event-stream", b'data: {"post_to": "/messages/%b"}\n\n' % TOKEN.encode()),
            "event:0:data/json/post_to/path/1",
        ),
        (of_type("application/grpc", frame(b"") + frame(field(1, field(1, TOKEN)))), "protobuf:1:1:0:1:0"),
        (of_type("application/x-protobuf", field(1, 5) + field(2, f"/carts/{TOKEN}")), "protobuf:2:0/path/1"),
        (html(b'<b data-t="x"></b><b data-t="%b"></b>' % TOKEN.encode()), "html:b:data-t:1"),
        (html(b'<div data-p=\'{"t": "%b"}\'></div>' % TOKEN.encode()), "html:div:data-p:0/json/t"),
        (html(b'<button data-url="/carts/%b/go">go</button>' % TOKEN.encode()), "html:button:data-url:0/path/1"),
        (html(b'<img src="pictures/%b?w=1">' % TOKEN.encode()), "html:img::0/path/1"),
        (html(b'<a href="?cursor=%b">next</a>' % TOKEN.encode()), "html:a::0/query/cursor/0"),
        (html(b'<a href="%b/edit">edit</a>' % TOKEN.encode()), "html:a::0/path/0"),
        (html(b'<textarea name="t">\n%b</textarea>' % TOKEN.encode()), "html:textarea:t:0"),
        (html(b'<meta http-equiv="refresh" content="0; url=/w/%b">' % TOKEN.encode()), "html:meta:refresh:0/path/1"),
        (
            json_response(b"", ("Location", f"https://app/cb#access_token={TOKEN}&x=1"), status=302),
            "header:location/fragment/access_token/0",
        ),
    ],
)
def test_a_token_is_found_wherever_a_response_supplies_it(response: Response, origin: str) -> None:
    links = links_of(exchange(0, get("/login"), response), exchange(1, get(f"/x?q={TOKEN}")))
    assert shown(links[1]) == [("query:q", f"log-0 {origin}")]


def test_a_cookie_follows_the_last_set_cookie_of_its_name() -> None:
    links = links_of(
        login(b"{}", ("Set-Cookie", "sid=a1; Path=/"), ("Set-Cookie", "theme=dark")),
        exchange(1, get("/x", ("Cookie", "theme=dark; sid=a1"))),
        exchange(2, get("/y"), json_response(b"{}", ("Set-Cookie", "sid=b2"))),
        exchange(3, get("/z", ("Cookie", "sid=b2; theme=light"))),
    )
    assert shown(links[1]) == [("cookie:theme", "log-0 cookie:theme"), ("cookie:sid", "log-0 cookie:sid")]
    assert shown(links[3]) == [("cookie:sid", "log-2 cookie:sid")]


def test_a_cookie_that_is_taken_away_on_one_path_and_set_on_another_is_the_one_that_is_set() -> None:
    gone = "step=x9x9x9; Path=/old; Expires=Thu, 01 Jan 1970 00:00:00 GMT"
    for sets in ([gone, "step=b2; Path=/new"], ["step=b2; Path=/new", gone], ["step=a1; Path=/old", "step=b2"]):
        response = json_response(b"{}", *(("Set-Cookie", value) for value in sets))
        second = exchange(1, get("/new", ("Cookie", "step=b2")))
        links = links_of(exchange(0, get("/old"), response), second)[1]
        assert shown(links) == [("cookie:step", "log-0 cookie:step")]
        assert value_answered(response, links[0].sources[0].place, "b2") == "b2"


def test_a_pseudonymised_cookie_that_matches_no_value_follows_its_name() -> None:
    carrying = msgspec.structs.replace(
        exchange(1, get("/x", ("Cookie", "sid=pseudo"))), redacted=("request.cookie:sid",)
    )
    assert shown(links_of(login(b"{}", ("Set-Cookie", "sid=a1")), carrying)[1]) == [("cookie:sid", "log-0 cookie:sid")]


@pytest.mark.parametrize(
    ("supplied", "request_", "bound"),
    [
        (b'{"id": 7}', get("/orders/7"), True),
        (b'{"id": 7}', get("/products/7"), False),
        (b'{"order_id": 7}', get("/pay?order=7"), True),
        (b'{"orderId": 7}', get("/pay?order_id=7"), True),
        (b'{"order": {"id": 7}}', get("/orders/7"), True),
        (b'{"count": 7}', get("/orders?page=7"), False),
        (b'{"total": 12345}', get("/orders?limit=12345"), False),
        (b'{"created": "2026-11-23"}', get("/report?from=2026-11-23"), False),
        (b'{"status": "pending"}', get("/list?filter=pending"), False),
        (b'{"at": 1700000000123}', get("/x?since=1700000000123"), False),
        (b'{"city": "Friedrichshafen"}', get("/x?q=Friedrichshafen"), False),
        (b'{"price": "1299.5000"}', get("/x?max=1299.5000"), False),
        (b'{"files": [{"type": "directory"}]}', get("/x", JSON, method="POST", body=b'{"type": "directory"}'), False),
        (b'{"lines": [{"quantity": 3}]}', get("/x", JSON, method="POST", body=b'{"quantity": 3}'), False),
        (b'{"statuses": ["open"], "page": 1}', get("/x?status=open&page=1"), False),
        (b'{"type": "tok_9f8e7d6c5b4a"}', get("/x?type=tok_9f8e7d6c5b4a"), True),
        (b'{"pet": "brave-lion"}', get("/pets/brave-lion"), True),
    ],
)
def test_weak_values_are_bound_between_places_of_the_same_name_only(
    supplied: bytes, request_: Request, bound: bool
) -> None:
    first = exchange(0, get("/orders", method="POST"), json_response(supplied))
    assert bool(links_of(first, exchange(1, request_))[1]) is bound


def test_a_value_that_the_client_sent_first_is_its_own() -> None:
    echo = exchange(1, get(f"/search?q={TOKEN}"), json_response(b'{"q": "%b"}' % TOKEN.encode()))
    links = links_of(exchange(0, get("/")), echo, exchange(2, get(f"/search?q={TOKEN}&page=2")))
    assert links == [(), (), ()]


@pytest.mark.parametrize("value", [f"key:{TOKEN}", base64.b64encode(f"anna:{TOKEN}".encode()).decode(), f"{TOKEN}.txt"])
def test_a_value_that_was_made_of_a_given_one_is_bound_each_time_that_it_is_sent(value: str) -> None:
    sent = [exchange(n, get(f"/x?{n}", ("X-Actor", value))) for n in range(1, 4)]
    links = links_of(login(b'{"token": "%b"}' % TOKEN.encode()), *sent)
    assert [[origin for _, origin in shown(found)] for found in links[1:]] == [["log-0 $['token']"]] * 3


def test_a_word_that_the_client_had_put_into_a_longer_value_is_its_own() -> None:
    scope = ("Authorization", "AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE01/20261127/eu-central-1/s3, Signature=5")
    answer = json_response(b'{"arn": "arn:aws:s3:eu-central-1:%b"}' % TOKEN.encode())
    links = links_of(
        exchange(0, get("/a", scope), answer), exchange(1, get("/b", scope)), exchange(2, get(f"/x?q={TOKEN}", scope))
    )
    assert links[1] == ()
    assert [place for place, _ in shown(links[2])] == ["query:q"]


def test_another_session_supplies_nothing() -> None:
    first = login(b'{"t": "%b"}' % TOKEN.encode())
    assert links_of(first, exchange(1, get(f"/b?t={TOKEN}"), session="other"))[1] == ()


def test_excluded_places_stay_as_recorded() -> None:
    first = login(b'{"t": "%b"}' % TOKEN.encode())
    second = exchange(1, get(f"/b?t={TOKEN}&u={TOKEN}"))
    assert [link.place.text() for link in links_of(first, second, exclude=("query:t",))[1]] == ["query:u"]


def test_sources_are_tried_from_the_one_of_the_same_name() -> None:
    first = login(b'{"a": "%b", "csrf": "%b"}' % (TOKEN.encode(), TOKEN.encode()))
    (link,) = links_of(first, exchange(1, get("/b", ("X-CSRF", TOKEN))))[1]
    assert [source.place.text() for source in link.sources] == ["$['csrf']", "$['a']"]


@pytest.mark.parametrize(
    ("value", "strong"),
    [
        (TOKEN, True),
        ("550e8400-e29b-41d4-a716-446655440000", True),
        ("fb3011a4e3ff368b43d7e2691bfbd275", True),
        ("4711081547", True),
        ("1700000000", False),
        ("12345678", False),
        ("short1", False),
        ("pending", False),
        ("in-progress-now", False),
        ("2026-11-23T10:00:00Z", False),
        ("Mon, 23 Nov 2026 10:00:00 GMT", False),
        ("1299.50", False),
        ("aaaaaaaaaaaa", False),
        ("a sentence with words 12", False),
    ],
)
def test_only_what_two_places_do_not_share_by_accident_is_strong(value: str, strong: bool) -> None:
    assert is_strong(value) is strong


@pytest.mark.parametrize(
    "value", ["nyvppvebgloakwocpzjuifbtfhnyad" * 9 + "1", "urn:" + "loakwocpzjuifbtfhnyadnyvppvebg" * 3 + "_0-"]
)
def test_many_letters_in_a_row_before_something_else_are_judged_in_no_time(value: str) -> None:
    # It took a time that doubled with each letter: years for these.
    assert is_strong(value)


@pytest.mark.parametrize(
    "page",
    [
        b'<table><tr data-id="17"><td>17</td></tr></table>',
        b'<li data-order-id="17">',
        b'<div data-props=\'{"order": {"id": 17, "count": 1}}\'></div>',
        b"<script>var orderId = 17;</script>",
        b'<script>window.__STATE__ = {\'page\': 1, "order": {"id": 17}}</script>',
        b'<script type="application/json">{"orders": [{"id": 17, "count": 17}]}</script>',
    ],
)
def test_a_short_number_in_a_page_is_bound_by_its_name_alone(page: bytes) -> None:
    links = links_of(
        exchange(0, get("/orders"), html(page)),
        exchange(1, get("/orders/17/edit")),
        exchange(2, get("/orders?limit=17&top=17")),
    )
    assert [place for place, _ in shown(links[1])] == ["path[1]"]
    assert shown(links[2]) == []


def test_what_a_script_computes_is_no_source_and_harms_nothing() -> None:
    script = b"<script>" + b'x = {"a": [1, foo("' * 2000 + b"</script>"
    assert links_of(exchange(0, get("/"), html(script)), exchange(1, get(f"/x?q={TOKEN}")))[1] == ()


@pytest.mark.parametrize("pattern", ["$.at*", "$['at']*", "* /b $.at.ids[*]", "POST /b $*"])
def test_places_of_json_are_excluded_as_the_manual_writes_them(pattern: str) -> None:
    first = login(b'{"t": "%b"}' % TOKEN.encode())
    second = exchange(1, get("/b", JSON, method="POST", body=b'{"at": {"ids": ["%b"]}}' % TOKEN.encode()))
    assert len(links_of(first, second)[1]) == 1
    assert links_of(first, second, exclude=(pattern,))[1] == ()


def test_a_rule_links_what_nothing_else_would_and_comes_before_everything() -> None:
    binder = Binder(feeds=("POST /login $.count -> GET /list query:page", "POST /login $.b -> * * query:t"))
    first = login(b'{"count": 7, "a": "%b", "b": "other"}' % TOKEN.encode())
    second = exchange(1, get(f"/list?page=7&size=7&t={TOKEN}"))
    _, links = (binder.note(planned) for planned in Planner(allow_writes=True).plan((first, second)))
    assert shown(links) == [("query:page", "log-0 $['count']"), ("query:t", "log-0 $['b']")]


def test_a_created_number_is_bound_though_the_client_had_sent_the_same_number_as_something_else() -> None:
    links = links_of(
        exchange(0, get("/orders?limit=17")),
        exchange(1, get("/orders", method="POST"), json_response(b'{"id": 17, "stock": 17}')),
        exchange(2, get("/orders/17?limit=17")),
        exchange(3, get("/products/17")),
        exchange(4, get("/carts", method="POST"), json_response(b'{"id": 99}')),
    )
    assert [shown(each) for each in links[2:4]] == [[("path[1]", "log-1 $['id']")], []]


@pytest.mark.parametrize("seed", range(12))
def test_of_values_that_look_like_each_other_all_that_are_passed_on_are_bound_and_no_other(seed: int) -> None:
    told = told_by(seed)
    exchanges = [one.exchange for one in told]
    binder = Binder(learned=learn_links(exchanges))
    for one, planned in zip(told, Planner().plan(exchanges), strict=True):
        bound = {link.place.text() for link in binder.note(planned)}
        assert bound - one.may_be == one.passed_on, (one.exchange.request.method, one.exchange.request.target)


@pytest.mark.parametrize(
    ("asked", "supplied", "request_", "bound"),
    [
        ("/things", b'{"id": 2527}', get(f"/x?of={base64.b64encode(b'ThingNode:2527').decode()}"), True),
        ("/other", b'{"id": 2527}', get(f"/x?of={base64.b64encode(b'ThingNode:2527').decode()}"), False),
        ("/orders/7", b'{"version": 3}', get("/orders/7", JSON, method="PUT", body=b'{"version": 3}'), True),
        ("/orders/7", b'{"version": 3}', get("/tickets/7", JSON, method="PUT", body=b'{"version": 3}'), False),
        ("/page", b'{"order": {"version": 3}}', get("/x", JSON, method="POST", body=b'{"order":{"version": 3}}'), True),
        (
            "/page",
            b'{"items": [{"name": "a"}]}',
            get("/x", JSON, method="POST", body=b'{"items":[{"name":"a"}]}'),
            False,
        ),
        ("/home", b'{"next": "/orders?after_row=20"}', get("/orders?after_row=20"), True),
        ("/home", b'{"order_id": 7}', get("/invoices?order=7"), True),
    ],
)
def test_a_weak_value_that_identifies_nothing_is_bound_within_one_thing_only(
    asked: str, supplied: bytes, request_: Request, bound: bool
) -> None:
    assert bool(links_of(exchange(0, get(asked), json_response(supplied)), exchange(1, request_))[1]) is bound


def test_a_weak_value_of_a_hidden_field_is_bound_wherever_the_form_is_sent() -> None:
    page = html(b'<form><input type="hidden" name="version" value="3"></form>')
    sent = exchange(1, get("/save", FORM, method="POST", body=b"version=3"))
    assert shown(links_of(exchange(0, get("/edit/9")), sent)[1]) == []
    assert len(links_of(exchange(0, get("/edit/9"), page), sent)[1]) == 1


def test_two_values_inside_one_are_both_linked_by_where_they_stand_in_it() -> None:
    given = json_response(b'{"a": "tokenAAAA1111", "b": "tokenBBBB2222"}')
    inside = get("/x", ("X-State", '{"v": {"x": "tokenAAAA1111", "y": "tokenBBBB2222"}}'))
    links = links_of(exchange(0, get("/login"), given), exchange(1, inside))[1]
    assert shown(links) == [
        ("header:x-state/json/v/x", "log-0 $['a']"),
        ("header:x-state/json/v/y", "log-0 $['b']"),
    ]
    changes = {link.place: (link.value, f"{link.value}-longer") for link in links}
    changed = replace_values(inside, changes).headers[-1][1]
    assert changed == '{"v": {"x": "tokenAAAA1111-longer", "y": "tokenBBBB2222-longer"}}'


def test_what_a_server_of_digest_hands_out_is_linked_by_the_name_of_its_parameter() -> None:
    challenge = 'Digest realm="shop", qop="auth", nonce="n1+/n1n1n1n1==", opaque="0p4qu3"'
    credentials = 'Digest username="a", realm="shop", nonce="{}", uri="/x", opaque="0p4qu3", response="r"'
    links = links_of(
        exchange(0, get("/x"), json_response(b"", ("WWW-Authenticate", challenge), status=401)),
        exchange(
            1,
            get("/x", ("Authorization", credentials.format("n1+/n1n1n1n1=="))),
            json_response(b"{}", ("Authentication-Info", 'nextnonce="n2+/n2n2n2n2==", rspauth="f00"')),
        ),
        exchange(2, get("/x", ("Authorization", credentials.format("n2+/n2n2n2n2==")))),
    )
    asked = [
        ("header:authorization/param/realm", "log-0 header:www-authenticate/param/realm"),
        ("header:authorization/param/nonce", "log-0 header:www-authenticate/param/nonce"),
        ("header:authorization/param/opaque", "log-0 header:www-authenticate/param/opaque"),
    ]
    assert shown(links[1]) == asked
    renewed = ("header:authorization/param/nonce", "log-1 header:authentication-info/param/nonce")
    assert shown(links[2]) == [asked[0], renewed, asked[2]]


def test_a_thing_that_an_address_names_by_a_word_and_its_number_is_linked_with_either() -> None:
    created = json_response(b"", ("Location", "http://h/issue10?@ok_message=msg%2020%20created"), status=302)
    links = links_of(
        exchange(0, get("/issue", method="POST"), created),
        exchange(1, get("/issue10")),
        exchange(2, get("/rest/data/issue/10/title")),
        exchange(3, get("/x/10?count=10&page=10&id=10")),
    )
    assert shown(links[1]) == [("path[0]", "log-0 header:location/path/0")]
    assert shown(links[2]) == [("path[3]", "log-0 header:location/path/0/number")]
    assert shown(links[3]) == []
    assert value_answered(json_response(b"", ("Location", "/issue777")), links[2][0].sources[0].place, "10") == "777"


def test_a_word_that_always_ends_with_a_digit_names_no_thing() -> None:
    page = html(b'<a href="/oauth2/start">go</a> <a href="/list/page2">next</a>')
    links = links_of(
        exchange(0, get("/"), page), exchange(1, get("/oauth2/other")), exchange(2, get("/pages/2?page=2"))
    )
    assert [shown(found) for found in links[1:]] == [[], []]


@pytest.mark.parametrize("things", ["pages", "roles", "types", "countries"])
def test_what_a_collection_in_a_path_holds_is_one_of_many_whatever_one_of_them_is_called(things: str) -> None:
    moved = json_response(b"", ("Location", f"/admin/{things}/4/edit/"), status=302)
    made = exchange(0, get(f"/admin/{things}/add", method="POST"), moved)
    links = links_of(made, exchange(1, get(f"/admin/{things}/4/edit/")), exchange(2, get("/list?page=4&type=4&role=4")))
    assert [shown(found) for found in links[1:]] == [[("path[2]", "log-0 header:location/path/2")], []]
    created = exchange(0, get(f"/api/{things}", method="POST"), json_response(b'{"id": 4, "count": 4}'))
    assert shown(links_of(created, exchange(1, get(f"/api/{things}/4")))[1]) == [("path[2]", "log-0 $['id']")]


def test_the_number_of_a_page_is_not_that_of_one_of_many_pages() -> None:
    listed = exchange(0, get("/list"), json_response(b'{"page": 4, "page_id": 7, "type": 4, "role": 4}'))
    links = links_of(listed, exchange(1, get("/pages/4")), exchange(2, get("/page/4")), exchange(3, get("/pages/7")))
    assert [shown(found) for found in links[1:]] == [[], [], [("path[1]", "log-0 $['page_id']")]]
