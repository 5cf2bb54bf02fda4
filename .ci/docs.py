"""The generated parts of the documents: `docs.py write` renews them, `docs.py check` compares.

A part stands between `<!-- generated: NAME -->` and `<!-- end -->`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from trimtab.v1 import error_pb2
from trimtab_server.domain.reasons import Reason
from trimtab_server.rpc.status import CODES
from trimtab_server.settings import ENV_PREFIX, Settings
from trimtab_server.settings_breakers import KIND_DEFAULTS, BreakerSettings
from trimtab_server.settings_gate import (
    FallbackSettings,
    GateSettings,
    HoursSettings,
    ParameterSettings,
)
from trimtab_server.settings_reports import ReportSettings
from trimtab_server.settings_shadow import ShadowSettings

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = ("README.md", "server/ARCHITECTURE.md")
_PART = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def settings_table() -> str:
    """Every setting: flag, environment variable, default, meaning."""
    lines = ["| setting | default | meaning |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        lines.append(f"| `{name}` | {_default(field)} | {field.description} |")
    example = f"`--commit-age-ms-max 2`, `{ENV_PREFIX}COMMIT_AGE_MS_MAX=2`"
    tail = f"As a flag and in the environment: {example}; in the TOML file of `--config`: the name."
    return "\n".join([*lines, "", tail, ""])


def gate_table() -> str:
    """Every key of the gate's policy: default, meaning."""
    parts: dict[str, type[BaseModel]] = {
        "gate": GateSettings,
        "gate.fallback": FallbackSettings,
        "gate.parameters": ParameterSettings,
        "gate.breakers": BreakerSettings,
        "gate.hours.NAME": HoursSettings,
    }
    lines = ["| key | default | meaning |", "| --- | --- | --- |"]
    for part, model in parts.items():
        for name, field in model.model_fields.items():
            shown = _by_kind(name) if model is BreakerSettings else ""
            lines.append(f"| `{part}.{name}` | {shown or _default(field)} | {field.description} |")
    return "\n".join([*lines, ""])


def ledger_table() -> str:
    """Every key of how signals are followed and reports are made: default, meaning."""
    parts: dict[str, type[BaseModel]] = {"shadow": ShadowSettings, "reports": ReportSettings}
    lines = ["| key | default | meaning |", "| --- | --- | --- |"]
    for part, model in parts.items():
        for name, field in model.model_fields.items():
            lines.append(f"| `{part}.{name}` | {_default(field)} | {field.description} |")
    return "\n".join([*lines, ""])


def _by_kind(name: str) -> str:
    """The defaults of a breaker's key, where they depend on its kind."""
    kinds = {kind: uses[name] for kind, uses in KIND_DEFAULTS.items() if uses.get(name)}
    if len(set(kinds.values())) == 1:
        return f"`{next(iter(kinds.values()))}`"
    return ", ".join(f"`{value}` ({kind})" for kind, value in kinds.items())


def _default(field: FieldInfo) -> str:
    """How a table shows a default: only what fits on a line."""
    value = field.default
    if isinstance(value, tuple) and value and all(isinstance(each, str) for each in value):
        value = ", ".join(value)
    told = value not in (None, "", PydanticUndefined) and isinstance(value, str | int | float)
    return f"`{value}`" if told else ""


def reasons_table() -> str:
    """Every reason: status code and meaning, as the contract's comments say it."""
    text = (ROOT / "proto/trimtab/v1/error.proto").read_text(encoding="utf-8")
    lines = ["| reason | status | meaning |", "| --- | --- | --- |"]
    for reason in Reason:
        number = error_pb2.ErrorReason.Value(f"ERROR_REASON_{reason.value}")
        match = re.search(rf"((?:  //.*\n)+)  ERROR_REASON_{reason.value} = {number};", text)
        comment = match.group(1) if match else ""
        words = " ".join(line.strip().removeprefix("// ") for line in comment.splitlines())
        words = re.sub(r" \([A-Z_]+[^)]*\)", "", words)
        lines.append(f"| `{reason.value}` | `{CODES[reason].name}` | {words} |")
    return "\n".join([*lines, ""])


PARTS: dict[str, Callable[[], str]] = {
    "settings": settings_table,
    "gate": gate_table,
    "ledger": ledger_table,
    "reasons": reasons_table,
}


def renewed(text: str) -> str:
    """The document with its generated parts as they must be."""
    return _PART.sub(lambda m: m.group(1) + PARTS[m.group(2)]() + m.group(3), text)


def main() -> int:
    """Writes or checks; 1 when a document is out of date."""
    stale = 0
    for name in DOCUMENTS:
        path = ROOT / name
        text = path.read_text(encoding="utf-8")
        if renewed(text) == text:
            continue
        if sys.argv[1:] == ["write"]:
            path.write_text(renewed(text), encoding="utf-8")
        else:
            sys.stderr.write(f"{name}: a generated part is out of date; run make docs\n")
            stale = 1
    return stale


if __name__ == "__main__":
    sys.exit(main())
