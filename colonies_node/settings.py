"""The settings: one table, from which the flags, the variables, node.toml and the manual's page all come.

A setting is a field of `Settings`; its row says who takes it, how it is given and what it means. The names of
the variables are the reference's (protocol/operations.md, section 8) where it has one.
"""

# ruff: noqa: RUF009  (a row is a dataclass field)

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from colonies_node.core.model.sync import Upstream

from colonies_node.core.errors import BadRequest
from colonies_node.core.model.quantities import memory_bytes

MEMBER, COLONY_OWNER, SERVER_OWNER, ANYONE = "member", "colony owner", "server owner", "anyone"
CLIENTS = (MEMBER, COLONY_OWNER, SERVER_OWNER, ANYONE)
"""Commands that ask a server something go by whose key signs."""

NODES = ("serve", "dev")
REACHES = ("execute", *CLIENTS)
COMMANDS = (*NODES, *REACHES, "device")


@dataclass(frozen=True)
class Kind:
    """A sort of value: `expected` ends the sentence "must be ..."; `parse` raises ValueError for all else."""

    expected: str
    parse: Callable[[object], Any]
    metavar: str = ""


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


def whole(least: int, most: int) -> Kind:
    """Whole numbers, written as a number or as its digits."""

    def parse(value: object) -> int:
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,12}", value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError
        return value

    return Kind(f"a whole number from {least} to {most}", parse, "N")


def one_of(*words: str) -> Kind:
    """One of a few words."""

    def parse(value: object) -> str:
        if value not in words:
            raise ValueError
        return str(value)

    return Kind(f"{', '.join(words[:-1])} or {words[-1]}", parse, "|".join(words))


_TRUE, _FALSE = {"1", "t", "true", "yes", "on"}, {"0", "f", "false", "no", "off"}


def _bool(value: object) -> bool:
    if isinstance(value, bool):
        return value
    word = _text(value).lower()
    if word not in _TRUE | _FALSE:
        raise ValueError
    return word in _TRUE


def _verify(value: object) -> bool | str:
    try:
        return _bool(value)
    except ValueError:
        return str(_path(value))


def _place(value: object) -> bool | str:
    try:
        return _bool(value)
    except ValueError:
        text = _text(value)
    if not (found := re.fullmatch(r"(?:\[[^]]+\]|[^:]+):([0-9]{1,5})", text)) or not 0 < int(found[1]) <= 65_535:
        raise ValueError
    return text


def _path(value: object) -> Path:
    text = value if isinstance(value, Path) else _text(value)
    return Path(text).expanduser()


def _id(value: object) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", text := _text(value).lower()):
        raise ValueError
    return text


def _name(value: object) -> str:
    if not (text := _text(value)) or ":" in text:
        raise ValueError
    return text


def _bytes(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    try:
        if not (text := _text(value).strip()):
            raise ValueError
        return memory_bytes(text)
    except BadRequest:
        raise ValueError from None


def _durability(value: object) -> str:
    if value not in ("full", "normal"):
        raise ValueError
    return str(value)


def _condition(value: object) -> str:
    from colonies_node.core.rules import MACHINE, parse

    text = _text(value)
    return str(parse(text, MACHINE)) if text else ""


def _position(value: object) -> tuple[float, float]:
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or len(parts) != 2:
        raise ValueError
    degrees = [str(part).strip() for part in parts if not isinstance(part, bool)]
    latitude, longitude = (float(text) for text in degrees if re.fullmatch(r"-?[0-9]{1,3}(\.[0-9]{1,15})?", text))
    if abs(latitude) > 90 or abs(longitude) > 180:
        raise ValueError
    return latitude, longitude


def _functions(value: object) -> tuple[str, ...]:
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list | tuple):
        raise ValueError
    for name in names:
        if not re.fullmatch(r"(?:[A-Za-z_][\w.]*|[^:,\0]+\.py)(?::[A-Za-z_][\w.]*)?", _text(name)):
            raise ValueError
    return tuple(names)


def _names(value: object) -> str:
    """Names of Slurm: of partitions (several with commas), accounts."""
    if not re.fullmatch(r"(?:[\w][\w.@+-]*(?:,[\w][\w.@+-]*)*)?", text := _text(value), re.ASCII):
        raise ValueError
    return text


def _list(pattern: str, apart: str) -> Callable[[object], tuple[str, ...]]:
    """Words that fit a pattern, as a list or in one text with `apart` between."""

    def parse(value: object) -> tuple[str, ...]:
        words = re.split(apart, value.strip()) if isinstance(value, str) else value
        if not isinstance(words, list | tuple):
            raise ValueError
        words = tuple(word for word in words if word)
        if not all(re.fullmatch(pattern, _text(word), re.ASCII) for word in words):
            raise ValueError
        return words

    return parse


