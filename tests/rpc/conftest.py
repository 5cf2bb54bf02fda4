"""One real sidecar process for all RPC tests that leave it as it is, and stubs to talk to it."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from tests.conftest import ROOT, Sidecar
from tests.rpc.gate_calls import POLICY_FLAGS, Operator, operator
from trimtab.v1 import admin_service_pb2_grpc, event_service_pb2_grpc


@pytest.fixture(scope="session")
def shared_sidecar() -> Iterator[Sidecar]:
    """A sidecar that lives through all tests: none of them may stop or upset it."""
    base = ROOT / ".cache"
    base.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="rpc-", dir=base))
    one = Sidecar(folder / "shared.db", ("--future-skew-s-max", "60")).start()
    try:
        yield one
        _is_well(one)
    finally:
        one.kill()
        shutil.rmtree(folder)


def _is_well(one: Sidecar) -> None:
    """Still there, and it ends in good order."""
    assert one.process.poll() is None, "a test stopped the server"
    assert one.terminate() == 0
    assert '"level": "error"' not in one.log, one.log


@pytest.fixture(scope="session")
def channel(shared_sidecar: Sidecar) -> Iterator[grpc.Channel]:
    """A channel to the shared sidecar."""
    with grpc.insecure_channel(shared_sidecar.address) as one:
        yield one


@pytest.fixture(scope="session")
def events(channel: grpc.Channel) -> event_service_pb2_grpc.EventServiceStub:
    """EventService of the shared sidecar."""
    return event_service_pb2_grpc.EventServiceStub(channel)


@pytest.fixture(scope="session")
def admin(channel: grpc.Channel) -> admin_service_pb2_grpc.AdminServiceStub:
    """AdminService of the shared sidecar."""
    return admin_service_pb2_grpc.AdminServiceStub(channel)


@pytest.fixture
def run(channel: grpc.Channel) -> Operator:
    """An operator of the signal gate in a new run of the shared sidecar."""
    return operator(channel)


@pytest.fixture(scope="session")
def ruled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """An operator of a sidecar whose signal gate has a policy."""
    one = Sidecar(tmp_path_factory.mktemp("ruled") / "log.db", POLICY_FLAGS).start()
    try:
        with grpc.insecure_channel(one.address) as channel:
            yield operator(channel)
        _is_well(one)
    finally:
        one.kill()
