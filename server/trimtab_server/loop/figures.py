"""What came in and how its commits went: since the start, and over the last minute."""

import math
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from trimtab_server.domain.events import Append, Appended
from trimtab_server.errors import TrimtabError, Unavailable

MINUTE_S = 60
# Latencies are counted in steps of this ratio: a minute of any load takes the same memory.
_STEP = 1.05
_LATENCY_S_MIN = 1e-6


@dataclass(slots=True)
class Counts:
    """What became of events. `lost` were given up by their recorders; the events that say so are
    not in `stored`."""

    stored: int = 0
    duplicates: int = 0
    rejected: int = 0
    lost: int = 0

    def add(self, other: "Counts") -> None:
        """Adds another count to this one."""
        self.stored += other.stored
        self.duplicates += other.duplicates
        self.rejected += other.rejected
        self.lost += other.lost

    @property
    def share(self) -> float | None:
        """The collection rate: stored events as a share of those that were stored, rejected or
        lost, 0 to 1; None when there were none."""
        came = self.stored + self.rejected + self.lost
        return self.stored / came if came else None


class Minute(NamedTuple):
    """The last minute. Latencies (seconds, of successful commits, to within 5 %) are None without
    a commit."""

    counts: Counts
    events_per_s: float
    commit_count: int
    failure_count: int
    latency_p50_s: float | None
    latency_p99_s: float | None


@dataclass(slots=True)
class _Second:
    at_s: int
    counts: Counts = field(default_factory=Counts)
    failure_count: int = 0
    latencies: Counter[int] = field(default_factory=Counter)


class Figures:
    """Counts as the writer's results come in. For the event loop's thread only."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._start_s = monotonic()
        self._seconds: deque[_Second] = deque(maxlen=MINUTE_S)
        self.since_start = Counts()
        self.failure = ""
        """What the last attempt to write failed with; empty when it succeeded."""
        self._attempt_s = self._start_s
        self._commit_s: float | None = None

    @property
    def age_s(self) -> float:
        """Seconds since the start."""
        return self._monotonic() - self._start_s

    @property
    def commit_age_s(self) -> float | None:
        """Seconds since the last successful commit ended; None = there was none."""
        return None if self._commit_s is None else self._monotonic() - self._commit_s

    @property
    def idle_s(self) -> float:
        """Seconds since the last attempt to write ended, or since the start."""
        return self._monotonic() - self._attempt_s

    def committed(
        self, appends: Sequence[Append], results: Sequence[Appended], duration_s: float
    ) -> None:
        """Counts a transaction and what it did for each caller."""
        self.succeeded()
        self._commit_s = self._attempt_s
        self._second().latencies[_step(duration_s)] += 1
        counts = Counts()
        for append, result in zip(appends, results, strict=True):
            if result.error_reason is not None:
                continue
            if append.loss is not None:
                # A loss that was told before has no sequence this time.
                if any(result.sequences):
                    counts.lost += append.loss.last_seq - append.loss.first_seq + 1
                continue
            counts.duplicates += len(result.duplicates)
            counts.rejected += len(result.rejections)
            counts.stored += len(append.events) - len(result.duplicates) - len(result.rejections)
        self._add(counts)

    def rejected(self, count: int) -> None:
        """Counts events that were refused before they came to the writer."""
        self._add(Counts(rejected=count))

    def succeeded(self) -> None:
        """Notes that the database took an attempt to write."""
        self.failure = ""
        self._attempt_s = self._monotonic()

    def failed(self, error: TrimtabError) -> None:
        """Notes an attempt to write that ended with an error; other errors than Unavailable are
        the database's answers."""
        self.succeeded()
        if isinstance(error, Unavailable):
            self.failure = error.message
            self._second().failure_count += 1

    def last_minute(self) -> Minute:
        """The last sixty seconds, or those since the start."""
        now_s = self._monotonic()
        counts, latencies, failure_count = Counts(), Counter[int](), 0
        for second in self._seconds:
            if second.at_s > int(now_s) - MINUTE_S:
                counts.add(second.counts)
                latencies.update(second.latencies)
                failure_count += second.failure_count
        return Minute(
            counts,
            counts.stored / min(MINUTE_S, max(1.0, now_s - self._start_s)),
            latencies.total(),
            failure_count,
            _quantile(latencies, 0.5),
            _quantile(latencies, 0.99),
        )

    def _add(self, counts: Counts) -> None:
        self.since_start.add(counts)
        self._second().counts.add(counts)

    def _second(self) -> _Second:
        at_s = int(self._monotonic())
        if not self._seconds or self._seconds[-1].at_s != at_s:
            self._seconds.append(_Second(at_s))
        return self._seconds[-1]


def _step(duration_s: float) -> int:
    return math.ceil(math.log(max(duration_s, _LATENCY_S_MIN), _STEP))


def _quantile(latencies: Counter[int], share: float) -> float | None:
    """The latency that this share of them does not exceed; None without any."""
    left = math.ceil(share * latencies.total())
    for step in sorted(latencies):
        left -= latencies[step]
        if left <= 0:
            return float(_STEP**step)
    return None
