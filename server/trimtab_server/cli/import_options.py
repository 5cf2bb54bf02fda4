"""Options of `trimtab import`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from trimtab_server.cli.import_events import BarTime
from trimtab_server.cli.trade_files import FileKind, Scale


class GuardYes(StrEnum):
    """What yes, true and 1 mean in the column of a guard."""

    PASSES = "passes"
    BLOCKS = "blocks"


FileArgument = Annotated[
    Path, typer.Argument(help="CSV, JSON lines or Parquet (.gz is fine), or a freqtrade result.")
]
EngineOption = Annotated[str, typer.Option("--source", help="The engine that traded.")]
WorldOption = Annotated[
    str, typer.Option("--environment", help="live, paper or backtest. They never mix.")
]
RunOption = Annotated[str, typer.Option("--run-id", help="The run; needed for backtest.")]
MapOption = Annotated[
    list[str] | None,
    typer.Option("--map", help="ours=theirs, e.g. confidence=my_score; repeatable."),
]
ScaleOption = Annotated[
    Scale, typer.Option("--confidence-scale", help="How confidence is written.")
]
KindOption = Annotated[FileKind, typer.Option("--file-format", help="Default: by the file's name.")]
GuardYesOption = Annotated[
    GuardYes, typer.Option("--guard-yes", help="What yes means in a guard's column.")
]
StatefulOption = Annotated[
    list[str] | None,
    typer.Option("--stateful", help="A guard that depends on earlier trades; repeatable."),
]
StatelessOption = Annotated[
    list[str] | None, typer.Option("--stateless", help="A guard that does not; repeatable.")
]
GuardRuleOption = Annotated[
    list[str] | None,
    typer.Option(
        "--guard-rule",
        help="NAME=RULE, how a guard with memory decides on its value and limit: position-count, "
        "exposure, cooldown, loss-limit:1d, ...; repeatable.",
    ),
]
HoldingOption = Annotated[
    str, typer.Option("--holding-period", help="Planned, of rows that tell none: 4h, 10d.")
]
PricesOption = Annotated[
    Path | None,
    typer.Option("--prices", help="Bars: a file, or a folder with one a symbol (AAPL.csv)."),
]
IntervalOption = Annotated[
    str, typer.Option("--interval", help="Length of a bar: 5min, 1d. Default: as they tell.")
]
BarTimeOption = Annotated[BarTime, typer.Option("--bar-time", help="What the time of a bar is.")]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Read and check everything, record nothing.")
]
SkipBadOption = Annotated[
    bool,
    typer.Option("--skip-bad", help="Import the good rows; the others are told and skipped."),
]
