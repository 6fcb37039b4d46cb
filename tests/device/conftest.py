"""Every test lets the supervisors go that it had made."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trio

from tests.device.shop import MADE


@pytest.fixture(autouse=True)
def _supervisors_end() -> Iterator[None]:
    yield
    while MADE:
        trio.run(MADE.pop().aclose)
