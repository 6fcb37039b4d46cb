"""What the tests of several rooms share."""

from __future__ import annotations

import os
import platform
import random
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio.testing

from tests.lab import Lab
from tests.node import Node, open_node

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
async def node(tmp_path: Path, mock_clock: trio.testing.MockClock) -> AsyncIterator[Node]:
    """A node inside the test. Its time moves only with `mock_clock`, which a test with time in it also asks for."""
    async with open_node(tmp_path / "data", mock_clock) as node:
        yield node


@pytest.fixture
async def lab(node: Node) -> Lab:
    """A colony with an owner and a user on that node."""
    return await Lab(node).found()


@pytest.fixture
def luck() -> random.Random:
    """Random choices, from a seed that is told: pytest shows it when the test fails."""
    seed = int(os.environ.get("COLONIES_NODE_TEST_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 31)
    print(f"to repeat: COLONIES_NODE_TEST_SEED={seed}")
    return random.Random(seed)


@pytest.fixture(scope="session")
def pyz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the one-file program for this machine, built from the working tree once for all tests."""
    return build_pyz(f"linux-{platform.machine()}", tmp_path_factory.mktemp("pyz"))


def build_pyz(target: str, out: Path) -> Path:
    """Build the one-file program as a user would, and give its path."""
    command = [sys.executable, str(ROOT / "packaging" / "dev.py"), "zipapp", "--platform", target]
    built = subprocess.run([*command, "--out", str(out)], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (file,) = out.glob("*.pyz")
    return file
