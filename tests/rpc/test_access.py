"""Who may call what: the table of methods, tokens and certificates."""

import hmac
import importlib
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

import trimtab.v1
from tests.callers import access_file, new_token
from tests.conftest import Sidecar
from tests.rpc.samples import SOURCE, an_event, new_id
from tests.rpc.statuses import refusal
from trimtab.v1 import event_service_pb2 as pb
from trimtab.v1 import event_service_pb2_grpc
from trimtab_server.domain.access import Caller, Role, token_digest
from trimtab_server.domain.reasons import Reason
from trimtab_server.errors import AccessDenied
from trimtab_server.rpc.access import ALLOWING, Access

Code = grpc.StatusCode
TOKENS = {role.value: new_token() for role in Role}
CALLERS = tuple(
    Caller(role, frozenset([Role(role)]), token_digest(token)) for role, token in TOKENS.items()
)
# Written out once more, on purpose: a slip in the table would pass a test that reads it.
INGEST = {
    *("RecordEvent", "RecordEvents", "StreamEvents", "ListRejectedEvents"),
    *("ShouldAllowSignals", "WatchSignalGate", "GetServerInfo", "GetHealth"),
}
READ = {
    *("GetEvent", "ListEvents", "ListRejectedEvents", "WatchEvents", "GetStats"),
    *("ShouldAllowSignals", "WatchSignalGate", "ListBreakers", "GetServerInfo", "GetHealth"),
    *("GetLearningReport", "ListLearningReports", "GetBlockedOpportunityCost"),
    *("GetGuardEffectiveness", "GetStrategyLeaderboard", "GetSignalDecay"),
    *("ComparePerformance", "RunWhatIf", "RunWhatIfSweep"),
}


def contract_methods() -> list[str]:
    """The full name of every method in every service of the contract."""
    names = [f"trimtab.v1.{found.name}" for found in pkgutil.iter_modules(trimtab.v1.__path__)]
    modules = [importlib.import_module(name) for name in names if name.endswith("_pb2")]
    services = [one for each in modules for one in each.DESCRIPTOR.services_by_name.values()]
    return [f"/{one.full_name}/{method.name}" for one in services for method in one.methods]


@dataclass
class Call:
    """As much of a servicer context as decides."""

    sent: list[tuple[str, str]] = field(default_factory=list)
    known: dict[str, list[bytes]] = field(default_factory=dict)

    def invocation_metadata(self) -> Any:
        """What the caller sent."""
        return (("user-agent", "test"), *self.sent)

    def auth_context(self) -> Any:
        """What the handshake verified."""
        return self.known


def bearing(token: str) -> Call:
    """A call with a token."""
    return Call([("authorization", f"Bearer {token}")])


def denied(holder: Access, method: str, call: Call) -> AccessDenied:
    """The refusal of a call that must be refused."""
    with pytest.raises(AccessDenied) as refused:
        holder.admit(method, call)
    return refused.value


def test_every_method_of_the_contract_stands_in_the_table() -> None:
    """None is forgotten, and none that is gone is kept."""
    ours = {method for method in ALLOWING if method.startswith("/trimtab.")}
    assert ours == set(contract_methods())
    assert len(ours) >= 16


@pytest.mark.parametrize("method", contract_methods())
def test_each_role_reaches_its_methods_and_no_others(method: str) -> None:
    """ingest records and asks, read reads and asks, operate does everything."""
    holder, name = Access(CALLERS), method.rpartition("/")[2]
    for role, allowed in (("ingest", INGEST), ("read", READ), ("operate", {name})):
        if name in allowed:
            holder.admit(method, bearing(TOKENS[role]))
            continue
        error = denied(holder, method, bearing(TOKENS[role]))
        assert error.reason is Reason.PERMISSION_DENIED
        # The role that is told would do.
        holder.admit(method, bearing(TOKENS[error.metadata["role"]]))


