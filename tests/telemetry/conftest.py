"""A collector for the tests of this folder."""

from collections.abc import Iterator

import pytest

from tests.telemetry.receiver import Receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """An OTLP receiver on a loopback port."""
    with Receiver() as one:
        yield one
