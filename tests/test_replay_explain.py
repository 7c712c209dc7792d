"""The graph of bindings for a person: every edge, none of the values whole, nothing that a terminal would obey."""

from __future__ import annotations

from replay.explain import explain_bindings, printable
from tests.support.rude import exchange, get, json_response

TOKEN = b"tok_9f8e7d6c5b4a"


def test_each_bound_value_is_one_line_below_its_request() -> None:
    lines = list(
        explain_bindings(
            [
                exchange(0, get("/login", method="POST"), json_response(b'{"token": "%b"}' % TOKEN)),
                exchange(1, get("/me", ("Authorization", f"Bearer {TOKEN.decode()}"))),
                exchange(2, get("/health")),
            ],
            allow_writes=True,
        )
    )
    assert lines == [
        "log-1 session s GET /me",
        "    header:authorization = tok_9f8e7d6c... (16) <- log-0 $['token']",
        "3 requests to send, 1 of them carry 1 bound values",
    ]


def test_what_comes_from_a_request_that_is_not_sent_is_said_to_be_lost() -> None:
    lines = list(
        explain_bindings(
            [
                exchange(0, get("/login", method="POST"), json_response(b'{"token": "%b"}' % TOKEN)),
                exchange(1, get("/me", ("Authorization", f"Bearer {TOKEN.decode()}"))),
            ]
        )
    )
    assert lines[1].endswith("(not sent: cannot be resolved)")
    assert lines[2].endswith("; 1 of these come from requests that are not sent")


def test_captured_text_is_harmless_on_a_terminal() -> None:
    assert printable("a\x1b[2Jb\r\n\x9b\u202e") == "a\\x1b[2Jb\\r\\n\\x9b\\u202e"
    assert printable("x" * 200, 10) == "xxxxxxx..."
