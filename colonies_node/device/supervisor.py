"""Runs one program and sees to it that nothing of it outlives the executor. A script: standard library only.

The executor starts it as `python supervisor.py REPORT_FD` and writes one line of JSON to its standard input:
`argv`, `env`, `folder`. Then single bytes follow: T asks the program's group to end (SIGTERM), K kills it.
The end of the input kills it too: it comes when the executor is gone, whatever ended it. That is why this is
a process of its own and not a parent-death signal, which the kernel sends when the *thread* that started the
child ends, and only to the child itself.

What the program started and left behind comes to this process (it is a subreaper) and is killed when the
program ends, also what has left the program's group. The report, JSON on REPORT_FD, is one of `{"code": exit
status}`, `{"signal": number}` and `{"fault": [errno, text]}` for a program that did not start.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import sys
import time
from typing import Any

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 1, 4, 36  # linux/prctl.h
SWEEP_S = 5.0
"""How long killed processes may take to go; one in an uninterruptible system call can take for ever."""


def main() -> None:
    report = int(sys.argv[1])
    os.set_inheritable(report, False)
    line, control = _read_line()
    if line is None:
        return
    start = json.loads(line)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    wake = _wake_on_child()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # its end is the executor's business alone
    pid, fault = launch(start)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    if fault:
        os.waitpid(pid, 0)
        said: dict[str, object] = {"fault": fault}
    else:
        watch(pid, control, wake)
        said = sweep(pid, wake)
    os.write(report, json.dumps(said).encode())


def launch(start: dict[str, Any]) -> tuple[int, list[object]]:
    """Start the program in a session of its own: (its pid, [errno, text] of why it did not start or [])."""
    supervisor = os.getpid()
    fault_read, fault_write = os.pipe()  # both ends close at exec, so silence means success
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != supervisor:
                os._exit(127)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ):
                signal.signal(number, signal.SIG_DFL)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.chdir(start["folder"])
            os.execvpe(start["argv"][0], start["argv"], start["env"])
        except OSError as error:
            os.write(fault_write, json.dumps([error.errno, error.strerror]).encode())
        except BaseException as error:
            os.write(fault_write, json.dumps([0, str(error)]).encode())
        finally:
            os._exit(127)
    os.close(fault_write)
    with open(fault_read, "rb") as pipe:
        said = pipe.read()
    return pid, json.loads(said) if said else []


def watch(pid: int, control: bytes, wake: int) -> None:
    """Wait until the program has ended, doing what the executor asks meanwhile.

    A group that was asked to end is left to do so, also after its leader has gone, until the executor says K.
    """
    poller = select.poll()
    poller.register(0, select.POLLIN)
    poller.register(wake, select.POLLIN)
    asked = False
    while True:
        if b"K" in control:
            _signal_group(pid, signal.SIGKILL)
            asked = False
        elif b"T" in control:
            _signal_group(pid, signal.SIGTERM)
            asked = True
        # In this order: when the program ends, what it leaves behind becomes ours in the same instant.
        ended = _has_ended(pid)
        others = living_others(pid)
        if ended and not (asked and others):
            return
        control = b""
        for ready, _ in poller.poll():
            if ready == wake:
                os.read(wake, 4096)
            else:
                control = os.read(0, 64) or b"K"
                if b"K" in control:
                    poller.unregister(0)


def sweep(pid: int, wake: int) -> dict[str, object]:
    """Kill all that the program left behind, then reap the program itself and say how it ended."""
    deadline = time.monotonic() + SWEEP_S
    _signal_group(pid, signal.SIGKILL)
    while (others := living_others(pid)) and time.monotonic() < deadline:
        for other in others:
            os.kill(other, signal.SIGKILL)
        if select.select([wake], [], [], 0.1)[0]:
            os.read(wake, 4096)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    return {"code": code} if code >= 0 else {"signal": -code}


def living_others(pid: int) -> list[int]:
    """This process's children but for the program, after reaping the dead among them."""
    me = os.getpid()
    try:
        with open(f"/proc/{me}/task/{me}/children") as listing:
            children = [int(word) for word in listing.read().split()]
    except OSError:  # a kernel without CONFIG_PROC_CHILDREN: then only the group is known
        return []
    return [child for child in children if child != pid and os.waitpid(child, os.WNOHANG)[0] == 0]


def _has_ended(pid: int) -> bool:
    """Whether the program has ended; it stays unreaped, so that its number and its group's cannot be used
    again.
    """
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _signal_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        pass  # all of it has ended
    except PermissionError:
        pass  # what is left of it runs as another user


def _wake_on_child() -> int:
    """A descriptor that becomes readable when a child ends."""
    wake, signalled = os.pipe()
    os.set_blocking(signalled, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(signalled, warn_on_full_buffer=False)
    return wake


def _read_line() -> tuple[bytes | None, bytes]:
    """The first line of standard input, and what came with it; (None, b"") if the input ended before."""
    read = b""
    while b"\n" not in read:
        chunk = os.read(0, 65536)
        if not chunk:
            return None, b""
        read += chunk
    line, _, rest = read.partition(b"\n")
    return line, rest


def prctl(option: int, value: int) -> None:
    """Set an attribute of this process; OSError if the kernel says no."""
    libc = ctypes.CDLL(None, use_errno=True)
    zero = ctypes.c_ulong(0)
    if libc.prctl(option, ctypes.c_ulong(value), zero, zero, zero):
        raise OSError(ctypes.get_errno(), "prctl failed")


if __name__ == "__main__":
    main()
