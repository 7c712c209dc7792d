"""Access logs of nginx and Apache, whatever stands before the client."""

from __future__ import annotations

from pathlib import Path

import pytest

from capture.log.importers import access
from capture.log.importers.found import Found
from capture.sources.files import recognise
from tests.support.importing import LINES, parts


def test_an_access_log_gives_its_gets_and_heads_and_says_why_not_the_others(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_text(LINES)
    assert recognise(path) == "access"
    (first, second), skipped = parts(access.read(path))
    assert (first.request.method, first.request.target) == ("GET", "/a?b=1")
    assert first.request.headers == (("Referer", "https://shop/"), ("User-Agent", 'A "x"'))
    assert first.response is not None
    assert (first.response.status, first.response.body, first.response.body_bytes) == (200, None, 2326)
    assert first.times.request_start == 1_791_665_736_000_000_000
    assert second.times.request_start == first.times.request_start + 1000
    assert (second.request.method, second.request.headers) == ("HEAD", ())
    assert [(item.place, item.code) for item in skipped] == [
        ("line 3", "no_body"),
        ("line 4", "bad_record"),
        ("line 5", "bad_record"),
        ("line 6", "bad_record"),
    ]


@pytest.mark.parametrize(
    ("front", "client", "host"),
    [
        ("203.0.113.9 - -", "203.0.113.9", ()),
        ("2001:db8::1 - frank", "2001:db8::1", ()),
        ("203.0.113.9 - John van Doe", "203.0.113.9", ()),
        ('203.0.113.9 - ""', "203.0.113.9", ()),
        ("shop.example:8080 203.0.113.9 - -", "203.0.113.9", (("Host", "shop.example"),)),
        ("shop.example 203.0.113.9 - John Doe", "203.0.113.9", (("Host", "shop.example"),)),
        ("203.0.113.9, 10.0.0.1,10.0.0.2 - -", "203.0.113.9", ()),
        ("- - -", "-", ()),
    ],
)
def test_the_client_of_an_access_log_is_found_beside_names_with_spaces_hosts_and_proxies(
    tmp_path: Path, front: str, client: str, host: tuple[tuple[str, str], ...]
) -> None:
    path = tmp_path / "access.log"
    path.write_text(f'{front} [10/Oct/2026:13:55:36 -0700] "GET /a HTTP/2.0" 200 5 "-" "-"\n')
    assert recognise(path) == "access"
    (found,) = access.read(path)
    assert isinstance(found, Found)
    assert (found.client, found.exchange.request.headers) == (client, host)
    assert found.exchange.request.version == "HTTP/2"
