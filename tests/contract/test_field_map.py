"""Every field of the original designs, of a freqtrade trade and of a nautilus_trader trade has its
place in the contract, and a record survives the way there and back.
"""

import math
from decimal import Decimal
from typing import Any

import pytest

from tests.contract.conversion import (
    CONVERSIONS,
    DESIGNS,
    Record,
    all_events,
    field_map,
    from_events,
    samples,
    targets,
    to_events,
)
from tests.contract.paths import get_path, type_of_path
from trimtab.v1 import event_pb2
from trimtab_server.domain.events import Event
from trimtab_server.rpc.convert import EventReader

# Counted from the rows and from the engines' records, so that nothing leaves the table unnoticed.
FIELD_COUNTS = {
    "S0-04 SIGNAL_GENERATED": 10,
    "S0-05 SIGNAL_ACCURACY": 7,
    "S0-06 METRIC_RECORDED": 8,
    "S1-01 SignalDecisionEvent": 6,
    "S1-02 SignalEvent": 4,
    "S1-03 ShadowTradeOutcomeEvent": 2,
    "S1-04 MarketSnapshot": 3,
    "S2-02 record_trade_outcome": 2,
    "S2-02 record_signal_accuracy": 3,
    "S2-02 record_execution_failure": 3,
    "S2-02 record_regime_change": 2,
    "S3-09 learning_decisions": 13,
    "S3-10 learning_outcomes": 15,
    "freqtrade trade": 67,
    "freqtrade order": 21,
    "nautilus_trader OrderFilled": 21,
    "nautilus_trader PositionClosed": 25,
}
RECORDS = [
    pytest.param(design, record, id=f"{name}-{number}")
    for name, design in DESIGNS.items()
    for number, record in enumerate(samples(design))
]
NOW_NS = 1_780_000_000 * 10**9


def leaves(record: Record, names: set[str], prefix: str = "") -> set[str]:
    """The names of a record's fields; below a name of `names` nothing is looked at."""
    found: set[str] = set()
    for key, value in record.items():
        name = prefix + key
        if name not in names and isinstance(value, dict) and value:
            found |= leaves(value, names, name + ".")
        else:
            found.add(name)
    return found


def same(one: Any, other: Any) -> bool:
    """Equality, but for rounding in the last digits and the zeros at the end of a decimal text."""
    if isinstance(one, float) or isinstance(other, float):
        return one is not None and other is not None and math.isclose(one, other, rel_tol=1e-12)
    if isinstance(one, str) and isinstance(other, str) and one != other:
        (first, *rest), (second, *others) = one.split(), other.split()
        return Decimal(first) == Decimal(second) and rest == others
    return type(one) is type(other) and bool(one == other)


def test_table_holds_every_design_with_all_its_fields() -> None:
    """The rows' field lists are complete and each field has a line."""
    assert set(DESIGNS) == set(FIELD_COUNTS)
    for name, design in DESIGNS.items():
        mapped = {row["field"] for row in design["fields"] if not row.get("one_way")}
        original = set(design.get("original", mapped))
        assert len(original) == FIELD_COUNTS[name], name
        unmapped = {
            field for field in original if not any(f"{field}.".startswith(f"{m}.") for m in mapped)
        }
        assert not unmapped, name


@pytest.mark.parametrize(("design", "record"), RECORDS)
def test_record_has_the_mapped_fields_and_no_other(design: dict[str, Any], record: Record) -> None:
    """A field that an engine adds, or that the table invents, is noticed."""
    mapped = {row["field"] for row in design["fields"]}
    assert leaves(record, mapped) == mapped


@pytest.mark.parametrize("name", DESIGNS)
def test_each_line_names_a_field_of_the_contract_with_its_type_and_unit(name: str) -> None:
    """The path exists in the descriptors, and the type noted is its type."""
    for row in DESIGNS[name]["fields"]:
        paths = [path for _, path in targets(row, DESIGNS[name]["events"][:1])]
        types = dict.fromkeys(type_of_path(path) for path in paths)
        assert ", ".join(types) == row["type"], row
        assert row["unit"], row
        assert row.get("how", "same") in {*CONVERSIONS, "each"}, row
    for path in DESIGNS[name]["given"]:
        type_of_path(path.split(".", 1)[1])


