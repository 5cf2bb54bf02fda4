"""What a start reads to secure itself: the access file and the files of TLS.

Read once: a change needs a restart. No message of this file holds what is in them.
"""

import os
import ssl
import stat
import tomllib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from trimtab_server.domain.access import Caller, Role, TlsKeys, name_fault
from trimtab_server.errors import ConfigurationError

_BYTES_MAX = 1 << 20
_CALLERS_MAX = 1_000
# Read and write for the owner, read for the group: 0640.
_MODE_MAX = stat.S_IRUSR | stat.S_IWUSR | stat.S_IRGRP
_KEYS = {"name", "roles", "token_sha256", "certificate"}
_DIGEST_BYTES = 32
# The longest DNS name.
_CERTIFICATE_LENGTH_MAX = 253


def tls_keys(cert_file: str, key_file: str, client_ca_file: str) -> TlsKeys | None:
    """The server's side of TLS, None without a `cert_file`. Raises ConfigurationError that names
    the setting."""
    if not cert_file:
        return None
    keys = TlsKeys(
        _read("tls_cert_file", cert_file),
        _read("tls_key_file", key_file, is_secret=True),
        _read("tls_client_ca_file", client_ca_file) if client_ca_file else b"",
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # An empty password: a key that has one must not ask for it on the terminal.
        context.load_cert_chain(cert_file, key_file, password="")
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"tls_cert_file, tls_key_file: no PEM certificate and its unencrypted key: {error}"
        ) from None
    if client_ca_file:
        try:
            context.load_verify_locations(cadata=keys.client_ca.decode("ascii"))
        except (OSError, ValueError):
            raise ConfigurationError(
                f"tls_client_ca_file: {client_ca_file} holds no PEM certificate"
            ) from None
    return keys


def read_callers(access_file: str, *, with_certificates: bool) -> tuple[Caller, ...]:
    """The callers of an access file, in its order; without a file none. Raises ConfigurationError
    that names the key, for a file without callers too.

    with_certificates: client certificates are asked for, so a caller may be known by one.
    """
    if not access_file:
        return ()
    content = _read("access_file", access_file, is_secret=True)
    try:
        told = tomllib.loads(content.decode("utf-8"))
    except ValueError:
        # Its own words may quote the file.
        raise ConfigurationError(f"access_file: {access_file} is no TOML file") from None
    try:
        return tuple(_callers(told, with_certificates=with_certificates))
    except ValueError as error:
        raise ConfigurationError(f"access_file: {access_file}: {error}") from None


def _read(setting: str, path: str, *, is_secret: bool = False) -> bytes:
    try:
        with Path(path).open("rb") as opened:
            # Of what is open: the path may lead elsewhere a moment later.
            mode = stat.S_IMODE(os.fstat(opened.fileno()).st_mode)
            if is_secret and mode & ~_MODE_MAX:
                raise ConfigurationError(
                    f"{setting}: {path} has mode {mode:04o}, which others may read or write;"
                    " 0640 at most: chmod 600 or 640"
                )
            content = opened.read(_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigurationError(f"{setting}: cannot read {path}: {error.strerror}") from None
    if len(content) > _BYTES_MAX:
        raise ConfigurationError(f"{setting}: {path} has more than {_BYTES_MAX:,} bytes")
    return content


def _callers(told: dict[str, Any], *, with_certificates: bool) -> Iterator[Caller]:
    entries = told.pop("callers", [])
    if told:
        raise ValueError(f"{min(told)}: unknown key; the file holds [[callers]]")
    if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
        raise ValueError("callers: needs tables, [[callers]]")
    if not entries:
        raise ValueError("callers: nobody may call; make an entry with trimtab token")
    if len(entries) > _CALLERS_MAX:
        raise ValueError(f"callers: more than {_CALLERS_MAX:,}")
    seen: dict[str, set[object]] = {"name": set(), "token_sha256": set(), "certificate": set()}
    for number, entry in enumerate(entries):
        where = f"callers.{number}"
        caller = _caller(where, entry)
        if caller.certificate and not with_certificates:
            raise ValueError(f"{where}.certificate: needs the setting tls_client_ca_file")
        for key, known in seen.items():
            value = getattr(caller, key)
            if value and value in known:
                raise ValueError(f"{where}.{key}: another caller has the same")
            known.add(value)
        yield caller


def _caller(where: str, entry: dict[str, Any]) -> Caller:
    unknown = sorted(set(entry) - _KEYS)
    if unknown:
        raise ValueError(f"{where}.{unknown[0]}: unknown key; known are {', '.join(sorted(_KEYS))}")
    if fault := name_fault(entry.get("name")):
        raise ValueError(f"{where}.name: {fault}")
    if ("token_sha256" in entry) == ("certificate" in entry):
        raise ValueError(f"{where}: tell one of token_sha256 and certificate")
    digest, certificate = b"", ""
    if "token_sha256" in entry:
        digest = _digest(entry["token_sha256"])
        if not digest:
            raise ValueError(
                f"{where}.token_sha256: needs the SHA-256 of the token, {2 * _DIGEST_BYTES} hex"
                " digits; never the token itself"
            )
    else:
        certificate = entry["certificate"]
        if fault := name_fault(certificate, _CERTIFICATE_LENGTH_MAX):
            raise ValueError(f"{where}.certificate: {fault}")
    return Caller(entry["name"], _roles(f"{where}.roles", entry.get("roles")), digest, certificate)


def _digest(told: object) -> bytes:
    """The 32 bytes that hex digits stand for, b"" when they are something else."""
    try:
        digest = bytes.fromhex(told) if isinstance(told, str) else b""
    except ValueError:
        return b""
    return digest if len(digest) == _DIGEST_BYTES else b""


def _roles(where: str, told: object) -> frozenset[Role]:
    known: Collection[str] = tuple(Role)
    if not isinstance(told, list) or not told or any(each not in known for each in told):
        raise ValueError(f"{where}: needs a list of {', '.join(known)}")
    return frozenset(Role(each) for each in told)
