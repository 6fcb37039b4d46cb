"""The second journey: a drone, an edge box and an HPC machine as three nodes, and a workflow that needs all of them.

Only the lower node opens a connection. The link between drone and edge is a cable that the demo can cut: it does, while
the work is above, and looks at what each side does meanwhile.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections import Counter
from pathlib import Path

from demo_shell import Wrong, background, clean_environment, node, read_id, title

PLACES = {"hpc": "gpu", "edge": "cpu", "drone": "camera"}
"""Node → the type of its executor."""

STEPS: tuple[tuple[str, str, list[str]], ...] = (
    ("photograph", "camera", []),
    ("train", "gpu", ["photograph"]),
    ("judge", "cpu", ["train"]),
    ("show", "camera", ["judge"]),
)
"""Nodename, the type of machine that it needs, and what it waits for."""

PATIENCE_S = 60


class Cable:
    """A way to a port of this machine that can be cut: connections on it break, and new ones are refused."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._whole = True
        self._ends: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Break what goes over it."""
        self._whole = False
        ends, self._ends = self._ends, []
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """Let connections through again."""
        self._whole = True

    def _accept(self) -> None:
        while True:
            lower, _ = self._listener.accept()
            if not self._whole:
                lower.close()
                continue
            upper = socket.create_connection(("127.0.0.1", self._port))
            self._ends += [lower, upper]
            for one, other in ((lower, upper), (upper, lower)):
                threading.Thread(target=_pump, args=(one, other), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)


def journey(folder: Path, running: contextlib.ExitStack) -> None:
    """All steps, one after the other. Raises Wrong."""
    title("Three nodes: a drone, an edge box and an HPC machine")
    colony, user = folder / "colony.key", folder / "user.key"
    places = {name: found(folder / name, colony, user, running) for name in PLACES}

    title("The drone has the edge as its upstream, the edge has the HPC machine")
    cable = Cable(int(places["edge"]["COLONIES_SERVER_HTTP_PORT"]))
    link(places, "edge", "hpc", int(places["hpc"]["COLONIES_SERVER_HTTP_PORT"]), folder)
    link(places, "drone", "edge", cable.port, folder)
    drone = places["drone"]
    wait_for(drone, "the links", lambda: status(drone)["connected"] and status(places["edge"])["connected"])
    node(drone, "sync", "ls")

    title("A workflow that crosses all three, submitted on the drone")
    (folder / "ran").mkdir()
    spec = folder / "mission.json"
    spec.write_text(json.dumps([step(folder, *one) for one in STEPS]))
    graph = node(drone, "workflow", "submit", str(spec)).split()[-1]
    wait_for(drone, "the training on the HPC machine", lambda: member(drone, graph, "train")["state"] == 1)

    title("The link breaks while the HPC machine trains; the drone works on by itself")
    cable.cut()
    wait_for(drone, "the link to break", lambda: not status(drone)["connected"])
    node(drone, "sync", "status")
    node(drone, "function", "exec", "--targettype", "camera", "--func", "echo", "--out", "--", "done without a link")
    wait_for(drone, "the end of the training", lambda: member(places["hpc"], "", "train")["state"] == 2)
    print("  On the HPC machine the training has ended; the drone, which cannot know, still shows it as running.")
    if member(drone, graph, "train")["state"] != 1:
        raise Wrong("the drone knows what it cannot know")

    title("The link is back: everything comes home, once")
    cable.mend()
    node(drone, "sync", "now", "edge")
    wait_for(drone, "the workflow", lambda: member(drone, graph, "show")["state"] == 2)
    node(drone, "workflow", "get", graph)
    wait_for(drone, "the records upstream", lambda: all(told(places[name]) for name in ("drone", "edge")))
    show(places, folder, graph)


def found(folder: Path, colony: Path, user: Path, running: contextlib.ExitStack) -> dict[str, str]:
    """A node with the colony, its user and an executor; the environment that leads to it."""
    env = clean_environment()
    url = running.enter_context(background(["serve", "--data", str(folder), "--port", "0"], env, "ready:"))
    env |= {
        "COLONIES_SERVER_HOST": "127.0.0.1",
        "COLONIES_SERVER_HTTP_PORT": url.rsplit(":", 1)[1].split(",")[0],
        "COLONIES_SERVER_PRVKEY": str(folder / "server.key"),
        "COLONIES_COLONY_NAME": "demo",
        "COLONIES_COLONY_PRVKEY": str(colony),
        "COLONIES_PRVKEY": str(user),
    }
    node(env, "colony", "add", "--name", "demo", "--colonyid", read_id(env, colony), quiet=True)
    node(env, "user", "add", "--name", "you", "--userid", read_id(env, user), quiet=True)
    kind = PLACES[folder.name]
    machine = {name: value for name, value in env.items() if name != "COLONIES_PRVKEY"}
    joining = [
        "execute",
        "--data",
        str(folder / "executor"),
        "--name",
        f"{folder.name}-{kind}",
        "--type",
        kind,
        "--shell",
    ]
    running.enter_context(background(joining, machine, "ready"))
    return env


def link(places: dict[str, dict[str, str]], lower: str, upper: str, port: int, folder: Path) -> None:
    """Link two nodes, as the people on both sides do it."""
    url = f"http://127.0.0.1:{port}"
    node(places[lower], "sync", "add", upper, "--url", url, "--as", lower, "--offload", "missing", "--record")
    nodeid = (folder / lower / "node.id").read_text().strip()
    node(places[upper], "executor", "add", "--name", lower, "--type", "node", "--executorid", nodeid, "--approve")
    node(places[lower], "sync", "now", upper, quiet=True)


def step(folder: Path, name: str, kind: str, after: list[str]) -> dict[str, object]:
    """A function spec that notes that it ran, takes its time and says what it got."""
    seconds = 4 if name == "train" else 0.2
    program = f'echo "$COLONIES_PROCESS_ID" >> "$0"/{name}; sleep {seconds}; echo {name} is done'
    return {
        "nodename": name,
        "funcname": "sh",
        "args": ["-c", program, str(folder / "ran")],
        "maxexectime": 60,
        "maxretries": 3,
        "conditions": {"executortype": kind, "dependencies": after},
    }


def status(env: dict[str, str]) -> dict[str, bool]:
    """How the link of a node is."""
    found: list[dict[str, bool]] = json.loads(node(env, "sync", "status", "--json", quiet=True))
    return found[0]


def told(env: dict[str, str]) -> bool:
    """Whether a node has told its upstream everything."""
    return not status(env)["waiting"]


def processes(env: dict[str, str]) -> list[dict[str, object]]:
    """All processes that a node has a record of."""
    states = ("waiting", "running", "successful", "failed", "cancelled")
    listed = [json.loads(node(env, "process", "ls", "--state", one, "--json", quiet=True)) for one in states]
    return [process for part in listed for process in part or []]


def member(env: dict[str, str], graph: str, name: str) -> dict[str, object]:
    """The process of a node of the workflow, as a node knows it."""
    for process in processes(env):
        spec = process["spec"]
        assert isinstance(spec, dict), "a process has a spec"
        if spec["nodename"] == name and graph in (process["processgraphid"], ""):
            return process
    return {"state": -1, "processid": ""}


def wait_for(env: dict[str, str], what: str, happened: object) -> None:
    """Look again and again until it has happened. Raises Wrong after PATIENCE_S."""
    assert callable(happened), "a question to ask"
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        if time.monotonic() > deadline:
            node(env, "sync", "status")
            raise Wrong(f"{what} did not come within {PATIENCE_S} seconds")
        time.sleep(0.1)


def show(places: dict[str, dict[str, str]], folder: Path, graph: str) -> None:
    """Print what each node knows of the workflow, and check that every part of it ran once. Raises Wrong."""
    ran = Counter({name: len((folder / "ran" / name).read_text().split()) for name, _, _ in STEPS})
    print((f"\n  {'step':12}{'ran':>4}  " + "".join(f"{name + ' says':36}" for name in reversed(PLACES))).rstrip())
    for name, _, _ in STEPS:
        line = f"  {name:12}{ran[name]:>4}  "
        for place in reversed(PLACES):
            process = member(places[place], graph if place == "drone" else "", name)
            if process["state"] != 2 or ran[name] != 1:
                raise Wrong(f"{name} ran {ran[name]} times and is {process['state']} on {place}")
            line += f"{'successful, by ' + where(process, place):36}"
        print(line.rstrip())
    print("  checked: each step ran once, and every node has it once")


def where(process: dict[str, object], place: str) -> str:
    """Who ran it, as the node says."""
    attributes = process["attributes"]
    assert isinstance(attributes, list), "a process has a list of attributes"
    noted = {attribute["key"]: attribute["value"] for attribute in attributes}
    return str(noted.get("sync.where", f"{place}-{PLACES[place]}"))
