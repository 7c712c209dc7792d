"""A gRPC server and a client for tests, each a process of its own: grpcio's threads do not survive a fork.

    python -m tests.support.grpc_calls serve            prints its port; ends when its standard input does
    python -m tests.support.grpc_calls call HOST:PORT [CA]   performs calls in turn on one channel, over TLS with a CA

The calls are read from standard input as JSON, what came of them is printed as JSON: a list of `kind` ("uu", "us", "su"
or "ss": unary or streamed request and answer), `method` and `messages`. Messages are plain bytes, in hexadecimal digits
there, so that no schema is needed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc

SERVICE = "shop.Stock"
_OPTIONS = [("grpc.enable_http_proxy", 0), ("grpc.so_reuseport", 0)]
_WAIT_S = 20


def _count(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
    for n in range(int(request)):
        yield b"item %d" % n


def _reverse(request: bytes, context: grpc.ServicerContext) -> bytes:
    context.send_initial_metadata((("x-shelf", "7"), ("x-shelf", "8")))
    context.set_trailing_metadata((("x-cost", "2"), ("x-mark-bin", b"\0\xff")))
    return request[::-1]


def _fail(request: bytes, context: grpc.ServicerContext) -> bytes:
    context.abort(grpc.StatusCode.NOT_FOUND, "no lamp: 100 % gone, désolé")
    raise AssertionError("abort has raised")


def _fail_late(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
    yield request
    context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "sold out")


def _serve() -> None:
    handlers = {
        "Reverse": grpc.unary_unary_rpc_method_handler(_reverse),
        "Count": grpc.unary_stream_rpc_method_handler(_count),
        "Join": grpc.stream_unary_rpc_method_handler(lambda requests, context: b",".join(requests)),
        "Echo": grpc.stream_stream_rpc_method_handler(lambda requests, context: requests),
        "Fail": grpc.unary_unary_rpc_method_handler(_fail),
        "FailLate": grpc.unary_stream_rpc_method_handler(_fail_late),
    }
    server = grpc.server(ThreadPoolExecutor(4), options=_OPTIONS)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    sys.stdin.read()
    server.stop(None).wait(_WAIT_S)


def _call(target: str, authority: str | None) -> None:
    if authority is None:
        made = grpc.insecure_channel(target, options=_OPTIONS)
    else:
        made = grpc.secure_channel(target, grpc.ssl_channel_credentials(Path(authority).read_bytes()), options=_OPTIONS)
    with made as channel:
        print(json.dumps([_result(channel, call) for call in json.load(sys.stdin)]))


def _result(channel: grpc.Channel, call: dict[str, Any]) -> dict[str, Any]:
    kinds = {"uu": channel.unary_unary, "us": channel.unary_stream, "su": channel.stream_unary}
    make: Any = kinds.get(call["kind"], channel.stream_stream)(f"/{SERVICE}/{call['method']}")
    messages = [bytes.fromhex(message) for message in call["messages"]]
    request: Any = iter(messages) if call["kind"][0] == "s" else messages[0]
    options = {"timeout": _WAIT_S, "metadata": (("x-shop", "north"), ("x-shop", "south"))}
    answers, ended = [], None
    try:
        if call["kind"][1] == "u":
            answer, ended = make.with_call(request, **options)
            answers.append(answer)
        else:
            ended = make(request, **options)
            answers.extend(ended)
    except grpc.RpcError as error:
        ended = error
    return {
        "code": ended.code().value[0],
        "details": ended.details(),
        "answers": [answer.hex() for answer in answers],
        "initial": [[name, str(value)] for name, value in ended.initial_metadata()],
        "trailing": [[name, str(value)] for name, value in ended.trailing_metadata()],
    }


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        _serve()
    else:
        _call(sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else None)
