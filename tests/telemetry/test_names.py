"""Every span, metric and attribute name stands in telemetry.py, and nowhere else."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import trimtab_server
from trimtab_server import telemetry

SERVER = Path(trimtab_server.__file__).parent
# What looks like one of our names, but is a package or a module.
NAME = re.compile(r"trimtab(\.(?!v1\b)[a-z_]+|_(?!server\b|client\b)[a-z_]+)")


def spelled_names(source: str) -> Iterator[str]:
    """Strings of a source file that spell a span, metric or attribute name; docstrings may."""
    tree = ast.parse(source)
    docstrings = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or id(node) in docstrings:
            continue
        if isinstance(node.value, str) and NAME.fullmatch(node.value):
            yield node.value


def test_no_other_module_spells_a_name() -> None:
    """A dashboard that breaks is traced to one file."""
    files = [path for path in SERVER.rglob("*.py") if path.name != "telemetry.py"]
    spelled = {path.name: list(spelled_names(path.read_text("utf-8"))) for path in files}
    assert {name: found for name, found in spelled.items() if found} == {}


def test_a_name_that_is_spelled_elsewhere_is_found() -> None:
    """The check sees spans, metrics and attributes, and not the names of packages."""
    source = 'a = "trimtab.ingest"; b = "trimtab_events"; c = "trimtab.v1"; d = "trimtab_server"'
    assert list(spelled_names(source)) == ["trimtab.ingest", "trimtab_events"]


def test_names_are_different_and_well_formed() -> None:
    """Spans and attributes have dots, metrics underscores; no name is used twice."""
    names = {
        key: value
        for key, value in vars(telemetry).items()
        if key.startswith(("SPAN_", "METRIC_", "ATTRIBUTE_"))
    }
    assert len(set(names.values())) == len(names)
    for key, value in names.items():
        separator = "_" if key.startswith("METRIC_") else r"\."
        assert re.fullmatch(f"trimtab{separator}[a-z_]+", value), key
