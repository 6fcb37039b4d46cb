"""The same without trio, and what an error looks like: python3 examples/submit_sync.py"""

from colonies_node import SyncClient
from colonies_node.client.errors import ProcessFailed

with SyncClient() as colony:
    process = colony.submit("add", 1, 2, type="sums")
    print(process.result(timeout=60))
    try:
        colony.run("add", "one", type="sums")
    except ProcessFailed as failed:
        print(failed.errors)
