"""The options of a link to an upstream node: one table, from which the flags of `sync add`, the keys of an
`[upstream.NAME]` table in node.toml and the manual's table all come. What follows from them is core/broker/sync.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from colonies_node.config import LINKS, Given, is_bare_key, machine_name, nearest, read
from colonies_node.core import limits
from colonies_node.core.errors import BadRequest, SettingRefused
from colonies_node.core.model.quantities import memory_bytes
from colonies_node.settings import BOOL, ID, NAME, PATH, TEXT, VERIFY, Kind, Row, whole

if TYPE_CHECKING:
    from colonies_node.core.model.sync import Upstream

MISSING: Final = "missing"
"""The rule of a link that is told nothing else to do: what nothing here can run goes up."""

TYPE: Final = "node"
"""The type of the executor that a node is at its upstream, if nothing else is said: model.sync.NODE_TYPE, which is not
read here so that help starts fast. Another one is for servers of the reference."""

MOST_BUDGET: Final = 1 << 50


def _texts(value: object) -> tuple[str, ...]:
    items = (value,) if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or not all(isinstance(item, str) and item for item in items):
        raise ValueError
    return tuple(items)


def _choice(*words: str) -> Kind:
    def parse(value: object) -> str:
        if value not in words:
            raise ValueError
        return str(value)

    return Kind(" or ".join(words), parse, "|".join(words))


def _bytes(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError
    try:
        amount = memory_bytes(str(value))
    except BadRequest:
        raise ValueError from None
    if not 0 <= amount <= MOST_BUDGET:
        raise ValueError
    return amount


RULES = Kind("one or more rules", _texts, "RULE")
TYPES = Kind("one or more types of executors", _texts, "TYPE")
BYTES = Kind("bytes, such as 500000, 5M or 512Ki", _bytes, "BYTES")
ORDER = _choice("oldest", "priority")
PROTOCOL = _choice("cbor", "json")


@dataclass(frozen=True)
class Option(Row):
    """One option. `field` is where its value stands in the record Upstream."""

    field: str

    @property
    def parameter(self) -> str:
        """The name under which the flag's value reaches a command."""
        return self.flags[0].lstrip("-").replace("-", "_")

    @property
    def repeated(self) -> bool:
        """Whether the flag may be given again, and the file has a list."""
        return self.kind in (RULES, TYPES)


def _option(name: str, field: str, kind: Kind, default: str, help: str, flag: str = "") -> Option:
    flags = (flag or f"--{name.replace('_', '-')}",)
    return Option(name, kind, (), flags, (), help, None, default, field)


ROWS: Final = (
    _option("url", "url", TEXT, "", "Address of the upstream: http://… or https://…"),
    _option("colony", "colonyname", NAME, "as set", "Colony here whose work is shared."),
    _option("upstream_colony", "upstreamcolony", NAME, "of the same name", "Colony there."),
    _option(
        "key", "keyfile", PATH, "the node's own key",
        "Key file on the node's machine: with this key the node is an executor there.",
    ),
    _option("as", "executorname", NAME, "the name of this machine", "Name of that executor."),
    _option("type", "executortype", NAME, TYPE, "Type of that executor; an upstream node lets in no other one."),
    _option(
        "offload", "offload", RULES, f"{MISSING}, without accept and record",
        "Rule by which waiting processes are given to the upstream; one that holds is enough.",
    ),
    _option("accept", "accept", TYPES, "", "Type of executor whose work is taken from the upstream."),
    _option("record", "record", BOOL, "false", "Tell the upstream what ended here, for its records."),
    _option("order", "order", ORDER, "oldest", "Which of that is told first: the oldest, or of the highest priority."),
    _option("budget", "budget", BYTES, "no limit", "So many bytes of that in an hour at most."),
    _option(
        "window", "window", whole(1, limits.MAX_WINDOW), "1000",
        "So many processes of this node may be at the upstream at once.",
    ),
    _option(
        "free", "free", whole(1, limits.MAX_FREE), "16",
        "So many processes of the upstream may be unfinished here at once.",
    ),
    _option("node", "nodeid", ID, "the one that answers", "Id of the node that must answer there."),
    _option(
        "protocol", "protocol", PROTOCOL, "found out",
        "How to speak to it: cbor to a node, json to a server of the reference.",
    ),
    _option(
        "tls_verify", "tlsverify", VERIFY, "true",
        "Check the upstream's certificate: true, false, or a file with the authorities to trust.",
        "--upstream-tls-verify",  # --tls-verify is about the server that the command itself talks to
    ),
)  # fmt: skip

OPTIONS: Final[Mapping[str, Option]] = {row.name: row for row in ROWS}
"""The table: name → option, in the order of the manual."""


def made(name: str, given: Mapping[str, Given], toml_path: Path | None, colony: str) -> Upstream:
    """The upstream that options describe: name of an option → what was given. `colony` is meant where they name none.

    What the node settles by itself stays empty. Raises SettingRefused with a sentence that names the flag or line.
    """
    from colonies_node.core.model.sync import Upstream

    values: dict[str, Any] = {"colonyname": colony, "executorname": machine_name(), "executortype": TYPE}
    for key, option in OPTIONS.items():
        if key in given and given[key].value not in ("", (), []):
            values[option.field] = _value(option, given[key], toml_path)
    if not any(values.get(field) for field in ("offload", "accept", "record")):
        values["offload"] = [MISSING]
    return Upstream(name=name, **values)


def _value(option: Option, given: Given, toml_path: Path | None) -> object:
    """What an option was given, as the record has it."""
    if option.name == "key" and isinstance(given.value, str) and is_bare_key(given.value):
        raise SettingRefused(f"{given.label} must name a key file on the node's machine: a key itself does not travel.")
    value = read(option, given, toml_path, None)
    if option.repeated:
        return list(value) if isinstance(value, tuple) else value
    if option.kind is VERIFY:
        return str(value).lower() if isinstance(value, bool) else value
    return str(value) if isinstance(value, Path) else value


def check_keys(path: Path, tables: object) -> None:
    """Refuse tables of a node.toml that name what is no option. Raises SettingRefused."""
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise SettingRefused(f"{path}: each upstream has a table of its own, [{LINKS}.NAME].")
    for name, table in tables.items():
        for key in table:
            if key not in OPTIONS:
                hint = nearest(key, OPTIONS) or f"it may have {', '.join(OPTIONS)}."
                raise SettingRefused(f"{path}: [{LINKS}.{name}] has no option {key!r}: {hint}")


def in_file(tables: Any, toml_path: Path | None, colony: str) -> tuple[Upstream, ...]:
    """The upstreams that a node.toml names, in its order, once `check_keys` has seen the tables; checked as a
    message is that adds one. Raises SettingRefused with a sentence that names the table."""
    # The commands that ask a server have no need of the store behind these.
    from colonies_node.core.broker.sync.upstreams import check_upstream
    from colonies_node.core.model.sync import AddUpstream

    found = []
    for name, table in tables.items():
        where = f"[{LINKS}.{name}] in node.toml"
        given = {key: Given(value, "node.toml", f"{key} of {where}") for key, value in table.items()}
        one = made(name, given, toml_path, colony)
        try:
            check_upstream(AddUpstream(msgtype="addupstreammsg", upstream=one))
        except BadRequest as refusal:
            raise SettingRefused(f"{where}: {refusal.message}.") from None
        found.append(one)
    return tuple(found)
