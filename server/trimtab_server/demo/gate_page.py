"""What the signal gate said in the demo: as sentences, and as rows."""

from typing import Any

DENIED_HEADER = ("book", "reason", "signals", "from", "to", "for example")


def asked_text(report: dict[str, Any]) -> str:
    """How many signals were asked about, from where the answers came, how many were denied."""
    asked: dict[str, int] = {}
    for counts in report["gate"]["asked"].values():
        for source, count in counts.items():
            asked[source] = asked.get(source, 0) + count
    total = sum(asked.values())
    sources = ", ".join(f"{count:,} from the {name.lower()}" for name, count in asked.items())
    denied = report["gate"]["denied_count"]
    return (
        f"The engine asked before each of {total:,} signals ({sources}); {denied:,} were denied and"
        " followed no further."
    )


def drill_rows(report: dict[str, Any]) -> list[str]:
    """Each order of the drill: when in the book, what, and the revision that it made."""
    return [
        f"{told['book']} {told['day']}: {told['order']} (revision {told['revision']})"
        for told in report["drill"]
    ]


def denied_rows(report: dict[str, Any]) -> list[tuple[str, ...]]:
    """A row for each book and reason, as in DENIED_HEADER."""
    rows: list[tuple[str, ...]] = []
    for line in report["gate"]["denied"]:
        first = line["examples"][0]
        rows.append(
            (
                line["book"],
                line["code"],
                f"{line['count']:,}",
                line["first_day"],
                line["last_day"],
                f"{first['symbol']} {first['strategy']}: {first['why']}",
            )
        )
    return rows
