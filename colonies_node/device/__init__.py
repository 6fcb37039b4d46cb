"""An executor on this machine: takes work from a colony, runs each process apart from itself, delivers the result.

From the wire inwards: `line` is how the server is reached, `registration` gets the executor into its colony and
`standing` keeps the colony informed, `slots` asks for work while the `gate` is open and there is `room`, `work` is the
life of one process, `runners` know what a function name means here (`offering` chooses them), `supervised` runs a
program so that nothing of it outlives the executor, with limits that a `fence` keeps, `logs` carries its lines to the
process log, `results` keeps an outcome on disk until `delivery` has brought it to the server, and `leftovers` clears
up after a former life that ended without warning.

Of the machine itself `machine` tells what it has and `sensors` what it feels, both from the files that `kernel` reads;
`gpus`, `interfaces` and `clock` are parts of that, and `gauges` is what monitors are told of it.
"""
