"""What became of the events of one ring: each accepted event is in exactly one count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from trimtab_client.rejections import Rejection
from trimtab_client.ring import Ring


@dataclass(slots=True)
class Tally:
    """Counts of settled events. Guarded by the ring's lock.

    known_count: those of `durable_count` and `rejected_count` that the first opening told: settled
    by an earlier stream of the same producer.
    """

    durable_count: int = 0
    rejected_count: int = 0
    duplicate_count: int = 0
    lost_count: int = 0
    dropped_count: int = 0
    spooled_count: int = 0
    known_count: int = 0
    damaged_count: int = 0
    # Numbers that were declared lost, or will be, because nothing could send them.
    unsendable: set[int] = field(default_factory=set)
    # Whether the damaged numbers at the ring's head were declared lost.
    is_damage_told: bool = False
    _is_given_up: bool = False
    _forgotten: tuple[str, int] | None = None

    def settle(self, ring: Ring, through_seq: int, rejections: Sequence[Rejection]) -> int:
        """Frees everything numbered up to `through_seq` and counts it; how many events."""
        damaged_count = ring.damaged_count
        count = ring.settle_through(through_seq)
        if self._is_given_up:
            return 0  # too late: these were given up and told as such
        unsendable = {seq for seq in self.unsendable if seq <= through_seq}
        self.unsendable -= unsendable
        lost_count = len(unsendable)
        if self.is_damage_told and ring.damaged_count < damaged_count:
            self.is_damage_told = False
            self.damaged_count += damaged_count
            lost_count += damaged_count
        self.lost_count += lost_count
        self.rejected_count += len(rejections)
        self.durable_count += max(0, count - lost_count - len(rejections))
        return count

    def forget(self, log_id: str, first_seq: int, last_seq: int) -> bool:
        """A restored server forgot these numbers; whether that is news. Told once per log: a
        stream that breaks before the Ack must tell it again."""
        if self._forgotten == (log_id, last_seq):
            return False
        self._forgotten = (log_id, last_seq)
        # They are durable no more; the counts go on adding up to what was accepted.
        count = min(self.durable_count, last_seq + 1 - first_seq)
        self.durable_count -= count
        self.lost_count += count
        return True

    def give_up(self, ring: Ring, spooled_count: int) -> int:
        """Ends what is pending: so many of it are kept in the spool, the others are gone; how many
        those are."""
        count = ring.pending_count
        spooled_count = min(spooled_count, count)
        self._is_given_up = count > 0
        self.spooled_count += spooled_count
        self.dropped_count += count - spooled_count
        ring.settle_through(ring.next_seq - 1)
        return count - spooled_count
