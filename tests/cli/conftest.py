"""The command line as a pipe sees it: the caller's terminal width is nobody's business."""

import pytest


@pytest.fixture(autouse=True)
def no_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without COLUMNS nothing is cut; a test that wants a width sets it."""
    monkeypatch.delenv("COLUMNS", raising=False)
