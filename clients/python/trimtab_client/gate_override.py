"""A local override: a person at the engine's machine ends a sticky denial while no sidecar answers.

A small JSON file beside what the gate remembers, for one engine in one environment:

    {"actor": "ann", "reason": "the sidecar's disk is being replaced", "symbol": "AAPL",
     "expires": "2026-03-02T12:00:00Z", "written": "2026-03-02T09:00:00Z"}

actor, reason and expires are required. strategy, symbol and model_name narrow it: it then covers
only signals that tell the same. With `written` (write_override tells it) a wall clock that was set
back does not bring an override to life again.
"""

from __future__ import annotations

import json
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from trimtab_client.envelope import NAME_CHARS_MAX
from trimtab_client.event import ENVIRONMENT, Time, Word, to_ns
from trimtab_client.gate_answer import GateScope
from trimtab_client.gate_memory import file_name, gate_directory, read_regular

_BYTES_MAX = 64 * 1024
_LASTS_S_MIN, _LASTS_S_MAX = 1e-6, 366 * 86_400
_REASON_CHARS_MAX = 1_024
_REQUIRED = ("actor", "reason", "expires")
_NAMES = ("strategy", "symbol", "model_name")
# Clocks of one machine differ from themselves after a correction, not by more than this.
_WRITTEN_SKEW_NS = 300_000_000_000


class GateOverride(NamedTuple):
    """A local override. Times are nanoseconds UTC; written_ns 0 = not told."""

    actor: str
    reason: str
    expires_ns: int
    scope: GateScope = GateScope()
    written_ns: int = 0

    def holds_at(self, wall_ns: int) -> bool:
        """Whether it is in force by the wall clock."""
        return self.written_ns - _WRITTEN_SKEW_NS <= wall_ns < self.expires_ns

    def covers(self, asked: GateScope) -> bool:
        """Whether it is meant for a signal of this scope."""
        return self.scope.covers(asked)

    def __str__(self) -> str:
        return f"override by {self.actor} until {_rfc3339(self.expires_ns)}: {self.reason}"


class OverrideMalformed(ValueError):
    """A file that is no override; the message names the file and what is wrong."""


def override_path(
    source: str, environment: Word, gate_dir: str | os.PathLike[str] | None = None
) -> Path:
    """Where the override of an engine is looked for."""
    number = ENVIRONMENT(environment, "environment")
    return gate_directory(gate_dir) / file_name(source, number, "override.json")


def write_override(
    *,
    source: str,
    environment: Word,
    actor: str,
    reason: str,
    expires: Time | None = None,
    lasts_s: float | None = None,
    strategy: str = "",
    symbol: str = "",
    model_name: str = "",
    gate_dir: str | os.PathLike[str] | None = None,
) -> Path:
    """Writes the override of an engine; where. While no lease is held it ends what is left of a
    trading state or breaker: what then passes is the fallback rule's, in a gate built OPEN.

    expires: an aware datetime or nanoseconds UTC, after now; or lasts_s: seconds from now, above 0.
    actor: 1 to 64 characters; reason: 1 to 1,024. Only the owner of the folder can read it, also
    when root writes it. ValueError and TypeError naming the argument, OSError.
    """
    now = datetime.now(UTC)
    content = {
        "actor": actor,
        "reason": reason,
        "expires": _rfc3339(_expires_ns(to_ns(now), expires, lasts_s)),
        "written": _rfc3339(to_ns(now)),
        "strategy": strategy,
        "symbol": symbol,
        "model_name": model_name,
    }
    told = {name: value for name, value in content.items() if value != ""}
    parsed_override(told)
    if not 1 <= len(source) <= NAME_CHARS_MAX:
        raise ValueError(f"source: needs 1 to {NAME_CHARS_MAX} characters")
    path = override_path(source, environment, gate_dir)
    _make_folder(path.parent)
    _replace(path, json.dumps(told, indent=2) + "\n")
    return path


