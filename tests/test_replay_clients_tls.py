"""TLS, unix sockets and IPv6: the same client over other transports, and what a certificate must be."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import socket
import ssl
import struct
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from capture.clock import Clock
from capture.config import Settings
from capture.errors import RunFailed, UsageError
from replay.builds import Build, builds_of
from replay.clients.base import Client, Endpoint, Job, Limits, endpoint_of, tls_context
from replay.clients.choose import client_for
from replay.clients.h2 import H2Client
from replay.clients.web import WebClient
from replay.clients.wire import WireClient
from replay.preflight import preflight
from replay.settings import ClientKind
from tests.support.rude import get, perform_all, rude_server

pytestmark = pytest.mark.net

LIMITS = Limits(timeout_ns=2_000_000_000, connect_timeout_ns=2_000_000_000)


def certificate(directory: Path, names: list[str]) -> tuple[ssl.SSLContext, str]:
    """A server context with a self-signed certificate for these names, and the file that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    now = datetime.datetime.now(datetime.UTC)
    alternatives: list[x509.GeneralName] = [
        x509.IPAddress(ipaddress.ip_address(item)) if item[0].isdigit() else x509.DNSName(item) for item in names
    ]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    trusted, secret = directory / "cert.pem", directory / "key.pem"
    trusted.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(trusted, secret)
    return context, str(trusted)


def ask(context: ssl.SSLContext, limits: Limits, tls_name: str | None = None, times: int = 1) -> list[Job]:
    async def main() -> list[Job]:
        async with rude_server(context=context) as rude:
            endpoint = Endpoint("https", "127.0.0.1", rude.port, "shop", tls_name=tls_name)
            return await perform_all(endpoint, [get("/ok")] * times, limits)

    return asyncio.run(main())


def test_a_trusted_certificate_is_accepted_and_the_connection_kept(tmp_path: Path) -> None:
    context, trusted = certificate(tmp_path, ["127.0.0.1"])
    jobs = ask(context, Limits(ca_file=trusted), times=2)
    assert [(job.response.status, job.reused) for job in jobs if job.response] == [(200, False), (200, True)]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_server_that_speaks_one_version_alone_is_spoken_to_in_it(tmp_path: Path, version: ssl.TLSVersion) -> None:
    context, trusted = certificate(tmp_path, ["127.0.0.1"])
    context.minimum_version = context.maximum_version = version
    (job,) = ask(context, Limits(ca_file=trusted))
    assert job.failure is None
    assert job.response is not None
    assert job.response.body == b"ok"


def test_an_unknown_certificate_is_a_tls_failure_unless_insecure(tmp_path: Path) -> None:
    context, _ = certificate(tmp_path, ["127.0.0.1"])
    (job,) = ask(context, LIMITS)
    assert job.failure is not None
    assert (job.failure.kind, job.failure.phase) == ("tls", "tls")
    assert "self" in job.failure.detail
    (job,) = ask(context, Limits(insecure=True))
    assert job.response is not None


def test_the_name_of_the_certificate_must_be_the_one_asked_for(tmp_path: Path) -> None:
    context, trusted = certificate(tmp_path, ["shop.example"])
    asked: list[str | None] = []
    context.sni_callback = lambda _sock, name, _context: asked.append(name)
    (job,) = ask(context, Limits(ca_file=trusted))
    assert job.failure is not None
    assert job.failure.kind == "tls"
    (job,) = ask(context, Limits(ca_file=trusted), tls_name="shop.example")
    assert job.response is not None
    assert asked[-1] == "shop.example"


