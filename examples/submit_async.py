"""The same under trio, and what an error looks like: python3 examples/submit_async.py"""

import trio

from colonies_node import Client
from colonies_node.client.errors import ProcessFailed


async def main() -> None:
    async with Client() as colony:
        process = await colony.submit("add", 1, 2, type="sums")
        print(await process.result(timeout=60))
        try:
            await colony.run("add", "one", type="sums")
        except ProcessFailed as failed:
            print(failed.errors)


trio.run(main)
