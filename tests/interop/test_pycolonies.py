"""The Python SDK from PyPI, unchanged, does its work against a real server."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from crypto import Crypto
from model import Workflow
from pycolonies import Colonies, ColoniesConnectionError, ColoniesError, colonies_client, func_spec
from websocket import WebSocketConnectionClosedException

from tests.cli.shell import program, until_ready
from tests.node import ALICE, CANCELLED, FAILED, RUNNING, SERVER, SUCCESS, UNREGISTERED, WAITING, Party

NUMBERS = count(1)
NEVER = datetime(1, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The port of a server process that SERVER owns."""
    folder = tmp_path_factory.mktemp("server")
    flags = ("--data", str(folder / "data"), "--port", "0", "--server-id", SERVER.id)
    with program("serve", *flags, stderr=folder / "log") as child:
        _, port, _ = until_ready(child)
        yield port
    assert "Traceback" not in (folder / "log").read_text()


@dataclass
class Colony:
    """A colony of a test's own and the SDK's client."""

    client: Colonies
    name: str
    owner: Party

    def join(self, name: str, type: str = "worker") -> str:
        """An approved executor; its private key."""
        party = Party(f"{name} of {self.name}")
        executor = {"executorname": name, "executorid": party.id, "colonyname": self.name, "executortype": type}
        added = self.client.add_executor(executor, self.owner.key)
        assert added["executorid"] == party.id
        self.client.approve_executor(self.name, name, self.owner.key)
        return party.key

    def spec(self, *args: Any, **more: Any) -> Any:
        """A function spec for any worker."""
        return func_spec(more.pop("func", "echo"), list(args), self.name, "worker", **more)


@pytest.fixture
def colony(port: str) -> Colony:
    client = Colonies("127.0.0.1", int(port))
    name = f"colony{next(NUMBERS)}"
    owner = Party(f"owner of {name}")
    assert client.add_colony({"colonyid": owner.id, "name": name}, SERVER.key) == {"colonyid": owner.id, "name": name}
    return Colony(client, name, owner)


def refusal(call: Any, *arguments: Any) -> str:
    """What the SDK says of a refused call."""
    with pytest.raises(ColoniesConnectionError) as refused:
        call(*arguments)
    return str(refused.value)


def test_the_sdk_and_the_node_compute_the_same_ids_and_accept_the_same_signatures(colony: Colony) -> None:
    crypto = Crypto()
    key = crypto.prvkey()
    user = {"colonyname": colony.name, "userid": crypto.id(key), "name": "new", "email": "e", "phone": "p"}
    assert colony.client.add_user(user, colony.owner.key) == user
    assert colony.client.get_users(colony.name, key) == [user]


def test_colonies_come_and_go(colony: Colony) -> None:
    client, name = colony.client, colony.name
    assert {"colonyid": colony.owner.id, "name": name} in client.list_colonies(SERVER.key)
    assert refusal(client.add_colony, {"colonyid": colony.owner.id, "name": name}, SERVER.key) == (
        f"A Colony with name <{name}> already exists"
    )
    assert refusal(client.list_colonies, colony.owner.key) == "Access denied, not server owner"
    key = colony.join("ann")
    assert client.get_colony(name, key)["name"] == name
    assert client.del_colony(name, SERVER.key) == {}
    assert refusal(client.get_colony, name, key) == f"Colony with name <{name}> does not exists"


def test_users_come_and_go(colony: Colony) -> None:
    client = colony.client
    user = {"colonyname": colony.name, "userid": ALICE.id, "name": "alice", "email": "", "phone": ""}
    client.add_user(user, colony.owner.key)
    assert client.submit_func_spec(colony.spec("a"), ALICE.key).initiatorname == "alice"
    client.remove_user(colony.name, "alice", colony.owner.key)
    assert refusal(client.get_users, colony.name, ALICE.key) == (
        f"Access denied, not a member of Colony with name <{colony.name}>"
    )


