"""Which names are those of secrets: headers, and fields of queries, forms, JSON and XML, however they are spelt."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeVar

__all__ = [
    "LABELS",
    "LOCATION_HEADERS",
    "PLAIN_HEADERS",
    "PLAIN_SPELLINGS",
    "SECRET_HEADERS",
    "STRICT_HEADERS",
    "VALUES",
    "Names",
    "words_of",
]


def _listed(text: str) -> frozenset[str]:
    return frozenset(text.split())


SECRET_HEADERS = _listed("""
    authorization proxy-authorization x-authorization x-api-key api-key apikey x-apikey x-auth-token x-auth-key
    x-auth x-access-token x-access-key x-csrf-token x-xsrf-token csrf-token xsrf-token x-csrftoken x-session-token
    x-session-id x-sessionid x-user-token x-id-token x-refresh-token x-client-secret x-secret x-secret-key
    x-amz-security-token x-amzn-oidc-data x-amzn-oidc-accesstoken x-amzn-oidc-identity x-goog-api-key
    x-goog-iam-authorization-token x-goog-iap-jwt-assertion x-firebase-appcheck x-vault-token x-gitlab-token
    private-token job-token x-github-token x-github-otp x-otp x-shopify-access-token ocp-apim-subscription-key
    x-functions-key x-rapidapi-key x-mashape-key x-hub-signature x-hub-signature-256 x-slack-signature
    stripe-signature x-signature x-twilio-signature x-line-signature x-shopify-hmac-sha256 dpop
    cf-access-jwt-assertion cf-access-client-secret x-jwt-assertion x-jwt x-forwarded-client-cert x-ssl-client-cert
    x-client-cert x-forwarded-access-token x-ms-token-aad-access-token x-ms-token-aad-id-token x-ms-client-principal
    x-parse-rest-api-key x-parse-master-key x-parse-session-token x-algolia-api-key dd-api-key dd-application-key
    x-honeycomb-team x-token token secret x-password password x-figma-token x-plex-token circle-token x-consul-token
    x-nomad-token x-stripe-key x-webhook-secret x-telegram-bot-api-secret-token
""")
"""Headers whose whole value is a secret, lower case."""

PLAIN_HEADERS = _listed(
    "date content-length last-modified expires age if-modified-since if-unmodified-since accept-ranges"
)
"""Headers whose grammar leaves no room for a secret; their values are not searched."""

PLAIN_SPELLINGS = PLAIN_HEADERS | frozenset(name.title() for name in PLAIN_HEADERS)
"""The same in the two usual spellings, for a quick look-up."""

LOCATION_HEADERS = frozenset(("location", "referer", "content-location", "refresh", "link", "origin", "sourcemap"))
"""Headers that hold addresses, whose query fields count by name."""

STRICT_HEADERS = PLAIN_HEADERS | _listed("""
    accept accept-charset accept-encoding accept-language allow cache-control connection content-disposition
    content-encoding content-language content-range content-type etag expect host if-match if-none-match if-range
    keep-alive max-forwards origin pragma range retry-after server te trailer transfer-encoding upgrade
    upgrade-insecure-requests user-agent vary via dnt save-data sec-fetch-dest sec-fetch-mode sec-fetch-site
    sec-fetch-user sec-ch-ua sec-ch-ua-mobile sec-ch-ua-platform sec-websocket-version sec-websocket-extensions
    strict-transport-security x-content-type-options x-frame-options x-xss-protection referrer-policy
    content-security-policy cross-origin-opener-policy cross-origin-resource-policy cross-origin-embedder-policy
    permissions-policy access-control-allow-origin access-control-allow-methods access-control-allow-headers
    access-control-allow-credentials access-control-expose-headers access-control-max-age
    access-control-request-method access-control-request-headers x-requested-with x-powered-by grpc-status
    grpc-encoding grpc-accept-encoding grpc-timeout traceparent x-request-id x-forwarded-proto x-forwarded-port
    x-forwarded-host x-ratelimit-limit x-ratelimit-remaining x-ratelimit-reset x-http-method-override