@pytest.mark.parametrize("kind", ["wire", "aiohttp", "h2"])
@pytest.mark.parametrize("shown", ["in two files", "in one file", "none"])
def test_a_build_that_asks_for_a_certificate_is_shown_that_of_its_table(
    tmp_path: Path, kind: ClientKind, shown: str
) -> None:
    context, trusted = certificate(tmp_path, ["127.0.0.1"])
    context.verify_mode = ssl.CERT_REQUIRED
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # from 1.3 on a server says after the handshake that it wants one
    context.load_verify_locations(trusted)
    context.set_alpn_protocols(["h2"] if kind == "h2" else ["http/1.1"])
    one = tmp_path / "one.pem"
    one.write_bytes((tmp_path / "cert.pem").read_bytes() + (tmp_path / "key.pem").read_bytes())
    tables = {
        "in two files": {"tls_certificate": "cert.pem", "tls_key": "key.pem"},
        "in one file": {"tls_certificate": str(one)},
        "none": {},
    }
    settings = Settings(str(tmp_path / "u.toml"), {"build": {"current": tables[shown]}})

    async def main() -> Job:
        async with rude_server(context=context) as rude:
            (build, _) = builds_of(f"https://127.0.0.1:{rude.port}", ["http://127.0.0.1:9"], settings=settings)
            limits = Limits(timeout_ns=10_000_000_000, ca_file=trusted)
            client = client_for(kind, build.endpoint, limits, Clock())
            ended: asyncio.Future[Job] = asyncio.get_running_loop().create_future()
            await client.open()
            try:
                client.perform(Job(get("/ok"), ended.set_result))
                return await asyncio.wait_for(ended, 20)
            finally:
                await client.close()

    job = asyncio.run(main())
    if shown == "none":
        assert job.failure is not None
        assert job.failure.kind == "tls"
    elif kind == "h2":  # which got through the handshake, and then met a server of HTTP/1.1
        assert job.failure is not None
        assert job.failure.kind != "tls"
    else:
        assert job.response is not None


