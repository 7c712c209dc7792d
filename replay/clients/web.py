"""The aiohttp client, for builds that are reached through a forward proxy; set up to rewrite as little as it can."""

from __future__ import annotations

import asyncio
import io
import socket
import ssl

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from capture.clock import Clock
from capture.exchange import Headers, Response
from replay.clients.base import Endpoint, Job, Limits, tls_context
from replay.outcome import FailureKind

__all__ = ["WebClient"]


class _Arrived:
    """What has come of the answer to one job."""

    __slots__ = ("head", "late", "leaving", "parts", "size", "task")

    def __init__(self) -> None:
        self.head: Response | None = None
        self.parts: list[bytes] = []
        self.size = 0
        self.task: asyncio.Task[None] | None = None
        self.leaving = False
        self.late: str | None = None

    def response(self) -> Response | None:
        """None before the head."""
        head = self.head
        if head is None:
            return None
        return Response(head.status, head.reason, head.version, head.headers, b"".join(self.parts), self.size)


_OWN_HEADERS = ("Accept", "Accept-Encoding", "User-Agent", "Content-Type")


class _CannotSend(Exception):
    """What aiohttp would change on the way; str() says what it is."""


def _origin_form(target: str) -> str:
    """The path and query of an absolute-form target, others as they are (RFC 9112 section 3.2)."""
    if "://" in target.partition("?")[0] and not target.startswith("/"):
        return "/" + target.split("://", 1)[1].partition("/")[2]
    return target


def _as_sent(text: str) -> str:
    """Text of which aiohttp's UTF-8 is the bytes that were recorded; where they are not UTF-8, unchanged."""
    if text.isascii():
        return text
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        return text


def _headers(recorded: Headers) -> CIMultiDict[str]:
    """Each value of a name, all of them in the spelling of its first: aiohttp keeps one of two spellings alone."""
    spellings: dict[str, str] = {}
    headers: CIMultiDict[str] = CIMultiDict()
    for name, value in recorded:
        lower = name.lower()
        if lower != "transfer-encoding":
            headers.add(spellings.setdefault(lower, name), _as_sent(value))
    return headers


def _ended_in_handshake(error: OSError) -> bool:
    """True where a connection was there, and ended; one that could not be made has another reason."""
    if isinstance(error, aiohttp.ClientProxyConnectionError) or not isinstance(error, aiohttp.ClientConnectorError):
        return False
    return isinstance(error.os_error, ConnectionResetError | ConnectionAbortedError | BrokenPipeError)