def test_executors_are_approved_rejected_and_removed(colony: Colony) -> None:
    client, name = colony.client, colony.name
    key = colony.join("ann")
    assert [e["state"] for e in client.list_executors(name, key)] == [1]
    client.reject_executor(name, "ann", colony.owner.key)
    assert refusal(client.assign, name, 1, key) == f"Access denied, not a member of Colony with name <{name}>"
    client.approve_executor(name, "ann", colony.owner.key)
    assert client.get_executor(name, "ann", key)["state"] == 1
    assert refusal(client.get_executor, name, "bob", key) == "Failed to get executor, executor is nil"
    client.remove_executor(name, "ann", colony.owner.key)
    colony.join("bob")
    states = {e["executorname"]: e["state"] for e in client.list_executors(name, Party(f"bob of {name}").key)}
    assert states == {"ann": UNREGISTERED, "bob": 1}


def test_a_process_is_submitted_assigned_and_closed(colony: Colony) -> None:
    client, key = colony.client, colony.join("ann")
    spec = colony.spec("hi", 2, kwargs={"k": "v", "l": ["a"]}, maxexectime=60, maxwaittime=60, maxretries=3, code="x=1")
    submitted = client.submit_func_spec(spec, key)
    assert (submitted.state, submitted.isassigned, submitted.starttime) == (WAITING, False, NEVER)
    assert submitted.spec.env == spec.env
    assert submitted.waitdeadline - submitted.submissiontime == timedelta(seconds=60)
    running = client.assign(colony.name, 10, key)
    assert (running.processid, running.state, running.isassigned) == (submitted.processid, RUNNING, True)
    assert running.spec.args == ["hi", 2]
    assert running.spec.kwargs == {"k": "v", "l": ["a"]}
    client.close(running.processid, ["hi", 2, 0.5], key)
    closed = client.get_process(running.processid, key)
    assert (closed.state, closed.output, closed.errors) == (SUCCESS, ["hi", 2, 0.5], [])
    assert closed.submissiontime <= closed.starttime <= closed.endtime


def test_a_function_travels_as_source(colony: Colony) -> None:
    client, key = colony.client, colony.join("ann")
    client.submit_func_spec(colony.spec(6, 7, func=times), key)
    running = client.assign(colony.name, 10, key)
    assert running.spec.funcname == "times"
    assert running.spec.env["args_spec"] == "x,y"
    assert running.spec.env["code"]


def times(x: int, y: int) -> int:
    return x * y


def test_a_process_fails_with_its_errors(colony: Colony) -> None:
    client, key = colony.client, colony.join("ann")
    process = client.submit_func_spec(colony.spec("a"), key)
    client.assign(colony.name, 10, key)
    client.fail(process.processid, ["broken", "again"], key)
    failed = client.get_process(process.processid, key)
    assert (failed.state, failed.errors, failed.output) == (FAILED, ["broken", "again"], [])
    assert refusal(client.close, process.processid, [], key) == "Tried to set failed process as successful"


def test_output_may_come_before_the_end_and_be_replaced_after_it(colony: Colony) -> None:
    client, key = colony.client, colony.join("ann")
    process = client.submit_func_spec(colony.spec("a"), key)
    client.assign(colony.name, 10, key)
    client.set_output(process.processid, ["partial"], key)
    assert client.get_process(process.processid, key).output == ["partial"]
    client.close(process.processid, [], key)
    assert client.get_process(process.processid, key).output == ["partial"]
    client.close(process.processid, ["whole"], key)
    assert client.get_process(process.processid, key).output == ["whole"]


def test_only_the_assignee_may_close(colony: Colony) -> None:
    client, ann, bob = colony.client, colony.join("ann"), colony.join("bob")
    process = client.submit_func_spec(colony.spec("a"), bob)
    client.assign(colony.name, 10, ann)
    assert refusal(client.close, process.processid, ["x"], bob) == (
        "Failed to close process as successful, not allowed to close process as successful"
    )


def test_a_process_may_name_its_executor(colony: Colony) -> None:
    client, ann, bob = colony.client, colony.join("ann"), colony.join("bob")
    process = client.submit_func_spec(colony.spec("a", executorname="ann"), bob)
    assert refusal(client.assign, colony.name, -1, bob) == "No process available for assignment"
    assert client.assign(colony.name, -1, ann).processid == process.processid


