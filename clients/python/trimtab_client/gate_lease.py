"""The lease: what was heard, since when, and for how long it may be answered from."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, replace
from enum import Enum

from trimtab_client.gate_answer import EXPIRED, FRESH, NO_LEASE, STALE
from trimtab_client.gate_delay import SendTimes
from trimtab_client.gate_entries import FOREVER_NS
from trimtab_client.gate_memory import GateMemory, Heard, Unreadable
from trimtab_client.gate_rules import GateRules, World
from trimtab_client.gate_writer import GateWriter, Writing

logger = logging.getLogger("trimtab_client")

# The contract's longest lease; nobody is trusted with a longer one.
TTL_NS_MAX = 300_000_000_000
_OLDER = (
    "the sidecar has an older state than this engine knows: an older backup was put back without"
    " `trimtab restore`"
)
_OTHER_LOG = (
    "the sidecar serves another log ({}) than the one whose denial this engine knows ({}), and was"
    " not restored from it: is it the right database? If it is, run `trimtab restore` on the"
    " sidecar's machine with a backup of the former log, or `trimtab gate override` on this one"
)


# When a message arrived, and when it was sent: monotonic nanoseconds.
Arrival = tuple[int, int]


class Intake(Enum):
    """What became of a message."""

    TAKEN = "taken"
    RENEWED = "renewed"
    # An older revision of the same log (an older backup was put back), or of another log that was
    # not restored from the one whose denial is held.
    REFUSED = "refused"
    # A renewal of what this client does not hold, or a message that contradicts itself.
    UNUSABLE = "unusable"


@dataclass(frozen=True, slots=True)
class Lease:
    """Frozen, swapped whole. Times are monotonic nanoseconds but for server_ns, the server's clock
    in the last message; offset_ns: added to the monotonic clock gives the server's.

    A lease that was never given (nothing was heard, or only the disk tells) has ttl_ns 0.
    is_starting: the disk or the sidecar may still tell something. unreadable: why what was heard
    last cannot be read. Both are here because who reads a lease must see them with it.
    """

    rules: GateRules
    log_id: str = ""
    boot_id: str = ""
    server_ns: int = 0
    arrival_ns: int = 0
    ttl_ns: int = 0
    fresh_until_ns: int = -FOREVER_NS
    until_ns: int = -FOREVER_NS
    offset_ns: int = 0
    is_starting: bool = False
    unreadable: str = ""

    def state_at(self, now_ns: int) -> str:
        """NO_LEASE, FRESH, STALE or EXPIRED."""
        if now_ns <= self.fresh_until_ns:
            return FRESH
        if now_ns <= self.until_ns:
            return STALE
        return EXPIRED if self.ttl_ns else NO_LEASE

    @property
    def is_heard(self) -> bool:
        """Whether rules were ever heard, be it by an engine before this one."""
        return bool(self.log_id)


class _Awaited:
    """A snapshot that is not answered from before it is on disk. is_out: its denials are, joined
    with those of what is on disk. wait_s: for how long it is waited for."""

    def __init__(self, writing: Writing, made: Lease) -> None:
        self.writing = writing
        self.made = made
        self.is_out = False
        self.wait_s = 0.0


class LeaseKeeper:
    """Takes messages and keeps `lease`. Writers take a lock; readers read one attribute."""

    def __init__(self, world: World, memory: GateMemory | None, *, has_watch: bool) -> None:
        """memory: None = what is heard is not kept over a restart. has_watch: until `end_start` or
        a message nobody knows whether there is a sidecar, and what it says."""
        self._world = world
        self._memory = memory
        self._reset_locks()
        self._sends = SendTimes()
        self._remembered_end_ns = FOREVER_NS
        # Whether the disk was looked at; until then nobody knows what was heard last.
        self.looked = memory is None
        self._awaits_sidecar = has_watch
        self.lease = Lease(GateRules(world), is_starting=not self.looked or has_watch)
        self.memory_error = ""
        # Why the server's snapshots are refused; "" = they are not.
        self.refusal = ""
        # Whether that is because its log is another one: then an override is looked for.
        self.refuses_log = False
        self.refused_count = 0
        # A log whose server said that it has gone back: reaching our revision again, it has another
        # history behind it.
        self._forked_log_id = ""
        self.log_change_count = 0
        # The last message came when its lease was over already.
        self.is_late = False
        self._heard: Heard | None = None
        # What it waits for to be on disk, and what is there.
        self._awaited: _Awaited | None = None
        self._on_disk = self.lease.rules
        self._is_unkept = False

    def _reset_locks(self) -> None:
        # One message at a time; then what is known. The second is never held while the disk works.
        self._taking = threading.Lock()
        self._lock = threading.RLock()
        self._writer: GateWriter | None = None
        if self._memory is not None:
            self._writer = GateWriter(self._memory, written=self._written, failed=self._failed)

    @property
    def held(self) -> tuple[str, str, int]:
        """log_id, boot_id and revision of what is held; empty = nothing."""
        lease = self.lease
        return lease.log_id, lease.boot_id, lease.rules.revision

    def look(self) -> None:
        """Reads what was heard last from the disk, once."""
        with self._lock:
            self._look()

    def _look(self) -> None:
        if self.looked or self._memory is None:
            return
        try:
            heard = self._memory.read()
        except Unreadable as error:
            self.lease = replace(self.lease, unreadable=str(error))
            logger.warning("trimtab gate: what was last heard is unreadable: %s", error)
        else:
            if heard is not None:
                self._heard = heard
                rules = GateRules(self._world, heard.snapshot)
                server_ns = heard.server_time.ToNanoseconds()
                self.lease = Lease(
                    rules, heard.log_id, heard.boot_id, server_ns, is_starting=self._awaits_sidecar
                )
                self._remembered_end_ns = rules.next_end_ns(server_ns)
                self._on_disk = rules
        self.looked = True
        self._tell_start()

    def end_start(self) -> None:
        """The first attempt to hear the sidecar is over: what is known now is all there is."""
        with self._lock:
            self._awaits_sidecar = False
            self._tell_start()

    def _tell_start(self) -> None:
        is_starting = not self.looked or self._awaits_sidecar
        if self.lease.is_starting != is_starting:
            self.lease = replace(self.lease, is_starting=is_starting)

    def take(
        self,
        message: Heard,
        now_ns: int,
        judged_ns: int | None = None,
        *,
        asked_ns: int | None = None,
        overridden: bool = False,
    ) -> Intake:
        """What became of a message that arrived at `now_ns`. judged_ns: the world's clock when it
        was last heard, None = as the last message told. asked_ns: when the call was made whose
        message it is, None = not known. overridden: a person at this machine said
        that what is held denies nothing."""
        with self._taking:
            with self._lock:
                self._look()
                sent_ns = self._sends.sent_ns(message, now_ns, asked_ns)
                self.is_late = now_ns - sent_ns > _ttl_ns(message)
                arrival = (now_ns, sent_ns)
                intake = self._intake(message, arrival, judged_ns, overridden=overridden)
            if intake is Intake.TAKEN:
                self._await()
            if intake is not Intake.UNUSABLE:
                with self._lock:
                    self._awaits_sidecar = False
                    self._tell_start()
            return intake

    def _intake(
        self, message: Heard, arrival: Arrival, judged_ns: int | None, *, overridden: bool
    ) -> Intake:
        held = self.lease
        if not message.log_id or not message.HasField("server_time"):
            return Intake.UNUSABLE
        if message.HasField("snapshot") and message.snapshot.revision != message.revision:
            return Intake.UNUSABLE
        if message.log_id == held.log_id and message.revision < held.rules.revision:
            self._refuse(_OLDER)
            return Intake.REFUSED
        if not (overridden or self._is_heir(message, judged_ns)):
            is_same = message.log_id == held.log_id
            words = _OLDER if is_same else _OTHER_LOG.format(message.log_id, held.log_id)
            self._refuse(words, is_other_log=True)
            return Intake.REFUSED
        if message.HasField("snapshot"):
            self._take_snapshot(message, held, arrival)
            return Intake.TAKEN
        if (message.log_id, message.boot_id, message.revision) != self.held:
            return Intake.UNUSABLE
        self.refusal, self.refuses_log = "", False
        self.lease = self._made(held.rules, message, arrival)
        self._remember_again(message)
        return Intake.RENEWED

    def _is_heir(self, message: Heard, judged_ns: int | None) -> bool:
        """Whether this log may say that what is held has ended: it is the same one and never went
        back, or was restored from it, or there is nothing to end."""
        held = self.lease
        if not held.is_heard or held.log_id in message.former_log_ids:
            return True
        if held.log_id == message.log_id != self._forked_log_id:
            return True
        return not held.rules.denies_anything(held.server_ns if judged_ns is None else judged_ns)

    def refuse_ahead(self) -> None:
        """The server says that its revision is behind the one that is held. From then on its log
        may end no denial, however far it gets: not before it was restored, or by an override."""
        with self._lock:
            self._forked_log_id = self.lease.log_id
            self._refuse(_OLDER, is_other_log=True)

    def _refuse(self, why: str, *, is_other_log: bool = False) -> None:
        if self.refusal != why:
            logger.warning("trimtab gate: %s; its snapshot is refused", why)
        self.refusal, self.refuses_log = why, is_other_log
        self.refused_count += 1

    def _take_snapshot(self, message: Heard, held: Lease, arrival: Arrival) -> None:
        if held.is_heard and message.log_id != held.log_id:
            self.log_change_count += 1
            logger.warning(
                "trimtab gate: the sidecar's log is another one (%s, was %s), as after a restore",
                message.log_id,
                held.log_id,
            )
        rules = GateRules(self._world, message.snapshot)
        self.refusal, self.refuses_log, self._forked_log_id = "", False, ""
        self._keep(message, rules, self._made(rules, message, arrival))

    @staticmethod
    def _made(rules: GateRules, message: Heard, arrival: Arrival) -> Lease:
        arrival_ns, sent_ns = arrival
        ttl_ns = _ttl_ns(message)
        server_ns = message.server_time.ToNanoseconds()
        return Lease(
            rules,
            message.log_id,
            message.boot_id,
            server_ns,
            arrival_ns,
            ttl_ns or 1,
            sent_ns + ttl_ns * 2 // 3,
            sent_ns + ttl_ns,
            server_ns - sent_ns,
        )

    # -- the disk -----------------------------------------------------------------------------

    def _keep(self, heard: Heard, rules: GateRules, made: Lease | None) -> None:
        """Has it written. made: to be answered from once it is; None = it is answered from."""
        self._remembered_end_ns = rules.next_end_ns(heard.server_time.ToNanoseconds())
        self._heard = Heard()
        self._heard.CopyFrom(heard)
        if self._writer is None:
            if made is not None:
                self.lease = made
            return
        writing = Writing(self._heard, rules)
        if made is not None:
            self._awaited = _Awaited(writing, made)
        self._is_unkept = False
        wait_s = self._writer.put(writing)
        if self._awaited is not None:
            self._awaited.wait_s = wait_s

    def _await(self) -> None:
        """While a snapshot is written to disk nothing is answered from it; but a disk that hangs
        does not hold up a denial: after a moment what it denies is denied, as is what was."""
        awaited = self._awaited
        if awaited is None:
            return
        awaited.writing.is_over.wait(awaited.wait_s)
        with self._lock:
            if self._awaited is not awaited:
                return
            if awaited.writing.is_over.is_set():
                self._publish(awaited)
            else:
                self._go_out(awaited)

    def _go_out(self, awaited: _Awaited) -> None:
        before = self._on_disk
        present = None if self._writer is None else self._writer.present
        known = (awaited.writing.rules, before)
        if present is not None and present.rules not in known:
            # The disk may hold this one a moment later.
            before = GateRules(self._world, present.heard.snapshot, before=before)
        snapshot = awaited.writing.heard.snapshot
        joined = GateRules(self._world, snapshot, before=before)
        self.lease = replace(awaited.made, rules=joined)
        awaited.is_out = True

    def _written(self, writing: Writing) -> None:
        """Called by the writer: it is on disk, or cannot be."""
        with self._lock:
            self._on_disk = writing.rules
            if self._awaited is not None and self._awaited.writing is writing:
                self._publish(self._awaited)

    def _publish(self, awaited: _Awaited) -> None:
        self._awaited = None
        self._on_disk = awaited.writing.rules
        # A renewal may have come after it.
        made = self.lease if awaited.is_out else awaited.made
        self.lease = replace(made, rules=awaited.writing.rules)

    def _remember_again(self, message: Heard) -> None:
        """A state that ended by itself while the lease held is over after a restart too; what could
        not be written is tried again."""
        awaited = self._awaited
        if awaited is not None and self._is_unkept and self._writer is not None:
            self._is_unkept = False
            self._writer.put(awaited.writing)
        if self._heard is None or awaited is not None:
            return
        has_ended = self._remembered_end_ns <= message.server_time.ToNanoseconds()
        if has_ended or self._is_unkept:
            heard = Heard()
            heard.CopyFrom(self._heard)
            heard.server_time.CopyFrom(message.server_time)
            self._keep(heard, self.lease.rules, None)

    def _failed(self, error: Exception | None) -> None:
        """Called by the writer before it says that a writing is over; None = nothing is wrong."""
        if error is not None and not self.memory_error:
            logger.warning("trimtab gate: what is heard cannot be kept on disk: %s", error)
        self.memory_error = "" if error is None else str(error)
        self._is_unkept = error is not None

    def wait_written(self, timeout_s: float) -> bool:
        """Whether all that was heard is on disk, or could not be written, within `timeout_s`."""
        return self._writer is None or self._writer.wait(timeout_s)

    def reset_after_fork(self) -> None:
        """Child of a fork: keeps what is known; the parent's lock may be held by nobody."""
        awaited = self._awaited
        if awaited is not None:
            # The parent's thread that writes is not here: the next renewal has it written.
            if not awaited.is_out:
                self._go_out(awaited)
            awaited.writing = Writing(awaited.writing.heard, awaited.writing.rules)
            self._is_unkept = True
        self._reset_locks()


def _ttl_ns(message: Heard) -> int:
    return max(0, min(message.lease_ttl.ToNanoseconds(), TTL_NS_MAX))
