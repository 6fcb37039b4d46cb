"""What a colony is: records, rules, decisions and the store, without sockets, event loop, clock or randomness."""
