"""Runs programs and sees to it that nothing of them outlives the executor. Standard library only.

The executor starts one supervisor and asks it over a socket for guardians, one for each program that runs at a time.
The supervisor forks them, which costs a thousandth of a second where an interpreter of its own would cost twenty, and
a guardian whose program has ended takes the next one.

A guardian is told on a socket of its own what to run: one line of JSON with `argv`, `env`, `folder`, `limits`,
`groups`, `name` and `cleanup`, and with it the descriptors of standard output, standard error and, for some, a
channel. Then single bytes follow: T asks the program's group to end (SIGTERM), K kills it. The end of the socket kills
it too: it comes when the executor is gone, whatever ended it. That is why this is a process of its own and not a
parent-death signal, which the kernel sends when the *thread* that started the child ends, and only to the child
itself.

What the program started and left behind comes to its guardian (it is a subreaper) and is killed when the program ends,
also what has left the program's group. Before that the command in `cleanup`, if there is one, is run to its end: it
removes what another program has started for us, such as a container. The answer, a line of JSON, holds one of `code`
(exit status), `signal` (number) and `fault` ([errno, text] of a program that did not start), `exceeded` with the name
of a limit for which it was ended, and `last` if this guardian takes no other program.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from colonies_node.device import fence
from colonies_node.device.fence import Fence

PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 4, 36  # linux/prctl.h
SWEEP_S = 5.0
"""How long killed processes may take to go; one in an uninterruptible system call can take for ever."""

CLEANUP_S = 30.0
"""How long a cleanup may take."""

MEASURE_S = 0.25
"""Time between two looks at what a program uses, where the kernel does not limit it."""

MAX_LINE: Final = 16 * 1024 * 1024
"""Bytes of what a guardian is told: far more than the kernel takes as arguments and environment."""

DESCRIPTORS: Final = 3
"""At most what a program gets: standard output, standard error and a channel to the executor."""

_QUIET = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Signals that end neither the supervisor nor a guardian: their end is the executor's business alone."""

_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Fork a guardian for each socket that comes, until the executor is gone."""
    line = socket.socket(fileno=int(sys.argv[1]))
    for number in _QUIET:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # guardians speak for themselves and need no reaping
    gc.disable()
    gc.freeze()
    while True:
        said, descriptors, _, _ = socket.recv_fds(line, 1, 1)
        if not said:
            return
        with socket.socket(fileno=descriptors[0]) as executor:
            try:
                guardian = os.fork()
            except OSError as fault:
                executor.sendall(_line({"fault": [fault.errno, fault.strerror], "last": True}))
                continue
            if guardian == 0:
                try:
                    line.close()
                    guard(executor)
                finally:
                    os._exit(0)


def guard(executor: socket.socket) -> None:
    """Run one program after another, until the executor is gone."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    for number in _QUIET:  # not ignored: a program would inherit that
        signal.signal(number, lambda *_: None)
    wake = _wake_on_child()
    fence.settle()
    while (told := _told(executor)) is not None:
        start, descriptors, control = told
        said = run(start, descriptors, executor, control, wake)
        try:
            executor.sendall(_line(said))
        except OSError:  # it is gone
            return
        if "last" in said:
            return


def run(
    start: dict[str, Any], descriptors: list[int], executor: socket.socket, control: bytes, wake: int
) -> dict[str, object]:
    """Start one program, stay with it and clear up after it; what there is to say of it."""
    limits: dict[str, int] = start["limits"]
    around = fence.put_up([Path(group) for group in start["groups"]], start["name"], limits)
    pid, fault = launch(start, descriptors, around, limits)
    for descriptor in descriptors:
        os.close(descriptor)
    said: dict[str, object]
    if fault:
        said = {"fault": fault}
    else:
        exceeded = watch(pid, executor, control, wake, around)
        if start["cleanup"]:
            clean_up(start["cleanup"], start["env"], wake)
        said = sweep(pid, wake)
        if exceeded := exceeded or around.killed_for():
            said["exceeded"] = exceeded
    around.remove()
    return said


def launch(
    start: dict[str, Any], descriptors: list[int], around: Fence, limits: dict[str, int]
) -> tuple[int, list[object]]:
    """Start the program in a session of its own: (its pid, [errno, text] of why it did not start or []).

    The guardian itself goes behind the fence and under the limits, and comes back: so the program is born there, and no
    Python runs between fork and exec, which lets the kernel spare the copy of this process.
    """
    out, err, *channel = descriptors
    with around.inside(), fence.under(limits):
        try:
            program = subprocess.Popen(
                [*start["argv"], *map(str, channel)],
                env=start["env"],
                cwd=start["folder"],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                pass_fds=channel,
                start_new_session=True,
            )
        except OSError as error:
            return 0, [error.errno, error.strerror]
        except ValueError as error:  # a NUL in an argument
            return 0, [0, str(error)]
    program.returncode = 0  # its end is our business: the object must not wait for it
    fence.bind(program.pid, limits)
    return program.pid, []


