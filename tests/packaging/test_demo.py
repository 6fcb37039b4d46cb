"""The first of the README's two commands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT


def test_the_demo_runs_from_any_folder_and_agrees_with_what_it_sees(tmp_path: Path) -> None:
    """Stray settings of the person who runs it do not reach it."""
    command = [sys.executable, str(ROOT / "packaging" / "dev.py"), "demo"]
    stray = {"COLONIES_SERVER_HOST": "nowhere.invalid", "COLONIES_PRVKEY": "stray", "HOME": str(tmp_path)}
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | stray, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "checked: " in done.stdout
    assert "no-such-folder is not a folder" in done.stdout
    assert done.stdout.rstrip().splitlines()[-1].startswith("Done: ")
    assert "Traceback" not in done.stdout + done.stderr