class WebClient:
    """A `Client` that goes through aiohttp; see `Client` for the contract.

    Honours HTTP_PROXY, HTTPS_PROXY and NO_PROXY. What it cannot keep: HTTP/1.0, absolute-form targets (their path is
    sent), a "?" with nothing behind it, trailers, chunked framing of a request, bytes of headers that are not UTF-8,
    and a name that is repeated in another spelling (it gets the first one's); a request without a body says so where
    its method usually has one. A target or a method that it would send otherwise is not sent. `received_bytes` counts
    the body alone.
    """

    sends_bytes = False

    def __init__(self, endpoint: Endpoint, limits: Limits, clock: Clock) -> None:
        self.endpoint = endpoint
        self.limits = limits
        self.now_ns = clock.now_ns
        self._timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=limits.connect_timeout_ns / 1e9, sock_read=limits.first_byte_timeout_ns / 1e9
        )
        self._listening = aiohttp.ClientTimeout(total=None, sock_connect=limits.connect_timeout_ns / 1e9)
        self._session: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        limits = self.limits
        connector: aiohttp.BaseConnector
        if self.endpoint.unix is not None:
            connector = aiohttp.UnixConnector(self.endpoint.unix, limit=limits.connections_max)
        else:
            context: ssl.SSLContext | bool = tls_context(limits, self.endpoint) if self.endpoint.tls else True
            connector = aiohttp.TCPConnector(limit=limits.connections_max, ssl=context)
        trace = aiohttp.TraceConfig()
        trace.on_request_headers_sent.append(self._sent)
        trace.on_connection_reuseconn.append(self._reused)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=self.endpoint.unix is None,  # no proxy stands before a socket of this machine
            skip_auto_headers=_OWN_HEADERS,
            trace_configs=[trace],
            timeout=self._timeout,
            max_line_size=limits.head_bytes_max,
            max_field_size=limits.head_bytes_max,
        )

    async def _sent(self, _session: object, context: object, _params: object) -> None:
        job = getattr(context, "trace_request_ctx", None)
        if isinstance(job, Job):
            job.sent_ns = self.now_ns()

    async def _reused(self, _session: object, context: object, _params: object) -> None:
        job = getattr(context, "trace_request_ctx", None)
        if isinstance(job, Job):
            job.reused = True

    def perform(self, job: Job) -> None:
        job.carrier = arrived = _Arrived()
        task = arrived.task = asyncio.get_running_loop().create_task(self._perform(job, arrived))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def peek(self, job: Job) -> Response | None:
        arrived: _Arrived = job.carrier
        return arrived.response() if arrived.task is not None and not arrived.task.done() else None

    def leave(self, job: Job, late: str | None = None) -> None:
        arrived: _Arrived = job.carrier
        if arrived.task is None or arrived.task.done() or job.sent_ns is None:
            return
        if late is not None or arrived.head is not None:
            arrived.leaving, arrived.late = True, late
            arrived.task.cancel()

    def _leave(self, job: Job, arrived: _Arrived) -> None:
        """The task was ended so that the job is."""
        response = arrived.response()
        if response is not None and arrived.late is None:
            job.leave(response, self.now_ns())
        else:
            phase = "first_byte" if job.first_byte_ns is None else "body"
            job.fail("timeout", phase, arrived.late or "left", self.now_ns(), response)

    async def _perform(self, job: Job, arrived: _Arrived) -> None:
        try:
            limits = self.limits
            patience_ns = min(limits.timeout_ns, limits.first_byte_timeout_ns) if job.stays else limits.timeout_ns
            async with asyncio.timeout(patience_ns / 1e9) as bound:
                response = await self._exchange(job, arrived, bound)
        except TimeoutError as error:
            phase = "connect" if job.sent_ns is None else "body" if job.first_byte_ns else "first_byte"
            job.fail("timeout", phase, str(error) or "no complete answer in time", self.now_ns())
        except aiohttp.ClientConnectorDNSError as error:
            job.fail(
                "dns", "connect", f"{self.endpoint.host}: {error.os_error.strerror or error.os_error}", self.now_ns()
            )
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError, ssl.SSLError) as error:
            job.fail("tls", "tls", str(error), self.now_ns())
        except (aiohttp.ClientConnectorError, socket.gaierror) as error:
            if self.endpoint.tls and _ended_in_handshake(error):
                job.fail("tls", "tls", f"the connection ended in the handshake: {error}", self.now_ns())
            else:
                job.fail("refused", "connect", str(error), self.now_ns())
        except aiohttp.ClientPayloadError as error:
            job.fail("cut", "body", str(error), self.now_ns())
        except aiohttp.ClientResponseError as error:
            long = any(words in error.message for words in ("Got more than", "Too many headers"))
            detail = error.message.splitlines()[0] if error.message else str(error)
            job.fail("too_large" if long else "malformed", "first_byte", detail, self.now_ns())
        except (aiohttp.InvalidURL, _CannotSend) as error:
            job.fail("malformed", "send", f"aiohttp cannot send this: {error}", self.now_ns())
        except (aiohttp.ClientError, OSError) as error:
            broken: FailureKind = "tls" if isinstance(error.__cause__, ssl.SSLError) else "reset"
            job.fail(broken, "body" if job.first_byte_ns else "first_byte", str(error), self.now_ns())
        except UnicodeError:
            detail = f"{self.endpoint.host}: not a name that can be looked up"
            job.fail("dns", "connect", detail, self.now_ns())
        except asyncio.CancelledError:
            if arrived.leaving:
                self._leave(job, arrived)
                return
            job.fail("cut", "body" if job.first_byte_ns else "first_byte", "the replay was ended", self.now_ns())
        except Exception as error:  # noqa: BLE001  whatever the library raises, the job has one outcome
            detail = f"aiohttp cannot do this: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
            job.fail("malformed", "send", detail, self.now_ns())
        else:
            if response is None and job.stays and arrived.head is not None:
                self._leave(job, arrived)
            elif response is None:
                detail = f"the body is longer than {self.limits.body_bytes_max} bytes"
                job.fail("too_large", "body", detail, self.now_ns())
            else:
                job.answer(response, self.now_ns())

    async def _exchange(self, job: Job, arrived: _Arrived, bound: asyncio.Timeout) -> Response | None:
        """The response; None where it is longer than the cap."""
        assert self._session is not None
        request, endpoint = job.request, self.endpoint
        host = endpoint.address if endpoint.unix is None else "localhost"
        target = _origin_form(request.target)
        url = URL(f"{'https' if endpoint.tls else 'http'}://{host}{_as_sent(target)}", encoded=True)
        path, _, query = target.partition("?")
        if url.raw_path_qs.encode("utf-8", "replace") != (target if query else path).encode("latin-1"):
            raise _CannotSend(f"the target {request.target[:100]!r} as it is")
        if request.method != request.method.upper():
            raise _CannotSend(f"the method {request.method[:100]!r} as it is")
        job.sent_bytes = sum(len(n) + len(v) + 4 for n, v in request.headers) + len(request.body or b"")
        async with self._session.request(
            request.method,
            url,
            headers=_headers(request.headers),
            data=io.BytesIO(request.body) if request.body else None,
            allow_redirects=False,
            server_hostname=endpoint.tls_name,
            trace_request_ctx=job,
            timeout=self._listening if job.stays else self._timeout,
        ) as answer:
            job.first_byte_ns = self.now_ns()
            headers_got: Headers = tuple(
                (name.decode("latin-1"), value.decode("latin-1")) for name, value in answer.raw_headers
            )
            version = answer.version
            shown = f"HTTP/{version.major}.{version.minor}" if version is not None else "HTTP/1.1"
            arrived.head = Response(answer.status, answer.reason or "", shown, headers_got)
            if job.heard is not None:
                bound.reschedule(None)  # whoever listens says when to leave
                job.heard(job, 0)
                if not job.stays:
                    bound.reschedule(asyncio.get_running_loop().time() + self.limits.timeout_ns / 1e9)
            if request.method != "HEAD" and (answer.content_length or 0) > self.limits.body_bytes_max:
                answer.close()
                return None
            async for part in answer.content.iter_any():
                arrived.parts.append(part)
                arrived.size += len(part)
                job.received_bytes = arrived.size
                if arrived.size > self.limits.body_bytes_max:
                    answer.close()
                    return None
                if job.heard is not None:
                    job.heard(job, arrived.size)
            return arrived.response()

    async def close(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            await asyncio.sleep(0)
