"""The bench measures real servers and says so in the agreed form. No test here looks at how fast they are."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import pytest

BENCH = Path(__file__).resolve().parents[2] / "packaging" / "bench"

KEYS = [
    *("submit", "assign_close", "assign_close_backlog_ratio", "list_100", "submit_to_assigned_ms"),
    *("workflow_diamond", "fanout_cost", "member_cost", "event_fanout_ms"),
    *("idle_cpu_percent", "rss_idle_mb", "rss_100k_mb", "start_s", "help_s", "pyz_mb", "bytes_per_process"),
]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the bench as dev.py does."""
    command = [sys.executable, "-P", str(BENCH), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_a_quick_run_gives_a_number_for_each_key_asked_for_and_leaves_nothing_behind(tmp_path: Path) -> None:
    ran = bench(
        "--quick",
        "--json",
        "--only",
        "submit,assign_close,list_100,workflow_diamond,fanout_cost,member_cost,event_fanout_ms,"
        "run_overhead,function_per_s,busy",
        "--data",
        str(tmp_path),
    )
    assert ran.returncode == 0, ran.stderr
    result = json.loads(ran.stdout)
    facts = result.pop("machine")
    keys = "submit assign_close list_100 workflow_diamond fanout_cost member_cost event_fanout_ms"
    keys += " run_overhead function_per_s busy"
    assert list(result) == keys.split()
    assert all(value > 0 for value in result.values())
    assert facts["echo_per_s"] > 0
    assert facts["quick"] == 1
    assert list(tmp_path.iterdir()) == []


def test_the_table_shows_figure_goal_and_verdict(tmp_path: Path) -> None:
    ran = bench("--quick", "--only", "rss_idle_mb", "--data", str(tmp_path))
    assert ran.returncode == 0, ran.stderr
    head, row, *_ = ran.stdout.splitlines()
    assert head.split() == ["key", "figure", "goal", "what", "it", "is"]
    key, figure, sign, goal, verdict, *_ = row.split()
    assert (key, sign, goal) == ("rss_idle_mb", "≤", "60")
    assert float(figure) > 1
    assert verdict in ("ok", "missed")


def test_an_unknown_key_is_refused_with_the_known_ones() -> None:
    ran = bench("--only", "sumbit")
    assert ran.returncode == 2
    assert "there is no figure 'sumbit'" in ran.stderr
    assert all(key in ran.stderr for key in KEYS)


class Scripted(BaseHTTPRequestHandler):
    """Answers /good with its body, closing after each reply, and all else with 403."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        good = self.path == "/good"
        answer = body if good else b"not for you"
        self.send_response(200 if good else 403)
        self.send_header("Content-Length", str(len(answer)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[tuple[str, int]]:
    """Where a scripted server listens."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Scripted) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield "127.0.0.1", server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCH)
    return importlib.import_module("load")


def request(path: str) -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nhi".encode()


def test_a_refused_request_is_a_failure_and_not_a_fast_reply(load: ModuleType, address: tuple[str, int]) -> None:
    with pytest.raises(load.BenchFailed, match="answered 403: not for you"):
        load.drive(address, load.recite([request("/bad")] * 3, 2))


def test_the_load_goes_on_when_the_server_closes_a_connection(load: ModuleType, address: tuple[str, int]) -> None:
    heard: list[bytes] = []

    def talk() -> Generator[bytes, bytes, None]:
        for _ in range(3):
            heard.append((yield request("/good")))

    spent = load.drive(address, [talk(), talk()])
    assert heard == [b"hi"] * 6
    assert spent.seconds > 0