def watch(pid: int, executor: socket.socket, control: bytes, wake: int, around: Fence) -> str | None:
    """Wait until the program has ended, doing what the executor asks meanwhile; the limit for which it was killed.

    A group that was asked to end is left to do so, also after its leader has gone, until the executor says K.
    """
    poller = select.poll()
    poller.register(executor, select.POLLIN)
    poller.register(wake, select.POLLIN)
    interval = MEASURE_S * 1000 if around.needs_looks else None
    asked, exceeded = False, None
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
            return exceeded
        if not ended and exceeded is None and (exceeded := around.use_over()):
            _signal_group(pid, signal.SIGKILL)
            asked = False
        control = b""
        for ready, _ in poller.poll(interval):
            if ready == wake:
                os.read(wake, 4096)
            else:
                control = executor.recv(64) or b"K"
                if b"K" in control:
                    poller.unregister(executor)


def clean_up(argv: list[str], env: dict[str, str], wake: int) -> None:
    """Run a command until it succeeds, a few times at most, with nothing to read and nobody to hear it: what it speaks
    to may be starting anew."""
    deadline = time.monotonic() + CLEANUP_S
    for pause in (1.0, 2.0, 4.0, 0.0):
        if _run_once(argv, env, wake, deadline) or not pause or time.monotonic() + pause > deadline:
            return
        time.sleep(pause)


def _run_once(argv: list[str], env: dict[str, str], wake: int, deadline: float) -> bool:
    """Whether the command has succeeded, or can never be run; if it takes too long it is left for the sweep."""
    try:
        cleaner = subprocess.Popen(
            argv, env=env, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
    except OSError:
        return True
    cleaner.returncode = 0
    while not _has_ended(cleaner.pid):
        if (left := deadline - time.monotonic()) <= 0:
            return False
        if select.select([wake], [], [], left)[0]:
            os.read(wake, 4096)
    return os.waitstatus_to_exitcode(os.waitpid(cleaner.pid, 0)[1]) == 0


def sweep(pid: int, wake: int) -> dict[str, object]:
    """Kill all that the program left behind, then reap the program itself and say how it ended."""
    deadline = time.monotonic() + SWEEP_S
    _signal_group(pid, signal.SIGKILL)
    while (others := living_others(pid)) and time.monotonic() < deadline:
        for other in others:
            with contextlib.suppress(PermissionError):  # it has become another user's
                os.kill(other, signal.SIGKILL)
        if select.select([wake], [], [], 0.1)[0]:
            os.read(wake, 4096)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    said: dict[str, object] = {"code": code} if code >= 0 else {"signal": -code}
    if others:
        said["last"] = True  # what cannot be killed now must not be taken for the next program's
    return said


def living_others(pid: int) -> list[int]:
    """This process's children but for the program, after reaping the dead among them."""
    try:
        mine = fence.children(os.getpid())
    except OSError:  # a kernel without CONFIG_PROC_CHILDREN: then only the group is known
        return []
    return [child for child in mine if child != pid and os.waitpid(child, os.WNOHANG)[0] == 0]


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


def _told(executor: socket.socket) -> tuple[dict[str, Any], list[int], bytes] | None:
    """What to run, the descriptors for it, and what came after that; None if the executor is gone."""
    read, descriptors = b"", list[int]()
    while b"\n" not in read:
        chunk, more, _, _ = socket.recv_fds(executor, 65536, DESCRIPTORS)
        descriptors += more
        if not chunk or len(read) > MAX_LINE:
            return None
        read = (read + chunk).lstrip(b"TK")  # asked of the last program, when it had just ended
    line, _, rest = read.partition(b"\n")
    return json.loads(line), descriptors, rest


def _line(said: dict[str, object]) -> bytes:
    return json.dumps(said).encode() + b"\n"


def prctl(option: int, value: int) -> None:
    """Set an attribute of this process; OSError if the kernel says no."""
    zero = ctypes.c_ulong(0)
    if _libc.prctl(option, ctypes.c_ulong(value), zero, zero, zero):
        raise OSError(ctypes.get_errno(), "prctl failed")
