"""Every bound in one place, each with the reason for its number. What is over a bound gets a sentence and changes
nothing."""

from __future__ import annotations

from typing import Final

# -- the wire ------------------------------------------------------------------------------------------------------
MAX_BODY: Final = 20 << 20
"""Bytes of one request. The largest honest one carries a channel's entry of 10 MiB, in base64 twice (18 MB)."""

BODY_PATIENCE_S: Final = 60
"""Seconds without another byte of a request's body, after which the connection is given up (nginx waits as long)."""

MAX_NESTING: Final = 64
"""Levels of arrays and objects in a payload. SDKs use fewer than ten; a parser's stack is the resource guarded."""

MAX_LONG_POLL_S: Final = 3600
"""A longer wait is answered at this age: proxies and NATs have dropped the connection long before."""

# -- the CBOR door ---------------------------------------------------------------------------------------------------
MAX_ITEMS: Final = 4_000_000
"""Values in one CBOR payload, each of which takes a moment to look at: four times those of a workflow of 20,000."""

MAX_INTEGER: Final = 1_785
"""Bytes of a big integer: as JSON it has 4,300 digits then, the most that Python reads."""

MAX_EXPIRY_S: Final = 30 * 86_400
"""Seconds for which a message may be good: a device that sends from a place without a link is heard weeks later. What
changed something is remembered as long."""

MAX_REPLY_BODY: Final = 64 << 20
"""Bytes of a reply that a client takes, once inflated: twice what a list may hold in documents."""

MAX_BATCH_MESSAGES: Final = 1_000
"""Messages in one batch: they are one commit, for which everybody else waits."""

MAX_IN_FLIGHT: Final = 256
"""Messages of one websocket that are worked on at a time; more are read when these are done. As many share a commit."""

MAX_HOLDERS: Final = 4_096
"""Public keys that are kept ready to verify with; others take a moment longer."""

DEFLATE_FROM: Final = 200
"""Bytes of a payload from which it is worth deflating."""

# -- the protocol's own numbers (protocol/core.md, 5.11) -------------------------------------------------------------
MAX_LIST: Final = 100
MAX_LOGS: Final = 500
MAX_LOG_SEARCH: Final = 100
MAX_LOG_SEARCH_DAYS: Final = 30
PRIORITY_RANGE: Final = (-50_000, 50_000)
ID_LENGTH: Final = 64
MAX_CHANNELS: Final = 100
"""Channels of one process."""
MAX_ENTRIES: Final = 10_000
"""Entries that a channel keeps."""
MAX_ENTRY: Final = 10 << 20
"""Bytes of one entry of a channel."""
APPEND_BURST: Final = 500
APPENDS_PER_SECOND: Final = 100
"""Appends to the channels of one process, all of them together."""
MAX_PARALLELISM: Final = 127
"""`nodes`, `processes`, `processespernode` above it are never assigned by the reference."""

# -- what one record may hold ----------------------------------------------------------------------------------------
MAX_NAME: Final = 256
"""Characters of any name, type, label or location: ten times the longest seen in published executors."""

MAX_LIST_ITEMS: Final = 10_000
"""Items of a list or map of a function spec, of its outputs or errors."""

MAX_LOG_MESSAGE: Final = 256 << 10
"""Characters of one log entry: a burst of output is cut by the sender into pieces."""

MAX_SEARCH_TEXT: Final = 1_000
"""Characters of a text to search for: a pattern's cost grows with its wildcards times the text."""

MAX_RULE: Final = 1_000
"""Characters of a rule: twenty comparisons, and a line that a person can still check."""

MAX_STATE: Final = 1_200
"""Characters of why a machine takes no work: a rule with its present values."""

MAX_RULE_NESTING: Final = 32
"""Parentheses and `not` in each other in a rule. People use three; a reader's stack is the resource guarded."""

MAX_CONTAINERS: Final = 500_000
"""Arrays and objects in one payload: five times those of a workflow of 10,000 processes."""

MAX_REPLY: Final = 32 << 20
"""Characters of documents, ids or messages in one list. A longer list ends there (logs go on by `since`); one of files,
labels or snapshots, which means nothing unless it is whole, is refused."""

MAX_WORKFLOW: Final = 20_000
"""Processes in one workflow: twice what the node promises to handle well."""

MAX_DEPENDENCIES: Final = 100_000
"""Dependencies in one workflow, all nodes together: its drawing, with 340 characters for each, fills a reply."""

MAX_INPUT: Final = 32 << 20
"""Characters that a process gets from its parents; what is larger belongs into files."""

MAX_PATH: Final = 4_096
"""Characters of a label, a file's name or a part of its reference: as long as a path of Linux."""

