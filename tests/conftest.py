"""What the tests of several rooms share."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


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