def test_only_operate_gives_orders() -> None:
    """What halts, trips and resets is for nobody else, whatever its other roles are."""
    orders = {"SetTradingState", "TripBreaker", "ResetBreaker"}
    token = new_token()
    both = Caller("both", frozenset([Role.INGEST, Role.READ]), token_digest(token))
    found = {
        method.rpartition("/")[2]
        for method in contract_methods()
        if not both.roles.intersection(ALLOWING[method])
    }
    assert found == orders
    error = denied(Access([both]), "/trimtab.v1.SignalGateService/TripBreaker", bearing(token))
    assert (error.reason, error.metadata) == (Reason.PERMISSION_DENIED, {"role": "operate"})


def test_a_method_that_the_table_does_not_know_needs_operate() -> None:
    """Whoever adds a service and forgets the table opens nothing."""
    holder = Access(CALLERS)
    holder.admit("/trimtab.v2.New/Do", bearing(TOKENS["operate"]))
    for role in ("ingest", "read"):
        assert denied(holder, "/trimtab.v2.New/Do", bearing(TOKENS[role])).metadata == {
            "role": "operate"
        }


def test_health_needs_no_token_and_reflection_needs_read() -> None:
    """Probes have none; what the server offers is for readers."""
    holder = Access(CALLERS)
    for name in ("Check", "Watch"):
        assert name in health_pb2.DESCRIPTOR.services_by_name["Health"].methods_by_name
        holder.admit(f"/grpc.health.v1.Health/{name}", Call())
    method = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    holder.admit(method, bearing(TOKENS["read"]))
    assert denied(holder, method, Call()).reason is Reason.UNAUTHENTICATED
    assert denied(holder, method, bearing(TOKENS["ingest"])).metadata == {"role": "read"}


GET_STATS = "/trimtab.v1.EventService/GetStats"
_READER = TOKENS["read"]
STRANGERS = {
    "nothing": [],
    "empty": [("authorization", "")],
    "no scheme": [("authorization", _READER)],
    "other scheme": [("authorization", f"Basic {_READER}")],
    "no token": [("authorization", "Bearer ")],
    "unknown": [("authorization", f"Bearer {new_token()}")],
    "the start of it": [("authorization", f"Bearer {_READER[:-1]}")],
    "more than it": [("authorization", f"Bearer {_READER}x")],
    "its digest": [("authorization", f"Bearer {token_digest(_READER).hex()}")],
    "two": [("authorization", f"Bearer {_READER}")] * 2,
    "elsewhere": [("x-authorization", f"Bearer {_READER}")],
}


@pytest.mark.parametrize("sent", STRANGERS.values(), ids=STRANGERS.keys())
def test_a_stranger_is_unauthenticated(sent: list[tuple[str, str]]) -> None:
    """Nothing but the whole token behind the word Bearer is a caller's."""
    error = denied(Access(CALLERS), GET_STATS, Call(sent))
    assert error.reason is Reason.UNAUTHENTICATED
    assert _READER not in error.message


def test_the_scheme_is_known_in_any_case() -> None:
    """As RFC 9110 says of schemes."""
    holder = Access(CALLERS)
    holder.admit(GET_STATS, Call([("authorization", f"bearer {_READER}")]))
    assert [caller.token_sha256 for caller in holder._found.values()] == [token_digest(_READER)]


def test_every_caller_is_compared_wherever_the_right_one_stands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """How long a look-up takes tells nothing about how far it came."""
    compared: list[bytes] = []
    compare = hmac.compare_digest

    def counting(one: bytes, other: bytes) -> bool:
        compared.append(one)
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", counting)
    for token in (*TOKENS.values(), new_token()):
        compared.clear()
        holder = Access(CALLERS)
        if token in TOKENS.values():
            holder.admit("/trimtab.v1.AdminService/GetHealth", bearing(token))
        else:
            denied(holder, GET_STATS, bearing(token))
        assert compared == [each.token_sha256 for each in CALLERS]


def test_wrong_tokens_leave_nothing_behind() -> None:
    """Guessing fills no memory and pushes nobody out; no token is kept."""
    holder = Access(CALLERS)
    for _ in range(3):
        holder.admit(GET_STATS, bearing(_READER))
    for _ in range(500):
        denied(holder, GET_STATS, bearing(new_token()))
    assert list(holder._found) == [token_digest(_READER)]
    assert not any(token in repr(vars(holder)) for token in TOKENS.values())