def test_logs_are_kept_in_order_and_read_on(colony: Colony) -> None:
    client, key = colony.client, colony.join("ann")
    process = client.submit_func_spec(colony.spec("a"), key)
    client.assign(colony.name, 10, key)
    for line in ("one\n", "two\n", "thrée\n"):
        client.add_log(process.processid, line, key)
    log = client.get_process_log(colony.name, process.processid, 100, 0, key)
    assert [entry["message"] for entry in log] == ["one\n", "two\n", "thrée\n"]
    assert client.get_executor_log(colony.name, "ann", 100, 0, key) == log
    assert client.get_process_log(colony.name, process.processid, 100, log[1]["timestamp"], key) == log[2:]
    assert client.get_process_log(colony.name, process.processid, 2, 0, key) == log[:2]


def test_attributes_are_added_and_read(colony: Colony) -> None:
    client, key = colony.client, colony.join("ann")
    process = client.submit_func_spec(colony.spec("a"), key)
    client.assign(colony.name, 10, key)
    added = client.add_attribute(process.processid, "akey", "aval", key)
    assert client.get_attribute(added["attributeid"], key)["value"] == "aval"
    (attribute,) = client.get_process(process.processid, key).attributes
    assert (attribute.key, attribute.value, attribute.attributetype) == ("akey", "aval", 1)


def test_functions_are_registered_and_count_their_runs(colony: Colony) -> None:
    client, key = colony.client, colony.join("ann")
    client.add_function(colony.name, "ann", "echo", key)
    assert [f["counter"] for f in client.get_functions_by_executor(colony.name, "ann", key)] == [0]
    process = client.submit_func_spec(colony.spec("a"), key)
    client.assign(colony.name, 10, key)
    client.close(process.processid, [], key)
    (function,) = client.get_functions_by_colony(colony.name, key)
    assert function["counter"] == 1
    assert 0 < function["minexectime"] == function["maxexectime"] == function["avgexectime"] < 30


def test_lists_and_statistics_follow_the_states(colony: Colony) -> None:
    client, key = colony.client, colony.join("ann")
    processes = [client.submit_func_spec(colony.spec(n), key).processid for n in range(4)]
    for _ in range(3):
        client.assign(colony.name, 10, key)
    client.close(processes[0], [], key)
    client.fail(processes[1], ["no"], key)
    for state, expected in ((WAITING, processes[3]), (RUNNING, processes[2]), (2, processes[0]), (3, processes[1])):
        assert [p["processid"] for p in client.list_processes(colony.name, 20, state, key)] == [expected]
    assert client.list_processes(colony.name, 20, CANCELLED, key) is None
    stats = client.stats(colony.name, key)
    counted = ("waiting", "running", "successful", "failed", "cancelled")
    assert [stats[f"{state}processes"] for state in counted] == [1, 1, 1, 1, 0]
    assert (stats["colonies"], stats["executors"], stats["activeexecutors"]) == (1, 1, 1)
    assert client.find_process("echo", processes, key).processid == processes[0]


def test_processes_are_removed_one_by_one_and_all_at_once(colony: Colony) -> None:
    client, key = colony.client, colony.join("ann")
    first, second = (client.submit_func_spec(colony.spec(n), key).processid for n in range(2))
    client.remove_process(first, key)
    assert refusal(client.get_process, first, key) == "Failed to get process, process not found"
    client.assign(colony.name, 10, key)
    assert refusal(client.remove_process, second, key) == "Failed to remove process, cannot remove a running process"
    client.remove_all_processes(colony.name, colony.owner.key)
    assert client.list_processes(colony.name, 20, RUNNING, key) is None


