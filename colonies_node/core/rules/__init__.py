"""Rules: a small language that says when something is to happen, such as handing a process to another node.

    missing
    battery < 30 and not charging
    type in ('gpu', 'hpc') or mem > 8Gi

`names.py` is the one table of what a rule may speak of, `reading.py` turns a text into a tree, `rule.py` tells whether
the tree holds. Nothing is ever run: a rule can only compare what it is given.

A value that is not known (no battery, a sensor that fails) is neither true nor false, and so is a comparison with it,
and the `not` of that. A rule holds only if it is true whatever the unknown values are.
"""

from colonies_node.core.rules.names import DEVICE, MACHINE, NAMES, PROCESS, Value
from colonies_node.core.rules.reading import parse
from colonies_node.core.rules.rule import Rule

__all__ = ["DEVICE", "MACHINE", "NAMES", "PROCESS", "Rule", "Value", "parse"]
