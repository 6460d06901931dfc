"""What tests of Daily share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fake_daily import FakeDaily


@pytest.fixture
def daily() -> Iterator[FakeDaily]:
    with FakeDaily() as fake:
        yield fake