def test_a_reconciler_makes_blueprints_true(colony: Colony) -> None:
    client, name = colony.client, colony.name
    user, key = colony.join("ann"), colony.join("fixer", type="fixer")
    definition = {
        "kind": "Lamp",
        "metadata": {"name": "lamps", "colonyname": name},
        "spec": {
            "names": {"kind": "Lamp", "singular": "lamp", "plural": "lamps"},
            "handler": {"executorType": "fixer", "functionName": "reconcile"},
            "schema": {"type": "object", "properties": {"on": {"type": "boolean"}}, "required": ["on"]},
        },
    }
    added = client.add_blueprint_definition(definition, colony.owner.key)
    assert client.get_blueprint_definition(name, "lamps", user) == added
    assert client.get_blueprint_definitions(name, user) == [added]
    assert "duplicate key" in refusal(client.add_blueprint_definition, definition, colony.owner.key)

    def reconcile() -> None:
        process = client.assign(name, 10, key)
        blueprint = client.get_blueprint(name, process.spec.kwargs["blueprintName"], key)
        client.update_blueprint_status(name, blueprint["metadata"]["name"], {"lit": blueprint["spec"]["on"]}, key)
        client.close(process.processid, [], key)

    lamp = {"kind": "Lamp", "metadata": {"name": "one", "colonyname": name}, "spec": {"on": False}}
    assert "'on' must be a boolean, got string" in refusal(client.add_blueprint, lamp | {"spec": {"on": "no"}}, user)
    assert "required field 'on' is missing" in refusal(client.add_blueprint, lamp | {"spec": {}}, user)
    blueprintid = client.add_blueprint(lamp, user)["blueprintid"]
    reconcile()
    for on in (True, True, False):
        found = client.get_blueprint(name, "one", user)
        client.update_blueprint(found | {"spec": {"on": on}}, user)
        if found["spec"]["on"] != on:
            reconcile()
        assert client.get_blueprint(name, "one", user)["status"] == {"lit": on}
    assert client.reconcile_blueprint(name, "one", user)["spec"]["kwargs"] == {"kind": "Lamp", "blueprintName": "one"}
    reconcile()
    # The SDK asks for force, but cannot read a process that carries it: only texts fit into its kwargs.
    forced = client.reconcile_blueprint(name, "one", user, force=True)
    assert forced["spec"]["kwargs"]["force"] is True
    client.remove_process(forced["processid"], user)
    (shown,) = client.get_blueprints(name, user, kind="Lamp")
    assert shown["metadata"]["generation"] == 3
    assert client.get_blueprints(name, user, kind="Lamp", location="home") is None
    assert [entry["generation"] for entry in client.get_blueprint_history(blueprintid, user)] == [2, 1, 0]
    assert [entry["generation"] for entry in client.get_blueprint_history(blueprintid, user, limit=1)] == [2]
    refused = refusal(client.remove_blueprint_definition, name, "lamps", colony.owner.key)
    assert refused == "cannot remove BlueprintDefinition 'lamps': 1 blueprint(s) of kind 'Lamp' still exist"
    client.remove_blueprint(name, "one", user)
    assert client.assign(name, 10, key).spec.funcname == "cleanup"
    client.remove_blueprint_definition(name, "lamps", colony.owner.key)
    assert client.get_blueprint_definitions(name, user) == []


def test_an_executor_waits_for_work(colony: Colony) -> None:
    client, key = colony.client, colony.join("ann")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.assign, colony.name, 30, key)
        process = client.submit_func_spec(colony.spec("a"), key)
        assert waiting.result(30).processid == process.processid


def test_an_executor_keeps_what_it_was_told_though_it_closes_its_connection_at_once(colony: Colony) -> None:
    """The SDK has a connection for each call, and closes it as soon as it has the answer."""
    client, key = colony.client, colony.join("ann")
    for n in range(30):
        client.submit_func_spec(colony.spec(n), key)
    for _ in range(30):
        client.close(client.assign(colony.name, 10, key).processid, [], key)


def test_a_wait_for_work_ends_after_its_timeout(colony: Colony) -> None:
    key = colony.join("ann")
    assert refusal(colony.client.assign, colony.name, 1, key) == "No process available for assignment"


def test_executors_at_the_same_time_share_the_work_without_losing_or_doubling_any(colony: Colony) -> None:
    executors, each = 4, 10
    keys = [colony.join(f"worker{n}") for n in range(executors)]
    submitter = colony.join("submitter", type="submitter")
    left = threading.Semaphore(executors * each)
    done: list[tuple[str, str]] = []

    def work(key: str) -> None:
        client = Colonies(colony.client.host, colony.client.port)
        while left.acquire(blocking=False):
            process = client.assign(colony.name, 60, key)
            client.close(process.processid, process.spec.args, key)
            done.append((process.processid, key))

    with ThreadPoolExecutor(executors + 1) as pool:
        running = [pool.submit(work, key) for key in keys]
        submitted = [
            colony.client.submit_func_spec(colony.spec(n), submitter).processid for n in range(executors * each)
        ]
        for one in running:
            one.result(60)
    assert sorted(processid for processid, _ in done) == sorted(submitted)
    outputs = {colony.client.get_process(processid, submitter).output[0] for processid in submitted}
    assert outputs == set(range(executors * each))


