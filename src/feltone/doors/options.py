"""Options that several verbs of the command line share."""

from pathlib import Path

import click

PATH = click.Path(path_type=Path)
model = click.option("--model", "-m", help="Shipped model, model folder, or hf:owner/model[@revision].")
corpus = click.option(
    "--corpus",
    required=True,
    help="A known corpus, CORPUS@N for N of its speakers, several joined by +, or `manifest`.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
data = click.option("--data", type=PATH, envvar="FELTONE_DATA", help="Folder of the corpora, or a manifest.")
folds = click.option("--folds", type=int, help="Number of folds of a grouped protocol.")
folds_from = click.option("--folds-from", type=PATH, help="EmoBox's folds; default: folds/ below --data.")
