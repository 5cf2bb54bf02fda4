from __future__ import annotations

import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from trimtab.v1 import event_service_pb2
from trimtab_client import EventBuilder, wire

SIZES = [0, 1, 127, 128, 4_095, 4_096, 20_000, 3_000_000]


@pytest.mark.parametrize("number", [0, 1, 127, 128, 300, 2**31, 2**63 - 1])
def test_a_varint_is_protobufs(number: int) -> None:
    """The hand-written encoding is the one that servers read."""
    lost = event_service_pb2.Lost(first_seq=number).SerializeToString()
    assert lost == (b"\x08" + wire.varint(number) if number else b"")


def test_a_batch_is_byte_for_byte_what_protobuf_writes() -> None:
    """Whatever the size of the events."""
    builder = EventBuilder(source="a", environment="PAPER")
    events = [builder.execution_failure(error_type="e", message="x" * size) for size in SIZES]
    request = event_service_pb2.StreamEventsRequest()
    request.batch.first_seq = 77
    request.batch.events.extend(events)
    made = wire.batch_message(77, [e.SerializeToString() for e in events])
    assert made == request.SerializeToString()
    extra = len(made) - sum(len(e.SerializeToString()) for e in events)
    assert extra <= wire.EVENT_OVERHEAD_BYTES * len(events) + 16


def test_open_says_who_is_calling() -> None:
    """An operator sees library, runtime, host and process."""
    request = event_service_pb2.StreamEventsRequest.FromString(wire.open_message("p", "alpha-1"))
    assert (request.open.producer_id, request.open.producer_epoch) == ("p", 1)
    assert request.open.client_info.name == "trimtab-client-python"
    assert request.open.client_info.process_id > 0
    assert request.open.client_info.version == wire.client_version() != ""


def test_lost_and_flush_are_their_messages() -> None:
    """The two small ones."""
    lost = event_service_pb2.StreamEventsRequest.FromString(wire.lost_message(3, 9, 2)).lost
    assert (lost.first_seq, lost.last_seq, lost.reason) == (3, 9, 2)
    flush = event_service_pb2.StreamEventsRequest.FromString(wire.flush_message())
    assert flush.WhichOneof("message") == "flush"


def test_the_version_is_the_distributions() -> None:
    """One place tells it: the manifest."""
    manifest = Path(__file__).parents[2] / "clients/python/pyproject.toml"
    wire.client_version.cache_clear()
    assert wire.client_version() == tomllib.loads(manifest.read_text())["project"]["version"]


def test_without_a_distribution_the_version_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout on the path records as well."""

    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", missing)
    wire.client_version.cache_clear()
    try:
        assert wire.client_version() == "unknown"
    finally:
        wire.client_version.cache_clear()
