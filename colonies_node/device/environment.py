"""The environment of the programs that an executor runs: its own, without anything that is secret or about
itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from colonies_node import notify
from colonies_node.core.errors import BadRequest

_OURS = ("COLONIES_", "AWS_S3_")
"""Names of settings of Colonies tools: some hold keys, and a program's are its process's, not its executor's.
"""

_MANAGERS = (
    *notify.VARIABLES,
    *("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "CREDENTIALS_DIRECTORY", "JOURNAL_STREAM"),
    *("INVOCATION_ID", "SYSTEMD_EXEC_PID", "MEMORY_PRESSURE_WATCH", "MEMORY_PRESSURE_WRITE"),
)
"""What a service manager tells the executor about itself: a program that took it for its own would speak for us."""


def inherited(environ: Mapping[str, str], secrets: Iterable[str]) -> dict[str, str]:
    """What programs may know of the executor's environment; also no other variable that holds one of the
    secrets.
    """
    hidden = [secret for secret in secrets if secret]
    return {
        name: value
        for name, value in environ.items()
        if not name.startswith(_OURS) and name not in _MANAGERS and not any(secret in value for secret in hidden)
    }


def wanted(spec_env: object) -> dict[str, str]:
    """The variables that a function spec asks for. Raises BadRequest for what no environment can hold."""
    if spec_env is None:
        return {}
    if not isinstance(spec_env, dict):
        raise BadRequest("The env of the function spec is not a map of names to values.")
    for name, value in spec_env.items():
        if not re.fullmatch(r"[^=\0]+", name) or not isinstance(value, str) or "\0" in value:
            raise BadRequest(f"The env of the function spec has an entry that no environment can hold: {name!r}.")
    return dict(spec_env)
