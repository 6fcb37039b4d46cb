"""An executor on this machine: takes work from a colony, runs each process in a child of its own, delivers
the result.

From the wire inwards: `registration` gets the executor into its colony, `slots` asks for work, `work` is the
life of one process, `runners` know what a function name means here, `supervised` runs a program so that
nothing of it outlives the executor, `logs` carries its lines to the process log, `results` keeps an outcome
on disk until `delivery` has brought it to the server, and `leftovers` clears up after a former life that
ended without warning.

Of the machine itself `machine` tells what it has and `sensors` what it feels, both from the files that `kernel` reads;
`gpus`, `interfaces` and `clock` are parts of that, and `gauges` is what monitors are told of it.
"""
