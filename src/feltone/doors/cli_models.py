"""Verbs on the command line for a model as a thing: export, verify, push."""

from pathlib import Path

import click

from feltone.doors.options import PATH, as_json


@click.command()
@click.argument("model", required=False)
@click.option("--to", "kind", required=True, help="onnx, onnx-int8, onnx-waveform or web (a page for any host).")
@click.option("--out", type=PATH, required=True, help="Folder of the files.")
@click.option("--check-on", type=PATH, help="Recordings to compare with PyTorch on; default: EmoDB, or bundled clips.")
@as_json
def export(model: str | None, kind: str, out: Path, check_on: Path | None, as_json: bool) -> int:
    """Write a model for use without Feltone: one file, or a page.

    It is compared with the network on recordings first, and refused where it differs.
    """
    from feltone.doors.export import export_model

    return export_model(model, kind, out, check_on, as_json=as_json)


@click.command()
@click.argument("model", required=False)
@as_json
def verify(model: str | None, as_json: bool) -> int:
    """Check everything about a model before it is used: its files, its form, its graphs, its weights, its ledger.

    MODEL is a model folder, a shipped model, hf:owner/model, or a file of `feltone export`.
    """
    from feltone.doors.verify import verify_model

    return verify_model(model, as_json=as_json)


@click.command()
@click.argument("model")
@click.argument("repository", metavar="OWNER/MODEL")
@click.option("--private", is_flag=True, help="For you and those you let in.")
@click.option("--revision", help="Branch to commit to, made when missing; default: main.")
@click.option("--message", help="Of the commit.")
@click.option("--i-may-share", is_flag=True, help="You may share a model trained on recordings of your own.")
@click.option("--dry-run", is_flag=True, help="Print what would be uploaded, and upload nothing.")
def push(
    model: str,
    repository: str,
    private: bool,
    revision: str | None,
    message: str | None,
    i_may_share: bool,
    dry_run: bool,
) -> int:
    """Upload a model to the hub, where feltone.load("hf:OWNER/MODEL") finds it."""
    from feltone.doors.push import push_model

    return push_model(
        model,
        repository,
        private=private,
        revision=revision,
        message=message,
        may_share=i_may_share,
        dry_run=dry_run,
    )


VERBS = (export, verify, push)
"""In the order of a first visit."""
