"""Whatever bytes arrive: no crash, no INTERNAL or UNKNOWN, no growth, no traceback in the log."""

import random
import secrets
from collections import Counter
from collections.abc import Callable

import pytest
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode as Code
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.chaos.fuzz import (
    ANSWER_S_MAX,
    FLAGS,
    GROWTH_BYTES_MAX,
    fuzz,
    judged,
    log_faults,
    memory_faults,
    report,
    requests_of,
)
from tests.chaos.fuzz_mutate import mutated
from tests.chaos.fuzz_samples import SAMPLES, STREAM_EVENTS, methods
from tests.conftest import Sidecar
from tests.load.raw_stream import open_channel


def test_every_rpc_has_samples() -> None:
    """An RPC that nobody gave samples to is not fuzzed: it fails here."""
    assert set(SAMPLES) == set(methods())


def test_every_service_that_is_served_is_fuzzed(sidecar: Callable[..., Sidecar]) -> None:
    """What a sidecar serves, by its own reflection, is what the samples were written for."""
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    with open_channel(sidecar().address) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        (answer,) = stub.ServerReflectionInfo(
            iter([request]), timeout=ANSWER_S_MAX, wait_for_ready=True
        )
    served = {service.name for service in answer.list_services_response.service}
    assert served == {path.split("/")[1] for path in SAMPLES}


@pytest.mark.parametrize("path", sorted(SAMPLES))
def test_a_sample_is_of_the_request_type(path: str) -> None:
    """A sample of another message would be refused before it is read."""
    wanted = methods()[path].input_type.full_name
    drawn = {SAMPLES[path](random.Random(seed)).DESCRIPTOR.full_name for seed in range(20)}
    assert drawn == {wanted}


def test_the_same_seed_makes_the_same_messages() -> None:
    """A fault is found again by the seed and the number of its call."""
    first = [requests_of(7, index) for index in range(200)]
    assert first == [requests_of(7, index) for index in range(200)]
    assert first != [requests_of(8, index) for index in range(200)]


def test_messages_are_broken_in_every_way_and_not_only() -> None:
    """Of every method's messages some decode and differ from the sample, some do not decode."""
    found: Counter[tuple[str, str]] = Counter()
    for path in SAMPLES:
        for seed in range(300):
            rng = random.Random(seed)
            sample = SAMPLES[path](rng)
            found[path, _what_became_of(sample, mutated(sample, rng))] += 1
    for path in SAMPLES:
        assert found[path, "decodes"] > 30, path
        assert found[path, "does not decode"] > 30, path


def _what_became_of(sample: Message, made: bytes) -> str:
    try:
        type(sample).FromString(made)
    except DecodeError:
        return "does not decode"
    return "decodes"


@pytest.mark.timeout(240)
def test_mutated_messages_do_not_shake_the_sidecar(sidecar: Callable[..., Sidecar]) -> None:
    """A bounded part of the million: every RPC, a fresh seed, the same verdict."""
    held(sidecar(*FLAGS), 4_000, secrets.randbits(32))


@pytest.mark.chaos
@pytest.mark.timeout(7_200)
def test_a_million_mutated_messages_do_not_shake_the_sidecar(
    sidecar: Callable[..., Sidecar],
) -> None:
    """As above, long enough for a leak to show."""
    held(sidecar(*FLAGS), 1_000_000, secrets.randbits(32))


def held(server: Sidecar, messages: int, seed: int) -> None:
    """Fails, with the seed, when the sidecar did not take the messages as it must."""
    print(f"python -m tests.chaos.fuzz --messages {messages} --seed {seed}")
    findings = fuzz(server, messages, seed)
    print(report(findings))
    assert findings.faults == []
    assert findings.message_count >= messages
    assert {path for path, _ in findings.answers} == set(SAMPLES)
    assert {path for path, answer in findings.answers if answer == "OK"} >= {
        path for path in SAMPLES if path.startswith("/trimtab.")
    }


class Refused:
    """A status as a client sees it."""

    def __init__(self, code: Code, reason: str = "", domain: str = "trimtab") -> None:
        info = error_details_pb2.ErrorInfo(reason=reason, domain=domain)
        status = status_pb2.Status(code=code.value[0], message="words")
        status.details.add().Pack(info)
        told = (("grpc-status-details-bin", status.SerializeToString()),)
        self.code = lambda: code
        self.details = lambda: "words"
        self.trailing_metadata = lambda: told if reason else ()


@pytest.mark.parametrize(
    ("error", "fine"),
    [
        (Refused(Code.INVALID_ARGUMENT, "INVALID_FIELD"), True),
        (Refused(Code.RESOURCE_EXHAUSTED, "OVERLOADED"), True),
        (Refused(Code.UNAVAILABLE, "SERVER_FAULT"), False),
        (Refused(Code.INVALID_ARGUMENT, "NO_SUCH_REASON"), False),
        (Refused(Code.INVALID_ARGUMENT, "INVALID_FIELD", "elsewhere"), False),
        (Refused(Code.INTERNAL, "INVALID_FIELD"), False),
        (Refused(Code.UNKNOWN), False),
        # Without details: the connection broke, or nobody answered in time.
        (Refused(Code.UNAVAILABLE), False),
        (Refused(Code.DEADLINE_EXCEEDED), False),
    ],
)
def test_an_answer_that_no_sidecar_may_give_is_a_fault(error: Refused, fine: bool) -> None:
    """Doctored statuses: only those with a reason of ours pass, a confessed defect does not."""
    assert (judged(STREAM_EVENTS, error)[1] == "") is fine


def test_libraries_answer_not_found_without_our_details() -> None:
    """Health and reflection say so of a service that nobody serves; our own services may not."""
    missing = Refused(Code.NOT_FOUND)
    assert judged("/grpc.health.v1.Health/Check", missing)[1] == ""
    assert judged("/trimtab.v1.EventService/GetEvent", missing)[1] != ""


def test_memory_that_grows_is_a_fault() -> None:
    """More than the bound between the second fifth of a run and the last; the warm-up is free."""
    start = 100 << 20
    flat = [start // 2] * 20 + [start, start + (8 << 20)] * 40
    assert memory_faults(flat) == []
    leak = [start + n * 2 * GROWTH_BYTES_MAX // 100 for n in range(100)]
    assert [words.partition(" from")[0] for words in memory_faults(leak)] == ["memory grew"]
    assert memory_faults([start] * 4) != []


@pytest.mark.parametrize(
    "line",
    [
        '{"level": "error", "event": "failed"}',
        '{"level": "warning", "event": "x", "exception": "Traceback (most recent call last)"}',
        "Traceback (most recent call last):",
    ],
)
def test_an_error_in_the_log_is_a_fault(line: str) -> None:
    """Errors, tracebacks, and what is no log line at all; the rest is not accused."""
    good = ['{"level": "info", "event": "serving"}', '{"level": "warning", "event": "slow"}']
    assert log_faults(good) == []
    assert len(log_faults([*good, line])) == 1