ENGINE = Caller("engine", frozenset([Role.INGEST]), certificate="engine.local")
HEALTH = "/trimtab.v1.AdminService/GetHealth"


@pytest.mark.parametrize(
    "known",
    [
        {"peer_dns": [b"other.local", b"engine.local"], "x509_common_name": [b"x"]},
        {"x509_common_name": [b"engine.local"]},
    ],
)
def test_a_certificate_is_known_by_a_dns_name_or_its_common_name(
    known: dict[str, list[bytes]],
) -> None:
    """A caller of the access file needs no token where it has a certificate."""
    holder = Access([*CALLERS, ENGINE])
    holder.admit(HEALTH, Call(known=known))
    error = denied(holder, GET_STATS, Call(known=known))
    assert error.reason is Reason.PERMISSION_DENIED
    assert error.message.startswith("engine ")


@pytest.mark.parametrize(
    "known",
    [
        {},
        {"x509_common_name": [b"engine.local.evil"], "peer_dns": [b"*.local"]},
        {"x509_common_name": [b"\xff"]},
        {"peer_uri": [b"engine.local"], "peer_email": [b"engine.local"]},
    ],
)
def test_another_certificate_is_unauthenticated(known: dict[str, list[bytes]]) -> None:
    """A verified certificate is not yet a caller."""
    error = denied(Access([*CALLERS, ENGINE]), HEALTH, Call(known=known))
    assert error.reason is Reason.UNAUTHENTICATED


def test_a_wrong_token_beside_a_good_certificate_is_refused() -> None:
    """Whoever shows a token means that one."""
    call = bearing(new_token())
    call.known = {"x509_common_name": [b"engine.local"]}
    error = denied(Access([*CALLERS, ENGINE]), HEALTH, call)
    assert error.reason is Reason.UNAUTHENTICATED


def test_who_only_reads_takes_no_probe() -> None:
    """Engines and operators may; a signal of anybody else would never have an outcome."""
    holder = Access(CALLERS)
    may = {name: holder.may_probe(bearing(token)) for name, token in TOKENS.items()}
    assert may == {"ingest": True, "read": False, "operate": True}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """A sidecar on loopback with an access file, that logs all it can."""
    folder = tmp_path_factory.mktemp("guarded")
    path = access_file(folder / "access.toml", TOKENS)
    flags = ("--access-file", str(path), "--log-level", "debug")
    one = Sidecar(folder / "log.db", flags).start()
    yield one
    one.kill()


@pytest.fixture
def channel(guarded: Sidecar) -> Iterator[Any]:
    """A channel to it that shows nothing by itself."""
    with grpc.insecure_channel(guarded.address) as one:
        yield one


def _sending(token: str, scheme: str = "Bearer") -> Any:
    return (("authorization", f"{scheme} {token}"),)


READER, ENGINE_TOKEN = _sending(TOKENS["read"]), _sending(TOKENS["ingest"])


def test_a_server_with_an_access_file_asks_on_loopback_too(channel: Any) -> None:
    """Unary calls, streams and tails: known callers within their roles, nobody else."""
    stub: Any = event_service_pb2_grpc.EventServiceStub(channel)
    record = partial(stub.RecordEvent, pb.RecordEventRequest(event=an_event()))
    stats = partial(stub.GetStats, pb.GetStatsRequest())
    record(metadata=ENGINE_TOKEN)
    assert stats(metadata=READER).event_count >= 1

    def tail(**sent: Any) -> Any:
        return next(stub.WatchEvents(pb.WatchEventsRequest(), **sent))

    def stream(**sent: Any) -> Any:
        return next(stub.StreamEvents(iter(()), **sent))

    for call, sent, role in (
        (record, READER, "ingest"),
        (stream, READER, "ingest"),
        (stats, ENGINE_TOKEN, "read"),
        (tail, ENGINE_TOKEN, "read"),
    ):
        answer = refusal(partial(call, metadata=sent))
        assert (answer.code, answer.reason) == (Code.PERMISSION_DENIED, "PERMISSION_DENIED")
        assert answer.metadata == {"role": role}
        for stranger in ((), _sending(new_token())):
            answer = refusal(partial(call, metadata=stranger))
            assert (answer.code, answer.reason) == (Code.UNAUTHENTICATED, "UNAUTHENTICATED")


