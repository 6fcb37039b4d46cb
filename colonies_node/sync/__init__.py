"""The link to upstream nodes, as the lower one drives it.

`machine` decides when to write the next letter and when to wait: a state machine without sockets, clock or store, so
that a whole tree of nodes runs inside one test. `link` is the thin driver around it: one task for each upstream, with
the store on one side and a client on the other. `reference` stands in for the client where the upstream is a server
without letters, and does the same with its plain messages. What letters say is core/broker/sync.
"""
