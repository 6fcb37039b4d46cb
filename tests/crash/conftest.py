"""Chance that can be repeated."""

from __future__ import annotations

import os
import random

import pytest


@pytest.fixture
def luck() -> random.Random:
    """Random choices, from a seed that is told: pytest shows it when the test fails."""
    seed = int(os.environ.get("COLONIES_NODE_TEST_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 31)
    print(f"to repeat: COLONIES_NODE_TEST_SEED={seed}")
    return random.Random(seed)