""")
"""Headers that strict mode leaves readable."""

LABELS = frozenset(("name", "key", "field", "header", "param", "id", "path"))
"""Names whose value says what the object's value is: {"name": "Authorization", "value": ...}."""
VALUES = frozenset(("value", "val", "values", "content", "text"))
"""Names of that value."""

_EXACT = _listed("""
    codeverifier codechallenge driverlicense driverslicense passport accountkey sharedaccesskey sharedaccesssignature
    password passwd passwort pwd pass passphrase passcode passkey pin pincode cvv cvc cvv2 cvc2 csc ssn nino secret
    token tokens jwt bearer otp totp mfacode twofactorcode iban cardnumber cardno ccnumber ccnum creditcard
    debitcard cardpan accountnumber routingnumber sortcode authorization auth authkey apikey apitoken appkey
    appsecret sig signature hmac sid sessid sessionid session sessionkey jsessionid phpsessid privatekey secretkey
    signingkey encryptionkey accesskey accesskeyid masterkey sharedkey clientsecret clientkey credential credentials
    csrf xsrf csrftoken xsrftoken csrfmiddlewaretoken authenticitytoken requestverificationtoken antiforgery
    authcode verificationcode recoverycode recoverycodes backupcode backupcodes securitycode securityanswer
    samlresponse samlrequest clientassertion passportnumber taxid nationalid socialsecurity socialsecuritynumber
    driverslicense licensekey connectionstring userpassword mysqlpwd dsn refreshtoken accesstoken idtoken seedphrase
    mnemonic pgpassword pw pan sas pat userpass cookie cookies setcookie rememberme remembertoken
""")
_LAST = _listed("""
    authorization
    password passwd pwd passphrase passcode secret secrets token tokens apikey credential credentials ssn cvv cvc
    otp jwt signature iban passwort pin csrf xsrf pass
""")
_LAST_TWO = frozenset(
    tuple(pair.split("-"))
    for pair in _listed("""
    account-key access-signature passport-no license-number licence-number licence-key otp-code mfa-code totp-code
    sms-code pin-code access-code login-code activation-code activation-key account-no tax-number
    api-key access-key private-key secret-key signing-key encryption-key master-key session-key session-id
    shared-key client-key auth-key auth-code card-number card-num card-no account-number routing-number
    security-code verification-code recovery-code recovery-codes backup-codes passport-number national-id tax-id
    security-number security-answer license-key connection-string client-cert authorization-code device-code
    user-code confirmation-code reset-code key-id credit-card debit-card card-cvc deploy-key ssh-key gpg-key pgp-key
    pgp-private unlock-code invite-code customer-key magic-link
    """)
)
_FIRST = frozenset(pair[0] for pair in _LAST_TWO)
_SECOND = frozenset(pair[1] for pair in _LAST_TWO)
_INSIDE = re.compile(
    r"passw(?:or)?d|pwdhash|secret|credential|apikey|accesstoken|refreshtoken|authtoken|privatekey|creditcard"
)
_HARMLESS_FIRST = frozenset(("is", "has", "had", "can", "must", "need", "needs", "show", "use", "max", "min"))
_HARMLESS_LAST = _listed("""
    type expires expiry expiration required enabled length strength policy hint count url uri endpoint changed
    updated created at in limit valid status version label placeholder error errors message
""")
_QUERY_ONLY = frozenset(("code", "key", "ticket", "assertion", "st", "sign", "signed"))
_QUERY_SIGNED = frozenset(("xamzsignature", "xamzcredential", "xamzsecuritytoken", "xgoogsignature", "xgoogcredential"))
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_]+")
_CACHE_MAX = 8192
_K = TypeVar("_K")


def words_of(name: str) -> list[str]:
    """The words of a name in lower case: "accessToken", "ACCESS_TOKEN" and "access-token" give access, token."""
    return [word.lower() for word in _WORD.findall(name)]


