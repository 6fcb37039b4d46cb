"""The tables, as numbered migrations. A migration that has been released is never edited; the next one changes its
work.

Why the indexes are as they are: the queue of waiting processes is read by colony, type and *target* in order of
`prioritytime`. `target` is empty for "any executor of the type", a name for a process meant for one, and `*` for one
meant for several: three short range scans find the next process for an executor, however many wait for others;
`submissiontime` is there for the age of the queue alone. Lists and deadlines have partial indexes on just the states
that they look at, so that a million finished processes cost a waiting one nothing, and retention does not look again
and again at the old failures that it keeps. (The brackets in the condition of `processes_queue` matter: with three
terms in a row SQLite does not see that the index covers them.)

A workflow keeps the number of its members in each state, and a process the number of parents it still waits for
(`waitforparents`), so that what follows from closing one of 10,000 members is found without looking at the others.
`edges` joins processes by `seq`; `position` is that of the parent among the dependencies of the child.

A channel lives as long as its process may still run. However that ends, by a close, a cancel or a removal, alone or
with thousands of others, two triggers take the channels along.

`shares` is the outbox of every link: a row for each process that a peer is to hear of, `dirty` while there is news that
was not sent. Triggers make it so in the very change that makes the news, whichever that is; `shared` spares all other
processes the look. Reading never deletes: `batch` is the last letter that carried the row, and what the peer has not
confirmed, or confirmed and lost again, is sent once more. A process that is given away is told as it was submitted:
`private` says that it has a log or attributes from before, which only this node has. `told` marks a workflow that ended
while there was somebody to be told of its processes. A node that keeps records of others writes a row here and one
into `processes` for each, at a random place of every index on the id: so there is one such index in each table, and
where a process is from and runs (`camefrom`, `runsat`) are columns, though clients see them as attributes.
"""

from __future__ import annotations

from typing import Final

APPLICATION_ID: Final = 0x436F4E64
"""Marks the file as ours ("CoNd"), so that another program's database is never touched."""

