"""Both ends of a channel, a process and an executor that answers in capitals: python3 examples/channel.py"""

import os
from typing import Any

import trio

from colonies_node import Client
from colonies_node.core.identity import id_of, new_private_key

KEY = new_private_key(os.urandom(32))
NAME = f"shouter-{KEY[:8]}"


async def shout() -> None:
    async with Client(prvkey=os.environ["COLONIES_COLONY_PRVKEY"]) as owner, Client(prvkey=KEY) as me:
        who: dict[str, Any] = {"executorid": id_of(KEY), "executorname": NAME, "executortype": NAME}
        await owner.call("addexecutormsg", executor=who | {"colonyname": owner.colony})
        await owner.call("approveexecutormsg", colonyname=owner.colony, executorname=NAME)
        process = await me.call("assignprocessmsg", colonyname=me.colony, timeout=20)
        channel = me.channel(process["processid"], "talk")
        async for message in channel:
            await channel.append(message.text.upper(), inreplyto=message.sequence)
        await me.call("closesuccessfulmsg", processid=process["processid"], out=["bye"])
        await owner.call("removeexecutormsg", colonyname=owner.colony, executorname=NAME)


async def main() -> None:
    async with trio.open_nursery() as nursery, Client() as colony:
        nursery.start_soon(shout)
        process = await colony.submit("shout", type=NAME, channels=["talk"])
        channel = process.channel("talk")
        for word in ("hello", "again"):
            await channel.append(word)
            print((await anext(channel)).text)
        await channel.end()
        print(await process.result())


trio.run(main)