class Names:
    """Answers whether a field or a header has the name of a secret; remembers what it was asked, bounded."""

    __slots__ = ("_extra", "_extra_headers", "_fields", "_harmless", "_headers", "_queries")

    def __init__(self, fields: frozenset[str] = frozenset(), headers: frozenset[str] = frozenset()) -> None:
        """fields, headers: further names, any case; fields are compared without separators."""
        self._extra = frozenset("".join(words_of(name)) or name for name in fields)
        self._extra_headers = frozenset(name.lower() for name in headers)
        self._fields: dict[tuple[str, str], bool] = {}
        self._queries: dict[str, bool] = {}
        self._harmless: set[str] = set()
        self._headers: dict[str, bool] = {}

    @property
    def extended(self) -> bool:
        """True where the user named further fields."""
        return bool(self._extra)

    def field(self, name: str, parent: str = "") -> bool:
        """True for the name of a secret field; parent: the name of the object it stands in, for `card: {number}`."""
        asked = (name, parent)
        found = self._fields.get(asked)
        if found is None:
            found = self._field(name, parent)
            _remember(self._fields, asked, found)
        return found

    def pairs(self, names: Iterable[str]) -> bool:
        """True where one of the names may be a secret's inside an object of another one, as `number` in `card`."""
        words = [words_of(name[:256]) for name in names]
        outer = {word[-1].removesuffix("s") for word in words if word}
        inner = {word[0] for word in words if len(word) == 1}
        return any(first in outer and second in inner for first, second in _LAST_TWO)

    def may_pair(self, name: str) -> bool:
        """True for a name that can be either half of such a pair."""
        words = words_of(name[:256])
        return bool(words) and (words[-1].removesuffix("s") in _FIRST or (len(words) == 1 and words[0] in _SECOND))

    def query(self, name: str) -> bool:
        """True for the name of a secret query or form field; `code` and `key` count here and not in JSON."""
        found = self._queries.get(name)
        if found is None:
            joined = "".join(words_of(name))
            found = joined in _QUERY_ONLY or joined in _QUERY_SIGNED or self._field(name, "")
            _remember(self._queries, name, found)
        return found

    def harmless_query(self, query: str) -> bool:
        """True where no name of `name=value&name=value`, as it stands, is that of a secret query field, and no value
        has a pair in it."""
        pairs = [pair.partition("=") for pair in query.split("&")]
        if any("=" in value for _, _, value in pairs):
            return False
        names = {name for name, _, _ in pairs}
        if self._harmless.issuperset(names):
            return True
        if any(map(self.query, names)):
            return False
        if len(self._harmless) + len(names) > _CACHE_MAX:
            self._harmless.clear()
        self._harmless |= names
        return True

    def header(self, name: str) -> bool:
        """True for a header, in lower case, whose whole value is a secret."""
        found = self._headers.get(name)
        if found is None:
            found = name in SECRET_HEADERS or name in self._extra_headers
            if not found and name not in STRICT_HEADERS and not name.startswith(("sec-websocket", "access-control")):
                found = name.endswith(("-auth", "_auth")) or self._field(name.removeprefix("x-"), "")
            _remember(self._headers, name, found)
        return found

    def _field(self, name: str, parent: str) -> bool:
        words = words_of(name[:256])
        if not words:
            return name in self._extra
        joined = "".join(words)
        if joined in self._extra or joined in _EXACT:
            return True
        if words[-1].isdigit() and len(words) > 1:
            words = words[:-1]
        if words[-1] in _LAST or tuple(words[-2:]) in _LAST_TWO:
            return True
        if parent and len(words) == 1 and (outer := words_of(parent[:256])):
            singular = outer[-1].removesuffix("s")
            if (singular, words[0]) in _LAST_TWO:
                return True
        harmless = words[0] in _HARMLESS_FIRST or words[-1] in _HARMLESS_LAST
        return not harmless and _INSIDE.search(joined) is not None


def _remember(cache: dict[_K, bool], name: _K, found: bool) -> None:
    if len(cache) >= _CACHE_MAX:
        cache.clear()
    cache[name] = found
