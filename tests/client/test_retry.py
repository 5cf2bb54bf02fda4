from __future__ import annotations

import grpc
import pytest

from trimtab_client.errors import TrimtabError
from trimtab_client.retry import Backoff, Breaker, Takeovers, is_retryable, is_transport_failure


def error(code: str, reason: str = "", retry_after_s: float | None = None) -> TrimtabError:
    """An error as a call raises it."""
    status = grpc.StatusCode[code]
    return TrimtabError("m", code=status, reason=reason, retry_after_s=retry_after_s)


@pytest.mark.parametrize("code", [c.name for c in grpc.StatusCode])
@pytest.mark.parametrize("idempotent", [True, False])
@pytest.mark.parametrize("retry_after_s", [None, 0.5])
def test_the_retry_table_is_the_contracts(
    code: str, idempotent: bool, retry_after_s: float | None
) -> None:
    """The same in every client: UNAVAILABLE, RESOURCE_EXHAUSTED with RetryInfo, idempotent
    DEADLINE_EXCEEDED, nothing else."""
    wanted = (
        code == "UNAVAILABLE"
        or (code == "RESOURCE_EXHAUSTED" and retry_after_s is not None)
        or (code == "DEADLINE_EXCEEDED" and idempotent)
    )
    assert is_retryable(error(code, "", retry_after_s), idempotent=idempotent) is wanted


def test_an_answer_is_no_transport_failure() -> None:
    """A server that says why it refuses is alive."""
    assert is_transport_failure(error("UNAVAILABLE"))
    assert is_transport_failure(error("DEADLINE_EXCEEDED"))
    assert not is_transport_failure(error("UNAVAILABLE", "STORE_UNAVAILABLE"))
    assert not is_transport_failure(error("NOT_FOUND"))


def test_delays_double_to_the_maximum_with_jitter_and_start_over() -> None:
    """Half to all of the ceiling, never above it."""
    high = Backoff(0.1, 4.0, rng=lambda: 1.0)
    assert [high.next_s() for _ in range(8)] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 4, 4])
    high.reset()
    assert high.next_s() == pytest.approx(0.1)
    low = Backoff(0.1, 4.0, rng=lambda: 0.0)
    assert low.next_s() == pytest.approx(0.05)
    for _ in range(5_000):
        assert low.next_s() <= 4.0
    assert low.next_s(9.0) == 9.0


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        """Now, seconds."""
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    """The breaker's time."""
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    """A breaker without jitter."""
    return Breaker(clock=clock, rng=lambda: 1.0)


def fail(breaker: Breaker, count: int) -> None:
    """Lets calls through and reports that nobody answered."""
    for _ in range(count):
        assert breaker.wait_s() is None
        breaker.failed()


def test_three_failures_in_a_row_open_it(breaker: Breaker) -> None:
    """Two failures, or three with an answer between, do not."""
    fail(breaker, 2)
    breaker.succeeded()
    fail(breaker, 2)
    assert breaker.state == "CLOSED"
    fail(breaker, 1)
    assert breaker.state == "OPEN"
    assert breaker.wait_s() == pytest.approx(1.0)


def test_one_probe_is_let_through_after_a_second(breaker: Breaker, clock: Clock) -> None:
    """The others fail at once until it has its answer."""
    fail(breaker, 3)
    clock.now_s += 1.01
    assert breaker.state == "HALF_OPEN"
    assert breaker.wait_s() is None
    assert breaker.wait_s() is not None
    breaker.succeeded()
    assert breaker.state == "CLOSED"
    assert breaker.wait_s() is None


def test_failed_probes_double_the_wait_to_fifteen_seconds(breaker: Breaker, clock: Clock) -> None:
    """A sidecar that stays down is asked less and less."""
    fail(breaker, 3)
    waits = []
    for _ in range(6):
        wait_s = breaker.wait_s()
        assert wait_s is not None
        waits.append(wait_s)
        clock.now_s += wait_s + 0.01
        fail(breaker, 1)
    assert waits == pytest.approx([1, 2, 4, 8, 15, 15])


def test_an_abandoned_probe_lets_another_try(breaker: Breaker, clock: Clock) -> None:
    """A cancelled call says nothing about the server."""
    fail(breaker, 3)
    clock.now_s += 1.01
    assert breaker.wait_s() is None
    breaker.abandoned()
    assert breaker.wait_s() is None


def test_jitter_only_shortens_the_wait(clock: Clock) -> None:
    """At most a fifth."""
    breaker = Breaker(clock=clock, rng=lambda: 0.0)
    fail(breaker, 3)
    assert breaker.wait_s() == pytest.approx(0.8)


def test_only_the_third_takeover_within_a_minute_is_a_second_owner() -> None:
    """Old ones are forgotten, and other ends of a stream do not count."""
    clock = Clock()
    takeovers = Takeovers(clock=clock)
    for _ in range(10):
        assert not takeovers.lost_by("PRODUCER_SUPERSEDED")
        clock.now_s += 30.0
    for reason in ("", "SEQUENCE_GAP", "SHUTTING_DOWN"):
        assert not takeovers.lost_by(reason)
    assert not takeovers.lost_by("PRODUCER_SUPERSEDED")
    clock.now_s += 29.9
    assert takeovers.lost_by("PRODUCER_SUPERSEDED")


def test_a_newer_epoch_is_a_second_owner_at_once() -> None:
    """Nobody but another owner counts the epoch up."""
    assert Takeovers().lost_by("PRODUCER_FENCED")
