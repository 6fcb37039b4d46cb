"""Three programs, one after the other two, run by the executor of `colonies-node dev`: python3 examples/workflow.py"""

import trio

from colonies_node import Client


async def main() -> None:
    async with Client() as colony:
        flow = colony.workflow()
        left = flow.add("echo", "left", type="cli", name="left")
        right = flow.add("echo", "right", type="cli", name="right")
        flow.add("echo", "both are there", type="cli", name="last", after=[left, right])
        await flow.submit()
        for name, result in sorted((await flow.results()).items()):
            print(f"{name}: {result}")


trio.run(main)
