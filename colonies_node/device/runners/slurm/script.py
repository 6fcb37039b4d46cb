"""What Slurm is given for a process: options for sbatch from its conditions, and the scripts. No I/O.

Slurm gets and keeps a script that does no more than run another one; that lies in the folder of the process, and is
gone when the folder is. So a job that starts late, when nobody waits for it any more, does nothing, and private values
in the environment of a function spec reach neither Slurm nor a list of processes.

    <folder>/slurm/submit           what sbatch gets
                   job-<mark>       what that runs: does the work once, and notes how it ended
                   program-<mark>   what each task runs
                   claim/job        the number of the job that does the work: the first that makes `claim`
                   out, err         what the program writes
                   exit             its exit status and the sizes of both, once it has ended

The options are arguments of sbatch and not `#SBATCH` lines: no second reader with quoting of its own comes between, and
no SBATCH_ variable wins over them.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from colonies_node.core.errors import BadRequest
from colonies_node.core.model.quantities import memory_bytes, millicores
from colonies_node.device.runners import Errand, NotRun
from colonies_node.device.runners.commandline import ENVIRONMENT, asks_for, command_line, image_of

MOST_NODES: Final = 100_000
MOST_TASKS: Final = 1_000_000
LONGEST_S: Final = 366 * 86_400
"""Larger numbers are slips: the largest machines have a tenth of these nodes and tasks."""

SUBMIT: Final = "submit"

CONTAINERS: Final = ("apptainer", "singularity", "podman", "ch-run")
"""What may run an image inside a job."""

_READONLY: Final = frozenset(("BASHOPTS", "BASH_VERSINFO", "EUID", "PPID", "SHELLOPTS", "UID"))
_ENTRY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


@dataclass(frozen=True)
class Site:
    """What the settings say of this cluster."""

    partition: str = ""
    account: str = ""
    options: Sequence[str] = ()
    """More options for sbatch."""
    modules: Sequence[str] = ()
    gres: bool = True
    """Whether GPUs are asked for as `--gres=gpu:N`, else as `--gpus-per-node=N`."""
    container: str = ""
    """What runs images: one of CONTAINERS; empty if there is none."""


@dataclass(frozen=True)
class Wish:
    """What the conditions of a function spec ask for; 0 is nothing said."""

    nodes: int = 1
    tasks: int = 0
    """Per node."""
    total: int = 0
    """Tasks of all nodes, where these do not have a number each."""
    cores: int = 0
    mem: int = 0
    """MiB per node."""
    gpus: int = 0
    seconds: int = 0

    @property
    def many(self) -> bool:
        """Whether it takes srun to start all of it."""
        return self.nodes * max(self.tasks, 1) > 1 or self.total > 1


@dataclass(frozen=True)
class Plan:
    """What is to be submitted: the name of the job, options for sbatch, and files for the folder.

    `again` says that an earlier life of the executor has planned it, and may have submitted it.
    """

    errand: Errand = field(repr=False)
    name: str
    options: Sequence[str]
    files: Mapping[str, str] = field(repr=False, default_factory=dict)
    again: bool = False

    @property
    def folder(self) -> Path:
        """Where all of this lies."""
        return self.errand.folder / "slurm"


def wish(spec: Mapping[str, Any]) -> Wish:
    """Read the conditions. Raises NotRun for what means nothing: a job with another size is not what was asked for."""
    conditions = spec.get("conditions") or {}
    nodes = _number(conditions, "nodes", MOST_NODES) or 1
    tasks = _number(conditions, "processespernode", MOST_TASKS)
    total = 0 if tasks else _number(conditions, "processes", MOST_TASKS)
    if 0 < total < nodes:
        raise NotRun(f"The conditions ask for {total} process(es) on {nodes} nodes.")
    walltime, most = _number(conditions, "walltime", LONGEST_S), spec.get("maxexectime")
    limits = [walltime, most if isinstance(most, int) and not isinstance(most, bool) else 0]
    seconds = [limit for limit in limits if 0 < limit <= LONGEST_S]
    return Wish(
        nodes=nodes,
        tasks=tasks,
        total=total,
        cores=-(-_amount(millicores, conditions, "cpu") // 1000),
        mem=-(-_amount(memory_bytes, conditions, "mem") // (1 << 20)),
        gpus=_number(conditions.get("gpu") or {}, "count", MOST_TASKS, "gpu.count"),
        seconds=min(seconds, default=0),
    )


def plan(errand: Errand, site: Site, mark: str) -> Plan:
    """What is to be submitted for a process. Raises NotRun with a sentence."""
    asked, folder = wish(errand.spec), errand.folder / "slurm"
    name = f"colonies-{errand.processid}-{mark}"
    if re.search(r"[\n\\%]", str(folder)):
        raise NotRun("Slurm cannot take a data folder whose path has a line end, a backslash or a percent sign in it.")
    options = [*defaults(site), *size(asked, gres=site.gres), *own(name, folder, errand.files)]
    files = {
        SUBMIT: submission(folder / f"job-{mark}", login=bool(site.modules)),
        f"job-{mark}": job(errand, site, asked, folder / f"program-{mark}"),
        f"program-{mark}": program(errand, site),
    }
    return Plan(errand, name, options, files)


def defaults(site: Site) -> list[str]:
    """What the settings say. A job gets the environment that the executor's programs have, in which nothing is secret:
    without it Slurm would have to make a login on the node first, which can take longer than the job.
    """
    found = ["--export=ALL"]
    if site.partition:
        found.append(f"--partition={site.partition}")
    if site.account:
        found.append(f"--account={site.account}")
    return [*found, *site.options]


def size(asked: Wish, *, gres: bool) -> list[str]:
    """How large a job is, and how long it may take."""
    minutes, seconds = divmod(asked.seconds, 60)
    values = {
        "--nodes": asked.nodes,
        "--ntasks-per-node": asked.tasks,
        "--ntasks": asked.total,
        "--cpus-per-task": asked.cores,
        "--mem": f"{asked.mem}M" if asked.mem else 0,
        "--gres" if gres else "--gpus-per-node": (f"gpu:{asked.gpus}" if gres else asked.gpus) if asked.gpus else 0,
        "--time": f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}" if asked.seconds else 0,
    }
    return [f"{option}={value}" for option, value in values.items() if value]


def own(name: str, folder: Path, files: Path) -> list[str]:
    """What we rely on; last, so that nothing else can say otherwise. Requeued, a job would do its work twice."""
    return [
        f"--job-name={name}",
        f"--chdir={files}",
        f"--output={folder / 'out'}",
        f"--error={folder / 'err'}",
        "--input=/dev/null",
        "--open-mode=append",
        "--no-requeue",
    ]


def submission(job: Path, *, login: bool) -> str:
    """The script for sbatch. bash stays, with a trap, so that it does not end before what it has started."""
    return f"#!/bin/bash{' -l' if login else ''}\ntrap : TERM INT\n/bin/bash -- {shlex.quote(str(job))}\n"


def job(errand: Errand, site: Site, asked: Wish, program: Path) -> str:
    """The script that sees to it that the work is done once, and notes how it ended."""
    modules = f"module load {shlex.join(site.modules)} || exit 1" if site.modules else ":"
    cores = f"export SRUN_CPUS_PER_TASK={asked.cores}" if asked.cores else ":"  # srun does not take sbatch's word
    return f"""\