_SLURM_OURS = (
    "job-name|output|error|input|chdir|open-mode|requeue|no-requeue|parsable|wrap|array|wait|test-only|clusters?|help|"
    "usage|version|quiet|verbose|nodes|ntasks|ntasks-per-node|cpus-per-task|mem|gres|gpus-per-node|time|partition|account"
)


def _container(value: object) -> str:
    if value not in ("", "apptainer", "singularity", "podman", "ch-run"):
        raise ValueError
    return str(value)


TEXT = Kind("a text", _text, "TEXT")
NAME = Kind("a name without ':'", _name, "NAME")
BOOL = Kind("true or false", _bool)
PORT = whole(0, 65_535)
SECONDS = whole(0, 100 * 366 * 86_400)
PATH = Kind("a path", _path, "PATH")
ID = Kind("an id of 64 hexadecimal characters", _id, "ID")
KEY = Kind("a private key of 64 hexadecimal characters or the path of a key file", _text, "FILE")
VERIFY = Kind("true, false or the path of a file with certificates", _verify, "FILE")
PLACE = Kind("true, false or host:port", _place, "WHERE")
BYTES = Kind("a number of bytes such as 64Mi or 0", _bytes, "SIZE")
CONTAINER = one_of("off", "auto", "podman", "docker", "apptainer")
NETWORK = one_of("never", "asked", "always")
DURABILITY = Kind("full or normal", _durability, "LEVEL")
CONDITION = Kind("a condition such as 'battery > 30 and temperature < 75'", _condition, "CONDITION")
POSITION = Kind("a latitude and a longitude such as 65.58,22.15", _position, "LAT,LONG")
FUNCTIONS = Kind("one or more of package.module:function, package.module or file.py", _functions, "MODULE[:FUNCTION]")
SLURM_NAME = Kind("a name that Slurm may have", _names, "NAME")
SLURM_OPTIONS = Kind(
    "options of sbatch in their long form, as --qos=long, and none that the executor sets itself",
    _list(rf"--(?!(?:{_SLURM_OURS})(?:=|$))[a-z][a-z-]{{1,40}}(?:=[\w.,:;@%+/*&|()\[\]!=-]{{1,500}})?", r"\s+"),
    "OPTIONS",
)
SLURM_MODULES = Kind("names of modules", _list(r"[\w][\w./+-]{0,200}", r"[\s,]+"), "NAMES")
SLURM_CONTAINER = Kind("apptainer, singularity, podman or ch-run", _container, "PROGRAM")


@dataclass(frozen=True)
class Row:
    """One setting as the table has it. `default` is what the manual says of a value found out at start."""

    name: str
    kind: Kind
    commands: tuple[str, ...]
    flags: tuple[str, ...]
    env: tuple[str, ...]
    help: str
    value: object
    default: str

    @property
    def secret(self) -> bool:
        return self.kind is KEY

    def ways(self) -> str:
        """How to give it, for a sentence: the variable or the flag."""
        named = [f"set {self.env[0]}"] if self.env else []
        return " or ".join([*named, f"give {self.flags[0].split('/')[0]}"])


