"""Let examples/sums.py add two numbers: python3 examples/submit.py"""

import trio

from colonies_node import Client


async def main() -> None:
    async with Client() as colony:
        print(await colony.run("add", 1, 2, type="sums"))


trio.run(main)
