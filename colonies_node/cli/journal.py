"""Where the program's own log goes: standard error, one line for an event."""

from __future__ import annotations

import logging
import sys
import time

QUIET = ("httpx2", "httpcore2", "hypercorn")
"""Loggers of libraries: only their warnings are news."""


class OneLine(logging.Formatter):
    """`2026-11-22T12:41:16Z INFO name: message`; a traceback goes below only if there is one to show."""

    converter = staticmethod(time.gmtime)

    def __init__(self, verbose: bool) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%SZ")
        self.verbose = verbose

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return text if self.verbose else text.replace("\n", " | ")


def start(verbose: bool) -> None:
    """Send the log to standard error: what a person should know, or with `verbose` everything."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine(verbose))
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler], force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