@pytest.mark.parametrize("path", ["signal.no_such", "signal.side.value", "signal[x]", "symbol[0]"])
def test_a_path_that_the_contract_lacks_is_noticed(path: str) -> None:
    """The check of the paths can fail."""
    with pytest.raises(KeyError):
        type_of_path(path)


@pytest.mark.parametrize(("design", "record"), RECORDS)
def test_record_becomes_valid_events(design: dict[str, Any], record: Record) -> None:
    """Every event that a record becomes is one that the server takes."""
    reader = EventReader(64 << 10, 60 * 10**9, lambda: NOW_NS)
    for event in all_events(design, record):
        assert isinstance(event, event_pb2.Event)
        (item,) = reader.read([event])
        assert isinstance(item, Event), item


def test_server_refuses_a_record_that_lacks_what_the_engine_knows() -> None:
    """The validation behind the test above is the real one: it names the missing field."""
    design = DESIGNS["S0-04 SIGNAL_GENERATED"]
    event = to_events(design, samples(design)[0])["signal"]
    event.ClearField("signal_id")
    (refused,) = EventReader(64 << 10, 60 * 10**9, lambda: NOW_NS).read([event])
    assert "signal_id" in str(refused)


@pytest.mark.parametrize(("design", "record"), RECORDS)
def test_record_comes_back_whole(design: dict[str, Any], record: Record) -> None:
    """From the events as they are stored, each field of the record is the same again."""
    events = {
        label: event_pb2.Event.FromString(event.SerializeToString(deterministic=True))
        for label, event in to_events(design, record).items()
    }
    back = from_events(design, events)
    for row in design["fields"]:
        if row.get("one_way") or row.get("how") == "each":
            continue
        expected, found = record, back
        for part in row["field"].split("."):
            expected, found = expected[part], found[part]
        assert same(found, expected) or found == expected, row["field"]


def test_a_lost_field_is_noticed() -> None:
    """Coming back whole is a test that can fail: without its field the record is not the same."""
    design = DESIGNS["nautilus_trader OrderFilled"]
    record = samples(design)[0]
    events = to_events(design, record)
    events["fill"].execution.ClearField("quantity")
    assert not same(from_events(design, events)["last_qty"], record["last_qty"])


