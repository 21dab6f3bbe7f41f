"""The command line: one verb per door. A verb imports what it needs when it is called.

Exit codes: 0 done; 2 the request was wrong (one line says how); 3 done in part (what was not is listed);
1 a fault of ours (with a traceback).
"""

import os
import sys
from pathlib import Path
from typing import Annotated, cast

import typer

from feltone import __version__
from feltone.errors import ConfigError, FeltoneError, MissingExtraError

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

LABORATORY = {"torch", "lightning_fabric", "sklearn", "safetensors", "matplotlib", "pyarrow", "onnx", "onnxscript"}
"""What `feltone[train]` brings: the absence of one of these is the user's to mend."""

Model = Annotated[str | None, typer.Option("--model", "-m", help="shipped model, model folder, or hf:owner/model")]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON document on standard output")]
Data = Annotated[Path, typer.Option("--data", envvar="FELTONE_DATA", help="folder of the corpora, or a manifest")]


# typer brings its own copy of click, so what it raises is found through the one of its errors that is public.
WrongUsage = cast(type[typer.BadParameter], typer.BadParameter.__mro__[1])


@app.callback(invoke_without_command=True)
def feltone(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="print the version")] = False
) -> None:
    """Recognise emotion in speech; start with `feltone demo`."""
    if version:
        print(__version__)
    elif context.invoked_subcommand is None:
        print(context.get_help())


