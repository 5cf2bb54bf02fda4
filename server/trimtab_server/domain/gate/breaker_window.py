"""What a breaker has seen within its window, and what it reads from it."""

from collections import deque
from collections.abc import Iterable

from trimtab_server.domain.gate.signal_gate import BreakerKind

ENTRIES_MAX = 1_000
# Returns are added up in whole parts of 1e-12: sums do not depend on where a page ended.
_PARTS = 10**12


class Window:
    """Entries (time in nanoseconds, value) in the order in which they came, at most 1,000: beyond,
    the oldest go. Adding one and reading cost the same however many there are.

    value: a return as a fraction for DRAWDOWN; else 1 for what is bad and 0 for what is good. Of
    CONSECUTIVE_LOSSES only the losses since the last win are kept.
    """

    def __init__(self, kind: BreakerKind, entries: Iterable[tuple[int, float]]) -> None:
        self._kind = kind
        self._entries: deque[tuple[int, float]] = deque(maxlen=ENTRIES_MAX)
        self._total = 0
        # DRAWDOWN: how many entries have gone, and falling sums with how many entries they are of;
        # the first is the highest since the window begins.
        self._gone_count = 0
        self._peaks: deque[tuple[int, int]] = deque([(0, 0)], maxlen=ENTRIES_MAX + 1)
        for time_ns, value in entries:
            self.add(time_ns, value)

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, time_ns: int, value: float) -> None:
        """Takes one more. One from before the last counts as of the last: entries stay in order."""
        if self._kind is BreakerKind.CONSECUTIVE_LOSSES and not value:
            self.clear()
            return
        if len(self._entries) == ENTRIES_MAX:
            self._drop_oldest()
        if self._entries:
            time_ns = max(time_ns, self._entries[-1][0])
        self._entries.append((time_ns, value))
        self._total += self._amount(value)
        if self._kind is BreakerKind.DRAWDOWN:
            while self._peaks and self._peaks[-1][1] <= self._total:
                self._peaks.pop()
            self._peaks.append((self._gone_count + len(self._entries), self._total))

    def forget_before(self, time_ns: int) -> None:
        """Drops what is older than this."""
        while self._entries and self._entries[0][0] < time_ns:
            self._drop_oldest()

    def clear(self) -> None:
        """Forgets everything."""
        self._entries.clear()
        self._total = self._gone_count = 0
        self._peaks.clear()
        self._peaks.append((0, 0))

    def reading(self) -> float:
        """What is measured, in the unit of the kind: a share, a count, or a return as a fraction;
        0 when there is nothing."""
        if self._kind is BreakerKind.DRAWDOWN:
            return (self._peaks[0][1] - self._total) / _PARTS
        if self._kind is BreakerKind.CONSECUTIVE_LOSSES:
            return float(len(self._entries))
        return self._total / len(self._entries) if self._entries else 0.0

    def words(self, limit: float, window_s: float) -> str:
        """What is measured and what is allowed, for a person."""
        within = f"within {window_s:g} s"
        if self._kind is BreakerKind.CONSECUTIVE_LOSSES:
            return f"{len(self._entries)} losses in a row {within}, the limit is {limit:g}"
        if self._kind is BreakerKind.DRAWDOWN:
            return f"returns fell by {self.reading():.4g} {within}, allowed is {limit:g}"
        what = "orders failed" if self._kind is BreakerKind.EXECUTION_FAILURES else "outcomes lost"
        share = f"allowed is a share of {limit:g}"
        return f"{self._total} of {len(self._entries)} {what} {within}, {share}"

    def entries(self) -> tuple[tuple[int, float], ...]:
        """What to keep of it."""
        return tuple(self._entries)

    def _drop_oldest(self) -> None:
        _, value = self._entries.popleft()
        if self._kind is not BreakerKind.DRAWDOWN:
            self._total -= self._amount(value)
            return
        self._gone_count += 1
        while self._peaks[0][0] < self._gone_count:
            self._peaks.popleft()

    def _amount(self, value: float) -> int:
        return round(value * _PARTS) if self._kind is BreakerKind.DRAWDOWN else int(value)
