"""The policy of the signal gate, and the arithmetic of its limits."""

import hashlib
from dataclasses import dataclass, field
from functools import cached_property

from trimtab_server.domain.gate.breaker_record import BreakerRule
from trimtab_server.domain.gate.signal_gate import FallbackRule, Parameters


@dataclass(frozen=True)
class GatePolicy:
    """What the settings say about the gate. parameters: each with its environment, None = all;
    always_closed: without the sidecar no ENTRY passes. rules_max: states of a world, and its
    open breakers; runs_max: BACKTEST worlds that are kept."""

    parameters: tuple[tuple[int | None, Parameters], ...] = ()
    breakers: tuple[BreakerRule, ...] = ()
    fallback: FallbackRule = field(default_factory=FallbackRule)
    always_closed: bool = False
    lease_ttl_s: float = 5.0
    rules_max: int = 10_000
    runs_max: int = 1_000

    @cached_property
    def digest(self) -> str:
        """Changes with any value; in hexadecimal digits."""
        return hashlib.blake2b(repr(self).encode(), digest_size=16).hexdigest()

    def parameters_of(self, environment: int) -> tuple[Parameters, ...]:
        """Those that hold in an environment. Of equally specific scopes the first wins, so those
        that name the environment come before those that do not."""
        own = [each for where, each in self.parameters if where == environment]
        shared = [each for where, each in self.parameters if where is None]
        return (*own, *shared)


def expected_trades_until(losses: int, win_rate: float) -> float:
    """How many trades pass on average until this many losses in a row have been seen, when trades
    win independently with `win_rate` (above 0, below 1): (1 - q^n) / (q^n (1 - q)) with q the rate
    of losses (Feller 1968, An Introduction to Probability Theory, XIII.7).

    >>> round(expected_trades_until(5, 0.55), 1)
    96.7
    """
    run = (1.0 - win_rate) ** losses
    return (1.0 - run) / (run * win_rate)


def losses_in_a_row(win_rate: float, trades: float) -> int:
    """The smallest count of losses in a row that chance brings no more often than once in `trades`
    trades, on average.

    >>> losses_in_a_row(0.5, 10_000)
    13
    """
    count = 1
    while expected_trades_until(count, win_rate) < trades:
        count += 1
    return count