def main() -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; returns its exit code instead of exiting."""
    try:
        return app(arguments, prog_name="feltone", standalone_mode=False) or 0
    except WrongUsage as fault:
        print(f"feltone: {' '.join(fault.format_message().split())} (see feltone --help)", file=sys.stderr)
        return 2
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
    except (KeyboardInterrupt, typer.Abort):
        print("feltone: interrupted; the same command continues", file=sys.stderr)
        return 130


@app.command()
def demo(
    audio: Annotated[Path | None, typer.Argument(help="your own file or folder; the bundled clips without it")] = None,
    out: Annotated[Path, typer.Option(help="the page to write")] = Path("feltone-demo.html"),
    model: Model = None,
) -> None:
    """Recognise the bundled clips, print a table and write one page to look at."""
    from feltone.doors.demo import demonstrate

    raise typer.Exit(demonstrate(audio, out, model))


@app.command()
def predict(
    paths: Annotated[list[str], typer.Argument(metavar="PATH…", help="files, folders, or - for standard input")],
    model: Model = None,
    json: AsJson = False,
    timeline: Annotated[bool, typer.Option(help="windows over the whole recording instead of its first 4 s")] = False,
    hop: Annotated[float, typer.Option(help="seconds between windows of a timeline")] = 1.0,
    format: Annotated[str, typer.Option(help="of a timeline: table, json, csv, rttm or audacity")] = "table",
    precision: Annotated[str, typer.Option(help="fp32, or int8 (twice as fast)")] = "fp32",
) -> None:
    """Recognise the emotion in recordings."""
    from feltone.doors.predict import predict_clips, predict_timelines
    from feltone.recognizer import from_model

    recognize = from_model(model, precision=precision)
    if timeline:
        raise typer.Exit(predict_timelines(recognize, paths, hop, "json" if json else format))
    raise typer.Exit(predict_clips(recognize, paths, as_json=json))


@app.command()
def explain(
    file: Annotated[Path, typer.Argument(help="a recording")],
    out: Annotated[Path, typer.Option(help="the picture to write (PNG)")],
    model: Model = None,
) -> None:
    """Draw a recording's spectrogram with the network's attention over it."""
    from feltone.doors.demo import draw
    from feltone.recognizer import from_model

    recognize = from_model(model)
    prediction = recognize(file)
    draw(recognize, prediction, out, title=f"{file.name}: {prediction.label} ({max(prediction.scores.values()):.0%})")
    print(f"{out}: {prediction.label}, spectrogram and attention of the first {prediction.seconds:.1f} s")


@app.command()
def corpora(
    data: Annotated[Path | None, typer.Option("--data", envvar="FELTONE_DATA", help="folder of the corpora")] = None,
    json: AsJson = False,
) -> None:
    """List known corpora: licence, how to obtain them, what was found below a folder."""
    from feltone.doors.laboratory import list_corpora

    list_corpora(data, as_json=json)


@app.command()
def prepare(
    corpus: Annotated[str, typer.Argument(help="a known corpus, or `manifest`")],
    root: Annotated[Path, typer.Argument(envvar="FELTONE_DATA", help="folder of the recordings, or the manifest")],
    json: AsJson = False,
    seed: Annotated[int, typer.Option(help="of the perturbed copies")] = 0,
) -> None:
    """Verify a corpus, report what is wrong by name, and cache its features."""
    from feltone.doors.laboratory import prepare_corpus

    raise typer.Exit(prepare_corpus(corpus, root, seed, as_json=json))


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="paper, paper-12, brief, smoke")],
    corpus: Annotated[str, typer.Option(help="a known corpus, several joined by +, or `manifest`")],
    data: Data,
    protocol: Annotated[
        str, typer.Option(help="paper, clean, speaker, sentence, speaker-sentence, emobox, own, cross, all")
    ],
    out: Annotated[Path, typer.Option(help="folder of the run; continued when it exists")],
    fold: Annotated[list[int] | None, typer.Option(help="only these folds (repeatable)")] = None,
    folds: Annotated[int | None, typer.Option(help="number of folds of a grouped protocol")] = None,
    folds_from: Annotated[Path | None, typer.Option(help="EmoBox's folds; default: folds/ below --data")] = None,
    test_corpus: Annotated[str | None, typer.Option(help="for cross: the corpus to test on")] = None,
    seed: Annotated[int, typer.Option(help="of split, copies, weights and order")] = 0,
    precision: Annotated[str, typer.Option(help="bf16, 32, or auto: bf16 where the processor has it")] = "auto",
    compile: Annotated[bool, typer.Option(help="compile the networks (needs a C++ compiler)")] = True,
    accelerator: Annotated[str, typer.Option(help="auto, cpu, cuda, mps")] = "auto",
    devices: Annotated[int, typer.Option(help="processes that share every batch")] = 1,
    threads: Annotated[int | None, typer.Option(help="per process")] = None,
    tensorboard: Annotated[Path | None, typer.Option(help="folder for TensorBoard curves")] = None,
) -> None:
    """Train a recipe on every fold of a protocol (or some), and score it; continues where it stopped."""
    from feltone.doors.laboratory import Experiment, train_folds
    from feltone.lab.training.run import Machine

    experiment = Experiment(corpus, data, protocol, seed, folds, folds_from, test_corpus)
    machine = Machine.of(accelerator, devices, precision, compile, threads)
    train_folds(recipe, experiment, out, fold, machine, tensorboard)


@app.command()
def evaluate(
    run_or_model: Annotated[str, typer.Argument(metavar="RUN_OR_MODEL", help="a run, or a model as for --model")],
    corpus: Annotated[str | None, typer.Option(help="as for train; not for a run")] = None,
    data: Annotated[Path | None, typer.Option("--data", envvar="FELTONE_DATA", help="folder of the corpora")] = None,
    protocol: Annotated[str | None, typer.Option(help="as for train; not for a run")] = None,
    out: Annotated[Path | None, typer.Option(help="folder for scores.json, figures and page")] = None,
    results: Annotated[Path | None, typer.Option(help="also write the row into this folder of results")] = None,
    folds: Annotated[int | None, typer.Option(help="number of folds of a grouped protocol")] = None,
    folds_from: Annotated[Path | None, typer.Option(help="EmoBox's folds; default: folds/ below --data")] = None,
    seed: Annotated[int, typer.Option(help="of the split")] = 0,
    json: AsJson = False,
) -> None:
    """Score a run or a model: accuracy, UAR, intervals, confusion, calibration and the leakage audit."""
    from feltone.doors.laboratory import Experiment, evaluate_model, evaluate_run

    if not corpus and not protocol:
        evaluate_run(Path(run_or_model), out, results, as_json=json)
    elif corpus and data and protocol:
        experiment = Experiment(corpus, data, protocol, seed, folds, folds_from)
        evaluate_model(run_or_model, experiment, out, results, as_json=json)
    else:
        raise ConfigError("to judge a model name all of --corpus, --data and --protocol; for a run name none of them")


@app.command()
def flops(
    variant: Annotated[str | None, typer.Argument(help="one variant; all without it")] = None,
    json: AsJson = False,
) -> None:
    """Print what each network costs, beside the paper's figures."""
    from feltone.doors.laboratory import print_costs

    print_costs(variant, as_json=json)


if __name__ == "__main__":
    main()
