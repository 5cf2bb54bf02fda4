"""The lease: what was heard, since when, and for how long it may be answered from."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum

from trimtab_client.gate_answer import EXPIRED, FRESH, NO_LEASE, STALE
from trimtab_client.gate_entries import FOREVER_NS
from trimtab_client.gate_memory import GateMemory, Heard, Unreadable
from trimtab_client.gate_rules import GateRules, World

logger = logging.getLogger("trimtab_client")

# The contract's longest lease; nobody is trusted with a longer one.
TTL_NS_MAX = 300_000_000_000
_DISK_PATIENCE_S = 0.25
_OLDER = (
    "the sidecar has an older state than this engine knows: an older backup was put back without"
    " `trimtab restore`"
)
_OTHER_LOG = (
    "the sidecar serves another log ({}) than the one whose denial this engine knows ({}), and was"
    " not restored from it: is it the right database? If it is, run `trimtab restore` on the"
    " sidecar's machine with a backup of the former log, or `trimtab gate override` on this one"
)


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


class LeaseKeeper:
    """Takes messages and keeps `lease`. Writers take a lock; readers read one attribute."""

    def __init__(self, world: World, memory: GateMemory | None, *, has_watch: bool) -> None:
        """memory: None = what is heard is not kept over a restart. has_watch: until `end_start` or
        a message nobody knows whether there is a sidecar, and what it says."""
        self._world = world
        self._memory = memory
        self._lock = threading.Lock()
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
        self.log_change_count = 0
        self._heard: Heard | None = None

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
        self, message: Heard, now_ns: int, judged_ns: int | None = None, *, overridden: bool = False
    ) -> Intake:
        """What became of a message that arrived at `now_ns`. judged_ns: the world's clock when it
        was last heard, None = as the last message told. overridden: a person at this machine said
        that what is held denies nothing."""
        with self._lock:
            self._look()
            intake = self._intake(message, now_ns, judged_ns, overridden=overridden)
            if intake is not Intake.UNUSABLE:
                self._awaits_sidecar = False
                self._tell_start()
            return intake

    def _intake(
        self, message: Heard, now_ns: int, judged_ns: int | None, *, overridden: bool
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
            self._refuse(_OTHER_LOG.format(message.log_id, held.log_id), is_other_log=True)
            return Intake.REFUSED
        if message.HasField("snapshot"):
            self._take_snapshot(message, held, now_ns)
            return Intake.TAKEN
        if (message.log_id, message.boot_id, message.revision) != self.held:
            return Intake.UNUSABLE
        self.refusal, self.refuses_log = "", False
        self.lease = self._made(held.rules, message, now_ns)
        self._remember_ends(message)
        return Intake.RENEWED

    def _is_heir(self, message: Heard, judged_ns: int | None) -> bool:
        """Whether this log may say that what is held has ended: it is the same one, or was restored
        from it, or there is nothing to end."""
        held = self.lease
        if not held.is_heard or held.log_id in (message.log_id, *message.former_log_ids):
            return True
        return not held.rules.denies_anything(held.server_ns if judged_ns is None else judged_ns)

    def refuse_ahead(self) -> None:
        """The server says that its revision is behind the one that is held."""
        with self._lock:
            self._refuse(_OLDER)

    def _refuse(self, why: str, *, is_other_log: bool = False) -> None:
        if self.refusal != why:
            logger.warning("trimtab gate: %s; its snapshot is refused", why)
        self.refusal, self.refuses_log = why, is_other_log
        self.refused_count += 1

    def _take_snapshot(self, message: Heard, held: Lease, now_ns: int) -> None:
        if held.is_heard and message.log_id != held.log_id:
            self.log_change_count += 1
            logger.warning(
                "trimtab gate: the sidecar's log is another one (%s, was %s), as after a restore",
                message.log_id,
                held.log_id,
            )
        rules = GateRules(self._world, message.snapshot)
        made = self._made(rules, message, now_ns)
        self._heard = Heard()
        self._heard.CopyFrom(message)
        with self._meanwhile(message, held, now_ns):
            descriptor = self._write(self._heard, rules)
        self.lease = made
        self.refusal, self.refuses_log = "", False
        self._settle(descriptor)

    @contextmanager
    def _meanwhile(self, message: Heard, held: Lease, now_ns: int) -> Iterator[None]:
        """While a snapshot is written to disk nothing is answered from it; but a disk that hangs
        does not hold up a denial: after a moment what it denies is denied, as is what was."""
        if self._memory is None:
            yield
            return
        turn, is_over = threading.Lock(), threading.Event()

        def deny() -> None:
            joined = GateRules(self._world, message.snapshot, before=held.rules)
            with turn:
                if not is_over.is_set():
                    self.lease = self._made(joined, message, now_ns)

        timer = threading.Timer(_DISK_PATIENCE_S, deny)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            # What is published after this stands: a timer that runs already comes too late.
            with turn:
                is_over.set()

    @staticmethod
    def _made(rules: GateRules, message: Heard, now_ns: int) -> Lease:
        ttl_ns = max(0, min(message.lease_ttl.ToNanoseconds(), TTL_NS_MAX))
        server_ns = message.server_time.ToNanoseconds()
        return Lease(
            rules,
            message.log_id,
            message.boot_id,
            server_ns,
            now_ns,
            ttl_ns or 1,
            now_ns + ttl_ns * 2 // 3,
            now_ns + ttl_ns,
            server_ns - now_ns,
        )

    def _remember_ends(self, message: Heard) -> None:
        """A state that ended by itself while the lease held is over after a restart too."""
        if self._heard is None or self._remembered_end_ns > message.server_time.ToNanoseconds():
            return
        self._heard.server_time.CopyFrom(message.server_time)
        self._settle(self._write(self._heard, self.lease.rules))

    def _write(self, heard: Heard, rules: GateRules) -> int | None:
        self._remembered_end_ns = rules.next_end_ns(heard.server_time.ToNanoseconds())
        if self._memory is None:
            return None
        try:
            descriptor = self._memory.write(heard)
        except OSError as error:
            self._fail(error)
            return None
        self.memory_error = ""
        return descriptor

    def _settle(self, descriptor: int | None) -> None:
        if descriptor is None or self._memory is None:
            return
        try:
            self._memory.settle(descriptor)
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        if not self.memory_error:
            logger.warning("trimtab gate: what is heard cannot be kept on disk: %s", error)
        self.memory_error = str(error)

    def reset_after_fork(self) -> None:
        """Child of a fork: keeps what is known; the parent's lock may be held by nobody."""
        self._lock = threading.Lock()
