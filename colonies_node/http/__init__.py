"""The wire, both ends: envelopes, doors, the server's runner and the client."""
