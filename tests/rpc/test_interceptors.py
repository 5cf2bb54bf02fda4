"""What a call leaves behind when it has ended: nothing, and without waiting for a collection."""

from collections.abc import Callable

import grpc

from tests.conftest import Sidecar
from tests.faults.process import resident_bytes
from tests.rpc.conversation import Conversation
from tests.rpc.samples import an_event
from tests.rpc.statuses import refused
from trimtab.v1 import event_service_pb2 as pb
from trimtab.v1 import event_service_pb2_grpc

Stub = event_service_pb2_grpc.EventServiceStub
_BYTES_MAX = 100_000_000


def test_refused_batches_are_let_go_at_once(sidecar: Callable[..., Sidecar]) -> None:
    """Thirty streams that each end with a batch far over its limit: a server that kept the batches
    until the next collection would hold a gigabyte."""
    one = sidecar()
    batch = pb.Batch(first_seq=1, events=[an_event(event_id="x")] * 60_000)
    with grpc.insecure_channel(one.address) as channel:
        before = resident_bytes(one.pid)
        for _ in range(30):
            stream = Conversation(Stub(channel)).__enter__()
            stream.say(batch=batch)
            with refused(grpc.StatusCode.INVALID_ARGUMENT, "BATCH_TOO_LARGE", "batch.events"):
                stream.hear()
        assert resident_bytes(one.pid) - before < _BYTES_MAX
