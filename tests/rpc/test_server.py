"""The server as a whole: health, reflection, foreign clients, bytes that are no message, and an
orderly end."""

import base64
import json
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.conftest import ROOT, Sidecar
from tests.rpc.conversation import Conversation
from tests.rpc.samples import an_event, new_id
from tests.rpc.statuses import answer_of, refusal, refused
from trimtab.v1 import event_service_pb2 as pb
from trimtab.v1 import event_service_pb2_grpc

Stub = event_service_pb2_grpc.EventServiceStub
Code = grpc.StatusCode
SERVICES = (
    "trimtab.v1.EventService",
    "trimtab.v1.AdminService",
    "trimtab.v1.SignalGateService",
)
_UNARY = ("RecordEvent", "RecordEvents", "GetEvent", "ListEvents", "GetStats")
# Wire types and lengths that no message of ours can have.
_GARBAGE = (b"\xff" * 40, b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x05ab", b"\x0a\x04\x0a\x02\xff\xfe")


def _raw(channel: grpc.Channel, method: str, *, streams: str = "") -> Any:
    """A call that sends and takes bytes."""
    make = {"": channel.unary_unary, "answer": channel.unary_stream, "both": channel.stream_stream}
    return make[streams](
        f"/trimtab.v1.{method}", request_serializer=bytes, response_deserializer=bytes
    )


@pytest.mark.parametrize("garbage", _GARBAGE, ids=bytes.hex)
def test_bytes_that_are_no_message_are_the_caller_s_fault(
    channel: grpc.Channel, events: Stub, garbage: bytes
) -> None:
    """Every method refuses them as INVALID_FIELD, and the server goes on."""
    for name in _UNARY:
        with refused(Code.INVALID_ARGUMENT, "INVALID_FIELD", "message"):
            _raw(channel, f"EventService/{name}")(garbage, timeout=20)
    with refused(Code.INVALID_ARGUMENT, "INVALID_FIELD", "message"):
        list(_raw(channel, "EventService/WatchEvents", streams="answer")(garbage, timeout=20))
    with refused(Code.INVALID_ARGUMENT, "INVALID_FIELD", "message"):
        list(_raw(channel, "EventService/StreamEvents", streams="both")(iter([garbage])))
    assert events.RecordEvent(pb.RecordEventRequest(event=an_event())).sequence


def test_garbage_in_the_middle_of_a_stream_ends_it_alone(
    channel: grpc.Channel, events: Stub
) -> None:
    """What was acknowledged before stays; the producer goes on with a new stream."""
    producer_id = new_id()
    opening = pb.Open(producer_id=producer_id, producer_epoch=1, source="alpha-1")
    batch = pb.Batch(first_seq=1, events=[an_event()])
    parts = [
        pb.StreamEventsRequest(open=opening).SerializeToString(),
        pb.StreamEventsRequest(batch=batch).SerializeToString(),
    ]
    call = _raw(channel, "EventService/StreamEvents", streams="both")
    with refused(Code.INVALID_ARGUMENT, "INVALID_FIELD", "message"):
        list(call(iter([*parts, b"\xff" * 20]), timeout=20))
    with Conversation(events, producer_id=producer_id) as again:
        assert again.opened.next_expected_seq in (1, 2)
        again.record(1, list(batch.events))


def test_methods_that_nobody_serves_are_unimplemented(channel: grpc.Channel) -> None:
    """An unknown method and an unknown service are UNIMPLEMENTED."""
    for method in ("EventService/ForgetEvent", "ModelService/PromoteModel"):
        call = _raw(channel, method)
        answer = refusal(lambda sent=call: sent(b"", timeout=20))  # type: ignore[misc]
        assert answer.code is Code.UNIMPLEMENTED


def test_a_port_scan_does_no_harm(shared_sidecar: Sidecar, events: Stub) -> None:
    """A connection that says nothing, or HTTP/1, or noise, is no problem of anyone else."""
    host, _, port = shared_sidecar.address.rpartition(":")
    for words in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 100, b"PRI * HTTP/2.0\r\n\r\nSM"):
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(words)
    assert events.RecordEvent(pb.RecordEventRequest(event=an_event())).sequence


def test_health_is_told_per_service(channel: grpc.Channel) -> None:
    """SERVING for the server and each service, NOT_FOUND for what it does not have."""
    health = health_pb2_grpc.HealthStub(channel)
    for service in ("", *SERVICES):
        answer = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=20)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    error = refusal(
        lambda: health.Check(health_pb2.HealthCheckRequest(service="nobody"), timeout=20)
    )
    assert error.code is Code.NOT_FOUND


