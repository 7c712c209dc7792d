"""AES-256-GCM for the payload of each block, with a key of its own for every segment.

The key that a user gives never encrypts anything itself: each segment has a random salt in its header, from which its
key is derived (HKDF-SHA256, RFC 5869), so that nonces, random per block, never meet under one key in practice. What is
bound to each payload as additional data: the whole header of the segment and the block's place and counts, so a block
cannot be moved, reordered or put under another header unnoticed. Only here is
`cryptography` (extra `encryption`) imported.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import struct
from pathlib import Path
from typing import Any

from capture.errors import UsageError
from capture.log.format import BlockHead, FormatError

__all__ = [
    "KEY_BYTES",
    "KEY_VARIABLE",
    "NONCE_BYTES",
    "SALT_BYTES",
    "Cipher",
    "environment_key",
    "key_from",
    "key_id_of",
    "read_key",
]

KEY_BYTES = 32
SALT_BYTES = 16
NONCE_BYTES = 12
_TAG_BYTES = 16
KEY_VARIABLE = "UNDERSTUDY_LOG_KEY"
_BOUND = struct.Struct("<BBIQIIIqq")


def key_id_of(key: bytes) -> str:
    """Sixteen hex digits that tell which key was used and nothing about it."""
    return hashlib.sha256(b"understudy log key id\0" + key).hexdigest()[:16]


def key_from(text: str, where: str) -> bytes:
    """A key from 64 hex digits; raises UsageError naming `where` it came from, never the key."""
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise UsageError(f"{where}: a log key is 64 hexadecimal digits (32 bytes); make one with: openssl rand -hex 32")
    return key


def read_key(path: Path) -> bytes:
    """A key from a file of 64 hex digits or 32 raw bytes."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: the log key cannot be read: {error.strerror}") from None
    return data if len(data) == KEY_BYTES else key_from(data.decode("latin-1"), str(path))


def environment_key() -> bytes | None:
    """The key in UNDERSTUDY_LOG_KEY, None where there is none; raises UsageError where it is not one."""
    text = os.environ.get(KEY_VARIABLE)
    return None if not text else key_from(text, f"environment {KEY_VARIABLE}")


def _derive(key: bytes, salt: bytes) -> bytes:
    """HKDF-SHA256 with one block of output."""
    extracted = hmac.digest(salt, key, "sha256")
    return hmac.digest(extracted, b"understudy log segment\x01", "sha256")


class Cipher:
    """Seals and opens the payloads of one segment.

    header: the segment's header as it stands on disk; it is bound to every payload.
    """

    __slots__ = ("_aead", "_header_digest", "_invalid_tag")

    def __init__(self, key: bytes, salt: bytes, header: bytes) -> None:
        try:
            from cryptography.exceptions import InvalidTag
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError:
            raise UsageError("log encryption needs the library cryptography; install understudy[encryption]") from None
        self._aead: Any = AESGCM(_derive(key, salt))
        self._invalid_tag: type[Exception] = InvalidTag
        self._header_digest = hashlib.sha256(header).digest()

    def _bound(self, head: BlockHead) -> bytes:
        place = _BOUND.pack(
            head.kind,
            head.flags,
            head.raw,
            head.first_record,
            head.records,
            head.first_body,
            head.bodies,
            head.first_ns,
            head.last_ns,
        )
        return self._header_digest + place

    def seal(self, head: BlockHead, plain: bytes) -> bytes:
        """nonce + ciphertext + tag; `stored` and `payload_sum` of the head are not known yet and not bound."""
        nonce = os.urandom(NONCE_BYTES)
        sealed: bytes = self._aead.encrypt(nonce, plain, self._bound(head))
        return nonce + sealed

    def open(self, head: BlockHead, sealed: bytes) -> bytes:
        """The plain payload; raises FormatError where key, place or content are not what was sealed."""
        if len(sealed) < NONCE_BYTES + _TAG_BYTES:
            raise FormatError("an encrypted block is shorter than its nonce and tag")
        try:
            plain: bytes = self._aead.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], self._bound(head))
        except self._invalid_tag:
            raise FormatError("the block cannot be decrypted: altered, or moved here from elsewhere") from None
        return plain
