-- Executions of statements: those of one request (or of none) that ended within one second are one row. What `query` held
-- moves here (store/executions.rs).

CREATE TABLE executions (
    id         INTEGER PRIMARY KEY,     -- as everywhere, of the time of the first
    request_id ANY,
    data       BLOB NOT NULL            -- see core's executions; texts are numbers of `name`
) STRICT;
