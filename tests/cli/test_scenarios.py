import pytest
import typer

from trimtab_server.cli.scenarios import Change, Options, axes, single_changes


def test_options_become_changes() -> None:
    """Each option its change; costs and weights one change each, whatever they are made of."""
    options = Options(
        guards_off=("volatility", "*"),
        guard_limits=("a=b=0.5",),
        confidence_threshold=0.6,
        expected_return=0.01,
        replaces_guard="roi",
        fee_bps=2.0,
        spread_multiplier=1.5,
        max_positions=3,
        per_symbol=True,
        max_exposure=0.5,
        weights=("m1=0.7", "m2=0.3"),
    )
    assert single_changes(options) == [
        {"guard_off": {"guard": "volatility"}},
        {"guard_off": {"guard": "*"}},
        {"guard_limit": {"guard": "a=b", "limit": 0.5}},
        {"confidence_threshold": {"threshold": 0.6}},
        {"expected_return_threshold": {"threshold": 0.01, "replaces_guard": "roi"}},
        {"model_weights": {"weights": {"m1": 0.7, "m2": 0.3}}},
        {"costs": {"fee_bps": 2.0, "spread_multiplier": 1.5}},
        {"position_limit": {"open_count_max": 3, "per_symbol": True}},
        {"capital_limit": {"exposure_fraction_max": 0.5}},
    ]
    assert single_changes(Options()) == []


def test_a_grid_has_an_axis_a_sweep_and_keeps_what_holds_everywhere() -> None:
    """Told changes stand in every scenario; sweeps are combined, the last changing fastest."""
    options = Options(
        guards_off=("spread",),
        sweeps=("guard-limit:volatility=0.02, 0.03", "max-positions=1,2,3"),
        per_symbol=True,
    )
    limits: list[Change] = [
        {"guard_limit": {"guard": "volatility", "limit": limit}} for limit in (0.02, 0.03)
    ]
    positions: list[Change] = [
        {"position_limit": {"open_count_max": count, "per_symbol": True}} for count in (1, 2, 3)
    ]
    assert axes(options) == [[{"guard_off": {"guard": "spread"}}], limits, positions]


def test_swept_costs_and_weights_stay_one_change() -> None:
    """A scenario holds one change of each: combinations stand in one axis, with what is told."""
    options = Options(
        spread_multiplier=2.0,
        weights=("a=1", "b=1"),
        sweeps=("fee-bps=1,5", "weight:a=0.2,0.8"),
    )
    assert axes(options) == [
        [
            {"costs": {"spread_multiplier": 2.0, "fee_bps": 1.0}},
            {"costs": {"spread_multiplier": 2.0, "fee_bps": 5.0}},
        ],
        [
            {"model_weights": {"weights": {"a": 0.2, "b": 1.0}}},
            {"model_weights": {"weights": {"a": 0.8, "b": 1.0}}},
        ],
    ]
    both = axes(Options(sweeps=("fee-bps=1,5", "spread-multiplier=1,2")))
    assert len(both) == 1
    assert len(both[0]) == 4


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (Options(guard_limits=("volatility",)), "write it as NAME=VALUE"),
        (Options(guard_limits=("volatility=high",)), "'high' is not a number"),
        (Options(guard_limits=("volatility=nan",)), "'nan' is not a number"),
        (Options(sweeps=("volatility=1,2",)), "there are guard-off, guard-limit:NAME"),
        (Options(sweeps=("guard-limit=1,2",)), "write it as guard-limit:NAME="),
        (Options(sweeps=("fee-bps:x=1",)), "write it as fee-bps=..."),
        (Options(sweeps=("fee-bps=",)), "write it as WHAT=1,2,3"),
        (Options(sweeps=("max-positions=1.5",)), "1.5 is not a whole number"),
        (Options(sweeps=("max-positions=1,x",)), "'x' is not a number"),
        (Options(per_symbol=True), "--per-symbol needs --max-positions"),
        (Options(replaces_guard="roi"), "--replaces-guard needs --expected-return"),
        (
            Options(replaces_guard="confidence", confidence_threshold=0.3),
            "--confidence-threshold takes the place of a guard called confidence by itself",
        ),
        (Options(sweeps=tuple(f"guard-limit:{g}=" + "1," * 32 for g in "ab")), "1,024 scenarios"),
    ],
)
def test_wrong_options_end_with_one_line(
    options: Options, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 2, before any sidecar is asked."""
    with pytest.raises(typer.Exit) as ended:
        axes(options)
    assert ended.value.exit_code == 2
    assert words in capsys.readouterr().err
