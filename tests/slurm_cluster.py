"""A real Slurm of one node on this machine, for tests."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MUNGE = Path("/run/munge/munge.socket.2")
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "munged", "munge")

CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_interval=1
KillWait=2
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=4000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=60 State=UP OverSubscribe=FORCE:8
"""
# OverSubscribe: eight jobs on each core, so that one that stays does not keep the next test waiting.


def missing() -> str:
    """Why there can be no Slurm here; empty if there can."""
    if os.geteuid():
        return "Slurm's daemons are started by root"
    lacking = [program for program in PROGRAMS if not shutil.which(program, path=_path())]
    return f"this machine has no {', '.join(lacking)}" if lacking else ""


class Cluster:
    """The daemons, and the variable by which its programs find them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.conf = folder, folder / "slurm.conf"
        self.env = {**os.environ, "SLURM_CONF": str(self.conf), "PATH": _path()}

    def run(self, *argv: str) -> str:
        """What one of the programs answers."""
        done = subprocess.run(argv, env=self.env, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout + done.stderr

    def jobs(self, processid: str) -> list[str]:
        """The states of all jobs of a process that the controller remembers."""
        listed = self.run("squeue", "-h", "-t", "all", "-o", "%T %j").splitlines()
        return [line.split()[0] for line in listed if processid in line]

    def start_controller(self) -> None:
        """Start the controller, and wait until it answers."""
        self._daemon("slurmctld")
        self._until("scontrol", "ping", says="is UP")

    def stop_controller(self) -> None:
        """End the controller and wait until it has."""
        self._end(self.folder / "slurmctld.pid")

    def start(self) -> None:
        """Start all of it."""
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        host = socket.gethostname().split(".")[0]
        self.conf.write_text(CONF.format(host=host, ports=_free_ports(), folder=self.folder))
        if "STATUS:           Success" not in self.run("sh", "-c", "munge -n | unmunge"):
            self._start_munge()
        self.start_controller()
        self._daemon("slurmd", "-N", host)
        self._until("sinfo", "-h", "-o", "%T", says="idle")

    def stop(self) -> None:
        """Cancel all jobs and end the daemons."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.run("scancel", "--user=root")
            self._until("squeue", "-h", "-o", "[%T]", without="[", patience=10)
        for name in ("slurmd", "slurmctld", "munged"):
            self._end(self.folder / f"{name}.pid")

    def _start_munge(self) -> None:
        MUNGE.parent.mkdir(mode=0o755, exist_ok=True)
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        names = {"key": key, "socket": MUNGE, "pid": self.folder / "munged.pid", "seed": self.folder / "seed"}
        files = [f"--{name}-file={path}" for name, path in names.items() if name != "socket"]
        self._daemon("munged", "--force", *files, f"--socket={MUNGE}", f"--log-file={self.folder / 'munged.log'}")

    def _daemon(self, *argv: str) -> None:
        """Start a daemon, which goes into the background by itself."""
        with (self.folder / "said").open("ab") as said:
            subprocess.run(argv, env=self.env, stdout=said, stderr=said, timeout=60, check=True)

    def _until(self, *argv: str, says: str = "", without: str = "\0", patience: float = 30) -> None:
        until = time.monotonic() + patience
        while says not in (answer := self.run(*argv)) or without in answer:
            assert time.monotonic() < until, f"{argv} answers {answer!r}"
            time.sleep(0.1)

    def _end(self, pidfile: Path) -> None:
        try:
            handle = os.pidfd_open(int(pidfile.read_text()))
        except (OSError, ValueError):
            return
        try:
            for number, patience in ((signal.SIGTERM, 10), (signal.SIGKILL, 5)):
                signal.pidfd_send_signal(handle, number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    _ended(handle, patience)
                    break
        except ProcessLookupError:
            pass
        finally:
            os.close(handle)
            pidfile.unlink(missing_ok=True)


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A cluster that is there for the block. Only one at a time on a machine: munge has one place for its socket."""
    with open(Path(tempfile.gettempdir()) / "colonies-node-slurm.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = Path(tempfile.mkdtemp(prefix="colonies-slurm-"))
        made = Cluster(folder)
        try:
            made.start()
            yield made
        finally:
            made.stop()
            shutil.rmtree(folder, ignore_errors=True)


def _ended(handle: int, patience: float) -> None:
    import select

    if not select.select([handle], [], [], patience)[0]:
        raise subprocess.TimeoutExpired("daemon", patience)


def _free_ports() -> list[int]:
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        return [one.getsockname()[1], two.getsockname()[1]]


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