def _row(
    kind: Kind,
    value: object,
    commands: Iterable[str],
    flags: str,
    env: str,
    help: str,
    default: str | None = None,
) -> Any:
    if default is None:
        default = str(value).lower() if isinstance(value, bool) else str(value or "")
    row = Row("", kind, tuple(commands), tuple(flags.split()), tuple(env.split()), help, value, default)
    return field(default=value, repr=kind is not KEY, metadata={"row": row})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Every setting with its value. Keys are the private keys themselves and never show in a repr."""

    data: Path = _row(
        PATH, Path("data"), (*NODES, "execute", "device"), "--data", "COLONIES_DATA",
        "Folder for what is kept: the store and the server's key, or an executor's key and results.",
        "~/.local/share/colonies-node/COMMAND; for device that of execute",
    )  # fmt: skip
    host: str = _row(
        TEXT, "127.0.0.1", NODES, "--host", "COLONIES_SERVER_HTTP_HOST",
        "Address to listen on; 0.0.0.0 or :: for every network of this machine.",
    )  # fmt: skip
    port: int = _row(
        PORT, 50080, NODES, "--port", "COLONIES_SERVER_HTTP_PORT COLONIES_SERVER_PORT",
        "Port to listen on; 0 takes any free one.",
    )  # fmt: skip
    server_id: str | None = _row(
        ID, None, ("serve",), "--server-id", "COLONIES_SERVER_ID",
        "Id of the server's owner, if the owner keeps the key elsewhere.",
        "of the key that is made in the data folder",
    )  # fmt: skip
    tls_cert: Path | None = _row(
        PATH, None, ("serve",), "--tls-cert --tlscert", "COLONIES_SERVER_HTTP_TLS_CERT COLONIES_TLSCERT",
        "Certificate (PEM, with its chain). With the key it turns on TLS.",
    )  # fmt: skip
    tls_key: Path | None = _row(
        PATH, None, ("serve",), "--tls-key --tlskey", "COLONIES_SERVER_HTTP_TLS_KEY COLONIES_TLSKEY",
        "Private key of the certificate (PEM).",
    )  # fmt: skip
    durability: Literal["full", "normal"] = _row(
        DURABILITY, "full", NODES, "--durability", "COLONIES_DURABILITY",
        "full: an answer means that it is on disk. normal: faster, a power cut may lose the last moments.",
    )  # fmt: skip
    allow_executor_reregister: bool = _row(
        BOOL, False, ("serve",), "--allow-executor-reregister/--no-allow-executor-reregister",
        "COLONIES_ALLOW_EXECUTOR_REREGISTER",
        "Let a new executor take the place of one with the same name.",
    )  # fmt: skip
    stale_executor_duration: int = _row(
        whole(1, 366 * 86_400), 600, ("serve",), "--stale-executor-duration", "COLONIES_STALE_EXECUTOR_DURATION",
        "Seconds of silence after which an executor is removed and its work given back.",
    )  # fmt: skip
    cleanup_interval: int = _row(
        whole(1, 86_400), 60, ("serve",), "--cleanup-interval", "COLONIES_CLEANUP_INTERVAL",
        "Seconds between two looks for silent executors, at the least.",
    )  # fmt: skip
    retention: bool = _row(
        BOOL, False, ("serve",), "--retention/--no-retention", "COLONIES_RETENTION",
        "Delete successful processes, and logs, that are older than the policy.",
    )  # fmt: skip
    retention_policy: int = _row(
        SECONDS, 0, ("serve",), "--retention-policy", "COLONIES_RETENTION_POLICY",
        "Age in seconds for retention; retention without it is refused.",
    )  # fmt: skip
    disk_reserve: int = _row(
        BYTES, 64 << 20, NODES, "--disk-reserve", "COLONIES_DISK_RESERVE",
        "What of the disk stays free: below it new work of a low priority is refused, below half of it all new work."
        " 0 fills it to the last.",
        "64Mi",
    )  # fmt: skip
    disk_priority: int = _row(
        whole(0, 50_000), 1, NODES, "--disk-priority", "COLONIES_DISK_PRIORITY",
        "Priority that new work needs while the reserve of the disk is touched.",
    )  # fmt: skip
    metrics: bool | str = _row(
        PLACE, True, NODES, "--metrics", "COLONIES_METRICS",
        "Serve /metrics for Prometheus: true (beside the API), false, or host:port to serve it there alone.",
    )  # fmt: skip
    server_host: str = _row(
        TEXT, "localhost", REACHES, "--host", "COLONIES_SERVER_HOST",
        "Host of the server to talk to.",
    )  # fmt: skip
    server_port: int = _row(
        PORT, 50080, REACHES, "--port", "COLONIES_SERVER_HTTP_PORT COLONIES_SERVER_PORT",
        "Port of the server to talk to.",
    )  # fmt: skip
    tls: bool = _row(
        BOOL, False, (*REACHES, "serve"), "--tls/--insecure", "COLONIES_TLS COLONIES_SERVER_TLS",
        "Use TLS.",
        "false; for serve: true with a certificate",
    )  # fmt: skip
    tls_verify: bool | str = _row(
        VERIFY, True, REACHES, "--tls-verify", "COLONIES_TLS_VERIFY",
        "Check the server's certificate: true, false, or a file with the authorities to trust.",
    )  # fmt: skip
    colony_name: str = _row(
        NAME, "", ("execute", MEMBER, COLONY_OWNER), "--colony --colonyname", "COLONIES_COLONY_NAME",
        "Name of the colony.",
    )  # fmt: skip
    prvkey: str | None = _row(
        KEY, None, (MEMBER,), "--prvkey", "COLONIES_PRVKEY",
        "Private key of a user or executor.",
    )  # fmt: skip
    colony_prvkey: str | None = _row(
        KEY, None, ("execute", COLONY_OWNER), "--colony-prvkey --colonyprvkey", "COLONIES_COLONY_PRVKEY",
        "Private key of the colony's owner.",
    )  # fmt: skip
    server_prvkey: str | None = _row(
        KEY, None, (SERVER_OWNER,), "--server-prvkey --serverprvkey", "COLONIES_SERVER_PRVKEY",
        "Private key of the server's owner.",
    )  # fmt: skip
    executor_prvkey: str | None = _row(
        KEY, None, ("execute",), "--prvkey", "COLONIES_EXECUTOR_PRVKEY",
        "Private key of the executor.",
        "made at the first start, kept in the data folder",
    )  # fmt: skip
    executor_name: str = _row(
        NAME, "", ("execute",), "--name", "COLONIES_EXECUTOR_NAME",
        "Name of the executor in its colony.",
        "the name of this machine",
    )  # fmt: skip
    executor_type: str = _row(
        NAME, "cli", ("execute",), "--type", "COLONIES_EXECUTOR_TYPE",
        "Type of the executor: work is submitted to a type.",
    )  # fmt: skip
    functions: tuple[str, ...] = _row(
        FUNCTIONS, (), ("execute",), "--fn", "COLONIES_EXECUTOR_FUNCTIONS",
        "A Python function to offer under its name, or a module or file: all that @function marks in it."
        " In the variable: several with commas between.",
    )  # fmt: skip
    shell: bool = _row(
        BOOL, False, ("execute",), "--shell/--no-shell", "COLONIES_EXECUTOR_SHELL",
        "Run programs of this machine: the function's name is the program, its args are the arguments.",
    )  # fmt: skip
    container: str = _row(
        CONTAINER, "off", ("execute",), "--container", "COLONIES_EXECUTOR_CONTAINER",
        "Run command lines in containers (the function execute) with this engine; auto takes the first that is there.",
    )  # fmt: skip
    container_network: str = _row(
        NETWORK, "asked", ("execute",), "--container-network", "COLONIES_EXECUTOR_CONTAINER_NETWORK",
        "Which containers get a network: none, those whose kwargs say network, or all.",
    )  # fmt: skip
    slurm: bool = _row(
        BOOL, False, ("execute",), "--slurm/--no-slurm", "COLONIES_EXECUTOR_SLURM",
        "Offer the function execute: its command lines become jobs of the Slurm cluster that this machine belongs to.",
    )  # fmt: skip
    slurm_partition: str = _row(
        SLURM_NAME, "", ("execute",), "--slurm-partition", "COLONIES_EXECUTOR_SLURM_PARTITION",
        "Partition for the jobs.",
        "that of the cluster",
    )  # fmt: skip
    slurm_account: str = _row(
        SLURM_NAME, "", ("execute",), "--slurm-account", "COLONIES_EXECUTOR_SLURM_ACCOUNT",
        "Account that the jobs are charged to.",
        "that of the user",
    )  # fmt: skip
    slurm_options: tuple[str, ...] = _row(
        SLURM_OPTIONS, (), ("execute",), "--slurm-options", "COLONIES_EXECUTOR_SLURM_OPTIONS",
        "More options for sbatch, with blanks between: '--qos=long --constraint=ib'.",
    )  # fmt: skip
    slurm_modules: tuple[str, ...] = _row(
        SLURM_MODULES, (), ("execute",), "--slurm-modules", "COLONIES_EXECUTOR_SLURM_MODULES",
        "Modules to load in each job, with commas between.",
    )  # fmt: skip
    slurm_gres: bool = _row(
        BOOL, True, ("execute",), "--slurm-gres/--no-slurm-gres", "COLONIES_EXECUTOR_SLURM_GRES",
        "Ask for GPUs with --gres=gpu:N; without it with --gpus-per-node=N.",
    )  # fmt: skip
    slurm_container: str = _row(
        SLURM_CONTAINER, "", ("execute",), "--slurm-container", "COLONIES_EXECUTOR_SLURM_CONTAINER",
        "What runs a docker-image inside a job: apptainer, singularity, podman or ch-run.",
        "the first of them that this machine has",
    )  # fmt: skip
    slurm_poll: int = _row(
        whole(1, 3600), 10, ("execute",), "--slurm-poll", "COLONIES_EXECUTOR_SLURM_POLL",
        "Seconds between two questions to Slurm while nothing changes.",
    )  # fmt: skip
    parallel: int = _row(
        whole(1, 1024), 1, ("dev", "execute"), "--parallel", "COLONIES_EXECUTOR_PARALLEL",
        "Processes to run at the same time.",
    )  # fmt: skip
    when: str = _row(
        CONDITION, "", ("execute",), "--when", "COLONIES_EXECUTOR_WHEN",
        "Take new work only while this holds of the machine; `device show` tells what can be asked.",
    )  # fmt: skip
    limit_memory: int = _row(
        BYTES, 0, ("execute",), "--limit-memory", "COLONIES_EXECUTOR_LIMIT_MEMORY",
        "Memory that a process may use with all that it starts; 0 for no limit. What its spec asks for lowers it.",
        "nine tenths of the memory of this machine",
    )  # fmt: skip
    limit_processes: int = _row(
        whole(0, 4_194_304), 4096, ("execute",), "--limit-processes", "COLONIES_EXECUTOR_LIMIT_PROCESSES",
        "Programs and threads that a process may have at a time; 0 for no limit.",
    )  # fmt: skip
    limit_cpu: int = _row(
        SECONDS, 0, ("execute",), "--limit-cpu", "COLONIES_EXECUTOR_LIMIT_CPU",
        "Seconds of processor time that each program of a process may use; 0 for no limit.", "0",
    )  # fmt: skip
    limit_files: int = _row(
        whole(0, 1_048_576), 0, ("execute",), "--limit-files", "COLONIES_EXECUTOR_LIMIT_FILES",
        "Files that each program of a process may have open at a time; 0 for what the executor may.", "0",
    )  # fmt: skip
    limit_output: int = _row(
        BYTES, 1 << 30, ("execute",), "--limit-output", "COLONIES_EXECUTOR_LIMIT_OUTPUT",
        "Bytes that a process may write to standard output and error; 0 for no limit.",
        "1Gi",
    )  # fmt: skip
    location: str = _row(
        TEXT, "", ("execute", "device"), "--location", "COLONIES_EXECUTOR_LOCATION",
        "Name of the place where the executor stands; work may ask for one.",
    )  # fmt: skip
    position: tuple[float, float] | None = _row(
        POSITION, None, ("device",), "--position", "COLONIES_EXECUTOR_POSITION",
        "Where this machine stands, in degrees: its latitude and its longitude.",
    )  # fmt: skip
    poll_timeout: int = _row(
        whole(1, 3600), 60, ("dev", "execute"), "--poll-timeout", "COLONIES_EXECUTOR_POLL_TIMEOUT",
        "Seconds that one request for work may wait at the server.",
    )  # fmt: skip
    grace: int = _row(
        SECONDS, 30, ("execute",), "--grace", "COLONIES_EXECUTOR_GRACE",
        "Seconds that running processes have to finish when the executor is told to stop.",
    )  # fmt: skip
    keep_work: bool = _row(
        BOOL, False, ("execute",), "--keep-work/--no-keep-work", "COLONIES_EXECUTOR_KEEP_WORK",
        "Keep the folder of each process after it has ended, to look into.",
    )  # fmt: skip
    cli_ascii: bool = _row(
        BOOL, False, (*CLIENTS, "device"), "--ascii/--no-ascii", "COLONIES_CLI_ASCII",
        "Draw tables with plain characters.",
    )  # fmt: skip
    verbose: bool = _row(
        BOOL, False, COMMANDS, "--verbose -v", "COLONIES_VERBOSE",
        "Say more on standard error; show tracebacks.",
    )  # fmt: skip
    upstreams: tuple[Upstream, ...] = ()
    """What the tables [upstream.NAME] of node.toml say, for a node."""
    sources: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    def source(self, name: str) -> str:
        """Where a value came from: `flag`, `environment NAME`, `node.toml` or `default`."""
        return self.sources.get(name, "default")

    @property
    def server_url(self) -> str:
        """The server to talk to, as `http://host:port`."""
        host = f"[{self.server_host}]" if ":" in self.server_host else self.server_host
        return f"{'https' if self.tls else 'http'}://{host}:{self.server_port}"

    @property
    def metrics_place(self) -> tuple[str, int] | None:
        """Host and port at which metrics are served alone."""
        if isinstance(self.metrics, bool):
            return None
        host, _, port = self.metrics.rpartition(":")
        return host.strip("[]"), int(port)


def _table() -> dict[str, Row]:
    rows = ((item.name, item.metadata["row"]) for item in fields(Settings) if "row" in item.metadata)
    return {name: replace(row, name=name) for name, row in rows}


SETTINGS: Mapping[str, Row] = _table()
"""The table: name → row, in the order of the manual."""
