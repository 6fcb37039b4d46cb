"""Control groups and limits around one program, as the supervisor puts them up. Standard library only.

A fence is one group per control hierarchy that this machine lets us use: one on a machine with cgroup v2 where a part
of the tree was handed to us (systemd: Delegate=yes), those of `pids` and `memory` on one with v1, none on many others.
Where the kernel does not count, the supervisor does (`use_of`), which notices a greedy program a moment late.

Groups have the prefix of their executor in their names, so that a later life of it finds what an earlier one left.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

OOM_SCORE = 500
"""When memory runs out the kernel ends a program before the executor, which has 0, and before most of the system."""

REMOVAL_S = 5.0
"""How long the processes of a group may take to go once they are killed."""

_LIMITS = {"memory": ("memory.max", "memory.limit_in_bytes"), "processes": ("pids.max", "pids.max")}
"""Limit → its file in cgroup v2 and in v1."""

_SWAP_TOO = {"memory.max": ("memory.swap.max", 0), "memory.limit_in_bytes": ("memory.memsw.limit_in_bytes", None)}
"""What keeps a program at its limit of memory from going on in the swap; None means the limit itself."""


# -- where groups may be made ---------------------------------------------------------------------------------------


def hierarchies(root: Path = Path("/"), pid: int | None = None) -> list[Path]:
    """The groups below which this process may make groups for programs; empty if there are none.

    With cgroup v2 the process moves into a leaf of its own first: a group that hands out controllers has no members.
    """
    own = _own_groups(root / f"proc/{pid or 'self'}/cgroup")
    mounted = root / "sys/fs/cgroup"
    found = [_v1(mounted, name, own) for name in ("pids", "memory")]
    if v1 := [group for group in found if group is not None]:
        return v1
    v2 = _v2(mounted, own.get(""), pid or os.getpid())
    return [v2] if v2 is not None else []


def _own_groups(file: Path) -> dict[str, str]:
    """Controller → the group of this process; that of v2 has the name ""."""
    own: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for line in file.read_text().splitlines():
            _, separated, rest = line.partition(":")
            controllers, also_separated, group = rest.partition(":")
            if separated and also_separated:
                own.update(dict.fromkeys(controllers.split(","), group))
    return own


def _v1(mounted: Path, controller: str, own: Mapping[str, str]) -> Path | None:
    group = mounted / controller / own.get(controller, "").lstrip("/")
    return group if controller in own and os.access(group, os.W_OK) else None


def _v2(mounted: Path, own: str | None, pid: int) -> Path | None:
    group = mounted / (own or "").lstrip("/")
    if own in (None, "/") or not os.access(group / "cgroup.procs", os.W_OK):
        return None
    try:
        if [int(word) for word in (group / "cgroup.procs").read_text().split()] != [pid]:
            return None  # others live here: the group was not made for us alone
        leaf = group / "executor"
        leaf.mkdir(exist_ok=True)
        (leaf / "cgroup.procs").write_text(str(pid))
    except (OSError, ValueError):
        return None
    for controller in ("pids", "memory", "cpu"):
        with contextlib.suppress(OSError):  # one that this machine lacks, such as memory on a Raspberry Pi
            (group / "cgroup.subtree_control").write_text(f"+{controller}")
    return group


def sweep(parents: Iterable[Path], prefix: str) -> None:
    """End what an earlier life left in groups of this prefix, and remove them."""
    for parent in parents:
        for group in sorted(parent.glob(f"{prefix}*")):
            _empty(group)


# -- one fence ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fence:
    """The groups of one program, and what the kernel does not limit there: names of limits that have to be watched."""

    groups: Sequence[Path]
    watched: Mapping[str, int]

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Be behind the fence for a while: what is started meanwhile stays there."""
        home = [_home(group) for group in self.groups]
        for group in self.groups:
            _move_to(group)
        try:
            yield
        finally:
            for group in home:
                _move_to(group)

    @property
    def needs_looks(self) -> bool:
        """Whether `use_over` has to be asked now and then while the program runs."""
        return bool(self.watched) or any((group / "memory.oom_control").exists() for group in self.groups)

    def use_over(self) -> str | None:
        """The name of a limit that all below this process exceed; looks only at what has to be watched.

        With v1 the kernel ends one process of several, and the others may wait for it for ever.
        """
        if killed := self.killed_for():
            return killed
        if not self.watched:
            return None
        pids = list(descendants(os.getpid()))
        if len(pids) > self.watched.get("processes", len(pids)):
            return "processes"
        limit = self.watched.get("memory")
        return "memory" if limit is not None and sum(map(memory_of, pids)) > limit else None

    def killed_for(self) -> str | None:
        """The limit for which the kernel has ended a process behind the fence."""
        return "memory" if any(_oom_kills(group) for group in self.groups) else None

    def remove(self) -> None:
        """Kill what is still behind the fence and take it down."""
        for group in self.groups:
            _empty(group)


