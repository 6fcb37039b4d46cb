"""A ColonyOS-compatible server and executor in one program.

For programs in Python: `function` marks what an executor offers, `execute` makes the script that it is in an executor,
`Client` (for trio) and `SyncClient` submit work and wait for it. Each is imported when it is asked for.
"""

TYPE_CHECKING = False  # as typing has it, without importing that

if TYPE_CHECKING:
    from colonies_node.client.client import Client
    from colonies_node.client.plain import SyncClient
    from colonies_node.functions import function
    from colonies_node.script import execute

__all__ = ["Client", "SyncClient", "__version__", "execute", "function"]
__version__ = "0.1.0"

_HOMES = {"Client": "client.client", "SyncClient": "client.plain", "execute": "script", "function": "functions"}
"""Name → the module that has it. No module may be called like a name: importing it would hide the name."""

if not TYPE_CHECKING:  # a checker that saw it would take any name for one of ours

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
