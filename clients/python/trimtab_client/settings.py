"""The settings of the recorder and the gate: name, unit, default, meaning."""

from __future__ import annotations

import os
from dataclasses import dataclass

SPOOL_MODES = ("overflow", "always", "off")


@dataclass(frozen=True, slots=True)
class RecorderSettings:
    """Limits and times of a recorder. Frozen; ValueError when one makes no sense."""

    # Most events held that are not durable yet; the last fifth is for the RESERVED class.
    events_max: int = 10_000
    # Most bytes (serialised events) held; the last fifth likewise.
    bytes_max: int = 16 * 1024 * 1024
    # Most events and bytes in one batch; the server's limits apply too.
    batch_events_max: int = 1_000
    batch_bytes_max: int = 1024 * 1024
    # How long a batch waits for company, seconds.
    linger_s: float = 0.002
    # A stream that owes an acknowledgement (or its opening) for so long is cut, seconds.
    ack_timeout_s: float = 30.0
    # Delay before a reconnect: doubles from min to max, with jitter, seconds. The maximum stays
    # below the lease of the signal gate (5 s).
    backoff_s_min: float = 0.1
    backoff_s_max: float = 4.0
    # How long the exit of the interpreter waits for the last events, seconds; 0 = not at all.
    exit_flush_timeout_s: float = 2.0
    # How long a close() without a timeout waits for a sidecar that never answered, seconds. Once
    # one has answered it waits up to 10.
    absent_close_timeout_s: float = 2.0
    # "overflow": what the ring has no room for, and what is pending at the end, goes to disk.
    # "always": every event does as it is recorded. "off". None = overflow, but off for BACKTEST
    # (unless spool_dir is told) and for a FakeSidecar of this process.
    spool_mode: str | None = None
    # Where; None = $TRIMTAB_SPOOL_DIR, else $XDG_STATE_HOME/trimtab/spool, else
    # ~/.local/state/trimtab/spool.
    spool_dir: str | os.PathLike[str] | None = None
    # Most bytes on disk for one source, what earlier recorders left included.
    spool_bytes_max: int = 256 * 1024 * 1024

    def __post_init__(self) -> None:
        for name in ("events_max", "bytes_max", "batch_events_max", "batch_bytes_max"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: at least 1")
        for name in ("linger_s", "exit_flush_timeout_s", "absent_close_timeout_s"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: not negative")
        if not 0 < self.backoff_s_min <= self.backoff_s_max < 5:
            raise ValueError("backoff_s_min, backoff_s_max: 0 < min <= max < 5")
        if self.ack_timeout_s <= 0:
            raise ValueError("ack_timeout_s: above 0")
        if self.spool_mode not in (None, *SPOOL_MODES):
            raise ValueError(f"spool_mode: {self.spool_mode!r} is none of {', '.join(SPOOL_MODES)}")
        if self.spool_bytes_max < 65_536:
            raise ValueError("spool_bytes_max: at least 65,536")


@dataclass(frozen=True, slots=True)
class GateSettings:
    """Limits and times of the signal gate. Frozen; ValueError when one makes no sense."""

    # Whether every answer about a signal with an id is recorded as a Decision.
    record_decisions: bool = True
    # Most answers that wait to become events; what comes on top is counted, not recorded.
    decisions_max: int = 65_536
    # Where what was heard last is kept, and where an override is looked for; None =
    # $TRIMTAB_GATE_DIR, else $XDG_STATE_HOME/trimtab/gate, else ~/.local/state/trimtab/gate.
    # Nothing is kept for BACKTEST, nor (unless told) with a FakeSidecar of this process.
    gate_dir: str | os.PathLike[str] | None = None
    # Delay before the watch is opened again: doubles from min to max, with jitter, seconds, and
    # never more than a quarter of the lease.
    backoff_s_min: float = 0.1
    backoff_s_max: float = 2.0
    # A sidecar that sends nothing at all for so long is dialled anew, seconds.
    first_message_timeout_s: float = 3.0

    def __post_init__(self) -> None:
        if self.decisions_max < 1:
            raise ValueError("decisions_max: at least 1")
        if not 0 < self.backoff_s_min <= self.backoff_s_max < 5:
            raise ValueError("backoff_s_min, backoff_s_max: 0 < min <= max < 5")
        if not 0 < self.first_message_timeout_s <= 60:
            raise ValueError("first_message_timeout_s: above 0, up to 60")