def test_sigterm_tells_everyone_and_ends_in_good_order(sidecar: Callable[..., Sidecar]) -> None:
    """Health turns NOT_SERVING; a stream hears GoAway, the Ack of all that was taken, and OK;
    watchers get UNAVAILABLE with a delay; the process ends with 0."""
    one = sidecar()
    with grpc.insecure_channel(one.address) as channel:
        events = Stub(channel)
        health = health_pb2_grpc.HealthStub(channel)
        watched = health.Watch(health_pb2.HealthCheckRequest(service=SERVICES[0]), timeout=30)
        states = iter(watched)
        assert next(states).status == health_pb2.HealthCheckResponse.SERVING
        tail = events.WatchEvents(pb.WatchEventsRequest(), timeout=30)
        next(iter(tail))
        stream = Conversation(events).__enter__()
        stream.send(1, *(an_event() for _ in range(50)))
        one.process.terminate()
        said = list(stream._answers)
        (goodbye,) = (answer.go_away for answer in said if answer.HasField("go_away"))
        assert goodbye.reason == pb.GO_AWAY_REASON_SHUTTING_DOWN
        assert goodbye.retry_after.ToMilliseconds() > 0
        mark = max((answer.ack.durable_through_seq for answer in said), default=0)
        assert next(states).status == health_pb2.HealthCheckResponse.NOT_SERVING
        with pytest.raises(grpc.RpcError) as error:
            for _ in tail:
                pass
        answer = answer_of(error.value)
        assert (answer.code, answer.reason) == (Code.UNAVAILABLE, "SHUTTING_DOWN")
        assert answer.retry_after_s is not None
    assert one.process.wait(20) == 0
    one.restart(same_address=False)
    channel = grpc.insecure_channel(one.address)
    with channel, Conversation(Stub(channel), producer_id=stream.producer_id) as again:
        assert (again.opened.next_expected_seq, mark) in {(1, 0), (51, 50)}


BUF = Path(sys.executable).with_name("buf")


def _curl(address: str, method: str, request: object, *, lines: int = 0) -> list[Any]:
    """What `buf curl` prints through reflection; with `lines`, it is cut after so many answers."""
    command = [str(BUF), "curl", "--protocol", "grpc", "--http2-prior-knowledge"]
    command += ["--data", json.dumps(request), f"http://{address}/trimtab.v1.{method}"]
    if not lines:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT
        )
        assert done.returncode == 0, done.stderr
        return _documents(done.stdout)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        text = ""
        while len(_documents(text)) < lines:
            more = process.stdout.readline()
            assert more, text
            text += more
        process.terminate()
    return _documents(text)


def _documents(text: str) -> list[Any]:
    """The whole JSON documents at the start of a text."""
    found: list[Any] = []
    decoder = json.JSONDecoder()
    while text := text.lstrip():
        try:
            document, end = decoder.raw_decode(text)
        except json.JSONDecodeError:
            break
        found.append(document)
        text = text[end:]
    return found


def test_a_foreign_client_gets_everything_by_reflection(shared_sidecar: Sidecar) -> None:
    """`buf curl` knows nothing of us beforehand: it records, lists, tails, counts and asks."""
    address = shared_sidecar.address
    event = {
        "eventId": new_id(),
        "source": "curl",
        "environment": "ENVIRONMENT_LIVE",
        "eventTime": "2026-01-02T03:04:05.678901234Z",
        "symbol": "BTC-USDT",
        "marketBar": {"interval": "60s", "close": 101.5},
    }
    (recorded,) = _curl(address, "EventService/RecordEvent", {"event": event})
    assert recorded["eventId"] == event["eventId"]
    (page,) = _curl(address, "EventService/ListEvents", {"filter": {"source": "curl"}})
    (listed,) = page["events"]
    assert listed["eventTime"] == event["eventTime"]
    assert listed["marketBar"] == event["marketBar"]
    (stats,) = _curl(address, "EventService/GetStats", {"source": "curl"})
    assert stats["eventCount"] == "1"
    (info,) = _curl(address, "AdminService/GetServerInfo", {})
    tail = {"logId": info["logId"], "afterSequence": str(int(recorded["sequence"]) - 1)}
    position, first = _curl(address, "EventService/WatchEvents", tail, lines=2)[:2]
    assert position["throughSequence"] == tail["afterSequence"]
    assert first["events"][0]["eventId"] == event["eventId"]


def test_a_foreign_client_is_told_what_is_wrong(shared_sidecar: Sidecar) -> None:
    """The details of an error are of well-known types: any gRPC client decodes them."""
    command = [str(BUF), "curl", "--protocol", "grpc", "--http2-prior-knowledge"]
    command += ["--data", '{"event": {"eventId": "x"}}']
    command += [f"http://{shared_sidecar.address}/trimtab.v1.EventService/RecordEvent"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT
    )
    assert done.returncode != 0
    said = json.loads(done.stderr)
    assert said["code"] == "invalid_argument"
    details = {each["type"]: base64.b64decode(each["value"] + "==") for each in said["details"]}
    info = error_details_pb2.ErrorInfo.FromString(details["google.rpc.ErrorInfo"])
    assert (info.domain, info.reason) == ("trimtab", "INVALID_FIELD")
    bad = error_details_pb2.BadRequest.FromString(details["google.rpc.BadRequest"])
    assert bad.field_violations[0].field == "event.event_id"


def test_reflection_can_be_turned_off(sidecar: Callable[..., Sidecar]) -> None:
    """With --no-reflection a foreign client finds nothing; ours go on."""
    one = sidecar("--no-reflection")
    with grpc.insecure_channel(one.address) as channel:
        call = channel.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            request_serializer=bytes,
            response_deserializer=bytes,
        )
        answer = refusal(lambda: list(call(iter([b""]), timeout=20)))
        assert answer.code is Code.UNIMPLEMENTED
        assert Stub(channel).GetStats(pb.GetStatsRequest(), timeout=20) is not None


def test_a_unix_socket_serves_as_well(sidecar: Callable[..., Sidecar], tmp_path: Path) -> None:
    """listen = unix:/path: same service, no port."""
    path = tmp_path / "s"
    one = sidecar(listen=f"unix:{path}")
    assert one.address == f"unix:{path}"
    with grpc.insecure_channel(one.address) as channel:
        assert (
            Stub(channel).RecordEvent(pb.RecordEventRequest(event=an_event()), timeout=20).sequence
        )
    assert one.terminate() == 0
