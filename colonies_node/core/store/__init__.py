"""The only room with SQL: schema, migrations and named queries over SQLite.

One file holds everything; one process has it open (a lock file says so). Two connections: the writer, and a reader
that sees what is committed. Both are used on the event loop's own thread: a statement takes microseconds, and a
commit's fsync answers everybody in its group. Handing statements or commits to a worker thread was tried and
measured: as soon as the loop is busy, the interpreter's lock starves the thread (37 grouped writes a second against
2,400 inline). What may take long (folding the log into the file, counting a large table) is one call into SQLite,
which lets the lock go, and runs in a thread.

Invariants
- A caller is answered after the commit that holds its change. `synchronous=FULL`: committed means on disk.
- Each caller's change has its own savepoint: one that fails leaves nothing and harms nobody in its group.
- Times are integer Unix nanoseconds (0 = never), documents JSON text, names and ids text.
- No SQL outside this room, no SQLite-only trick in what the broker sees: a PostgreSQL store can take its place.
"""
