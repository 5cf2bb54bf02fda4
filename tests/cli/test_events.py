import json
import re
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from trimtab_client import (
    Client,
    Event,
    EventBuilder,
    FakeSidecar,
    connect,
    guard_verdict,
)
from trimtab_server.cli.event_lines import what_text
from trimtab_server.cli.events import app

DAY_NS = 86_400_000_000_000
BUILD = EventBuilder(source="alpha", environment="PAPER")


def sample() -> list[Event]:
    """Five signals of two symbols on five days, and a blocked decision."""
    events = [
        BUILD.signal(
            signal_id=f"s{k}", symbol="AAPL" if k % 2 else "MSFT", strategy="m", side="BUY",
            confidence=0.5 + k / 10, event_time_ns=k * DAY_NS,
        )
        for k in range(5)
    ]  # fmt: skip
    verdicts = [guard_verdict(guard="volatility", result="BLOCK")]
    events.append(
        BUILD.decision(
            signal_id="s1", action="BLOCKED", guard_verdicts=verdicts, event_time_ns=5 * DAY_NS
        )
    )
    return events


@pytest.fixture
def address() -> Iterator[str]:
    """A served log with the sample in it."""
    with FakeSidecar() as fake, Client(fake.address) as client:
        client.record_events(sample())
        yield fake.address


def run(*arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout, result.stderr


def test_list_filters_by_kind_symbol_and_time(address: str) -> None:
    """All conditions hold; times are ISO 8601, the end is excluded."""
    code, out, _ = run(
        "list", "--address", address, "--format", "json", "--kind", "signal", "--symbol", "MSFT",
        "--start", "1970-01-02", "--end", "1970-01-05T00:00:00Z",
    )  # fmt: skip
    assert code == 0
    assert [json.loads(line)["signal_id"] for line in out.splitlines()] == ["s2"]


def test_list_goes_on_where_it_ended(address: str) -> None:
    """The token that a page prints leads to the rest, without a gap or a double."""
    _, first, told = run("list", "--address", address, "--limit", "4", "--format", "json")
    found = re.search(r"--page-token (\S+)", told)
    assert found is not None
    _, second, rest = run(
        "list", "--address", address, "--page-token", found[1], "--format", "json"
    )
    ids = [json.loads(line)["event_id"] for line in (first + second).splitlines()]
    assert len(ids) == len(set(ids)) == 6
    assert "more" not in rest


def test_table_says_what_matters(address: str) -> None:
    """Sequence, time, kind, symbol and who blocked, a line an event."""
    code, out, _ = run("list", "--address", address, "--order", "sequence_desc", "--limit", "2")
    assert code == 0
    assert "BLOCKED by volatility" in out
    assert "1970-01-05T00:00:00Z" in out
    assert "confidence=0.9" in out


def test_tail_reads_from_any_sequence(address: str) -> None:
    """Behind sequence 4 come 5 and 6; the limit ends it."""
    code, out, _ = run(
        "tail", "--address", address, "--after-sequence", "4", "--limit", "2", "--format", "json"
    )
    assert code == 0
    assert [json.loads(line)["sequence"] for line in out.splitlines()] == ["5", "6"]


def test_stats_count_by_kind(address: str) -> None:
    """The table and JSON show the same counts."""
    _, out, _ = run("stats", "--address", address)
    assert re.search(r"SIGNAL\s+alpha\s+PAPER\s+5", out)
    assert "6 events" in out
    _, plain, _ = run("stats", "--address", address, "--format", "json")
    assert json.loads(plain)["event_count"] == "6"


def test_lines_fit_the_terminal(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """80 columns hold what matters; a wide terminal shows source, environment and id as well."""
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = run("list", "--address", address)
    assert max(map(len, out.splitlines())) <= 80
    assert "BLOCKED by volatility" in out
    monkeypatch.setenv("COLUMNS", "220")
    _, out, _ = run("list", "--address", address)
    assert re.search(r"SIGNAL\s+alpha\s+PAPER\s+MSFT\s+m\s+[0-9a-f-]{36}", out)


def test_a_wrong_page_token_is_told_once(address: str) -> None:
    """No header of a table that does not come."""
    _, out, err = run("list", "--address", address, "--page-token", "abc")
    assert out == ""
    assert err.count("page_token") <= 1


def test_rejected_events_are_told_with_their_reason() -> None:
    """Newest first: number, reason, field and what is wrong with it; JSON; nothing when none."""
    with FakeSidecar() as fake:
        _, out, _ = run("rejected", "--address", fake.address)
        assert out == "nothing was refused\n"
        tt = connect(source="alpha", environment="PAPER", address=fake.address)
        tt.record(BUILD.signal(event_id="not-a-uuid", signal_id="s", side="BUY", symbol="A"))
        tt.flush(5.0)
        tt.close()
        code, out, _ = run("rejected", "--address", fake.address)
        assert code == 0
        assert re.search(r"alpha\s+1\s+INVALID_FIELD: .+", out)
        _, plain, _ = run("rejected", "--address", fake.address, "--format", "json")
        assert json.loads(plain)["source"] == "alpha"
        assert run("rejected", "--address", fake.address, "--source", "b")[1].startswith("nothing")


def test_stats_filter_by_source_environment_and_run(address: str) -> None:
    """An empty answer for what is not there."""
    for arguments, count in (
        (["--source", "alpha", "--environment", "paper"], "6"),
        (["--source", "beta"], "0"),
        (["--run-id", "none"], "0"),
    ):
        _, out, _ = run("stats", "--address", address, "--format", "json", *arguments)
        assert json.loads(out)["event_count"] == count


@pytest.mark.parametrize("command", ["list", "stats", "tail"])
def test_without_a_sidecar_there_is_one_line_and_exit_1(command: str) -> None:
    """No traceback: where it looked and what to do."""
    code, out, err = run(command, "--address", "127.0.0.1:1")
    assert code == 1
    assert "no sidecar answers at 127.0.0.1:1" in err
    assert len(err.strip().splitlines()) == 1
    assert out == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--kind", "nonsense"], "NONSENSE"),
        (["--environment", "moon"], "MOON"),
        (["--start", "soon"], "--start: 'soon' is not a time"),
        (["--page-token", "x"], "trimtab: "),
    ],
)
def test_wrong_arguments_are_told_in_one_line(
    address: str, arguments: list[str], words: str
) -> None:
    """Exit code above zero and the word at fault, with no traceback."""
    code, _, err = run("list", "--address", address, *arguments)
    assert code in {1, 2}
    assert words in err
    assert len(err.strip().splitlines()) == 1


def test_the_address_may_stand_in_the_environment(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TRIMTAB_ADDRESS is read when no flag is given."""
    monkeypatch.setenv("TRIMTAB_ADDRESS", address)
    assert run("list", "--limit", "1")[0] == 0


def test_text_of_an_engine_does_not_steer_the_terminal() -> None:
    """Control characters that reached the log are shown as question marks."""
    with FakeSidecar() as fake, Client(fake.address) as client:
        client.record_event(
            BUILD.metric(name="m", unit="u", confidence_key="x\x1b[31m", event_time_ns=1)
        )
        _, out, _ = run("list", "--address", fake.address)
    assert "\x1b" not in out
    assert "x?[31m" in out


def test_an_event_without_payload_says_nothing() -> None:
    """A log of a newer version is still listed."""
    assert what_text(Event()) == ""
