-- Up to this second all levels of `cell` hold everything; up to `rolled_until` the finest does. Until now they were the same.

INSERT INTO meta (key, value) SELECT 'coarse_until', value FROM meta WHERE key = 'rolled_until';
