"""Valid requests of ReportService, for the fuzzer."""

import random
from collections.abc import Callable

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from tests.rpc.samples import SOURCE
from trimtab.v1 import event_pb2
from trimtab.v1 import report_service_pb2 as pb

REPORTS = "trimtab.v1.ReportService"
_FIXED_S = 1_767_225_600
_ENVIRONMENTS = (
    event_pb2.ENVIRONMENT_LIVE,
    event_pb2.ENVIRONMENT_PAPER,
    event_pb2.ENVIRONMENT_BACKTEST,
)
_FORMATS = (
    pb.REPORT_FORMAT_UNSPECIFIED,
    pb.REPORT_FORMAT_MARKDOWN,
    pb.REPORT_FORMAT_HTML,
)
_BASES = (pb.LEADERBOARD_BASIS_REAL, pb.LEADERBOARD_BASIS_SHADOW)


def _scope(rng: random.Random) -> pb.ReportScope:
    scope = pb.ReportScope(
        environment=rng.choice(_ENVIRONMENTS),
        source=rng.choice(("", SOURCE)),
        strategy=rng.choice(("", "momentum")),
        level=rng.choice((0.0, 0.9)),
    )
    if scope.environment == 3 or rng.random() < 0.2:
        scope.run_id = "run-1"
    if rng.random() < 0.3:
        scope.start_time.CopyFrom(Timestamp(seconds=_FIXED_S - 1_000_000))
        scope.end_time.CopyFrom(Timestamp(seconds=_FIXED_S))
    return scope


def _options(rng: random.Random) -> pb.ReportOptions:
    return pb.ReportOptions(format=rng.choice(_FORMATS))


def _change(rng: random.Random) -> pb.Change:
    return rng.choice(
        (
            pb.Change(guard_off=pb.GuardOff(guard=rng.choice(("*", "volatility")))),
            pb.Change(guard_limit=pb.GuardLimit(guard="volatility", limit=rng.random())),
            pb.Change(confidence_threshold=pb.ConfidenceThreshold(threshold=rng.random())),
            pb.Change(
                expected_return_threshold=pb.ExpectedReturnThreshold(threshold=rng.random() / 9)
            ),
            pb.Change(model_weights=pb.ModelWeights(weights={"a": rng.random() + 0.1})),
            pb.Change(costs=pb.CostChange(fee_bps=rng.random(), spread_multiplier=2.0)),
            pb.Change(position_limit=pb.PositionLimit(open_count_max=rng.randint(1, 5))),
            pb.Change(capital_limit=pb.CapitalLimit(exposure_fraction_max=rng.random() + 0.1)),
        )
    )


def _leaderboard(rng: random.Random) -> pb.GetStrategyLeaderboardRequest:
    slices = (
        pb.Slice(field=pb.SLICE_FIELD_REGIME),
        pb.Slice(indicator="rsi", bin_count=3),
        pb.Slice(attribute="desk"),
    )
    return pb.GetStrategyLeaderboardRequest(
        scope=_scope(rng),
        options=_options(rng),
        slices=rng.sample(slices, rng.randint(0, 2)),
        basis=rng.choice(_BASES),
    )


def _learning(rng: random.Random) -> pb.GetLearningReportRequest:
    scope = _scope(rng)
    scope.ClearField("start_time")
    return pb.GetLearningReportRequest(
        scope=scope, options=_options(rng), window=Duration(seconds=rng.randint(1, 10**6))
    )


def _sweep(rng: random.Random) -> pb.RunWhatIfSweepRequest:
    return pb.RunWhatIfSweepRequest(
        scope=_scope(rng), scenarios=[pb.Scenario(changes=[_change(rng)]) for _ in range(2)]
    )


def _plain(request: type[Message]) -> Callable[[random.Random], Message]:
    return lambda rng: request(scope=_scope(rng), options=_options(rng))


SAMPLES: dict[str, Callable[[random.Random], Message]] = {
    f"/{REPORTS}/GetLearningReport": _learning,
    f"/{REPORTS}/ListLearningReports": lambda rng: pb.ListLearningReportsRequest(
        environment=rng.choice(_ENVIRONMENTS), page_size=rng.randrange(20)
    ),
    f"/{REPORTS}/GetBlockedOpportunityCost": _plain(pb.GetBlockedOpportunityCostRequest),
    f"/{REPORTS}/GetGuardEffectiveness": _plain(pb.GetGuardEffectivenessRequest),
    f"/{REPORTS}/GetStrategyLeaderboard": _leaderboard,
    f"/{REPORTS}/GetSignalDecay": _plain(pb.GetSignalDecayRequest),
    f"/{REPORTS}/ComparePerformance": _plain(pb.ComparePerformanceRequest),
    f"/{REPORTS}/RunWhatIf": lambda rng: pb.RunWhatIfRequest(
        scope=_scope(rng), options=_options(rng), scenario=pb.Scenario(changes=[_change(rng)])
    ),
    f"/{REPORTS}/RunWhatIfSweep": _sweep,
}