@pytest.mark.parametrize(
    ("limits", "endpoint", "message"),
    [
        (Limits(ca_file="/nowhere/ca.pem"), {}, r"\[replay\] ca_file /nowhere/ca.pem: No such file"),
        (Limits(ca_file=__file__), {}, r"\[replay\] ca_file .*: no PEM file of what is needed"),
        (Limits(), {"certificate": "/nowhere/a.pem"}, "tls_certificate /nowhere/a.pem: No such file"),
        (Limits(), {"certificate": __file__, "key": "k"}, "tls_certificate .*, tls_key k: "),
    ],
)
def test_a_file_of_certificates_that_cannot_be_read_is_named(
    limits: Limits, endpoint: dict[str, str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        tls_context(limits, Endpoint("https", "127.0.0.1", 1, "x", **endpoint))


def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_its_password(tmp_path: Path) -> None:
    certificate(tmp_path, ["127.0.0.1"])
    key = serialization.load_pem_private_key((tmp_path / "key.pem").read_bytes(), None)
    (tmp_path / "locked.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )  # fmt: skip
    files = {"certificate": str(tmp_path / "cert.pem"), "key": str(tmp_path / "locked.pem")}
    with pytest.raises(UsageError, match="the key is encrypted"):
        tls_context(Limits(), Endpoint("https", "127.0.0.1", 1, "x", **files))


def test_the_preflight_shakes_hands_too(tmp_path: Path) -> None:
    context, trusted = certificate(tmp_path, ["shop.example"])

    async def main() -> None:
        async with rude_server(context=context) as rude:
            url = f"https://127.0.0.1:{rude.port}"
            await preflight([Build("a", "current", url, tls_name="shop.example")], Limits(ca_file=trusted), "/ok")
            with pytest.raises(RunFailed, match=r"a https://127.0.0.1:[0-9]+: TLS: "):
                await preflight([Build("a", "current", url)], LIMITS)

    asyncio.run(main())


async def failure_of(client: Client) -> tuple[str, str]:
    """Kind and phase of the failure that one request ends with."""
    ended: asyncio.Future[Job] = asyncio.get_running_loop().create_future()
    await client.open()
    try:
        client.perform(Job(get("/ok"), ended.set_result))
        job = await asyncio.wait_for(ended, 20)
    finally:
        await client.close()
    assert job.failure is not None
    assert job.failure.detail
    return job.failure.kind, job.failure.phase


def reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


CLIENTS = pytest.mark.parametrize("kind", [WireClient, WebClient, H2Client])


@CLIENTS
@pytest.mark.parametrize(
    "says", [b"", b"\x16\x03\x03\x00\x7a\x02", b"\x15\x03\x03\x00\x02\x02\x28", b"HTTP/1.1 400 Bad Request\r\n\r\n"],
    ids=["nothing", "half a handshake", "an alert", "plain HTTP"],
)  # fmt: skip
@pytest.mark.parametrize("end", ["close", "reset"])
def test_whatever_ends_a_handshake_it_is_a_tls_failure_with_every_client(kind: Any, says: bytes, end: str) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readexactly(5)  # the client's hello has begun
            writer.write(says)
            await writer.drain()
            if end == "reset":
                reset(writer)
        writer.close()

    async def main() -> tuple[str, str]:
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        try:
            port = server.sockets[0].getsockname()[1]
            return await failure_of(kind(Endpoint("https", "127.0.0.1", port, "x"), LIMITS, Clock()))
        finally:
            server.close()

    assert asyncio.run(main()) == ("tls", "tls")


def test_a_build_that_does_not_agree_on_http2_is_a_tls_failure_of_that_client(tmp_path: Path) -> None:
    context, trusted = certificate(tmp_path, ["127.0.0.1"])

    async def main() -> tuple[str, str]:
        async with rude_server(context=context) as rude:
            limits = Limits(timeout_ns=10_000_000_000, ca_file=trusted)
            return await failure_of(H2Client(Endpoint("https", "127.0.0.1", rude.port, "x"), limits, Clock()))

    assert asyncio.run(main()) == ("tls", "tls")


@CLIENTS
@pytest.mark.parametrize("host", ["a" * 70 + ".example", "two..dots.example"])
def test_a_name_that_no_resolver_takes_is_a_dns_failure(kind: Any, host: str) -> None:
    client = kind(Endpoint("http", host, 9, "x"), LIMITS, Clock())
    assert asyncio.run(failure_of(client)) == ("dns", "connect")


def test_a_unix_socket_is_an_address_of_a_build(tmp_path: Path) -> None:
    path = tmp_path / "shop.sock"
    endpoint = endpoint_of(f"http+unix://{str(path).replace('/', '%2F')}")
    assert (endpoint.unix, endpoint.authority) == (str(path), "localhost")

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await writer.drain()
        writer.close()

    async def main() -> list[Job]:
        server = await asyncio.start_unix_server(handle, path)
        async with server:
            jobs = await perform_all(endpoint, [get("/")], LIMITS)
        return [*jobs, *await perform_all(Endpoint("http", "x", 0, "x", str(tmp_path / "no")), [get("/")], LIMITS)]

    answered, refused = asyncio.run(main())
    assert answered.response is not None
    assert refused.failure is not None
    assert (refused.failure.kind, refused.failure.phase) == ("refused", "connect")


def test_ipv6_addresses_are_written_in_brackets() -> None:
    endpoint = endpoint_of("http://[::1]:8080")
    assert (endpoint.host, endpoint.port, endpoint.authority, endpoint.address) == (
        "::1", 8080, "[::1]:8080", "[::1]:8080",
    )  # fmt: skip
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()
        writer.close()

    async def main() -> list[Job]:
        try:
            server = await asyncio.start_server(handle, "::1", 0)
        except OSError:
            pytest.skip("no IPv6 loopback here")
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await perform_all(endpoint_of(f"http://[::1]:{port}"), [get("/")], LIMITS)

    (job,) = asyncio.run(main())
    assert job.response is not None
    assert job.response.status == 204


@pytest.mark.parametrize(
    ("url", "authority", "port"),
    [
        ("http://shop", "shop", 80),
        ("http://shop:80/", "shop", 80),
        ("https://shop", "shop", 443),
        ("https://shop:8443", "shop:8443", 8443),
        ("h2c://shop:9000", "shop:9000", 9000),
    ],
)
def test_an_address_says_what_host_must_be(url: str, authority: str, port: int) -> None:
    endpoint = endpoint_of(url)
    assert (endpoint.authority, endpoint.port) == (authority, port)


@pytest.mark.parametrize("url", ["shop", "ftp://x", "http://", "http://x/y", "http://u@x", "http://x:0", "http://x:y"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(UsageError):
        endpoint_of(url)
