"""The command line: one verb per door. A verb imports what it needs when it is called.

Exit codes: 0 done; 2 the request was wrong (one line says how); 3 done in part (what was not is listed);
1 a fault of ours (with a traceback); 128 and more, a signal asked to stop.
"""

import io
import os
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from feltone import __version__
from feltone.doors import cli_annotate, cli_figures, cli_laboratory, cli_models, cli_reproduce
from feltone.doors.options import PATH, as_json, model
from feltone.errors import FeltoneError, FeltoneWarning, MissingExtraError, Stopped

LABORATORY = {
    "torch",
    "lightning_fabric",
    "sklearn",
    "scipy",
    "safetensors",
    "matplotlib",
    "pyarrow",
    "onnx",
    "onnxscript",
}
"""What `feltone[train]` brings: the absence of one of these is the user's to mend."""
SIGNALLED = 128  # plus the signal's number: what a shell says of a process that a signal has ended
FEW = 50  # recordings that are sooner done than a faster transform is loaded


class _Verbs(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - the signature is click's
        """In the order they were added, which is that of a first visit."""
        return list(self.commands)


@click.group(
    cls=_Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True, "max_content_width": 110},
    invoke_without_command=True,
)
@click.option("--version", is_flag=True, help="Print the version.")
@click.pass_context
def app(context: click.Context, version: bool) -> None:
    """Recognise emotion in speech; start with `feltone demo`."""
    if version:
        print(__version__)
    elif context.invoked_subcommand is None:
        print(context.get_help())


def main() -> None:
    """Run the command line and exit with its code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A name of a file need not be text; written so, it is what JSON has for it as well.
        sys.stdout.reconfigure(errors="backslashreplace")
    warnings.simplefilter("always", FeltoneWarning)
    warnings.showwarning = _show(warnings.showwarning)
    _leave(run(sys.argv[1:]))


def _leave(code: int) -> None:
    """Exit; where processes have trained together, without tearing down gloo's threads.

    They may wait for a process that is gone, and then abort the one that leaves.
    """
    torch = sys.modules.get("torch")
    if torch and torch.distributed.is_available() and torch.distributed.is_initialized():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _show(otherwise: Callable[..., None]) -> Callable[..., None]:
    """Show our own warnings as what they are, messages of one line, and those of others as ever."""

    def show(message: Warning | str, category: type[Warning], *where: Any) -> None:
        if issubclass(category, FeltoneWarning):
            print(f"feltone: {message}", file=sys.stderr)
        else:
            otherwise(message, category, *where)

    return show


def run(arguments: list[str]) -> int:
    """Run one command; returns its exit code instead of exiting."""
    try:
        return app.main(arguments, prog_name="feltone", standalone_mode=False) or 0
    except click.ClickException as fault:
        told = " ".join(fault.format_message().split())
        if isinstance(fault, click.MissingParameter) and fault.param and fault.param.envvar:
            told += f" Name it, or set {fault.param.envvar}"
        print(f"feltone: {told} (see feltone --help)", file=sys.stderr)
        return 2
    except Stopped as stop:
        print(f"feltone: {stop}", file=sys.stderr)
        return SIGNALLED + stop.signal
    except FeltoneError as fault:
        print(f"feltone: {fault}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as absent:
        if str(absent.name).partition(".")[0] not in LABORATORY:
            raise
        print(f"feltone: {MissingExtraError('this command', 'train')}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # whoever read our output has seen enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - what is left in the buffer goes nowhere
        return 0
    except (KeyboardInterrupt, click.Abort):
        print("feltone: interrupted; the same command continues", file=sys.stderr)
        return SIGNALLED + signal.SIGINT


@app.command()
@click.argument("audio", type=PATH, required=False)
@click.option("--out", type=PATH, default="feltone-demo.html", help="The page to write.")
@model
def demo(audio: Path | None, out: Path, model: str | None) -> int:
    """Recognise the bundled clips; a table and a page.

    AUDIO is your own file or folder instead of the bundled clips.
    """
    from feltone.doors.demo import demonstrate

    return demonstrate(audio, out, model)


@app.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@model
@as_json
@click.option("--timeline", is_flag=True, help="Windows over the whole recording instead of its first 4 s.")
@click.option("--hop", type=float, default=1.0, help="Seconds between windows of a timeline.")
@click.option("--format", default="table", help="Of a timeline: table, json, csv, rttm or audacity.")
@click.option("--precision", default="fp32", help="fp32, or int8 (faster).")
@click.option(
    "--out", type=PATH, help="Of a table of recordings: .csv, .tsv, .jsonl or .parquet; default: CSV, printed."
)
@click.option("--column", help="That holds the paths in a table; default: path, file or the like.")
@click.option("--prefix", default="", help="Of the columns that are added to a table.")
def predict(
    paths: tuple[str, ...],
    model: str | None,
    as_json: bool,
    timeline: bool,
    hop: float,
    format: str,
    precision: str,
    out: Path | None,
    column: str | None,
    prefix: str,
) -> int:
    """Recognise emotion in files, folders, - (standard input), or the rows of a table (.csv, .tsv, .jsonl, .parquet).

    A table has a column of paths and, for segments, start and end in seconds; it is written again with what was found.
    """
    from feltone.doors.predict import predict_clips, predict_timelines, table_among
    from feltone.recognizer import from_model

    table = table_among(paths, for_tables=bool(out or column or prefix), for_clips=timeline or as_json)
    if timeline:
        recognize = from_model(model, precision=precision)
        return predict_timelines(recognize, paths, hop, "json" if as_json else format)
    few = len(paths) <= FEW and not table and not any(Path(path).is_dir() for path in paths)
    recognize = from_model(model, precision=precision, threads=1, quick_start=few)
    if table:
        from feltone.doors.tables import predict_table

        return predict_table(recognize, table, out, column, prefix)
    return predict_clips(recognize, paths, as_json=as_json)


@app.command()
@click.argument("file", type=PATH)
@click.option("--out", type=PATH, required=True, help="The picture to write (PNG).")
@model
def explain(file: Path, out: Path, model: str | None) -> None:
    """Draw a spectrogram with the network's attention over it."""
    from feltone.doors.demo import draw
    from feltone.recognizer import from_model

    recognize = from_model(model, quick_start=True)
    prediction = recognize(file)
    draw(recognize, prediction, out, title=f"{file.name}: {prediction.label} ({max(prediction.scores.values()):.0%})")
    print(f"{out}: {prediction.label}, spectrogram and attention of the first {prediction.seconds:.1f} s")