def _expires_ns(now_ns: int, expires: Time | None, lasts_s: float | None) -> int:
    """When it expires, by whichever was told; ValueError, TypeError naming that."""
    if lasts_s is None:
        if expires is None:
            raise ValueError("expires: required, or lasts_s")
        expires_ns = to_ns(expires, "expires")
        # What is written ends with the microsecond.
        if expires_ns // 1_000 <= now_ns // 1_000:
            raise ValueError("expires: must be after now")
        return expires_ns
    if expires is not None:
        raise ValueError("lasts_s: tell either it or expires")
    if isinstance(lasts_s, bool) or not isinstance(lasts_s, int | float):
        raise TypeError(f"lasts_s: must be a number, not {type(lasts_s).__name__}")
    if not _LASTS_S_MIN <= lasts_s < _LASTS_S_MAX:
        raise ValueError(f"lasts_s: must be at least 0.000001 and below {_LASTS_S_MAX:,}")
    return now_ns + int(lasts_s * 1e9)


def _make_folder(folder: Path) -> None:
    """Makes it and what is missing above; made by root they are the owner's of what was there."""
    if folder.exists():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True, mode=0o700)
    if os.geteuid() == 0:
        above = folder.parent.stat()
        os.chown(folder, above.st_uid, above.st_gid, follow_symlinks=False)


def _replace(path: Path, content: str) -> None:
    """Replaces the file; it can be read by the owner of its folder alone, also when root writes."""
    # By a name that nobody could have put a link under.
    descriptor, beside = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
            if os.geteuid() == 0:
                folder = path.parent.stat()
                os.fchown(descriptor, folder.st_uid, folder.st_gid)
        Path(beside).replace(path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


def read_override(
    *, source: str, environment: Word, gate_dir: str | os.PathLike[str] | None = None
) -> GateOverride | None:
    """The override of an engine, expired ones too; None = there is none. OverrideMalformed names
    the file and what is wrong with it."""
    return override_in(override_path(source, environment, gate_dir))


def override_in(path: Path) -> GateOverride | None:
    """The override in a file; see `read_override`."""
    try:
        data = read_regular(path, _BYTES_MAX + 1)
        if len(data) > _BYTES_MAX:
            raise ValueError(f"more than {_BYTES_MAX:,} bytes")  # noqa: TRY301 - one way to say so
        return parsed_override(json.loads(data))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OverrideMalformed(f"{path}: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise OverrideMalformed(f"{path}: {error}") from None


def parsed_override(told: Any) -> GateOverride:
    """The override that a JSON value tells. ValueError naming the key at fault."""
    if not isinstance(told, dict):
        raise ValueError("must be a JSON object")  # noqa: TRY004 - what a file holds is a value
    for key, value in told.items():
        if key not in (*_REQUIRED, "written", *_NAMES):
            raise ValueError(f"{key}: unknown")
        if not isinstance(value, str):
            raise ValueError(f"{key}: must be text")  # noqa: TRY004 - as above
        most = _REASON_CHARS_MAX if key == "reason" else NAME_CHARS_MAX
        if not 1 <= len(value.strip()) or len(value) > most:
            raise ValueError(f"{key}: needs 1 to {most:,} characters")
        try:
            value.encode()
        except UnicodeEncodeError:
            # Its decision could not be recorded.
            raise ValueError(f"{key}: holds a character that no text has (a surrogate)") from None
    for key in _REQUIRED:
        if key not in told:
            raise ValueError(f"{key}: required")
    scope = GateScope("", *(told.get(name, "") for name in _NAMES))
    written_ns = _time_ns(told["written"], "written") if "written" in told else 0
    expires_ns = _time_ns(told["expires"], "expires")
    return GateOverride(told["actor"], told["reason"], expires_ns, scope, written_ns)


def _time_ns(text: str, key: str) -> int:
    try:
        return to_ns(datetime.fromisoformat(text), key)
    except (ValueError, OverflowError):
        raise ValueError(f"{key}: {text!r} is no RFC 3339 time with a zone") from None


def _rfc3339(time_ns: int) -> str:
    """To the microsecond, in UTC."""
    try:
        whole = datetime.fromtimestamp(time_ns // 1_000_000_000, UTC)
    except (ValueError, OverflowError, OSError):
        raise ValueError("expires: is no time of the years 1 to 9999") from None
    micros = time_ns % 1_000_000_000 // 1_000
    return whole.replace(microsecond=micros).isoformat().replace("+00:00", "Z")