def workflow(colony: Colony, nodes: dict[str, list[str]]) -> Workflow:
    """A workflow of "name → names it waits for"."""
    specs = []
    for name, after in nodes.items():
        spec = colony.spec(name, func=name)
        spec.conditions.dependencies = after
        specs.append(spec)
    return Workflow(colonyname=colony.name, functionspecs=specs)


def run(colony: Colony, key: str) -> Any:
    """Take the next process and close it with its name and what it was given."""
    process = colony.client.assign(colony.name, 10, key)
    colony.client.close(process.processid, [process.spec.nodename, *(process.input or [])], key)
    return process


def test_a_workflow_runs_from_its_root_to_its_leaf(colony: Colony) -> None:
    client, key = colony.client, colony.join("ann")
    graph = client.submit_workflow(workflow(colony, {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}), key)
    assert (graph.state, graph.submissiontime, len(graph.rootprocessids)) == (WAITING, NEVER, 1)
    a, b, c, d = (client.find_process(name, graph.processids, key) for name in "abcd")
    assert (a.children, d.parents, d.waitforparents) == ([b.processid, c.processid], [b.processid, c.processid], True)
    drawn = client.get_processgraph(graph.processgraphid, key)
    assert {edge.id for edge in drawn.edges} == {
        f"{one.processid}-{two.processid}" for one, two in ((a, b), (a, c), (b, d), (c, d))
    }
    assert {node.data["label"]: node.type for node in drawn.nodes} == {"a": "input", "b": "", "c": "", "d": "output"}
    for _ in range(4):
        assert client.get_processgraphs(colony.name, 10, key, SUCCESS) is None
        last = run(colony, key)
    assert last.input == ["b", "a", "c", "a"]
    (done,) = client.get_processgraphs(colony.name, 10, key, SUCCESS)
    assert done["processgraphid"] == graph.processgraphid
    client.remove_processgraph(graph.processgraphid, key)
    assert refusal(client.get_process, d.processid, key) == "Failed to get process, process not found"


def test_a_running_process_adds_children(colony: Colony) -> None:
    client, key = colony.client, colony.join("ann")
    graph = client.submit_workflow(workflow(colony, {"a": [], "z": ["a"]}), key)
    first = client.assign(colony.name, 10, key)
    (last,) = first.children
    between = client.add_child(graph.processgraphid, first.processid, "", colony.spec("m"), "m", True, key)
    beside = client.add_child(graph.processgraphid, first.processid, last, colony.spec("n"), "n", False, key)
    assert client.get_process(last, key).parents == [between["processid"], beside["processid"]]
    client.close(first.processid, [], key)
    assert {run(colony, key).processid for _ in range(2)} == {between["processid"], beside["processid"]}
    assert run(colony, key).processid == last
    assert client.get_processgraph(graph.processgraphid, key).state == SUCCESS


def test_workflows_fail_and_are_removed(colony: Colony) -> None:
    client, key = colony.client, colony.join("ann")
    graph = client.submit_workflow(workflow(colony, {"a": [], "b": ["a"]}), key)
    client.fail(client.assign(colony.name, 10, key).processid, ["no"], key)
    assert client.get_processgraph(graph.processgraphid, key).state == FAILED
    assert [client.get_process(processid, key).state for processid in graph.processids] == [FAILED, FAILED]
    refused = refusal(client.submit_workflow, workflow(colony, {"a": ["b"], "b": ["a"]}), key)
    assert "these nodes wait for each other" in refused
    client.remove_all_processgraphs(colony.name, colony.owner.key, FAILED)
    assert client.get_processgraphs(colony.name, 10, key, FAILED) is None


def test_crons_are_added_run_and_removed(colony: Colony) -> None:
    client, key = colony.client, colony.join("ann")
    chain = workflow(colony, {"a": [], "b": ["a"]})
    cron = client.add_cron("nightly", "0 0 3 1 1 *", False, chain, colony.name, key)
    assert refusal(client.add_cron, "nightly", "@daily", False, chain, colony.name, key) == (
        f"Cron with name <nightly> in Colony <{colony.name}> already exists"
    )
    assert "expected exactly 6 fields" in refusal(client.add_cron, "x", "0 3 * * *", False, chain, colony.name, key)
    assert [one["name"] for one in client.get_crons(colony.name, 10, key)] == ["nightly"]
    assert client.run_cron(cron["cronid"], key)["prevprocessgraphid"] == ""
    started = client.get_cron(cron["cronid"], key)["prevprocessgraphid"]
    assert [run(colony, key).spec.nodename for _ in range(2)] == ["a", "b"]
    assert client.get_processgraph(started, key).state == SUCCESS
    client.run_cron(cron["cronid"], key)
    assert client.assign(colony.name, 10, key).input == ["b", "a"]  # what the one before came to
    client.del_cron(cron["cronid"], key)
    assert client.get_crons(colony.name, 10, key) == []


