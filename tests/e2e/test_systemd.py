"""The units under a real systemd: a machine without a network boots, runs them, watches them, and boots again.

The machine is a container that shares this one's /usr and is started by systemd. It needs root, podman and systemd.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio

from tests.e2e.programs import PATIENCE_S, ROOT

SYSTEMD = "/lib/systemd/systemd"
NEEDED = (SYSTEMD, "/usr/bin/python3", "/usr/bin/podman", "/usr/bin/dbus-daemon", "/usr/share/dbus-1/system.conf")
MASKED = ("systemd-udevd", "systemd-sysctl", "systemd-modules-load", "console-getty", "getty@", "systemd-timesyncd")
"""What would reach through to the machine below, or is of no use."""

ETC = ("passwd", "group", "nsswitch.conf", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "login.defs")
FIRST = ("/bin/sh", "-c", f"mount --make-rshared / && exec {SYSTEMD}")
"""Outside of a container systemd shares the mounts itself: it hands a service copies of keys in mounts of their own."""

TLS = ROOT / "tests" / "http" / "tls"
PYTHON = "/usr/bin/python3"


def refusal() -> str:
    """Why there can be no such machine here; empty if there can."""
    if os.geteuid() != 0:
        return "a machine with its own systemd needs root"
    missing = [path for path in NEEDED if not os.path.exists(path)]
    if missing or not os.path.islink("/lib"):
        return f"a machine with its own systemd needs {', '.join(missing) or 'a merged /usr'}"
    fits = [PYTHON, "-c", "import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))"]
    if subprocess.run(fits, check=False).returncode:
        return f"the one file is not for the version of {PYTHON}"
    return ""


pytestmark = pytest.mark.skipif(bool(refusal()), reason=refusal())


async def podman(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    """How a podman command ended."""
    return await trio.run_process(["podman", *arguments], capture_stdout=True, capture_stderr=True, check=False)


@dataclass(frozen=True)
class Machine:
    """A container in which systemd is the first process."""

    name: str
    root: Path

    def make(self, pyz: Path) -> None:
        """Furnish its file system and create it. Skips the test where podman makes no such containers."""
        for folder in (
            "usr",
            "opt/python",
            "var/lib",
            "var/log/journal",
            "var/tmp",
            "tmp",
            "run",
            "proc",
            "sys",
            "dev",
        ):
            (self.root / folder).mkdir(parents=True)
        self.root.chmod(0o755)
        for link in (
            path for path in Path("/").iterdir() if path.is_symlink() and path.name[:3] in ("bin", "sbi", "lib")
        ):
            (self.root / link.name).symlink_to(os.readlink(link))
        units = self.root / "etc" / "systemd" / "system"
        units.mkdir(parents=True)
        for name in ETC:
            if Path("/etc", name).exists():
                subprocess.run(["cp", "-a", f"/etc/{name}", str(self.root / "etc")], check=True)
        (self.root / "etc" / "machine-id").touch()
        for name in MASKED:
            (units / f"{name}.service").symlink_to("/dev/null")
        shutil.copy(pyz, self.root / "opt" / "colonies-node.pyz")
        rights = ("--cap-add=ALL", "--security-opt=seccomp=unconfined", "--security-opt=unmask=ALL")
        limits = ("--ulimit=nofile=1024:1024", "--ulimit=nproc=4096:4096", "--network=none", "--systemd=always")
        runtime = ("--runtime=runc",) if shutil.which("runc") else ()
        command = ["podman", "create", "--name", self.name, *runtime, *rights, *limits, "-v=/usr:/usr:ro"]
        made = subprocess.run(
            [*command, "--rootfs", str(self.root), *FIRST], capture_output=True, text=True, check=False
        )
        if made.returncode:
            pytest.skip(f"podman makes no such machine here: {made.stderr.strip()}")

    async def boot(self) -> None:
        """Start it, and wait until it has started all that it should."""
        started = await podman("start", self.name)
        if started.returncode:
            pytest.skip(f"podman starts no such machine here: {started.stderr.decode().strip()}")
        await self.until("running", "systemctl", "is-system-running")

    async def run(self, *command: str, check: bool = True) -> str:
        """What a command on the machine prints."""
        with trio.fail_after(PATIENCE_S):
            done = await podman("exec", self.name, *command)
        if check and done.returncode:
            log = await podman("exec", self.name, "journalctl", "--no-pager", "-b", "-n", "40")
            raise AssertionError(f"{command}: {done.stderr.decode()}{done.stdout.decode()}\n{log.stdout.decode()}")
        return done.stdout.decode().strip()

    async def colonies_node(self, *arguments: str) -> str:
        """What a colonies-node command on the machine prints."""
        return await self.run(PYTHON, "/opt/colonies-node.pyz", *arguments)

    async def until(self, words: str, *command: str) -> str:
        """Repeat a command until it prints such words."""
        said = ""
        with trio.move_on_after(PATIENCE_S):
            while True:
                if words in (said := await self.run(*command, check=False)):
                    return said
                await trio.sleep(0.2)
        raise AssertionError(f"{command} never said {words!r} but: {said}")

    async def shown(self, service: str, *names: str) -> list[str]:
        """Properties of a service."""
        return [await self.run("systemctl", "show", "-P", name, service) for name in names]


@pytest.fixture
async def machine(pyz: Path, tmp_path: Path) -> AsyncIterator[Machine]:
    machine = Machine(f"colonies-node-test-{os.getpid()}", tmp_path / "root")
    try:
        machine.make(pyz)
        await machine.boot()
        yield machine
    finally:
        with trio.CancelScope(shield=True):
            await podman("rm", "--force", "--time", "0", machine.name)


async def test_services_start_with_a_machine_that_has_no_network(machine: Machine) -> None:
    for name in ("cert.pem", "key.pem"):
        shutil.copy(TLS / name, machine.root / "etc" / name)
        (machine.root / "etc" / name).chmod(0o600)
    tls = ("--tls-cert", "/etc/cert.pem", "--tls-key", "/etc/key.pem")
    await machine.colonies_node("install-service", "serve", "--", *tls)
    words = 'a "b" $c %n \\ ;'
    flags = ("--colony", "lab", "--shell", "--host", "server.example", "--location", words)
    await machine.colonies_node("install-service", "execute", "--", *flags)
    assert (await machine.shown("colonies-node", "ActiveState", "StatusText")) == [
        "active",
        "listening on https://127.0.0.1:50080",
    ]
    await machine.until("No link to the server", "systemctl", "show", "-P", "StatusText", "colonies-executor")
    (pid,) = await machine.shown("colonies-executor", "MainPID")
    assert f"--location={words}" in (await machine.run("cat", f"/proc/{pid}/cmdline")).split("\0")

    await machine.run("systemctl", "stop", "colonies-executor")
    assert await machine.shown("colonies-executor", "Result", "ExecMainStatus") == ["success", "0"]
    assert (await podman("stop", "--time", "20", machine.name)).returncode == 0
    await machine.boot()
    assert await machine.shown("colonies-node", "ActiveState") == ["active"]
    assert await machine.shown("colonies-executor", "ActiveState") == ["active"]

    for command in ("serve", "execute"):
        assert "Stopped, and removed" in await machine.colonies_node("install-service", command, "--remove")
    assert "colonies" not in await machine.run("systemctl", "list-units", "--all", "--no-legend")
    assert "server.key" in await machine.run("ls", "/var/lib/colonies-node/")


async def test_a_hardened_server_has_no_rights_and_one_that_hangs_is_started_again(machine: Machine) -> None:
    await machine.colonies_node("install-service", "serve", "--no-enable", "--", "--port", "443")
    await machine.run("mkdir", "/etc/systemd/system/colonies-node.service.d")
    dropped = machine.root / "etc" / "systemd" / "system" / "colonies-node.service.d" / "test.conf"
    dropped.write_text("[Service]\nWatchdogSec=2\nRestartSec=0\n")
    await machine.colonies_node("install-service", "serve", "--", "--port", "443")
    (pid,) = await machine.shown("colonies-node", "MainPID")
    status = dict(line.split(":\t") for line in (await machine.run("cat", f"/proc/{pid}/status")).splitlines())
    assert status["CapEff"] == status["CapBnd"] == f"{1 << 10:016x}"  # CAP_NET_BIND_SERVICE
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert "0" not in status["Uid"].split()

    await machine.run("kill", "-STOP", pid)
    await machine.until("1", "systemctl", "show", "-P", "NRestarts", "colonies-node")
    assert "Fatal Python error: Aborted" in await machine.run("journalctl", "--no-pager", "-u", "colonies-node")
    await machine.until("listening on", "systemctl", "show", "-P", "StatusText", "colonies-node")


async def test_a_key_that_only_root_may_read_reaches_the_executor_and_its_programs_meet_no_manager(
    machine: Machine,
) -> None:
    await machine.colonies_node("install-service", "serve")
    for key in ("lab", "user"):
        await machine.colonies_node("key", "generate", "--out", f"/etc/{key}.key")
    owner, lab = ("--server-prvkey", "/var/lib/private/colonies-node/server.key"), ("--colony", "lab")
    theirs, ours = ("--colony-prvkey", "/etc/lab.key"), ("--prvkey", "/etc/user.key")
    ids = [await machine.colonies_node("key", "id", f"/etc/{key}.key") for key in ("lab", "user")]
    await machine.colonies_node("colony", "add", "--name", "lab", "--colonyid", ids[0], *owner)
    await machine.colonies_node("user", "add", "u", "--userid", ids[1], *lab, *theirs)
    await machine.colonies_node("install-service", "execute", "--", *lab, "--shell", *theirs)
    await machine.until("ready: executor", "systemctl", "show", "-P", "StatusText", "colonies-executor")
    asked = ("function", "exec", *lab, *ours, "--targettype", "cli", "--wait", "--out", "--func")
    seen = await machine.colonies_node(*asked, "env")
    assert "COLONIES_PROCESS_ID" in seen
    assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC", "CREDENTIALS_DIRECTORY"} & {
        line.split("=")[0] for line in seen.split()
    }
