"""Read what a program writes while it runs: python3 examples/logs.py"""

from colonies_node import SyncClient

with SyncClient() as colony:
    process = colony.submit("sh", "-c", "echo one; sleep 1; echo two", type="cli")
    for entry in process.logs():
        print(entry.message, end="")
