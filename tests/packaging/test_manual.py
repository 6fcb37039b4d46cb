"""The made pages say what the program's tables say, and the example of docs/messages.md works."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import manual
import pytest

from colonies_node.core.broker.table import ROWS, TABLE
from colonies_node.core.identity import id_of
from colonies_node.upstream import OPTIONS
from tests.cli.shell import program, until_ready
from tests.http.test_messages_refused import RIGHTS

PAGE = manual.PAGE.read_text()


def section(title: str) -> str:
    """What the page says under a heading."""
    found = re.search(rf"^#+ {title}\n(.*?)(?=^#|\Z)", PAGE, re.M | re.S)
    assert found, title
    return found[1]


def test_the_page_is_up_to_date() -> None:
    """Else: python3 packaging/dev.py manual."""
    assert manual.renewed(PAGE) == PAGE


def test_the_options_of_a_link_are_those_of_their_table() -> None:
    """Else: python3 packaging/dev.py manual."""
    page = manual.SYNC_PAGE.read_text()
    assert manual.renewed_options(page) == page
    made = page.partition(manual.OPTIONS_START)[2].partition(manual.OPTIONS_END)[0]
    assert re.findall(r"^\| `(\w+)` \| `--", made, re.M) == list(OPTIONS)


def test_the_numbers_of_the_cbor_door_are_up_to_date_and_none_has_moved() -> None:
    """A change here other than at the ends of the two tables would break clients that exist."""
    page = manual.NUMBERS_PAGE.read_text()
    assert manual.renumbered(page) == page


def test_every_message_has_its_place_in_the_order_of_the_table() -> None:
    assert re.findall(r"^### ([a-z]+msg)$", PAGE, re.M) == list(TABLE)
    assert [row.msgtype for _, rows in manual.sections() for row in rows] == list(TABLE)


def test_every_link_leads_to_a_heading() -> None:
    headings = {heading.lower() for heading in re.findall(r"^#+ (.+)$", PAGE, re.M)}
    assert set(re.findall(r"\]\(#([^)]+)\)", PAGE)) <= headings


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.msgtype)
def test_a_message_says_what_it_does_takes_and_gives(row: manual.Row) -> None:
    text = section(row.msgtype)
    assert re.match(r"\n[A-Z][^|]*\.\n", text)
    for field in row.record.__struct_fields__:
        assert (f"| `{field}` |" in text) == (field != "msgtype" and not row.lenient)
    for line in ("From", "Changes something", "Reply"):
        assert f"- {line}: " in text
    if not row.lenient:
        assert f"- 400: `{row.phrase}, invalid JSON`" in text
        assert f"- 400: `{row.mismatch}`" in text


def test_who_may_is_explained_and_so_is_what_the_others_get() -> None:
    rights = section("Who may")
    for row in ROWS:
        (line,) = re.findall(rf"^\| {row.right.who} \|.*", rights, re.M)
        text = RIGHTS.get(row.msgtype, (set(), ""))[1].replace("<lab>", "<…>")
        assert text in line or "the same" in line or "as listed there" in line


def test_refusals_are_found_in_what_a_function_calls_with_their_limits() -> None:
    close = section("closesuccessfulmsg")
    assert "- 403: `Failed to close process as …, process is not assigned`" in close
    assert "- 500: `Failed to close process as successful, process is nil`" in close
    assert "- 403: `Count exceeds max log count (500)`" in section("getlogsmsg")
    assert "- 404: `Failed to get process, process not found`" in section("getprocessmsg")


def test_the_example_submits_a_process(tmp_path: Path) -> None:
    code, told = (re.search(rf"```{kind}\n(.*?)```", PAGE, re.S) for kind in ("python", "json"))
    assert code and told
    with program("dev", "--data", str(tmp_path / "data"), "--port", "0", stderr=tmp_path / "log") as child:
        _, port, _ = until_ready(child)
        assert "http://localhost:50080/" in code[1]
        script = code[1].replace("localhost:50080", f"127.0.0.1:{port}") + "print(json.dumps(envelope))\n"
        out = subprocess.check_output([sys.executable, "-c", script], text=True)
    line, envelope = out.splitlines()
    assert re.fullmatch("[0-9a-f]{64} 0", line)
    assert json.loads(envelope) == json.loads(told[1])
    assert id_of(re.findall('PRVKEY = "(.*)"', code[1])[0]) in section("Keys and signatures")
