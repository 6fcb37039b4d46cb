"""What nodes tell each other of the processes that both know: the shape of a link.

Two nodes share processes, not a log. For each process that a peer is to hear of there is a row in the outbox
(store/shares.py); a letter carries the *present* state of some of those processes, never the steps that led there. So
a letter may be lost, repeated, or come after a later one: what it says is taken in if it is news, and passed over if
not. Nothing has to be kept for sending but the processes themselves.

Who decides. A process has one node that submitted it, and one that it was given to: the *giver* and the *taker*.
Until the giver takes it back, the taker decides about it, with its own queue, deadlines and retries, and reports; the
giver's record follows. Each time a giver hands a process out it counts a `term`; a report of an old term is late, and
is kept as a note on the process, where everybody can see it. Over a link work goes both ways: the lower node gives
what it cannot run (handout.py), the upper one what the lower one asked for (exchange.py); and a taker may be the giver
of the same process to a third node.

    letters.py   what there is to tell: from the outbox to a letter, and what the peer has confirmed of it
    intake.py    what a letter says: offers, revocations, reports and history become processes here
    handout.py   which waiting processes go upstream
    exchange.py  the upper end: one message type, `syncmsg`
    upstreams.py the lower end: adding, pausing, removing a link, and its state

Numbers. A letter has a number of its node, in a timeline that begins whenever the store is opened. The peer names the
last letter that it has in everything it says, so a giver knows what to send again: what was never confirmed, and what
was confirmed to a peer that has since been restored from an older backup. Whoever was restored finds the other's mark
in a timeline that it never wrote.
"""
