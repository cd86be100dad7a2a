-- Application code that was seen at work: where queries and calls were made and exceptions raised. Outlives the raw rows.

CREATE TABLE code (
    service    TEXT NOT NULL,
    file       TEXT NOT NULL,
    line       INTEGER NOT NULL,
    function   TEXT NOT NULL,
    first      INTEGER NOT NULL,    -- microseconds
    last       INTEGER NOT NULL,
    queries    INTEGER NOT NULL,
    calls      INTEGER NOT NULL,
    exceptions INTEGER NOT NULL,
    PRIMARY KEY (service, file, line, function)
) STRICT, WITHOUT ROWID;
CREATE INDEX code_by_last ON code (last);
