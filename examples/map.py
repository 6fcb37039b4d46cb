"""Many sums, in order, ten at a time: python3 examples/map.py, while examples/sums.py runs"""

import trio

from colonies_node import Client


async def main() -> None:
    async with Client() as colony:
        total = 0.0
        async for result in colony.map("add", range(20), range(80, 100), type="sums", at_once=10):
            total += result
        print(total)


trio.run(main)