# Worked out by hand: a conversion that is wrong both ways would survive the way there and back.
MEANINGS = [
    ("S0-04 SIGNAL_GENERATED", 0, "signal.event_time", 1_709_649_000_123_456_000),
    ("S0-04 SIGNAL_GENERATED", 0, "signal.signal.exit_plan.holding_period", 432_000 * 10**9),
    ("S0-05 SIGNAL_ACCURACY", 0, "outcome.outcome.return_fraction", 0.0235),
    ("S1-01 SignalDecisionEvent", 0, "decision.decision.action", "DECISION_ACTION_BLOCKED"),
    (
        *("S1-01 SignalDecisionEvent", 0),
        *("decision.decision.guard_verdicts[0].result", "GUARD_RESULT_BLOCK"),
    ),
    ("S1-01 SignalDecisionEvent", 1, "decision.decision.guard_verdicts[0].result", None),
    ("S1-03 ShadowTradeOutcomeEvent", 0, "shadow.shadow_outcome.outcome.return_fraction", -0.0125),
    ("S1-04 MarketSnapshot", 0, "decision.decision.market_snapshot.spread_bps", 200 / 171.48),
    ("S3-09 learning_decisions", 0, "decision.decision.position_fraction", 0.025),
    ("S3-09 learning_decisions", 1, "decision.decision.action", "DECISION_ACTION_IGNORED"),
    ("S3-10 learning_outcomes", 0, "day30.outcome.return_fraction", -0.0203),
    ("S3-10 learning_outcomes", 0, "life.outcome.mae", 0.034),
    ("S3-10 learning_outcomes", 0, "life.outcome.exit_reason", "EXIT_REASON_TAKE_PROFIT"),
    ("S3-10 learning_outcomes", 1, "life.outcome.status", "OUTCOME_STATUS_CENSORED"),
    ("freqtrade trade", 0, "signal.signal.side", "SIDE_BUY"),
    ("freqtrade trade", 0, "outcome.event_time", 1_709_671_507 * 10**9),
    ("freqtrade trade", 0, "outcome.outcome.holding_time", 22_500 * 10**9),
    ("freqtrade trade", 0, "outcome.outcome.mfe", 1499.5 / 66400.5),
    ("freqtrade trade", 0, "outcome.outcome.mae", 390.25 / 66400.5),
    ("freqtrade trade", 1, "signal.signal.side", "SIDE_SELL"),
    ("freqtrade trade", 1, "outcome.outcome.mfe", 99.25 / 3700.25),
    ("freqtrade trade", 1, "outcome.outcome.mae", 55.25 / 3700.25),
    ("freqtrade trade", 1, "outcome.outcome.fees", 2.7751875 + 2.8430625),
    # Paid, so positive here.
    ("freqtrade trade", 1, "outcome.outcome.funding", 1.25),
    # Of the notional: freqtrade's -0.0771 of the stake is with its leverage of 3.
    ("freqtrade trade", 1, "outcome.outcome.return_fraction", -142.61825 / 5547.5998125),
    ("freqtrade trade", 1, "outcome.outcome.exit_reason", "EXIT_REASON_TRAILING_STOP"),
    ("freqtrade trade", 2, "outcome.outcome.status", "OUTCOME_STATUS_CENSORED"),
    ("freqtrade order", 0, "fill.execution.intent", "INTENT_ENTRY"),
    ("freqtrade order", 0, "update.order_update.state", "ORDER_STATE_FILLED"),
    ("nautilus_trader OrderFilled", 0, "fill.execution.fee", 2.22093),
    ("nautilus_trader OrderFilled", 0, "fill.execution.currency", "USDT"),
    ("nautilus_trader OrderFilled", 0, "fill.event_time", 1_709_649_002 * 10**9),
    ("nautilus_trader PositionClosed", 0, "outcome.outcome.holding_time", 27 * 10**9),
    # After costs: nautilus_trader's own realized_return of 0.0054 is before them.
    ("nautilus_trader PositionClosed", 0, "outcome.outcome.return_fraction", 25.84602 / 5552.325),
]


@pytest.mark.parametrize(("name", "number", "to", "expected"), MEANINGS)
def test_conversion_means_what_the_contract_says(
    name: str, number: int, to: str, expected: float | str | None
) -> None:
    """Units, signs and directions: fractions, costs positive, the notional, the right side."""
    design = DESIGNS[name]
    label, path = to.split(".", 1)
    found = get_path(to_events(design, samples(design)[number])[label], path)
    assert found == (pytest.approx(expected) if isinstance(expected, float) else expected)


def test_every_conversion_is_spelt_out_somewhere() -> None:
    """A conversion that nothing uses goes."""
    used = {row.get("how", "same") for design in DESIGNS.values() for row in design["fields"]}
    assert used == {*CONVERSIONS, "each"}


def test_families_inputs_and_toggles_name_kinds_of_the_contract() -> None:
    """Each family and input has its kinds; a kind belongs to one toggle at most."""
    table = field_map()
    kinds = set(event_pb2.EventKind.keys()) - {"EVENT_KIND_UNSPECIFIED"}
    assert len(table["families"]) == 7
    assert set(table["toggles"]) == {"signals", "executions", "portfolio", "risk", "predictions"}
    for names in [*table["families"].values(), *table["toggles"].values()]:
        assert names
        assert set(names) <= kinds
    toggled = [kind for names in table["toggles"].values() for kind in names]
    assert len(toggled) == len(set(toggled))


def test_every_kind_has_its_payload() -> None:
    """The enum of kinds and the payloads of the envelope are the same list."""
    payloads = event_pb2.Event.DESCRIPTOR.oneofs_by_name["payload"].fields
    kinds = {name.removeprefix("EVENT_KIND_").lower() for name in event_pb2.EventKind.keys()}  # noqa: SIM118 - an enum wrapper is no dict
    assert kinds - {"unspecified"} == {field.name for field in payloads}