@pytest.mark.parametrize("order", ["SetTradingState", "TripBreaker", "ResetBreaker"])
def test_an_order_reaches_the_gate_from_operators_only(channel: Any, order: str) -> None:
    """An engine or a reader that would halt is told which role may; an operator's empty order is
    refused by the gate itself."""
    call = partial(channel.unary_unary(f"/trimtab.v1.SignalGateService/{order}"), b"")
    for sent in (ENGINE_TOKEN, READER):
        answer = refusal(partial(call, metadata=sent))
        assert (answer.code, answer.metadata) == (Code.PERMISSION_DENIED, {"role": "operate"})
    assert refusal(partial(call, metadata=_sending(TOKENS["operate"]))).reason == "INVALID_FIELD"


def test_a_stranger_is_refused_before_its_bytes_are_read(channel: Any) -> None:
    """Bytes that are no message tell a stranger nothing about messages."""
    call = partial(channel.unary_unary(GET_STATS), b"\xff\xff\xff")
    assert refusal(call).reason == "UNAUTHENTICATED"
    assert refusal(partial(call, metadata=READER)).reason == "INVALID_FIELD"


def test_a_stranger_sends_no_batch(channel: Any) -> None:
    """The stream ends when it opens; what is already on its way is not recorded."""
    stub: Any = event_service_pb2_grpc.EventServiceStub(channel)
    before = stub.GetStats(pb.GetStatsRequest(), metadata=READER).event_count
    opening = pb.Open(producer_id=new_id(), producer_epoch=1, source=SOURCE)
    batch = pb.Batch(first_seq=1, events=[an_event()])
    said = [pb.StreamEventsRequest(open=opening), pb.StreamEventsRequest(batch=batch)]
    assert refusal(lambda: list(stub.StreamEvents(iter(said)))).reason == "UNAUTHENTICATED"
    assert stub.GetStats(pb.GetStatsRequest(), metadata=READER).event_count == before


def test_probes_pass_and_reflection_asks_for_read(channel: Any) -> None:
    """Health needs no token on a guarded server."""
    health = health_pb2_grpc.HealthStub(channel)
    assert health.Check(health_pb2.HealthCheckRequest(), timeout=10).status == 1
    reflect = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo
    wanted = reflection_pb2.ServerReflectionRequest(list_services="")
    assert refusal(lambda: next(reflect(iter([wanted])))).reason == "UNAUTHENTICATED"
    told = next(reflect(iter([wanted]), metadata=READER))
    assert told.list_services_response.service


def test_no_log_line_of_the_server_holds_a_token(guarded: Sidecar, channel: Any) -> None:
    """At level debug, after good, wrong and misplaced ones; nor does an answer."""
    tokens = (*TOKENS.values(), new_token())
    for token in tokens:
        for scheme in ("Bearer", "Token"):
            for method in (GET_STATS, "/trimtab.v1.EventService/Nothing"):
                with pytest.raises(grpc.RpcError) as error:
                    channel.unary_unary(method)(b"\xff", metadata=_sending(token, scheme))
                assert token not in repr(error.value)
    everything = guarded.log + guarded.output
    assert '"event": "serving"' in everything
    for token in tokens:
        assert token not in everything
        assert token_digest(token).hex() not in everything


def test_a_traceback_in_the_log_shows_no_variables() -> None:
    """A defect in the middle of a call must not print what the call held, on a terminal either."""
    code = """
from trimtab_server.exporters import set_up_logs
from trimtab_server.telemetry import Telemetry
set_up_logs("debug", FORM)
def call(token):
    raise RuntimeError("a defect")
try:
    call("".join(["sec", "ret"]))
except RuntimeError as error:
    Telemetry().log_defect("call failed", error, "")
"""
    for form in ("console", "json"):
        done = subprocess.run(
            [sys.executable, "-c", code.replace("FORM", repr(form))],
            capture_output=True,
            text=True,
            check=True,
        )
        assert "a defect" in done.stderr
        assert "secret" not in done.stderr
