"""What may be done in a colony: plain functions over (transaction, message, call) that decide and never wait.

`table.py` lists them all. `access.py` says who may call. A function raises a Rejected error to refuse; the store then
undoes whatever it had changed. Error texts and statuses are the reference's (protocol/core.md, section 4) unless
protocol/DEVIATIONS.md says otherwise.
"""
