"""The journey of a new user, from the first key to the log of the first work, against a real server."""

from __future__ import annotations

import io
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from colonies_node.cli.table import STATES
from colonies_node.core.identity import id_of
from tests.cli.shell import PATIENCE_S, Shell, program, until_ready


@pytest.fixture
def served(shell: Shell, tmp_path: Path) -> Iterator[Shell]:
    """A shell that knows a new server and has its owner's key, no colony yet."""
    with program("serve", "--data", str(tmp_path / "data"), "--port", "0", stderr=tmp_path / "log") as child:
        _, port, serverid = until_ready(child)
        key = tmp_path / "data" / "server.key"
        assert key.stat().st_mode & 0o777 == 0o600
        assert shell.out("key id", str(key)) == serverid
        shell.variables = {"COLONIES_SERVER_HTTP_PORT": port, "COLONIES_SERVER_PRVKEY": str(key)}
        yield shell
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_from_a_key_to_the_log_of_the_first_work(served: Shell, tmp_path: Path) -> None:
    shell = served
    assert shell.out("server alive").startswith("alive: http://localhost:")
    ids = {}
    for name in ("lab", "ada", "pi1"):
        ids[name] = shell.record("key generate --out", str(tmp_path / f"{name}.key"))["id"]

    assert shell.record("colony add --name lab --colonyid", ids["lab"]) == {"name": "lab", "colonyid": ids["lab"]}
    assert "already exists" in shell.refused("colony add --name lab --colonyid", ids["lab"])
    assert shell.record("colony ls") == [{"name": "lab", "colonyid": ids["lab"]}]

    shell.variables |= {"COLONIES_COLONY_NAME": "lab", "COLONIES_COLONY_PRVKEY": str(tmp_path / "lab.key")}
    assert shell.record("user add --name ada --userid", ids["ada"])["name"] == "ada"
    shell.variables["COLONIES_PRVKEY"] = str(tmp_path / "ada.key")
    assert [user["name"] for user in shell.record("user ls")] == ["ada"]
    assert "lab" in shell.out("colony check")

    assert shell.record("executor add pi1 --type sensor --executorid", ids["pi1"])["state"] == 0
    executor = ("--prvkey", str(tmp_path / "pi1.key"))
    assert "Access denied" in shell.refused("process assign --timeout -1", *executor)
    shell.run("executor approve pi1")
    assert shell.record("executor get pi1")["state"] == 1
    assert "No process available" in shell.refused("process assign --timeout -1", *executor)

    submit = "function exec --func measure --targettype sensor --args a,b --arg c,d --kwargs k:v --env X=y --label one"
    processid = shell.out(submit, "--", "-e")
    process = shell.record("process get", processid)
    assert process["spec"]["args"] == ["a", "b", "c,d", "-e"]
    assert (process["spec"]["kwargs"], process["spec"]["env"], process["spec"]["label"]) == (
        {"k": "v"},
        {"X": "y"},
        "one",
    )
    assert shell.out("process psw --ids") == processid
    assert [one["processid"] for one in shell.record("process ls --state waiting --label one")] == [processid]
    assert "measure" in shell.out("process psw")

    assert shell.record("process assign --timeout -1", *executor)["processid"] == processid
    shell.run("log add -m half-way -p", processid, *executor)
    shell.run("log add -m done -p", processid, *executor)
    attribute = shell.out("attribute add --key humidity --value 61 -p", processid, *executor)
    assert shell.record("attribute get", attribute)["value"] == "61"
    assert "cannot remove a running process" in shell.refused("process remove", processid)
    shell.run("process close --out 42,43 -p", processid, *executor)

    assert shell.out("log get", processid).splitlines() == ["half-way", "done"]
    assert shell.out("log get --follow", processid).splitlines() == ["half-way", "done"]
    assert [entry["message"] for entry in shell.record("log get --count 1 --first", processid)] == ["half-way"]
    assert "half-way" in shell.out("log get -e pi1")
    assert [entry["message"] for entry in shell.record("log search half")] == ["half-way"]
    assert shell.out("process get --out", processid).splitlines() == ["42", "43"]
    assert shell.record("process wait", processid)["out"] == ["42", "43"]
    assert "Successful" in shell.out("process get", processid)
    assert shell.record("server statistics")["successfulprocesses"] == 1
    assert shell.record("colony stats")["successfulprocesses"] == 1

    shell.run("process rm", processid)
    assert "process not found" in shell.refused("process get", processid)
    assert shell.record("process pss") == []
    shell.run("executor remove pi1 --yes")
    assert shell.record("executor ls") == []
    assert [one["state"] for one in shell.record("executor ls --all")] == [3]