def test_a_cron_starts_by_the_clock(colony: Colony) -> None:
    client, key = colony.client, colony.join("ann")
    cron = client.add_cron("often", "* * * * * *", False, workflow(colony, {"a": []}), colony.name, key)
    assert client.assign(colony.name, 10, key).spec.nodename == "a"
    client.del_cron(cron["cronid"], key)


def test_generators_start_workflows(colony: Colony) -> None:
    client, key = colony.client, colony.join("ann")
    spec = workflow(colony, {"a": [], "b": ["a"]}).model_dump_json(by_alias=True)
    generator = {"name": "pile", "colonyname": colony.name, "workflowspec": spec, "trigger": 2, "timeout": -1}
    added = client.add_generator(generator, key)
    assert [one["name"] for one in client.get_generators(colony.name, key)] == ["pile"]
    # The SDK has no way to pack.
    for arg in ("one", "two", "three"):
        pack = {"msgtype": "packgeneratormsg", "generatorid": added["generatorid"], "arg": arg}
        assert client._Colonies__rpc(pack, key) == {}
    assert client.assign(colony.name, 10, key).spec.args == ["one", "two"]
    assert client.get_generator(added["generatorid"], key)["queuesize"] == 1
    client.remove_generator(added["generatorid"], key)
    assert client.get_generators(colony.name, key) is None


def test_a_client_waits_for_a_process(colony: Colony) -> None:
    client, key = colony.client, colony.join("ann")
    process = client.submit_func_spec(colony.spec("a"), key)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.wait, process, 30, key)
        client.close(client.assign(colony.name, 10, key).processid, ["out"], key)
        assert waiting.result(30).output == ["out"]
    assert client.wait(process, 30, key).output == ["out"]


def test_a_wait_for_a_process_that_is_too_short_is_an_error(colony: Colony) -> None:
    client, key = colony.client, colony.join("ann")
    process = client.submit_func_spec(colony.spec("a"), key)
    with pytest.raises(WebSocketConnectionClosedException):
        client.wait(process, 1, key)


def test_the_two_parties_of_a_process_talk_on_its_channel(colony: Colony) -> None:
    client, key, submitter = colony.client, colony.join("ann"), colony.join("sam", type="submitter")
    spec = colony.spec("a")
    spec.channels = ["chat"]
    processid = client.submit_func_spec(spec, submitter).processid
    client.channel_append(processid, "chat", 1, "what is it?", submitter)
    assert client.assign(colony.name, 10, key).processid == processid
    heard: list[bytes] = []

    def listen(entries: Any) -> bool:
        heard.extend(entry["payload"] for entry in entries if entry["type"] != "end")
        return True

    with ThreadPoolExecutor(1) as pool:
        stream = pool.submit(client.subscribe_channel, processid, "chat", submitter, 0, 30, listen)
        (question,) = client.channel_read(processid, "chat", 0, 0, key)
        assert (question["sequence"], question["payload"], question["type"]) == (1, b"what is it?", "data")
        client.channel_append(processid, "chat", 1, b"\x00\xff", key, 1)
        assert client.channel_read(processid, "chat", 1, 10, submitter)[0]["payload"] == b"\x00\xff"
        client.close(processid, [], key)
        stream.result(30)
    assert heard == [b"what is it?", b"\x00\xff"]
    assert refusal(client.channel_read, processid, "chat", 0, 0, key) == "Channel not found"
    with pytest.raises(ColoniesError, match="Channel not found"):
        client.subscribe_channel(processid, "chat", submitter)


