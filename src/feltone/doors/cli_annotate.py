"""The verb annotate on the command line: an archive into one dataset."""

import click

from feltone.doors.options import as_json, model


@click.command()
@click.argument("source")
@click.option("--out", required=True, help="Folder of the dataset, or its URL; continued when it exists.")
@model
@click.option("--segments", default="vad", help="vad (what is spoken), windows, or whole (the first 4 s of each).")
@click.option("--hop", type=float, help="Seconds between windows; by default they do not overlap.")
@click.option("--precision", default="fp32", help="fp32, or int8 (faster).")
@click.option("--ray", metavar="ADDRESS", help="Of a Ray cluster, or auto; without it, this machine's cores.")
@click.option("--workers", type=click.IntRange(1), help="Processes, or actors on a cluster; default: one per core.")
@click.option("--shard", type=click.IntRange(1), default=256, help="Entries that are done, or done again, together.")
@click.option("--price", type=click.FloatRange(0), help="Of a core for an hour; run.json then says what it cost.")
@as_json
def annotate(
    source: str,
    out: str,
    model: str | None,
    segments: str,
    hop: float | None,
    precision: str,
    ray: str | None,
    workers: int | None,
    shard: int,
    price: float | None,
    as_json: bool,
) -> int:
    """Annotate an archive into one Parquet dataset: every recording exactly once, however often it is interrupted.

    SOURCE is a folder, a pattern in quotes, a table (.csv, .tsv, .jsonl, .parquet), tar shards, or a URL (s3://…).
    The same command continues where it stopped.
    """
    from feltone.doors.annotate.run import annotate as run

    return run(
        source,
        out,
        model=model,
        segments=segments,
        hop=hop,
        precision=precision,
        ray=ray,
        workers=workers,
        shard_entries=shard,
        price=price,
        as_json=as_json,
    )
