"""What a signal gate tells of itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GateStats:
    """What a gate tells of itself.

    state, revision: as in GateAnswer. log_id, boot_id: of what is held. lease_age_s: since the last
    message, None = there was none. opened_count: watches that answered. last_error: why there is no
    watch, "" when there is one.

    refused: whether the sidecar's snapshots are refused: they are older than what is known, or of
    another log. refused_count: messages refused. log_change_count: times that the log taken was
    another one. memory_path: where what was heard is kept, "" = nowhere. memory_error, unreadable:
    why it cannot be written, why what was there cannot be read. override: in force now, in words.

    recorded_count: decisions handed to the recorder. pending_count: those that wait for that.
    overflow_count: those lost because too many waited. refused_decision_count: the recorder had no
    room. failed_decision_count: no event could be made of them.
    """

    state: str
    revision: int
    log_id: str
    boot_id: str
    lease_age_s: float | None
    opened_count: int
    last_error: str
    refused: bool
    refused_count: int
    log_change_count: int
    memory_path: str
    memory_error: str
    unreadable: str
    override: str
    recorded_count: int
    pending_count: int
    overflow_count: int
    refused_decision_count: int
    failed_decision_count: int
