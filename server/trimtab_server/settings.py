"""One frozen settings object: flags over environment (TRIMTAB_*) over TOML file over defaults.

The README's table is generated from this file and tested against it.
"""

import ipaddress
import os
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict


class SettingsError(ValueError):
    """A setting is wrong; the message names it."""


ENV_PREFIX = "TRIMTAB_"
# Ours, but no settings of the sidecar: the client's, the command line's, the tests'.
_OTHER_VARIABLES = ("ADDRESS", "CONFIG", "SPOOL_DIR", "TEST_DIR")


class Settings(BaseSettings):
    """Everything a sidecar can be told. Units are the last word of a name."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, frozen=True, extra="forbid")

    listen: str = Field(
        "127.0.0.1:7517",
        description="Address: host:port on loopback, or unix:/path. Port 0 takes a free one.",
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
        None, description="Serve gRPC reflection; unset = on (loopback and Unix sockets only)."
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

    @property
    def database_url(self) -> str:
        """The database as a URL; a bare path is a SQLite file."""
        return self.database if "://" in self.database else f"sqlite:///{self.database}"


def load(config: Path | None = None, flags: dict[str, Any] | None = None) -> Settings:
    """The effective settings. Raises SettingsError that names the setting at fault."""
    values, origin = _layers(config, flags or {})
    try:
        settings = Settings(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        where = origin.get(name, "")
        raise SettingsError(f"setting {name}: {first['msg']} (from {where})") from error
    if not settings.listen.startswith("unix:"):
        _refuse_remote("listen", settings.listen)
    if settings.prometheus_listen:
        _refuse_remote("prometheus_listen", settings.prometheus_listen)
    return settings


def unknown_variables() -> list[str]:
    """Variables of the environment that look like settings and are none, sorted."""
    known = {ENV_PREFIX + name.upper() for name in (*Settings.model_fields, *_OTHER_VARIABLES)}
    return sorted(name for name in os.environ if name.startswith(ENV_PREFIX) and name not in known)


def _refuse_remote(name: str, listen: str) -> None:
    """Raises SettingsError for an address beyond this machine: there are no tokens yet."""
    host, _, port = listen.rpartition(":")
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65_535):
        raise SettingsError(f"{name}: {listen!r} is not host:port or unix:/path")
    try:
        local = host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        local = False
    if not local:
        raise SettingsError(
            f"{name}: {listen} is not a loopback address or a Unix socket; without TLS and tokens"
            " the sidecar serves this machine only"
        )


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