def put_up(parents: Iterable[Path], name: str, limits: Mapping[str, int]) -> Fence:
    """A fence with these limits (bytes of memory, number of processes); a group that cannot be made is done without."""
    groups, watched = [], {name: limit for name, limit in limits.items() if name in _LIMITS and limit > 0}
    for parent in parents:
        group = parent / name
        try:
            group.mkdir()
        except OSError:
            continue
        groups.append(group)
        for kind in list(watched):
            if any(_limit(group / file, watched[kind]) for file in _LIMITS[kind]):
                del watched[kind]
        with contextlib.suppress(OSError):
            if (group / "memory.oom.group").exists():
                (group / "memory.oom.group").write_text("1")  # end them all, not one of several that belong together
    return Fence(groups, watched)


def _limit(file: Path, limit: int) -> bool:
    if not file.exists():
        return False
    try:
        file.write_text(str(limit))
    except OSError:
        return False
    if swap := _SWAP_TOO.get(file.name):
        with contextlib.suppress(OSError):  # no swap, or it is not counted
            (file.parent / swap[0]).write_text(str(limit if swap[1] is None else swap[1]))
    return True


def _oom_kills(group: Path) -> int:
    for file in ("memory.events", "memory.oom_control"):
        with contextlib.suppress(OSError, ValueError):
            for line in (group / file).read_text().splitlines():
                name, _, count = line.partition(" ")
                if name == "oom_kill":
                    return int(count)
    return 0


def _empty(group: Path) -> None:
    """Kill all members of a group until there are none, and remove it."""
    deadline = time.monotonic() + REMOVAL_S
    while True:
        try:
            members = (group / "cgroup.procs").read_text().split()
        except OSError:
            return
        if str(os.getpid()) in members:  # we could not leave: better a group too many than our own end
            return
        if not members:
            break
        try:
            (group / "cgroup.kill").write_text("1")
        except OSError:  # a kernel before 5.14, or v1
            for member in members:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(int(member), signal.SIGKILL)
        if time.monotonic() > deadline:
            return
        time.sleep(0.005)
    with contextlib.suppress(OSError):
        group.rmdir()


def _home(group: Path) -> Path:
    """Where this process lives in the hierarchy of a fence: beside it with v1, in the leaf of the executor with v2."""
    leaf = group.parent / "executor"
    return leaf if leaf.is_dir() else group.parent


def _move_to(group: Path) -> None:
    with contextlib.suppress(OSError):
        (group / "cgroup.procs").write_text("0")


# -- what the kernel limits by itself, and what it tells ------------------------------------------------------------


def settle() -> None:
    """Make this process one whose programs the kernel ends first when memory runs out, without core files."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE))
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, most))


@contextmanager
def under(limits: Mapping[str, int]) -> Iterator[None]:
    """Have a limit of open files for a while, which what is started meanwhile keeps."""
    # Not the processor time: this process may have used more than that itself, which would end it.
    chosen = {which: limit for which, limit in _chosen(limits).items() if which != resource.RLIMIT_CPU}
    before = {which: resource.getrlimit(which) for which in chosen}
    for which, limit in chosen.items():
        resource.setrlimit(which, (_at_most(limit, before[which][1]), before[which][1]))
    try:
        yield
    finally:
        for which, pair in before.items():
            resource.setrlimit(which, pair)


def bind(pid: int, limits: Mapping[str, int]) -> None:
    """Take from a program the right to raise its limits again."""
    for which, limit in _chosen(limits).items():
        with contextlib.suppress(OSError, ValueError):  # it has ended
            _, most = resource.prlimit(pid, which)
            limit = _at_most(limit, most)
            # A little later than the warning, which ends it with a signal that names the cause.
            hard = _at_most(limit + 5, most) if which == resource.RLIMIT_CPU else limit
            resource.prlimit(pid, which, (limit, hard))


def _chosen(limits: Mapping[str, int]) -> dict[int, int]:
    kinds = {"files": resource.RLIMIT_NOFILE, "cpu": resource.RLIMIT_CPU}
    return {kinds[name]: limit for name, limit in limits.items() if name in kinds and limit > 0}


def _at_most(limit: int, most: int) -> int:
    return limit if most == resource.RLIM_INFINITY else min(limit, most)


def descendants(pid: int) -> Iterator[int]:
    """All that a process has started, and what they have."""
    parents = [pid]
    while parents:
        parent = parents.pop()
        with contextlib.suppress(OSError, ValueError):  # it has ended
            for thread in os.listdir(f"/proc/{parent}/task"):
                found = children(parent, thread)
                parents += found
                yield from found


def children(pid: int, thread: int | str | None = None) -> list[int]:
    """The processes that a thread of a process has started; OSError if the kernel does not tell."""
    with open(f"/proc/{pid}/task/{thread or pid}/children") as listing:
        return [int(word) for word in listing.read().split()]


def memory_of(pid: int) -> int:
    """Bytes of memory that the process has for itself; 0 if it has ended."""
    with contextlib.suppress(OSError, ValueError, IndexError), open(f"/proc/{pid}/statm") as file:
        words = file.read().split()
        return (int(words[1]) - int(words[2])) * os.sysconf("SC_PAGE_SIZE")
    return 0
