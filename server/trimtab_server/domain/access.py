"""Who may call: roles, callers, keys, and how a token is known without being kept."""

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum

NAME_LENGTH_MAX = 64


class Role(StrEnum):
    """What a caller may do. Only `operate` halts, resets and promotes."""

    INGEST = "ingest"
    READ = "read"
    OPERATE = "operate"


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody with a name and roles, known by the digest of a token or by a certificate.

    Exactly one of the two is told: `token_sha256` (32 bytes) or `certificate` (its common name or
    one of its DNS names).
    """

    name: str
    roles: frozenset[Role]
    token_sha256: bytes = field(default=b"", repr=False)
    certificate: str = ""


@dataclass(frozen=True, slots=True)
class TlsKeys:
    """PEM bytes: the server's certificate chain and key, and the CA of client certificates
    (empty = none are asked for)."""

    certificate: bytes
    key: bytes = field(repr=False)
    client_ca: bytes = b""


def token_digest(token: str) -> bytes:
    """SHA-256 of a token. A token is 256 bits of chance, so a plain digest cannot be turned back;
    it would not do for passwords."""
    return hashlib.sha256(token.encode()).digest()


def name_fault(name: object, length_max: int = NAME_LENGTH_MAX) -> str:
    """What is wrong with a name, "" when nothing is."""
    if not isinstance(name, str) or not 1 <= len(name) <= length_max:
        return f"needs 1 to {length_max} characters"
    return "" if name.isprintable() else "needs printable characters"
