"""A server that stands still and goes on: SIGSTOP, as a suspended machine or a long pause."""

import signal
from collections.abc import Callable

import grpc
import pytest

from tests.conftest import Sidecar
from tests.faults.checker import faults
from tests.faults.driver import CALL_S_MAX, Load, open_channel
from tests.faults.process import is_stopped
from tests.faults.readers import filed_log
from tests.faults.waiting import until
from trimtab.v1 import admin_service_pb2
from trimtab.v1.admin_service_pb2_grpc import AdminServiceStub


def test_callers_wait_out_a_pause_and_lose_nothing(sidecar: Callable[..., Sidecar]) -> None:
    """Calls with a short deadline fail as DEADLINE_EXCEEDED; the streams go on after the pause."""
    server = sidecar()
    with (
        Load(server.address, seed=6, producers=2, unary=1) as load,
        open_channel(server.address) as channel,
    ):
        admin = AdminServiceStub(channel)
        admin.GetServerInfo(admin_service_pb2.GetServerInfoRequest(), timeout=CALL_S_MAX)
        until(lambda: load.record.acknowledged_count > 200, "a running load")
        server.process.send_signal(signal.SIGSTOP)
        until(lambda: is_stopped(server.pid), "the server to stand still")
        with pytest.raises(grpc.RpcError) as late:
            admin.GetServerInfo(admin_service_pb2.GetServerInfoRequest(), timeout=0.5)
        server.process.send_signal(signal.SIGCONT)
        before = load.record.acknowledged_count
        until(lambda: load.record.acknowledged_count > before + 200, "recording to go on")
        load.drain()
    assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert load.protocol_faults == []
    assert [ending.code for ending in load.endings] == [grpc.StatusCode.OK] * 2
    assert server.terminate() == 0
    assert faults(filed_log(server.database), load.record) == []
