"""The table of rules against the contract: nothing of an event goes unchecked."""

import pytest
from google.protobuf.descriptor import FieldDescriptor

from trimtab.v1 import event_pb2 as ev
from trimtab_server.rpc.rules import ENVELOPE, PAYLOADS, Rule, Shape

_DOUBLE, _ENUM = {FieldDescriptor.CPPTYPE_DOUBLE}, {FieldDescriptor.CPPTYPE_ENUM}
_STRING, _BOOL = {FieldDescriptor.CPPTYPE_STRING}, {FieldDescriptor.CPPTYPE_BOOL}
_INTEGER = {FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64}
_TYPES = {
    **dict.fromkeys((Shape.NAME, Shape.ID, Shape.TEXT, Shape.UUID, Shape.TRACEPARENT), _STRING),
    **dict.fromkeys((Shape.NUMBER, Shape.POSITIVE, Shape.NON_NEGATIVE, Shape.FRACTION), _DOUBLE),
    Shape.PROPENSITY: _DOUBLE,
    Shape.COUNT: _INTEGER,
    Shape.FLAG: _BOOL,
    Shape.ENUM: _ENUM,
}
_PARTS = {
    Shape.TIME: "google.protobuf.Timestamp",
    Shape.DURATION: "google.protobuf.Duration",
    Shape.POSITIVE_DURATION: "google.protobuf.Duration",
}
_ALL = {"Event": ENVELOPE, **PAYLOADS}
_FIELDS = [(name, field, rule) for name, table in _ALL.items() for field, rule in table.items()]


def test_every_message_of_the_contract_has_rules() -> None:
    """The table names the messages of event.proto, except what only the server writes."""
    assert {"Event", *PAYLOADS} == set(ev.DESCRIPTOR.message_types_by_name) - {"RecorderLoss"}


@pytest.mark.parametrize("name", _ALL)
def test_every_field_of_a_message_has_a_rule(name: str) -> None:
    """The table names a message's fields, each once; the payloads of an event have tables."""
    fields = {field.name for field in ev.DESCRIPTOR.message_types_by_name[name].fields}
    payloads = {field.name for field in ev.Event.DESCRIPTOR.oneofs_by_name["payload"].fields}
    assert set(_ALL[name]) == fields - (payloads if name == "Event" else set())


@pytest.mark.parametrize(("message", "name", "rule"), _FIELDS)
def test_a_rule_fits_the_type_of_its_field(message: str, name: str, rule: Rule) -> None:
    """A fraction is a double, a name a string, a time a Timestamp, a map a map."""
    field = ev.DESCRIPTOR.message_types_by_name[message].fields_by_name[name]
    inner = field.message_type
    if rule.shape in (Shape.NUMBERS, Shape.TEXTS):
        assert inner is not None
        assert inner.GetOptions().map_entry
        is_texts = inner.fields_by_name["value"].cpp_type in _STRING
        assert is_texts == (rule.shape is Shape.TEXTS)
    elif rule.shape is Shape.MESSAGE:
        assert inner is not None
        assert inner.name in PAYLOADS
        assert bool(rule.entries_max) == field.is_repeated
    elif rule.shape in _PARTS:
        assert inner is not None
        assert inner.full_name == _PARTS[rule.shape]
    elif rule.shape is Shape.SERVER:
        assert name in {"sequence", "ingest_time"}
    else:
        assert field.cpp_type in _TYPES[rule.shape]
        assert not field.is_repeated
    assert bool(rule.length_max) == (rule.shape is Shape.TEXT)


@pytest.mark.parametrize(("message", "name", "rule"), _FIELDS)
def test_a_required_field_can_be_told_from_an_absent_one(
    message: str, name: str, rule: Rule
) -> None:
    """Without presence, zero is absence: so zero must be refused, or the field has presence."""
    field = ev.DESCRIPTOR.message_types_by_name[message].fields_by_name[name]
    if rule.required:
        assert rule.shape is not Shape.FLAG
        zero_is_a_value = rule.shape in (
            Shape.NUMBER,
            Shape.NON_NEGATIVE,
            Shape.FRACTION,
            Shape.COUNT,
        )
        assert field.has_presence or not zero_is_a_value
