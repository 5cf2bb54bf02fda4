"""One frozen settings object: flags over environment (TRIMTAB_*) over TOML file over defaults.

The README's table is generated from this file and tested against it.
"""

import ipaddress
import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from trimtab_server.settings_gate import GateSettings, told_as_json
from trimtab_server.settings_reports import ReportSettings
from trimtab_server.settings_shadow import ShadowSettings


class SettingsError(ValueError):
    """A setting is wrong; the message names it."""


ENV_PREFIX = "TRIMTAB_"
# Ours, but no settings of the sidecar: the client's, the command line's, the tests'.
_OTHER_VARIABLES = (
    *("ADDRESS", "CONFIG", "SPOOL_DIR", "GATE_DIR", "TEST_DIR"),
    *("TOKEN", "TOKEN_FILE", "TLS_CA", "TLS_CERT", "TLS_KEY"),
)
# An IP address, with brackets for version 6, or a name that can be looked up.
_HOST = re.compile(r"\[[0-9A-Fa-f:.]+(%\w+)?\]|[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", re.ASCII)


class Settings(BaseSettings):
    """Everything a sidecar can be told. Units are the last word of a name."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, frozen=True, extra="forbid")

    listen: str = Field(
        "127.0.0.1:7517",
        description="Address: host:port or unix:/path. Beyond loopback only with TLS and an"
        " access_file or tls_client_ca_file. Port 0 takes a free one.",
    )
    tls_cert_file: str = Field(
        "", description="PEM file of the server's certificate chain; empty = no TLS."
    )
    tls_key_file: str = Field(
        "", description="PEM file of its key, unencrypted, mode 0640 at most."
    )
    tls_client_ca_file: str = Field(
        "",
        description="PEM file of the CA whose client certificates are required; empty = none are.",
    )
    access_file: str = Field(
        "",
        description="TOML file of callers and their roles, mode 0640 at most; empty = whoever can"
        " connect may do everything.",
    )
    database: str = Field(
        "sqlite:///trimtab.db", description="Database URL, or the path of a SQLite file."
    )
    durability: Literal["power_loss", "process_crash"] = Field(
        "power_loss",
        description="What an acknowledgement survives: SQLite FULL or NORMAL,"
        " synchronous_commit on or off.",
    )
    commit_events_max: int = Field(
        4096, ge=1, le=65_536, description="Events that close a batch and start its commit."
    )
    commit_bytes_max: int = Field(
        8 << 20, ge=1 << 10, le=1 << 28, description="Bytes that close a batch."
    )
    commit_age_ms_max: float = Field(
        1.0, ge=0, le=1_000, description="Milliseconds that a batch waits for company when busy."
    )
    queue_events_max: int = Field(
        65_536, ge=100, le=10_000_000, description="Accepted, uncommitted events, all callers."
    )
    queue_bytes_max: int = Field(
        64 << 20, ge=1 << 20, le=1 << 33, description="Their bytes, all callers."
    )
    window_events: int = Field(
        16_384, ge=1, le=1_000_000, description="Unacknowledged events that a stream may send."
    )
    window_bytes: int = Field(
        16 << 20, ge=1 << 12, le=1 << 30, description="Unacknowledged bytes that a stream may send."
    )
    event_bytes_max: int = Field(
        64 << 10, ge=1 << 10, le=1 << 20, description="Largest event, serialised."
    )
    batch_events_max: int = Field(
        2_000, ge=1, le=20_000, description="Most events in a batch or RecordEvents call."
    )
    batch_bytes_max: int = Field(
        3 << 20, ge=1 << 12, le=1 << 24, description="Most bytes in a batch or RecordEvents call."
    )
    page_size_max: int = Field(
        5_000, ge=1, le=50_000, description="Largest page of a list, in events."
    )
    future_skew_s_max: float = Field(
        60.0,
        ge=0,
        le=86_400,
        description="Seconds that event_time may lead our clock (not BACKTEST).",
    )
    streams_max: int = Field(256, ge=1, le=10_000, description="Recording streams open at once.")
    watchers_max: int = Field(256, ge=1, le=10_000, description="WatchEvents calls open at once.")
    slow_reader_s: float = Field(
        30.0, ge=0.1, le=3_600, description="Seconds until a stalled WatchEvents reader is cut."
    )
    readers_max: int = Field(4, ge=1, le=64, description="Threads that read the database.")
    read_queue_max: int = Field(
        256, ge=1, le=10_000, description="Reads that may wait for a thread."
    )
    read_time_s_max: float = Field(
        10.0, ge=0.1, le=600, description="Seconds until a single read is interrupted."
    )
    rejected_events_max: int = Field(
        10_000, ge=1, le=10_000_000, description="Rejected events kept for their owner."
    )
    retention: str = Field(
        "",
        description="Days to keep events of a kind: MARKET_TICK=7,MARKET_BAR=30; others for good.",
    )
    disk_free_bytes_min: int = Field(
        256 << 20,
        ge=0,
        le=1 << 60,
        description="Free bytes of the disk below which the sidecar is not ready (SQLite).",
    )
    writer_stuck_s_max: float = Field(
        10.0,
        ge=0.1,
        le=3_600,
        description="Seconds of a commit or of waiting for one after which it is not ready.",
    )
    grace_s: float = Field(10.0, ge=0.1, le=300, description="Seconds for an orderly shutdown.")
    reflection: bool | None = Field(
        None, description="Serve gRPC reflection; unset = on loopback and Unix sockets only."
    )
    otlp_endpoint: str = Field(
        "", description="OTLP/gRPC endpoint for traces and metrics; empty = off."
    )
    metrics_interval_s: float = Field(
        15.0, ge=0.1, le=3_600, description="Seconds between OTLP metric exports."
    )
    prometheus_listen: str = Field(
        "", description="host:port of the Prometheus endpoint; empty = off."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe log line that is written."
    )
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="Form of log lines; auto = console on a terminal, else JSON."
    )
    # Read by our own validator: of the library's, a variable and a flag would be merged.
    gate: Annotated[GateSettings, NoDecode, BeforeValidator(told_as_json)] = Field(
        GateSettings(),
        description="The signal gate's policy, a table of its own; as a flag or variable in JSON.",
    )

    ledger: bool = Field(
        default=True,
        description="Follow every signal to its outcome; off = the log alone, no reports of it.",
    )
    lateness_s: float = Field(
        5.0,
        ge=0,
        le=3_600,
        description="Seconds of event time by which an engine's events may come out of order.",
    )
    shadow: Annotated[ShadowSettings, NoDecode, BeforeValidator(told_as_json)] = Field(
        ShadowSettings(),
        description="How every signal is followed, a table of its own; as a flag in JSON.",
    )
    reports: Annotated[ReportSettings, NoDecode, BeforeValidator(told_as_json)] = Field(
        ReportSettings(),
        description="How reports are made, a table of its own; as a flag in JSON.",
    )

    @property
    def database_url(self) -> str:
        """The database as a URL; a bare path is a SQLite file."""
        return self.database if "://" in self.database else f"sqlite:///{self.database}"

    @property
    def has_reflection(self) -> bool:
        """Whether gRPC reflection is served."""
        if self.reflection is not None:
            return self.reflection
        return self.listen.startswith("unix:") or is_loopback("listen", self.listen)


def load(config: Path | None = None, flags: dict[str, Any] | None = None) -> Settings:
    """The effective settings. Raises SettingsError that names the setting at fault."""
    values, origin = _layers(config, flags or {})
    try:
        settings = Settings(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        where = origin.get(name.split(".")[0], "")
        raise SettingsError(f"setting {name}: {first['msg']} (from {where})") from error
    _refuse_half_tls(settings)
    if not settings.listen.startswith("unix:") and not is_loopback("listen", settings.listen):
        _refuse_open(settings)
    prometheus = settings.prometheus_listen
    if prometheus and not is_loopback("prometheus_listen", prometheus):
        raise SettingsError(
            f"prometheus_listen: {prometheus} is not a loopback address; metrics have neither TLS"
            " nor tokens and are served on this machine only"
        )
    return settings


def unknown_variables() -> list[str]:
    """Variables of the environment that look like settings and are none, sorted."""
    known = {ENV_PREFIX + name.upper() for name in (*Settings.model_fields, *_OTHER_VARIABLES)}
    return sorted(name for name in os.environ if name.startswith(ENV_PREFIX) and name not in known)


def _refuse_half_tls(settings: Settings) -> None:
    """Raises SettingsError for a part of TLS without the rest of it."""
    has_key, has_cert = bool(settings.tls_key_file), bool(settings.tls_cert_file)
    if has_key != has_cert:
        told, missing = ("tls_key_file", "tls_cert_file")[:: 1 if has_key else -1]
        raise SettingsError(f"{told}: needs {missing} too")
    if settings.tls_client_ca_file and not has_cert:
        raise SettingsError("tls_client_ca_file: needs tls_cert_file and tls_key_file too")


def _refuse_open(settings: Settings) -> None:
    """Raises SettingsError for an address beyond this machine that is not secured."""
    missing = []
    if not settings.tls_cert_file:
        missing.append("TLS (tls_cert_file and tls_key_file)")
    if not settings.access_file and not settings.tls_client_ca_file:
        missing.append("tokens (access_file) or client certificates (tls_client_ca_file)")
    if missing:
        raise SettingsError(
            f"listen: {settings.listen} is not a loopback address or a Unix socket; to serve beyond"
            f" this machine the sidecar needs {', and '.join(missing)}"
        )


def is_loopback(name: str, listen: str) -> bool:
    """Whether only this machine reaches host:port. Raises SettingsError, which names the setting,
    when it is none."""
    host, _, port = listen.rpartition(":")
    is_port = port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65_535
    if not (is_port and _HOST.fullmatch(host)):
        raise SettingsError(f"{name}: {listen!r} is not host:port or unix:/path")
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def sources(config: Path | None = None, flags: dict[str, Any] | None = None) -> dict[str, str]:
    """Where each effective setting comes from: flag, environment, file or default."""
    return _layers(config, flags or {})[1]


def _layers(config: Path | None, flags: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """File values under flag values (pydantic-settings puts constructor values over the
    environment, so file values that the environment overrides are left out), and all origins."""
    in_file = _from_file(config)
    in_environment = {
        name for name in Settings.model_fields if (ENV_PREFIX + name).upper() in os.environ
    }
    given = {name: value for name, value in flags.items() if value is not None}
    unknown = sorted(set(in_file) - set(Settings.model_fields))
    if unknown:
        raise SettingsError(f"{config}: unknown setting {unknown[0]!r}")
    values = {n: v for n, v in in_file.items() if n not in in_environment} | given
    origin = dict.fromkeys(Settings.model_fields, "default")
    origin |= dict.fromkeys(in_file, f"file {config}")
    origin |= {name: f"environment {ENV_PREFIX}{name.upper()}" for name in in_environment}
    origin |= dict.fromkeys(given, "flag")
    return values, origin


def _from_file(config: Path | None) -> dict[str, Any]:
    if config is None:
        return {}
    try:
        return tomllib.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"cannot read {config}: {error}") from error