# Process {errand.processid} of a colony. Written by colonies-node.
trap : TERM INT
cd -- {shlex.quote(str(program.parent))} || exit 1
if ! mkdir claim; then
    [ -d claim ] && echo "Another job does the work of this process already." >&2
    exit 1
fi
echo "$SLURM_JOB_ID" >claim/new && mv claim/new claim/job || exit 1
(
cd -- {shlex.quote(str(errand.files))} || exit 1
for name in $(compgen -e); do
    case $name in COLONIES_* | AWS_S3_* | EXECUTOR_*) unset "$name" ;; esac
done
export SLURM_EXPORT_ENV=ALL
export USER="${{USER:-$(id -un)}}" LOGNAME="${{LOGNAME:-$(id -un)}}" HOME="${{HOME:-$(cd ~ && pwd)}}"
{cores}
{modules}
exec {"srun " if asked.many else ""}/bin/bash -- {shlex.quote(str(program))}
)
status=$?
sync out err 2>/dev/null
sizes=$(stat -c %s out err 2>/dev/null)
echo $status $sizes >exit.new && mv exit.new exit
exit $status
"""


def program(errand: Errand, site: Site) -> str:
    """The script of each task: its environment, which only the command line gets to see, and the command line."""
    identity = {name: value for name, value in errand.env.items() if name.startswith("COLONIES_")}
    environment = {**ENVIRONMENT, **errand.wishes, **identity}
    for name in environment:
        if not _ENTRY.fullmatch(name) or name in _READONLY:
            raise NotRun(f"A batch script cannot set the variable {name!r} that the env of the function spec asks for.")
    first, *words = command(errand, site, list(environment))
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(environment.items()))
    missing = f"There is no {first} on this node."
    found = f"program=$(command -v {first}) || {{ echo {shlex.quote(missing)} >&2; exit 127; }}\n"
    # Without PWD: a shell in a container would take the folder's name outside for that inside.
    return f'{found}unset PWD OLDPWD\n{exports}exec "$program" {shlex.join(words)}\n'


def command(errand: Errand, site: Site, names: Sequence[str]) -> list[str]:
    """What runs the command line: a shell, inside a container if an image is asked for."""
    line, image = command_line(errand.spec, errand.processid), image_of(errand.spec)
    if image is None:
        return ["/bin/bash", "-c", line]
    inside = ["sh", "-c", line]
    mount = mount_of(errand.spec)
    bind, gpus = f"{errand.files}:{mount}", _number(_gpu(errand.spec), "count", MOST_TASKS, "gpu.count")
    if ":" in str(errand.files) or "," in str(errand.files):
        raise NotRun("A data folder with a colon or a comma in its path cannot be laid into a container.")
    match site.container:
        case "apptainer" | "singularity":
            where = image if "://" in image or image.startswith("/") or image.endswith(".sif") else f"docker://{image}"
            force = ["--disable-cache"] if asks_for(errand.spec, "rebuild-image") else []
            nvidia = ["--nv"] if gpus else []
            return [site.container, "exec", *force, *nvidia, "--bind", bind, "--pwd", mount, where, *inside]
        case "podman":
            passed = [word for name in names for word in ("--env", name)]
            pull = ["--pull=always"] if asks_for(errand.spec, "rebuild-image") else []
            nvidia = ["--device", "nvidia.com/gpu=all"] if gpus else []
            network = ["--network=host"]
            options = [*pull, *nvidia, *network, *passed, "--volume", bind, "--workdir", mount]
            return ["podman", "run", "--rm", *options, image, *inside]
        case "ch-run":
            return ["ch-run", "--bind", bind, "--cd", mount, image, "--", *inside]
        case _:
            raise NotRun(
                f"The process asks for the image {image}, and this executor knows no program to run it with: "
                f"--slurm-container takes one of {', '.join(CONTAINERS)}."
            )


def mount_of(spec: Mapping[str, Any]) -> str:
    """Where the files of the process are seen inside a container. Raises NotRun for what is no such place."""
    mount = (spec.get("fs") or {}).get("mount") or "/cfs"
    if not isinstance(mount, str) or not re.fullmatch(r"/[\w./@+-]{1,255}", mount) or ".." in mount.split("/"):
        raise NotRun("The mount of the function spec's fs is not an absolute path of plain characters.")
    return mount


def _gpu(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    return (spec.get("conditions") or {}).get("gpu") or {}


def _number(of: Mapping[str, Any], name: str, most: int, shown: str = "") -> int:
    value = of.get(name) or 0
    if isinstance(value, bool) or not isinstance(value, int) or value > most:
        raise NotRun(f"In the conditions, {shown or name} is not a whole number up to {most}.")
    return max(value, 0)


def _amount(read: Any, conditions: Mapping[str, Any], name: str) -> int:
    text = conditions.get(name) or ""
    try:
        amount = read(text) if isinstance(text, str) else -1
    except BadRequest:
        amount = -1
    if not 0 <= amount < 1 << 50:
        raise NotRun(f"In the conditions, {name} is no amount: {str(text)[:80]!r}.")
    return int(amount)
