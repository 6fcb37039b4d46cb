"""A ColonyOS-compatible server and executor in one program."""

__version__ = "0.1.0"