def test_what_cannot_be_taken_back_is_asked_first(served: Shell, tmp_path: Path) -> None:
    served.run("colony add --name lab --colonyid", "a" * 64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", io.StringIO("no\n"))
        _, err = served.run("colony remove lab", code=1)
        assert "Remove colony lab" in err
        assert err.endswith("Error: Nothing was removed.\n")
        patch.setattr("sys.stdin", io.StringIO(""))
        assert "give --yes" in served.refused("colony remove lab")
    assert len(served.record("colony ls")) == 1
    assert served.record("colony remove lab --yes") == {}
    assert served.record("colony ls") == []


def test_an_encrypted_key_works_in_every_place_of_a_key(served: Shell, tmp_path: Path) -> None:
    served.variables["COLONIES_KEY_PASSPHRASE"] = "correct horse"
    made = served.record("key generate --encrypt --out", str(tmp_path / "next.key"))
    served.run("server chid", made["id"])
    assert "not server owner" in served.refused("colony ls")
    served.variables["COLONIES_SERVER_PRVKEY"] = str(tmp_path / "next.key")
    assert served.record("colony ls") == []
    served.variables["COLONIES_KEY_PASSPHRASE"] = "wrong"
    assert "Wrong passphrase" in served.refused("colony ls")


def test_a_server_that_is_not_there_is_a_sentence_with_the_reason(shell: Shell) -> None:
    for line in ("server alive", "server info"):
        said = shell.refused(f"{line} --port 1")
        assert "http://localhost:1" in said
        assert "refused" in said.lower()


def test_a_key_or_colony_that_is_not_set_is_asked_for(shell: Shell) -> None:
    assert "COLONIES_COLONY_NAME" in shell.refused("process ps")
    assert "COLONIES_PRVKEY" in shell.refused("process ps --colony lab")
    assert "COLONIES_SERVER_PRVKEY" in shell.refused("colony ls")


def test_serve_ends_in_good_order_and_goes_on_where_it_was(tmp_path: Path) -> None:
    serverids = set()
    for _ in range(2):
        with program("serve", "--data", str(tmp_path / "data"), "--port", "0", stderr=tmp_path / "log") as child:
            serverids.add(until_ready(child)[2])
            child.send_signal(signal.SIGTERM)
            assert child.wait(PATIENCE_S) == 0
    assert len(serverids) == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--retention",), "--retention-policy"),
        (("--tls-cert", "/none"), "--tls-key"),
        (("--port", "x"), "--port must be"),
        (("--server-id", "x"), "--server-id must be"),
        (("--host", "192.0.2.1"), "192.0.2.1"),
    ],
)
def test_serve_refuses_what_it_cannot_do_in_one_sentence(tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    log = tmp_path / "log"
    with program("serve", "--data", str(tmp_path / "data"), "--port", "0", *arguments, stderr=log) as child:
        assert child.wait(PATIENCE_S) == 1
    (sentence,) = log.read_text().splitlines()
    assert sentence.startswith("Error: ")
    assert says in sentence


def test_a_store_or_a_port_that_is_taken_is_told_in_one_sentence(tmp_path: Path) -> None:
    with program("serve", "--data", str(tmp_path / "data"), "--port", "0", stderr=tmp_path / "log") as first:
        _, port, _ = until_ready(first)
        for name, arguments in {
            "store": ("--data", str(tmp_path / "data"), "--port", "0"),
            "port": ("--data", str(tmp_path / "other"), "--port", port),
        }.items():
            log = tmp_path / name
            with program("serve", *arguments, stderr=log) as second:
                assert second.wait(PATIENCE_S) == 1
            (sentence,) = log.read_text().splitlines()
            assert sentence.startswith("Error: "), sentence


def test_a_file_that_is_no_store_is_told_and_left_alone(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "colonies.db").write_bytes(b"not a database, but somebody's work" * 200)
    before = (data / "colonies.db").read_bytes()
    with program("serve", "--data", str(data), "--port", "0", stderr=tmp_path / "log") as child:
        assert child.wait(PATIENCE_S) == 1
    (sentence,) = (tmp_path / "log").read_text().splitlines()
    assert sentence.startswith("Error: ")
    assert (data / "colonies.db").read_bytes() == before


def test_dev_has_everything_ready(dev: Shell) -> None:
    assert dev.variables["COLONIES_TLS"] == dev.variables["COLONIES_SERVER_TLS"] == "false"
    assert dev.variables["COLONIES_SERVER_PORT"] == dev.variables["COLONIES_SERVER_HTTP_PORT"]
    assert dev.out("function exec --func echo --targettype cli --out", "--", "a  b", "c") == "a  b c"
    assert [user["userid"] for user in dev.record("user ls")] == [id_of(dev.variables["COLONIES_PRVKEY"])]
    assert dev.record("server info")["buildversion"]


def test_the_log_streams_while_the_work_runs(dev: Shell) -> None:
    script = "echo one; echo two >&2; echo three"
    out, err = dev.run("function exec --func sh --targettype cli --follow", "--", "-c", script)
    assert sorted(out.split()) == ["one", "three", "two"]
    assert err.startswith("process ")


def test_output_goes_to_a_pipe_byte_for_byte(dev: Shell) -> None:
    out, _ = dev.run("function exec --func printf --targettype cli --out", "--", "a\\tb\\033[2Jc")
    assert out == "a\tb\x1b[2Jc\n"


def test_failed_work_ends_with_exit_code_1_and_its_errors(dev: Shell) -> None:
    out, err = dev.run(
        "function exec --func sh --targettype cli --follow", "--", "-c", "echo so far; echo bad >&2; exit 3", code=1
    )
    assert "so far" in out
    assert "Error: the process failed" in err
    assert "bad" in err
    record = json.loads(dev.run("process psf --count 1 --json")[0])
    assert record[0]["state"] == 3


def test_waiting_for_cancelled_work_ends_with_exit_code_1(dev: Shell) -> None:
    processid = dev.out("function exec --func nothing --targettype nobody")
    dev.run("process cancel", processid)
    for line in ("process wait", "process wait --follow", "log get --follow"):
        assert "cancelled" in dev.refused(line, processid)


def test_patience_ends_but_the_work_goes_on(dev: Shell) -> None:
    processid = dev.out("function exec --func nothing --targettype nobody")
    assert "has not finished within 0.1 s" in dev.refused("process wait --timeout 0.1", processid)
    assert dev.record("process get", processid)["state"] == 0
    dev.run("process cancel", processid)


def test_a_spec_in_a_file_is_submitted_and_a_wrong_one_explained(dev: Shell, tmp_path: Path) -> None:
    path = tmp_path / "spec.json"
    spec = {"funcname": "expr", "args": ["6", "*", "7"], "conditions": {"executortype": "cli"}}
    path.write_text(json.dumps(spec))
    assert dev.out("function submit --out", str(path)) == "42"
    for text, says in (
        ("[{}]", "a list, as workflows are"),
        ("{", "is not JSON"),
        ('{"args": []}', "no 'funcname'"),
        ('{"functionspecs": []}', "holds a workflow"),
    ):
        path.write_text(text)
        assert says in dev.refused("function submit", str(path))
    assert "cannot be read" in dev.refused("function submit", str(tmp_path / "none"))


def test_assignments_are_paused_and_resumed(dev: Shell) -> None:
    assert json.loads(dev.out("--json process pause")) == {}
    assert dev.record("process status")["ispaused"] is True
    dev.run("process resume")
    assert dev.record("process status")["ispaused"] is False


def test_alive_tells_of_a_certificate_that_is_not_trusted(shell: Shell, tmp_path: Path) -> None:
    tls = Path(__file__).parents[1] / "http" / "tls"
    files = ("--tls-cert", str(tls / "cert.pem"), "--tls-key", str(tls / "key.pem"))
    data = ("--data", str(tmp_path / "data"), "--port", "0")
    with program("serve", *data, *files, stderr=tmp_path / "log") as child:
        _, port, _ = until_ready(child)
        assert "certificate is not trusted" in shell.refused("server alive --tls --port", port)
        assert shell.out("server alive --tls --tls-verify false --port", port) == f"alive: https://localhost:{port}"


def test_a_server_that_is_up_says_so_in_words_and_in_json(dev: Shell) -> None:
    url = f"http://{dev.variables['COLONIES_SERVER_HOST']}:{dev.variables['COLONIES_SERVER_HTTP_PORT']}"
    assert dev.out("server alive") == f"alive: {url}"
    assert dev.record("server alive") == {"alive": True, "url": url}
    assert "TLS failed" in dev.refused("server alive --tls")


def test_what_is_done_is_told_in_json_when_asked_for(dev: Shell) -> None:
    assert dev.record("colony check")["name"] == dev.variables["COLONIES_COLONY_NAME"]
    processid = dev.out("function exec --func nothing --targettype nobody")
    assert isinstance(dev.record("process cancel", processid), dict)
    assert isinstance(dev.record("process remove", processid), dict)


def test_a_list_without_a_state_shows_running_waiting_and_the_latest_ended(served: Shell, tmp_path: Path) -> None:
    shell = served
    for name in ("lab", "pi1"):
        made = shell.record("key generate --out", str(tmp_path / name))["id"]
        if name == "lab":
            shell.run("colony add --name lab --colonyid", made)
            shell.variables |= {"COLONIES_COLONY_NAME": "lab", "COLONIES_COLONY_PRVKEY": str(tmp_path / name)}
        else:
            shell.run("executor add pi1 --type t --approve --executorid", made)
            shell.variables["COLONIES_PRVKEY"] = str(tmp_path / name)
    assert shell.out("process ls") == "No processes in colony lab."
    one, two, three, four = (shell.out(f"function exec --targettype t --func f{n}") for n in range(4))
    for _ in range(3):
        shell.run("process assign --timeout -1")
    shell.run("process fail --errors why", one)
    shell.run("process close", two)
    assert shell.out("process ls --ids").split() == [three, four, two, one]
    assert [process["state"] for process in shell.record("process ls --count 3")] == [1, 0, 2]
    drawn = shell.out("process ls")
    assert "STATE" in drawn
    assert [word for word in drawn.split() if word in STATES] == ["Running", "Waiting", "Successful", "Failed"]
    assert "STATE" not in shell.out("process psf")


def test_the_lines_of_an_error_are_shown_as_lines(dev: Shell) -> None:
    script = "echo first line >&2; echo second line >&2; exit 3"
    _, err = dev.run("function exec --func sh --targettype cli --wait", "--", "-c", script, code=1)
    processid = err.split()[1]
    shown = dev.out("process get", processid).splitlines()
    assert len([line for line in shown if "first line" in line and "second" not in line and script not in line]) > 0
    assert "\\n" not in "".join(line for line in shown if script not in line)
    assert "second line" in [line.strip() for line in err.splitlines()]


def test_two_states_at_once_are_refused_and_nothing_is_removed(dev: Shell) -> None:
    processid = dev.out("function exec --func nothing --targettype nobody")
    said = dev.refused("process removeall --waiting --successful --yes", code=2)
    assert "Give one of --waiting, --successful" in said
    assert dev.record("process get", processid)["state"] == 0
    assert dev.record("process removeall --waiting --yes") == {}
    assert "process not found" in dev.refused("process get", processid)


def test_dev_keeps_to_this_machine(shell: Shell, tmp_path: Path) -> None:
    said = shell.refused("dev --host 0.0.0.0 --data", str(tmp_path / "data"))
    assert "--i-know-the-keys-are-public" in said
    assert not (tmp_path / "data").exists()


def test_dev_does_not_take_over_the_data_of_a_real_server(shell: Shell, tmp_path: Path) -> None:
    with program("serve", "--data", str(tmp_path / "data"), "--port", "0", stderr=tmp_path / "log") as child:
        _, _, serverid = until_ready(child)
    assert "belongs to another server" in shell.refused("dev --port 0 --data", str(tmp_path / "data"))
    assert (tmp_path / "data" / "server.id").read_text().strip() == serverid


def test_a_key_among_the_arguments_works_and_is_warned_of(dev: Shell) -> None:
    key = dev.variables.pop("COLONIES_PRVKEY")
    _, err = dev.run("process ps --prvkey", key)
    assert "COLONIES_PRVKEY" in err
    assert key not in err


def test_a_server_keeps_its_owner_whatever_a_stray_variable_says(shell: Shell, tmp_path: Path) -> None:
    data = ("--data", str(tmp_path / "data"), "--port", "0")
    with program("serve", *data, stderr=tmp_path / "log") as child:
        _, _, serverid = until_ready(child)
    stray = {"COLONIES_SERVER_ID": "a" * 64}
    with program("serve", *data, stderr=tmp_path / "log", environ=stray) as child:
        assert child.wait(PATIENCE_S) == 1
    (sentence,) = (tmp_path / "log").read_text().splitlines()
    assert serverid in sentence
    with program("serve", *data, stderr=tmp_path / "log") as child:
        assert until_ready(child)[2] == serverid


def test_dev_starts_again_on_what_it_left(shell: Shell, tmp_path: Path) -> None:
    for _ in range(2):
        with program("dev", "--data", str(tmp_path / "data"), "--port", "0", stderr=tmp_path / "log") as child:
            _, port, _ = until_ready(child)
            assert shell.out("server alive", "--port", port)
            child.send_signal(signal.SIGTERM)
            child.send_signal(signal.SIGTERM)
            assert child.wait(PATIENCE_S) == 0
