"""The builds of a run: what their tables say, and which addresses are never sent to."""

from __future__ import annotations

import pytest

from capture.config import Settings
from replay.builds import Build, builds_of, captured_address_refusal

NAMES = {"shop.internal": ["10.0.0.5"], "alias.internal": ["10.0.0.5", "fd00::5"], "localhost": ["::1", "127.0.0.1"]}


def refusal(url: str, captured: str, deny: tuple[str, ...] = (), allowed: bool = False) -> str | None:
    builds = [Build("candidate", "candidate", url)]
    return captured_address_refusal(builds, [captured], deny, allowed, lambda host: NAMES.get(host, []))


@pytest.mark.parametrize(
    ("url", "captured", "refused"),
    [
        ("http://10.0.0.5", "10.0.0.5:80", True),
        ("http://shop.internal", "10.0.0.5:80", True),
        ("http://alias.internal:80", "shop.internal:80", True),
        ("http://[fd00::5]", "alias.internal:80", True),
        ("http://[::ffff:10.0.0.5]", "10.0.0.5:80", True),
        ("http://SHOP.internal.", "shop.internal:80", True),
        ("http://localhost:8080", "127.0.0.1:8080", True),
        ("http://[::1]:8080", "127.0.0.1:8080", True),
        ("http://127.8.9.1:8080", "localhost:8080", True),
        ("http://[::ffff:127.0.0.1]:8080", "localhost:8080", True),
        ("https://shop.internal", "10.0.0.5:443", True),
        ("https://shop.internal", "10.0.0.5:80", False),
        ("http://shop.internal:81", "10.0.0.5:80", False),
        ("http://10.0.0.6", "10.0.0.5:80", False),
        ("http+unix://%2Frun%2Fshop.sock", "localhost:0", False),
    ],
)
def test_the_captured_address_is_refused_however_it_is_written(url: str, captured: str, refused: bool) -> None:
    said = refusal(url, captured)
    assert (said is not None) is refused
    if said is not None:
        assert "captured from; nothing was sent" in said
        assert refusal(url, captured, allowed=True) is None


@pytest.mark.parametrize("pattern", ["shop.internal", "*.INTERNAL", "10.0.*"])
def test_a_denied_host_is_refused_by_name_and_by_address_whatever_was_allowed(pattern: str) -> None:
    said = refusal("http://shop.internal:9", "elsewhere:80", (pattern,), allowed=True)
    assert said is not None
    assert "is denied by [replay] deny_hosts" in said


def test_a_reference_takes_the_table_of_the_current_build_unless_it_has_its_own() -> None:
    table = {"current": {"host": "shop.example", "headers": {"X-A": "1"}}}
    _, reference, _ = builds_of("http://a", ["http://b"], "", Settings("u.toml", {"build": table}))
    assert (reference.host, reference.headers) == ("shop.example", {"X-A": "1"})
    table["reference"] = {"host": "other.example"}
    _, reference, _ = builds_of("http://a", ["http://b"], "", Settings("u.toml", {"build": table}))
    assert (reference.host, reference.headers) == ("other.example", {})
