-- What a scan of source met, by name, as a JSON object; and whether a route stands under a condition that the source alone
-- does not decide.

CREATE TABLE scan (
    service    INTEGER PRIMARY KEY,
    scanned_at REAL NOT NULL,
    scan_root  TEXT NOT NULL,
    counters   TEXT NOT NULL
) STRICT;
ALTER TABLE discovered ADD COLUMN conditional INTEGER NOT NULL DEFAULT 0;
INSERT INTO scan SELECT service, max(scanned_at), scan_root, '{}' FROM discovered GROUP BY service;
