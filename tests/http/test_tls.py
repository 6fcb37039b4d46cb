"""The node serves TLS by itself (the reference only checks the files)."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from colonies_node.core.errors import LinkDown, SettingRefused
from colonies_node.http.client import Client
from colonies_node.http.server import make_config
from tests.cli.shell import PATIENCE_S, program

CERT, KEY = (Path(__file__).with_name("tls") / name for name in ("cert.pem", "key.pem"))


async def test_a_node_with_a_certificate_speaks_https_and_nothing_else(tmp_path: Path) -> None:
    options = ("--data", str(tmp_path / "data"), "--port", "0", "--tls-cert", str(CERT), "--tls-key", str(KEY))
    with program("serve", *options, stderr=tmp_path / "log") as child:
        assert child.stdout is not None
        url = child.stdout.readline().split(" on ")[1].split(",")[0]
        assert url.startswith("https://127.0.0.1:")
        key = (tmp_path / "data" / "server.key").read_text().strip()
        async with Client(url, key, tls_verify=str(CERT)) as client:
            assert await client.healthy()
            assert await client.call("getcoloniesmsg") is None
            info = await client.call("getserverinfomsg")
            assert info["backends"][0]["tls"] is True
        async with Client(url, key) as careful:
            with pytest.raises(LinkDown, match="certificate is not trusted"):
                await careful.call("getcoloniesmsg")
        async with Client(url.replace("https:", "http:"), key) as plain:
            with pytest.raises(LinkDown):
                await plain.call("getcoloniesmsg")
        child.send_signal(signal.SIGTERM)
        assert child.wait(PATIENCE_S) == 0
    assert "Traceback" not in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    ("cert", "key", "sentence"),
    [
        (CERT, None, "TLS needs both"),
        (CERT, Path("/nowhere/key.pem"), "does not exist"),
        (CERT, CERT, "are no certificate and key in PEM form"),
    ],
)
def test_files_that_cannot_serve_tls_are_refused_at_the_start(cert: Path, key: Path | None, sentence: str) -> None:
    with pytest.raises(SettingRefused, match=sentence):
        make_config("127.0.0.1", 0, cert, key)
