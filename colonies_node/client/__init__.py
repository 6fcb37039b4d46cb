"""Submitting work from Python, and waiting for it.

`client` is the door, `plain` the same for programs without trio. Below: `process` is what was submitted, `results` many
of them in order, `workflow` those that wait for each other, `channel` what is said to one while it runs, `logs` what it
wrote. `watch` knows when there is news of a process, `records` and `spec` are the wire's records on the way in and out.
"""
