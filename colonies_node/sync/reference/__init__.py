"""An upstream without letters: a reference Colonies server, spoken to in its own plain messages.

    post.py     stands in for the client of a link: takes a letter, does what it says, and makes the answer
    errands.py  what a letter says, done there: submit, cancel, log, close
    watch.py    what happens there, told here: how our processes go, what we hold, work for us
    seats.py    the executors that this node is there
    server.py   its messages, and what its refusals mean

Nothing is remembered but in the store (`shares.remoteid`), and nothing is believed to be told before the store shows
it: each look compares what is there with what is here. So a letter may be cut off at any call and come again.
docs/reference-upstream.md says what is promised.
"""

from colonies_node.sync.reference.post import Reference

__all__ = ["Reference"]