MIGRATIONS: Final[tuple[str, ...]] = (
    """
    create table server (
        one integer primary key check (one = 1),
        serverid text not null
    );
    create table colonies (
        name text primary key,
        colonyid text not null,
        paused integer not null default 0
    ) without rowid;
    create index colonies_by_id on colonies (colonyid);

    create table users (
        colonyname text not null,
        name text not null,
        userid text not null,
        email text not null,
        phone text not null,
        primary key (colonyname, name)
    ) without rowid;
    create index users_by_id on users (userid);

    create table locations (
        colonyname text not null,
        name text not null,
        locationid text not null,
        description text not null,
        long real not null,
        lat real not null,
        primary key (colonyname, name)
    ) without rowid;

    create table executors (
        colonyname text not null,
        executorname text not null,
        executorid text not null,
        executortype text not null,
        state integer not null,
        requirefuncreg integer not null,
        commissiontime integer not null,
        lastheardfromtime integer not null,
        locationname text not null,
        capabilities text not null,
        allocations text not null,
        blueprintid text not null,
        blueprintgen integer not null,
        primary key (colonyname, executorname)
    );
    create index executors_by_id on executors (executorid);
    create index executors_heard on executors (lastheardfromtime) where state <> 3 and lastheardfromtime > 0;

    create table functions (
        functionid text primary key,
        colonyname text not null,
        executorname text not null,
        executortype text not null,
        funcname text not null,
        description text not null,
        args text not null,
        locationname text not null,
        counter integer not null,
        minwaittime real not null,
        maxwaittime real not null,
        minexectime real not null,
        maxexectime real not null,
        avgwaittime real not null,
        avgexectime real not null
    );
    create index functions_by_executor on functions (colonyname, executorname, funcname);

    create table processes (
        seq integer primary key,
        processid text not null unique,
        colonyname text not null,
        initiatorid text not null,
        initiatorname text not null,
        executortype text not null,
        target text not null,
        executornames text,
        locationname text not null,
        cpu integer not null,
        mem integer not null,
        gpu integer not null,
        parallelism integer not null,
        funcname text not null,
        nodename text not null,
        label text not null,
        maxwaittime integer not null,
        maxexectime integer not null,
        maxretries integer not null,
        prioritytime integer not null,
        submissiontime integer not null,
        state integer not null,
        assignedexecutorid text not null default '',
        isassigned integer not null default 0,
        starttime integer not null default 0,
        endtime integer not null default 0,
        waitdeadline integer not null default 0,
        execdeadline integer not null default 0,
        retries integer not null default 0,
        waitforparents integer not null default 0,
        processgraphid text not null default '',
        hasattributes integer not null default 0,
        away integer not null default 0,
        origin integer not null default 0,
        shared integer not null default 0,
        camefrom text not null default '',
        runsat text not null default '',
        spec text not null,
        input text not null default '[]',
        out text not null default '[]',
        errors text not null default '[]'
    );
    create index processes_queue on processes
        (colonyname, executortype, target, prioritytime, seq, submissiontime)
        where waitforparents = 0 and (state = 0 and away = 0);
    create index processes_away on processes (away) where state < 2 and away > 0;
    create index processes_taken on processes (origin) where state < 2 and origin > 0;
    create index processes_waiting on processes (colonyname, prioritytime, executortype) where state = 0;
    create index processes_running on processes (colonyname, starttime) where state = 1;
    create index processes_held on processes (assignedexecutorid, colonyname) where state = 1;
    create index processes_finished on processes (colonyname, state, endtime) where state > 1;
    create index processes_submitted on processes (colonyname, submissiontime);
    create index processes_forgettable on processes (colonyname, submissiontime)
        where state = 2 and processgraphid = '';
    create index processes_told on processes (endtime, seq) where state > 1 and shared = 1 and processgraphid = '';
    create index processes_wait_due on processes (waitdeadline) where state = 0 and waitdeadline > 0 and away = 0;
    create index processes_of_graph on processes (processgraphid, seq) where processgraphid <> '';
    create index processes_exec_due on processes (execdeadline) where state = 1 and execdeadline > 0;

    create table attributes (
        attributeid text primary key,
        targetid text not null,
        targetcolonyname text not null,
        targetprocessgraphid text not null,
        attributetype integer not null,
        key text not null,
        value text not null
    ) without rowid;
    create index attributes_by_target on attributes (targetid);

    create table logs (
        seq integer primary key,
        colonyname text not null,
        processid text not null,
        executorname text not null,
        message text not null,
        timestamp integer not null
    );
    create index logs_by_process on logs (processid, timestamp) where processid <> '';
    create index logs_in_order on logs (processid, seq) where processid <> '';
    create index logs_by_executor on logs (colonyname, executorname, timestamp);
    create index logs_by_time on logs (colonyname, timestamp);

    -- workflows
    create table processgraphs (
        processgraphid text primary key,
        colonyname text not null,
        initiatorid text not null,
        initiatorname text not null,
        state integer not null,
        submissiontime integer not null,
        starttime integer not null,
        endtime integer not null,
        waiting integer not null,
        running integer not null,
        successful integer not null,
        failed integer not null,
        cancelled integer not null,
        told integer not null default 0
    );
    create index processgraphs_by_state on processgraphs (colonyname, state, submissiontime);
    create index processgraphs_told on processgraphs (endtime, processgraphid) where state > 1 and told = 1;
    create table edges (
        child integer not null,
        position integer not null,
        parent integer not null,
        primary key (child, position)
    ) without rowid;
    create index edges_by_parent on edges (parent, child);

    -- crons
    create table crons (
        cronid text primary key,
        colonyname text not null,
        name text not null,
        initiatorid text not null,
        initiatorname text not null,
        cronexpression text not null,
        interval integer not null,
        random integer not null,
        nextrun integer not null,
        lastrun integer not null,
        workflowspec text not null,
        prevprocessgraphid text not null,
        waitforprevprocessgraph integer not null,
        held integer not null
    );
    create unique index crons_by_name on crons (colonyname, name);
    create index crons_due on crons (nextrun) where held = 0 and nextrun > 0;
    create index crons_held on crons (prevprocessgraphid) where held = 1;
    create index crons_previous on crons (prevprocessgraphid) where prevprocessgraphid <> '';

    -- generators
    create table generators (
        generatorid text primary key,
        colonyname text not null,
        name text not null,
        initiatorid text not null,
        initiatorname text not null,
        workflowspec text not null,
        pile integer not null,
        timeout integer not null,
        firstpack integer not null,
        lastrun integer not null,
        queuesize integer not null,
        due integer not null
    );
    create unique index generators_by_name on generators (colonyname, name);
    create index generators_due on generators (due) where due > 0;
    create table generatorargs (
        seq integer primary key,
        generatorid text not null,
        arg text not null
    );
    create index generatorargs_in_order on generatorargs (generatorid, seq);

    -- channels
    create table channels (
        process integer not null,
        name text not null,
        entries integer not null default 0,
        dropped integer not null default 0,
        size integer not null default 0,
        paced integer not null default 0,
        primary key (process, name)
    ) without rowid;
    create table channelentries (
        seq integer primary key,
        process integer not null,
        name text not null,
        place integer not null,
        sequence integer not null,
        inreplyto integer not null,
        senderid text not null,
        type text not null,
        timestamp integer not null,
        payload blob
    );
    create index channelentries_in_order on channelentries (process, name, place, sequence, seq);
    create index channelentries_by_sender on channelentries (process, name, senderid, sequence, place);
    create trigger channels_end after update of state on processes when old.state < 2 and new.state > 1 begin
        delete from channelentries where process = new.seq;
        delete from channels where process = new.seq;
    end;
    create trigger channels_go after delete on processes when old.state < 2 begin
        delete from channelentries where process = old.seq;
        delete from channels where process = old.seq;
    end;

    -- files and snapshots
    create table files (
        seq integer primary key autoincrement,
        fileid text not null unique,
        colonyname text not null,
        label text not null,
        name text not null,
        size integer not null,
        checksum text not null,
        checksumalg text not null,
        ref text not null,
        added integer not null
    );
    create index files_by_name on files (colonyname, label, name, seq);
    create table snapshots (
        colonyname text not null,
        name text not null,
        snapshotid text not null unique,
        label text not null,
        fileids text not null,
        added integer not null,
        primary key (colonyname, name)
    );
    create index snapshots_by_age on snapshots (colonyname, added desc, name);

    -- messages that may come again
    create table remembered (
        callerid text not null,
        cti blob not null,
        expiry integer not null,
        digest blob not null,
        reply blob not null,
        primary key (callerid, cti)
    );
    create index remembered_by_expiry on remembered (expiry);
    create table forgotten (
        one integer primary key check (one = 1),
        expiry integer not null
    );

    -- blueprints
    create table blueprintdefinitions (
        colonyname text not null,
        name text not null,
        kind text not null,
        document text not null,
        primary key (colonyname, name)
    );
    create index blueprintdefinitions_by_kind on blueprintdefinitions (colonyname, kind, name);
    create table blueprints (
        blueprintid text primary key,
        colonyname text not null,
        name text not null,
        kind text not null,
        locationname text not null,
        document text not null
    );
    create unique index blueprints_by_name on blueprints (colonyname, name);
    create index blueprints_by_kind on blueprints (colonyname, kind, locationname);
    create table blueprinthistory (
        seq integer primary key,
        blueprintid text not null,
        document text not null
    );
    create index blueprinthistory_in_order on blueprinthistory (blueprintid, seq);

    -- links to other nodes
    create table timelines (
        number integer primary key,
        tag text not null unique,
        since integer not null,
        last integer not null
    );
    create table links (
        seq integer primary key autoincrement,
        direction text not null,
        colonyname text not null,
        name text not null,
        nodeid text not null default '',
        executorname text not null default '',
        executorid text not null default '',
        timeline text not null default '',
        batch integer not null default 0,
        seen text not null default '',
        letter integer not null default 0,
        retired text not null default '[]',
        confirmed integer not null default 0,
        ancestors text not null default '[]',
        offers text not null default '[]',
        url text not null default '',
        settings text not null default '{}',
        record integer not null default 0,
        bypriority integer not null default 0,
        paused integer not null default 0,
        source text not null default '',
        contact integer not null default 0,
        note text not null default '',
        unique (direction, colonyname, name)
    );
    create table shares (
        link integer not null,
        processid text not null,
        role text not null,
        term integer not null default 0,
        dirty integer not null default 0,
        batch integer not null default 0,
        known integer not null default 0,
        place integer not null default 0,
        logsent integer not null default 0,
        logacked integer not null default 0,
        logheard integer not null default 0,
        revoked integer not null default 0,
        remoteid text not null default '',
        private integer not null default 0,
        primary key (processid, link)
    ) without rowid;
    create index shares_dirty on shares (link, role, place, processid) where dirty = 1;
    create index shares_sent on shares (link, batch) where batch > 0;
    create trigger shares_change after update of state, assignedexecutorid, away, out, errors on processes
    when new.shared = 1 begin
        update shares set dirty = 1 where processid = new.processid and role not in ('heard', 'kept');
    end;
    create trigger shares_graph after update of state on processgraphs
    when new.state > 1 and new.told = 0 and exists (select 1 from links where record = 1) begin
        update processgraphs set told = 1 where processgraphid = new.processgraphid;
    end;
    create trigger shares_begin after insert on shares when new.role = 'given' begin
        update shares set private = 1 where link = new.link and processid = new.processid and (
            exists (select 1 from logs where processid = new.processid and processid <> '')
            or exists (
                select 1 from attributes
                where targetid = new.processid and attributetype <> 3 and key not like 'sync.%'
            )
        );
    end;
    create trigger shares_again after update of role, term on shares
    when new.role = 'given' and (new.role, new.term) <> (old.role, old.term) begin
        update shares set private = 1 where link = new.link and processid = new.processid and (
            exists (select 1 from logs where processid = new.processid and processid <> '')
            or exists (
                select 1 from attributes
                where targetid = new.processid and attributetype <> 3 and key not like 'sync.%'
            )
        );
    end;
    create trigger shares_go after delete on processes when old.shared = 1 begin
        delete from shares where processid = old.processid
            and (role in ('told', 'heard', 'kept') or (old.state > 1 and dirty = 0));
        update shares set dirty = 1 where processid = old.processid;
    end;
    create trigger shares_log after insert on logs when new.processid <> '' begin
        update shares set dirty = 1 where processid = new.processid and role in ('taken', 'told');
    end;
    create trigger shares_attribute after insert on attributes begin
        update shares set dirty = 1 where processid = new.targetid and role in ('taken', 'told');
    end;
    create trigger shares_history after update of state on processes
    when new.state > 1 and old.state < 2 and exists (select 1 from links where record = 1) begin
        insert into shares (link, processid, role, dirty, place)
            select seq, new.processid, 'told', 1,
                case when bypriority = 1 then new.prioritytime else new.submissiontime end from links
            where record = 1 and colonyname = new.colonyname
            on conflict do nothing;
        update processes set shared = 1 where seq = new.seq;
    end;
    """,
)
