"""The builds of a run: what their tables say, and which addresses are never sent to."""

from __future__ import annotations

import pytest

from capture.config import Settings
from capture.errors import UsageError
from replay.builds import Build, Guard, builds_of, captured_address_refusal

NAMES = {"shop.internal": ["10.0.0.5"], "alias.internal": ["10.0.0.5", "fd00::5"], "localhost": ["::1", "127.0.0.1"],
         "/var/run/shop.sock": ["/run/shop.sock"]}  # fmt: skip


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
        ("http+unix://%2Frun%2Fshop.sock", "unix:/run/shop.sock", True),
        ("http+unix://%2Frun%2Fshop.sock", "unix:/run/Shop.sock", False),
        ("http+unix://%2Fvar%2Frun%2Fshop.sock", "unix:/run/shop.sock", True),
    ],
)
def test_the_captured_address_is_refused_however_it_is_written(url: str, captured: str, refused: bool) -> None:
    said = refusal(url, captured)
    assert (said is not None) is refused
    if said is not None:
        assert "captured from; nothing was sent" in said
        assert refusal(url, captured, allowed=True) is None


def test_an_exchange_of_a_build_is_known_by_its_address_and_by_the_names_of_the_build() -> None:
    builds = [Build("a", "current", "http://alias.internal"), Build("b", "candidate", "http+unix://%2Frun%2Fs.sock")]
    guard = Guard(builds, lambda host: NAMES.get(host, []))
    servers = ["10.0.0.5:80", "[fd00::5]:80", "ALIAS.internal:80", "unix:/run/s.sock", "10.0.0.5:81", "10.0.0.6:80"]
    assert [guard(server) for server in servers * 2] == [True, True, True, True, False, False] * 2


@pytest.mark.parametrize("pattern", ["shop.internal", "*.INTERNAL", "10.0.*"])
def test_a_denied_host_is_refused_by_name_and_by_address_whatever_was_allowed(pattern: str) -> None:
    said = refusal("http://shop.internal:9", "elsewhere:80", (pattern,), allowed=True)
    assert said is not None
    assert "is denied by [replay] deny_hosts" in said


@pytest.mark.parametrize(
    ("url", "pattern"),
    [
        ("http://shop.internal.", "shop.internal"),
        ("http://[::ffff:10.0.0.5]", "10.0.*"),
        ("http://[fd00:0:0::5]", "fd00::5"),
    ],
)
def test_a_denied_host_is_refused_however_it_is_written(url: str, pattern: str) -> None:
    assert "is denied" in str(refusal(url, "elsewhere:80", (pattern,)))


def test_a_reference_takes_the_table_of_the_current_build_unless_it_has_its_own() -> None:
    table = {"current": {"host": "shop.example", "headers": {"X-A": "1"}}}
    _, reference, _ = builds_of("http://a", ["http://b"], "", Settings("u.toml", {"build": table}))
    assert (reference.host, reference.headers) == ("shop.example", {"X-A": "1"})
    table["reference"] = {"host": "other.example"}
    _, reference, _ = builds_of("http://a", ["http://b"], "", Settings("u.toml", {"build": table}))
    assert (reference.host, reference.headers) == ("other.example", {})


def test_a_build_has_the_caps_of_its_table_and_no_other_build_has_them() -> None:
    table = {"candidate": {"connections_max": 4, "rate_max": 50}}
    current, candidate = builds_of("http://a", ["http://b"], None, Settings("u.toml", {"build": table}))
    assert (candidate.connections_max, candidate.rate_max) == (4, 50.0)
    assert (current.connections_max, current.rate_max) == (None, None)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("connections_max", 0, "connections_max: expected a whole number of at least 1, found 0"),
        ("connections_max", 2.5, "connections_max: expected a whole number of at least 1, found 2.5"),
        ("connections_max", True, "connections_max: expected a whole number"),
        ("connections_max", "4", "connections_max: expected a whole number"),
        ("rate_max", 0, "rate_max: expected a positive number of requests a second, found 0"),
        ("rate_max", -1.5, "rate_max: expected a positive number"),
        ("rate_max", float("inf"), "rate_max: expected a positive number"),
        ("rate_max", float("nan"), "rate_max: expected a positive number"),
        ("rate_max", True, "rate_max: expected a positive number"),
        ("rate_mx", 5, "unknown key 'rate_mx'; did you mean 'rate_max'"),
    ],
)
def test_a_cap_that_is_no_positive_number_is_refused(key: str, value: object, said: str) -> None:
    settings = Settings("u.toml", {"build": {"candidate": {key: value}}})
    with pytest.raises(UsageError) as caught:
        builds_of("http://a", ["http://b"], None, settings)
    assert "u.toml: [build.candidate]" in str(caught.value)
    assert said in str(caught.value)


def test_a_key_without_a_certificate_is_refused() -> None:
    with pytest.raises(UsageError, match="tls_key: means nothing without tls_certificate"):
        builds_of("http://a", ["http://b"], None, Settings("u.toml", {"build": {"current": {"tls_key": "k"}}}))
