-- Rows of event, call, query and link are keyed by time: id = microseconds since 1970 * 1024 + a number that tells rows
-- of one microsecond apart. Inserts append, windows are ranges, retention deletes from the front.
-- Durations are nanoseconds. Texts that repeat are numbers of `name`.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE name (
    id   INTEGER PRIMARY KEY,
    text TEXT NOT NULL UNIQUE,
    used INTEGER NOT NULL           -- day of last use, days since 1970
) STRICT;

-- What figures are kept for. kind, and what a, b, c mean for it: see store/series.rs.
CREATE TABLE series (
    id   INTEGER PRIMARY KEY,
    kind INTEGER NOT NULL,
    a    INTEGER NOT NULL,
    b    INTEGER NOT NULL,
    c    INTEGER NOT NULL,
    used INTEGER NOT NULL,
    UNIQUE (kind, a, b, c)
) STRICT;

CREATE TABLE event (
    id             INTEGER PRIMARY KEY,
    series         INTEGER NOT NULL,    -- its route
    failed         INTEGER NOT NULL,
    status         INTEGER NOT NULL,
    duration       INTEGER NOT NULL,
    pid            INTEGER NOT NULL,
    path           TEXT,                -- NULL: the same as the route
    error          INTEGER,
    request_id     ANY,                 -- ids: see store/id.rs
    correlation_id ANY,
    parent_id      ANY,
    ttfb           INTEGER,
    db_queries     INTEGER,
    db_time        INTEGER,
    calls          INTEGER,
    call_time      INTEGER,
    request_bytes  INTEGER NOT NULL,
    response_bytes INTEGER NOT NULL,
    flags          INTEGER NOT NULL,    -- 1 tls, 2 upgraded
    protocol       INTEGER,
    client         TEXT,
    user_agent     INTEGER,
    host           INTEGER,
    n_plus_one     INTEGER,             -- fingerprint of the statement that ran ten times or more
    db_slow        TEXT                 -- JSON: [{sql, ms}]
) STRICT;
CREATE INDEX event_by_series ON event (series, failed, id);
CREATE INDEX event_failed ON event (id) WHERE failed = 1;

CREATE TABLE exception (
    event       INTEGER PRIMARY KEY,
    series      INTEGER NOT NULL,       -- route of the event
    fingerprint INTEGER,
    type        INTEGER,
    message     TEXT,
    traceback   INTEGER,
    locals      TEXT
) STRICT;

CREATE TABLE traceback (
    id   INTEGER PRIMARY KEY,
    hash INTEGER NOT NULL,
    day  INTEGER NOT NULL,
    text TEXT NOT NULL
) STRICT;
CREATE INDEX traceback_by_hash ON traceback (hash);

-- The newest example of each fingerprint; outlives the raw rows.
CREATE TABLE exception_group (
    fingerprint INTEGER PRIMARY KEY,
    type        INTEGER,
    message     TEXT,
    traceback   TEXT,
    locals      TEXT,
    service     INTEGER NOT NULL,
    request_id  ANY,
    seen        INTEGER NOT NULL        -- microseconds
) STRICT;

CREATE TABLE call (
    id             INTEGER PRIMARY KEY,
    series         INTEGER NOT NULL,    -- its host
    failed         INTEGER NOT NULL,
    status         INTEGER NOT NULL,
    duration       INTEGER NOT NULL,
    pid            INTEGER NOT NULL,
    method         INTEGER NOT NULL,
    path           TEXT NOT NULL,
    error          INTEGER,
    request_id     ANY,
    correlation_id ANY,
    link           INTEGER,
    call_site      INTEGER,
    peer           INTEGER,
    tls            INTEGER NOT NULL
) STRICT;

CREATE TABLE statement (
    id          INTEGER PRIMARY KEY,
    system      INTEGER NOT NULL,
    fingerprint INTEGER NOT NULL,
    text        TEXT NOT NULL,
    operation   INTEGER NOT NULL,
    target      INTEGER,                -- main table
    control     INTEGER NOT NULL,       -- BEGIN, COMMIT, ...
    used        INTEGER NOT NULL,
    UNIQUE (system, fingerprint)
) STRICT;

CREATE TABLE query (
    id            INTEGER PRIMARY KEY,
    series        INTEGER NOT NULL,     -- its statement
    failed        INTEGER NOT NULL,
    duration      INTEGER NOT NULL,
    pid           INTEGER NOT NULL,
    row_count     INTEGER,
    error_code    INTEGER,
    severity      INTEGER,
    error         INTEGER,
    database      INTEGER,
    user          INTEGER,
    server        INTEGER,
    tx_state      INTEGER,
    request_id    ANY,
    link          INTEGER,
    call_site     INTEGER,
    tls           INTEGER NOT NULL
) STRICT;

-- A call joined to its request, or a request to the one that caused it; the time is that of the call, or the earlier
-- of the two requests.
CREATE TABLE link (
    id       INTEGER PRIMARY KEY,
    series   INTEGER NOT NULL,
    failed   INTEGER NOT NULL,
    duration INTEGER NOT NULL
) STRICT;

-- Which rows carry an id. Keyed by a ten-second slot first, so that inserts stay within a few pages.
CREATE TABLE ref (
    slot   INTEGER NOT NULL,
    key    INTEGER NOT NULL,            -- hash of the id
    target INTEGER NOT NULL,            -- 1 event, 2 call, 3 query
    row    INTEGER NOT NULL,
    PRIMARY KEY (slot, key, target, row)
) STRICT, WITHOUT ROWID;

-- Rollups: see core's aggregate.
CREATE TABLE cell (
    level  INTEGER NOT NULL,
    kind   INTEGER NOT NULL,
    bucket INTEGER NOT NULL,            -- start, Unix seconds
    series INTEGER NOT NULL,
    data   BLOB NOT NULL,
    PRIMARY KEY (level, kind, bucket, series)
) STRICT, WITHOUT ROWID;

CREATE TABLE process (
    service   INTEGER NOT NULL,
    host      INTEGER NOT NULL,         -- 0: this one
    pid       INTEGER NOT NULL,
    seen      INTEGER NOT NULL,         -- microseconds
    cpu_pct   REAL,
    mem_mb    REAL,
    in_flight INTEGER NOT NULL,
    PRIMARY KEY (service, host, pid)
) STRICT, WITHOUT ROWID;

CREATE TABLE discovered (
    service    INTEGER NOT NULL,
    framework  TEXT NOT NULL,
    method     TEXT NOT NULL,
    route      TEXT NOT NULL,
    file       TEXT NOT NULL,
    line       INTEGER NOT NULL,
    function   TEXT,
    scanned_at REAL NOT NULL,
    scan_root  TEXT NOT NULL,
    PRIMARY KEY (service, framework, method, route, file)
) STRICT, WITHOUT ROWID;
