"""The records of a colony, named and shaped as they are on the wire (protocol/core.md, section 3)."""
