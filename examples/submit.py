"""Let examples/sums.py add two numbers: python3 examples/submit.py"""

from colonies_node import SyncClient

with SyncClient() as colony:
    print(colony.run("add", 1, 2, type="sums"))