MAX_SNAPSHOT: Final = 100_000
"""Files in one snapshot: its ids fill 7 MB."""

MAX_PACKED: Final = 100_000
"""Arguments that wait in one generator whose workflow cannot start."""

MAX_BLUEPRINT: Final = 1 << 20
"""Characters of a blueprint, its status or a definition as JSON. Kubernetes takes 1.5 MB for such an object."""

MAX_GENERATION: Final = 1 << 53
"""The generation with which a blueprint may start: counting on from it stays exact in every client's language."""

MAX_BLUEPRINT_HISTORY: Final = 1_000
"""Changes of a blueprint that are kept, the latest: one that changes each minute would fill a card otherwise."""

MAX_CHANNEL: Final = 64 << 20
"""Bytes that a channel keeps: its 10,000 entries may each be large, and a small card has to hold them."""

BACKLOG_PART: Final = 1 << 20
"""Bytes of old entries that a new listener of a channel gets at once: the next part follows when these are sent."""

MAX_SECONDS: Final = 100 * 366 * 86_400
"""Wait, execution and walltime bounds: a hundred years, which keeps every deadline inside int64 nanoseconds."""

MAX_ATTRIBUTES: Final = 10_000
"""Attributes of one process: each is sent with every reply that shows the process."""

MAX_HISTORY: Final = 100_000
"""Processes in one `getprocesshistmsg` reply, the newest: the protocol has no count there, memory has."""

METRICS_KEPT_S: Final = 5
"""Seconds for which a page of metrics is good: a look counts what is stored, and Prometheus asks every 15 s at most."""

# -- subscribers ------------------------------------------------------------------------------------------------------
MAX_SUBSCRIBE: Final = 64 << 10
"""Bytes of one request on a websocket: subscriptions only name things."""

MAX_SUBSCRIPTIONS: Final = 1_000
"""Subscriptions on one connection; streams of channels that wait for their turn count too."""

MAX_UNSENT_FRAMES: Final = 25_000
MAX_UNSENT: Final = 64 << 20
"""Frames and bytes that wait for one slow reader; after that it is cut off. A workflow of 20,000 that fails is told in
one go; what waits for several readers is there once."""

IDLE_S: Final = 120
"""Seconds that a websocket may stay open without a subscription, as an idle HTTP connection may."""

# -- links to other nodes ----------------------------------------------------------------------------------------------
MAX_LETTER_ITEMS: Final = 1_000
"""Processes in one letter: what the node that gets it takes in with one commit, in some 60 ms."""

ITEMS_AT_ONCE: Final = 200
"""Rows of the outbox that are read at a time."""

MAX_LETTER: Final = 1 << 20
"""Bytes of a letter, but for one process that is larger alone."""

MAX_TOLD: Final = 12 << 20
"""Characters of an input or output that another node is told: with the rest of the letter it must fit a request."""

MAX_WINDOW: Final = 100_000
"""Processes that may be at one upstream at once."""

MAX_FREE: Final = 1_000
"""Processes that a lower node may ask for at once, and have unfinished."""

MAX_TERM: Final = 1 << 40
"""Times that a process was handed out: more than anybody can count to, and far from where 64 bits end."""

MAX_LATE: Final = 64 << 10
"""Characters of a late result that are kept on its process: the whole of it stays where it was made."""

OFFLOAD_LOOK: Final = 500
"""Waiting processes that the rules of a link are asked about in one change: 5 ms of work."""

MAX_UPSTREAMS: Final = 32
"""Upstreams of a node, and nodes in a chain of them."""

# -- the store -------------------------------------------------------------------------------------------------------
MAX_BATCH: Final = 256
"""Callers that share one commit. More would only make the first of them wait."""

CHECKPOINT_PAGES: Final = 4_000
"""Pages of write-ahead log (4 KiB each) after which it is folded into the database in the background."""

CHECKPOINT_NOW_PAGES: Final = 16_000
"""Pages after which the fold happens at once, so that constant load cannot let the log outgrow a small card (64 MB).
Only a reader still at work, in a long search or list, can hold it up."""

RESERVE_PART: Final = 16
"""The part of the disk's reserve that is written before the node looks at the disk again, and that the log may always
fill: what is written takes room twice, in the log and in the file, until the log is folded."""

CHECKPOINT_SHORT_PAGES: Final = 100
"""Pages that the log may have however full the disk is: fewer are not worth a fold."""

PAGE: Final = 4_096
"""Bytes of a page of the store."""

CACHE_KIB: Final = 8 * 1024
"""SQLite's page cache per connection: two connections and the interpreter fit the memory of the smallest Pi."""
