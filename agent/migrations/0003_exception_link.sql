-- How an exception is known to be what its request failed with; NULL: told by the application itself, or by an earlier version.

ALTER TABLE exception ADD COLUMN link INTEGER;
ALTER TABLE exception_group ADD COLUMN link INTEGER;
