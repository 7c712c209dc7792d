"""The built-in zstd dictionary: what HTTP exchanges have in common, so that a block of a few records is small too.

Part of the format: the content never changes for FLAG_DICTIONARY. It is raw content (no entropy tables), and the most
common strings stand last, where zstd reaches them with the shortest offsets.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

__all__ = ["DICTIONARY", "dictionary", "zstd"]

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_HEADS = """\
accept-ch cross-origin-opener-policy cross-origin-resource-policy permissions-policy referrer-policy
strict-origin-when-cross-origin
content-security-policy default-src 'self' report-to nel priority u=1, i sec-gpc alt-svc h3=":443"; ma=86400 cf-ray
cf-cache-status DYNAMIC
x-powered-by Express PHP ASP.NET x-aspnet-version x-runtime x-ratelimit-limit x-ratelimit-remaining
x-ratelimit-reset retry-after
access-control-allow-origin * access-control-allow-credentials true access-control-allow-methods GET, POST, PUT,
PATCH, DELETE, OPTIONS
access-control-allow-headers Authorization, Content-Type access-control-expose-headers access-control-max-age 86400
strict-transport-security max-age=31536000; includeSubDomains; preload x-content-type-options nosniff
x-frame-options SAMEORIGIN DENY
x-xss-protection 1; mode=block x-envoy-upstream-service-time x-envoy-internal x-b3-traceid x-b3-spanid x-b3-sampled
tracestate traceparent 00-
x-real-ip x-forwarded-port x-forwarded-host x-forwarded-proto https x-forwarded-for 127.0.0.1 10.0.0. 192.168.
forwarded for= proto=https
sec-ch-ua "Chromium";v="130", "Google Chrome";v="130", "Not?A_Brand";v="99" sec-ch-ua-mobile ?0 sec-ch-ua-platform
"Windows" "macOS" "Linux" "Android"
sec-fetch-site same-origin same-site cross-site none sec-fetch-mode navigate cors no-cors sec-fetch-user ?1
sec-fetch-dest document empty script image style
upgrade-insecure-requests 1 dnt 1 te trailers range bytes= if-none-match W/" if-modified-since last-modified etag
vary Accept-Encoding, Origin, Cookie
user-agent Mozilla/5.0 (Windows NT 10.0; Win64; x64) Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Mozilla/5.0
(X11; Linux x86_64)
 AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36 Gecko/20100101 Firefox/132.0 Version/17.6
Mobile/15E148 (iPhone; CPU iPhone OS 17_6 like Mac OS X)
curl/8. python-requests/2. okhttp/4. Go-http-client/1.1 kube-probe/1. PostmanRuntime/7. axios/1. Dalvik/2.1.0
accept-language en-US,en;q=0.9 en-US,en;q=0.5 de-DE,de;q=0.9 accept-encoding gzip, deflate, br, zstd accept
text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8 application/json,
text/plain, */*
cookie session= sessionid= sid= csrftoken= _ga=GA1.1. set-cookie ; Path=/; HttpOnly; Secure; SameSite=Lax;
Max-Age=3600; Expires= 1970 00:00:00 GMT
x-csrf-token x-requested-with XMLHttpRequest authorization Basic Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9. origin
https://www. referer https:// http://localhost:8080/
transfer-encoding chunked content-encoding gzip br content-disposition attachment; filename=" location pragma
no-cache expires 0 cache-control no-cache, no-store, must-revalidate max-age=0 private public, max-age=3600
content-type text/html; charset=utf-8 text/plain text/css image/png image/jpeg image/svg+xml font/woff2
application/javascript application/x-www-form-urlencoded multipart/form-data; boundary=----WebKitFormBoundary
application/grpc application/octet-stream application/problem+json application/vnd.api+json text/event-stream
{"error":{"code":"message":"detail":"not found"}}
{"data":[{"id":"type":"attributes":{"name":"title":"email":"description":"status":"active","price":"currency":"EUR","USD","quantity":"total":"items":[{"created_at":"2026-"updated_at":"url":"https://"count":"page":"next":null,"results":[],"success":true,false}
 Forbidden Unauthorized Bad Request Unprocessable Entity Too Many Requests Internal Server Error Bad Gateway Service
Unavailable Gateway Timeout Not Modified Moved Permanently Found See Other No Content Created Accepted
"""

# How a few records look on the wire: MessagePack tags and lengths stand between the names, so names alone match less.
_RECORDS = (
    b"\xc0\x90\xff\xa0\xa4http\x90\xc3\xa5https"
    b"\x92\xaaKeep-Alive\xa9timeout=5\x92\xaaConnection\xaakeep-alive\x92\xaaConnection\xa5close"
    b"\x92\xaex-request-id\xd9$\x92\xacX-Request-Id\xd9$\x92\xb1Transfer-Encoding\xa7chunked"
    b"\x92\xa4Vary\xafAccept-Encoding\x92\xa4ETag\xadCache-Control\xa8no-cache\x92\xadLast-Modified\xbd"
    b"\x92\xaaUser-Agent\xd9\x92\xa6Accept\xa3*/*\x92\xafAccept-Encoding\xb1gzip, deflate, br\x92\xafAccept-Language"
    b"\x92\xadAuthorization\x92\xa6Cookie\x92\xaaSet-Cookie\x92\xa4Host\xa9127.0.0.1\x92\xa4Host\xaelocalhost:8080"
    b"\x92\xa6Server\xa5nginx\x92\xa4Date\xbdMon, Tue, Wed, Thu, Fri, Sat, Sun, 01 Jan 2026 00:00:00 GMT"
    b"\xa4POST\xa3PUT\xa5PATCH\xa6DELETE\xa7OPTIONS\xa4HEAD\xa3GET\xa1/\xa5/api/\xa8/api/v1/"
    b"\xa8HTTP/1.1\x94\x92\xa4Host\x92\xaeContent-Length\xa22\x92\xacContent-Type\xb0application/json"
    b"\x98\xcd\x01\x94\xa9Not Found\xa8HTTP/1.1\x98\xcd\x01\x2e\xa5Found\xa8HTTP/1.1\x98\xcc\xc9\xa7Created\xa8HTTP/1.1"
    b"\x98\xcc\xc8\xa0\xa6HTTP/2\x98\xcc\xc8\xa2OK\xa8HTTP/1.1\x95\x92\xacContent-Type\xb0application/json"
    b"\x92\xacContent-Type\xd9\x1fapplication/json; charset=utf-8\x92\xacContent-Type\xb8text/html; charset=utf-8"
    b"\xc4\x00\x00\xc2\x90\x94\xcf\x18\x93\xc0\x90\x9d\xa0\xb0\xa5relay\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00\x98\xa3GET\xa1/"
)

DICTIONARY = _HEADS.encode() + _RECORDS


@cache
def dictionary() -> Any:
    """The dictionary, made ready once for this process."""
    return zstd.ZstdDict(DICTIONARY, is_raw=True)
