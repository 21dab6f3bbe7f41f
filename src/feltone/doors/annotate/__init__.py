"""`feltone annotate`: an archive -> one Parquet dataset, on the cores of this machine or on a Ray cluster.

sources.py    what is to be annotated, entry after entry: folders, patterns, tables, tars, object storage
places.py     disks and object storage, in which files are whole or absent
plan.py       the entries in shards, written down before the work begins
listening.py  a shard -> pieces: decoded, cut into segments (cutting.py), made into images (pieces.py)
work.py       a piece -> a file of answers; what every engine has done
local.py      the engine of one machine: a process per core
cluster.py    the engine of many: a Ray Data pipeline
ledger.py     which shards are done, and what was counted
dataset.py    all shards -> the dataset, the errors, run.json
progress.py   how far it is
run.py        from the command to its exit code
"""
