"""The verb reproduce on the command line: the published tables, ours beside them."""

from pathlib import Path

import click

from feltone.doors.options import PATH
from feltone.errors import ConfigError


@click.command()
@click.argument("what", metavar="WHAT")
@click.option("--data", type=PATH, envvar="FELTONE_DATA", required=True, help="Folder of the corpora.")
@click.option(
    "--corpus", multiple=True, help="Only these corpora, CORPUS@N for N speakers, or several joined by + (repeatable)."
)
@click.option("--protocol", multiple=True, help="Only these protocols (repeatable).")
@click.option("--recipe", multiple=True, help="Only these recipes (repeatable).")
@click.option("--fold", type=int, multiple=True, help="Only these folds (repeatable).")
@click.option("--seeds", type=click.IntRange(1), help="Of every row; default: 3 where a protocol has one fold, else 1.")
@click.option("--out", type=PATH, default="runs/reproduce", help="Folder of the runs; continued when it exists.")
@click.option("--results", type=PATH, default="results/accuracy", help="Folder of the rows and of tested folds.")
@click.option("--plan", "only_plan", is_flag=True, help="Say what would run and how long, and stop.")
@click.option("--minutes", type=float, help="Begin nothing that would take longer; the rest is for another time.")
@click.option("--ray", metavar="ADDRESS", help="Of a Ray cluster that trains, or auto; folders must be shared.")
@click.option("--together", type=int, help="Runs trained at once, at most; by default 1, on a GPU 16.")
@click.option("--precision", default="auto", help="bf16, 32, or auto: bf16 where the processor has it.")
@click.option("--compile/--no-compile", default=True, help="Compile the networks (needs a C++ compiler).")
@click.option("--accelerator", default="auto", help="auto, cpu, cuda, mps.")
@click.option("--threads", type=int, help="Of the process.")
def reproduce(
    what: str,
    data: Path,
    corpus: tuple[str, ...],
    protocol: tuple[str, ...],
    recipe: tuple[str, ...],
    fold: tuple[int, ...],
    seeds: int | None,
    out: Path,
    results: Path,
    only_plan: bool,
    minutes: float | None,
    ray: str | None,
    together: int | None,
    precision: str,
    compile: bool,
    accelerator: str,
    threads: int | None,
) -> int:
    """Train and score what the published tables are made of.

    WHAT is table1, table2, table3, attention, honest, ablation or all. Prints its plan first; what is there is not done
    again, and the same command continues where it stopped. With --ray, every run is a task of a cluster whose nodes
    share the folders of corpora, runs, results and cache. `attention` also draws the masks by 128x1 and 16x16 patches.
    """
    from feltone.doors.reproduce import draw_attention, reproduce_rows
    from feltone.lab import tasks
    from feltone.lab.training.machine import Machine

    if ray is not None:
        from feltone.doors import cluster

        if minutes is not None:
            raise ConfigError("--minutes: the nodes of a cluster all begin at once; leave it out, or leave out --ray")
        data, out, results = data.resolve(), out.resolve(), results.resolve()  # a node has a working folder of its own
        resources = cluster.connect(ray, "reproducing on a cluster")
        if accelerator == "auto":
            accelerator = "cuda" if resources.get("GPU") else "cpu"
    machine = Machine.of(accelerator, 1, precision, compile, threads, together)
    usual = tasks.PROTOCOLS if what != "attention" else ("paper",)
    wanted = tasks.tasks(what, corpus or tasks.CORPORA, protocol or usual, recipe, seeds, fold)
    code = reproduce_rows(wanted, data, out, results, machine, only_plan=only_plan, minutes=minutes, ray=ray)
    if what == "attention" and not only_plan:
        draw_attention(wanted, data, out)
    return code