@app.command()
@model
@click.option("--input", "file", type=PATH, help="Play a recording in real time instead of the microphone.")
@click.option("--device", help="Microphone: its number, or a part of its name.")
@click.option("--list-devices", is_flag=True, help="List the microphones, and no more.")
@click.option("--interval", type=click.FloatRange(0.05, 4), default=0.25, help="Seconds of sound between updates.")
@click.option("--precision", default="fp32", help="fp32, or int8 (faster).")
@click.option("--json", "as_json", is_flag=True, help="One JSON line per update, as WS /v1/stream answers.")
def listen(
    model: str | None,
    file: Path | None,
    device: str | None,
    list_devices: bool,
    interval: float,
    precision: str,
    as_json: bool,
) -> int:
    """Recognise emotion as it is heard: the microphone, live."""
    if list_devices:
        from feltone.doors.microphone import list_microphones

        return list_microphones(as_json=as_json)
    from feltone.doors.listen import listen as hear

    return hear(model, file, device, interval, precision, as_json=as_json)


for verb in (
    cli_annotate.annotate,
    *cli_laboratory.VERBS,
    cli_reproduce.reproduce,
    *cli_figures.VERBS,
    *cli_models.VERBS,
):
    app.add_command(verb)


@app.command()
@click.argument("model", required=False)
@click.option("--host", default="127.0.0.1", help="Address to listen on.")
@click.option("--port", default=8000, help="0 for any free one; the log says which.")
@click.option("--precision", default="fp32", help="fp32, or int8 (faster).")
@click.option("--tokens", "tokens_file", type=PATH, help="File of bearer tokens, one per line; or FELTONE_TOKENS.")
@click.option("--origin", multiple=True, help="Page of another site that may ask (repeatable), as https://example.org.")
@click.option("--threads", type=int, help="Of ONNX Runtime; default: one per core.")
def serve(
    model: str | None,
    host: str,
    port: int,
    precision: str,
    tokens_file: Path | None,
    origin: tuple[str, ...],
    threads: int | None,
) -> int:
    """Serve a model over HTTP and WebSocket, live audio included."""
    from feltone.doors.serve import Settings, tokens
    from feltone.doors.serve import serve as listen

    settings = Settings(host, port, precision, threads, tokens(tokens_file), origin)
    return listen(model, settings)


@app.command()
@as_json
@click.option("--out", type=PATH, help="Also write the JSON here: results/speed/NAME.json.")
@click.option("--only", help="Parts, joined by commas: recognition,start,training.")
@click.option("--rounds", type=click.IntRange(1), default=5, help="Turns of every side of recognition and start.")
def bench(as_json: bool, out: Path | None, only: str | None, rounds: int) -> int:
    """Measure this machine's speed beside the alternatives."""
    from feltone.doors.bench import bench as measure

    return measure(only, rounds, out, as_json=as_json)


if __name__ == "__main__":
    main()