def test_a_stream_ends_with_its_time(colony: Colony) -> None:
    client, key = colony.client, colony.join("ann")
    spec = colony.spec("a")
    spec.channels = ["chat"]
    processid = client.submit_func_spec(spec, key).processid
    client.channel_append(processid, "chat", 1, "hello", key)
    (entry,) = client.subscribe_channel(processid, "chat", key, timeout=1)
    assert entry["payload"] == b"hello"


class ObjectStore:
    """An S3 client, as far as the SDK needs one."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def head_bucket(self, Bucket: str) -> None:
        """There is every bucket."""

    def put_object(self, Bucket: str, Key: str, Body: bytes) -> None:
        self.objects[Key] = Body

    def get_object(self, Bucket: str, Key: str) -> dict[str, io.BytesIO]:
        return {"Body": io.BytesIO(self.objects[Key])}

    def delete_object(self, Bucket: str, Key: str) -> None:
        del self.objects[Key]


@pytest.fixture
def objects(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """What is in the object store that the SDK uses."""
    store = ObjectStore()
    monkeypatch.setattr("pycolonies.boto3.client", lambda *_, **__: store)
    for name, value in (("ENDPOINT", "s3.lab:9000"), ("TLS", "false"), ("SKIPVERIFY", "true"), ("BUCKET", "b")):
        monkeypatch.setenv(f"AWS_S3_{name}", value)
    return store.objects


def test_files_have_revisions_labels_and_snapshots(colony: Colony, objects: dict[str, bytes]) -> None:
    client, key = colony.client, colony.join("ann")

    def upload(name: str, data: bytes, label: str) -> Any:
        return client.upload_data(colony.name, key, filename=name, data=data, label=label)

    first, second = upload("f", b"one", "/in"), upload("f", b"two!", "in/")
    inner = upload("g", b"", "/in/deep")
    assert (second["label"], second["size"], second["ref"]["s3object"]["server"]) == ("/in", 4, "s3.lab")
    assert second["sequencenr"] > first["sequencenr"]
    assert client.download_data(colony.name, key, label="/in", filename="f") == b"two!"
    assert client.download_data(colony.name, key, fileid=first["fileid"]) == b"one"
    revisions = client.get_file(colony.name, key, label="/in", filename="f", latest=False)
    assert [one["fileid"] for one in revisions] == [second["fileid"], first["fileid"]]
    (listed,) = client.get_files("/in", colony.name, key)
    assert (listed["name"], listed["checksum"], listed["size"]) == ("f", second["checksum"], 4)
    assert objects[listed["s3filename"]] == b"two!"
    labels = [{"name": "/in", "files": 2}, {"name": "/in/deep", "files": 1}]
    assert client.get_file_labels(colony.name, key) == labels
    assert client.get_file_labels(colony.name, key, name="/in/deep", exact=True) == labels[1:]

    snapshot = client.create_snapshot(colony.name, "/in", "before", key)
    assert snapshot["fileids"] == [second["fileid"], inner["fileid"]]
    assert refusal(client.create_snapshot, colony.name, "/in", "", key) == "Failed to create snapshot, it has no name"
    upload("f", b"three", "/in")
    assert client.get_snapshot_by_name(colony.name, "before", key) == snapshot
    assert client.get_snapshot_by_id(colony.name, snapshot["snapshotid"], key) == snapshot
    assert client.get_snapshots(colony.name, key) == [snapshot]

    client.delete_file(colony.name, key, label="/in", filename="f")
    assert refusal(lambda: client.get_file(colony.name, key, label="/in", filename="f")) == "Failed to get file"
    assert client.get_files("/in", colony.name, key) == []
    client.delete_file(colony.name, key, fileid=inner["fileid"])
    assert client.get_file_labels(colony.name, key) is None


def test_the_sdk_finds_the_server_in_its_environment(colony: Colony, monkeypatch: pytest.MonkeyPatch) -> None:
    key = colony.join("ann")
    for name, value in {
        "SERVER_HOST": "127.0.0.1",
        "SERVER_PORT": str(colony.client.port),
        "SERVER_TLS": "false",
        "COLONY_NAME": colony.name,
        "COLONY_PRVKEY": colony.owner.key,
        "EXECUTOR_NAME": "ann",
        "PRVKEY": key,
    }.items():
        monkeypatch.setenv(f"COLONIES_{name}", value)
    client, name, _, executor, prvkey = colonies_client()
    assert client.get_executor(name, executor, prvkey)["executorname"] == "ann"
