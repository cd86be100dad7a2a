-- Tracebacks go with the last request that shows them: they are marked with the hour of it, no longer with the day.

ALTER TABLE traceback RENAME COLUMN day TO hour;
UPDATE traceback SET hour = hour * 24 + 23;
CREATE INDEX traceback_by_hour ON traceback (hour);
