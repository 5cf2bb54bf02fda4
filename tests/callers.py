"""Access files for tests: callers with tokens and certificates."""

import json
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

from trimtab_server.domain.access import token_digest


def new_token() -> str:
    """A token that nobody has."""
    return "trimtab_" + secrets.token_urlsafe(32)


def entry(name: str, roles: Sequence[str], *, token: str = "", certificate: str = "") -> str:
    """The [[callers]] entry of one of them."""
    known = {"token_sha256": token_digest(token).hex()} if token else {"certificate": certificate}
    lines = {"name": name, "roles": list(roles), **known}
    return "\n".join(["[[callers]]", *(f"{key} = {json.dumps(v)}" for key, v in lines.items()), ""])


def access_file(path: Path, tokens: Mapping[str, str], *more: str) -> Path:
    """An access file, mode 0600: a caller for each role of `tokens`, named after it."""
    entries = [entry(role, [role], token=token) for role, token in tokens.items()]
    path.write_text("\n".join([*entries, *more]))
    path.chmod(0o600)
    return path
