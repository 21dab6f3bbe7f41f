"""The command line: one verb per door. A verb imports what it needs when it is called.

Exit codes: 0 done; 2 the request was wrong (one line says how); 3 done in part (what was not is listed);
1 a fault of ours (with a traceback).
"""

import os
import sys
from pathlib import Path

import click

from feltone import __version__
from feltone.errors import ConfigError, FeltoneError, MissingExtraError

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

PATH = click.Path(path_type=Path)
model = click.option("--model", "-m", help="Shipped model, model folder, or hf:owner/model.")
as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
data = click.option("--data", type=PATH, envvar="FELTONE_DATA", help="Folder of the corpora, or a manifest.")
folds = click.option("--folds", type=int, help="Number of folds of a grouped protocol.")
folds_from = click.option("--folds-from", type=PATH, help="EmoBox's folds; default: folds/ below --data.")


class _Verbs(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - the signature is click's
        """In the order of this file, which is that of a first visit."""
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
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; returns its exit code instead of exiting."""
    try:
        return app.main(arguments, prog_name="feltone", standalone_mode=False) or 0
    except click.ClickException as fault:
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
    except (KeyboardInterrupt, click.Abort):
        print("feltone: interrupted; the same command continues", file=sys.stderr)
        return 130


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
def predict(
    paths: tuple[str, ...], model: str | None, as_json: bool, timeline: bool, hop: float, format: str, precision: str
) -> int:
    """Recognise emotion in files, folders, or - (standard input)."""
    from feltone.doors.predict import predict_clips, predict_timelines
    from feltone.recognizer import from_model

    if timeline:
        recognize = from_model(model, precision=precision)
        return predict_timelines(recognize, paths, hop, "json" if as_json else format)
    return predict_clips(from_model(model, precision=precision, threads=1), paths, as_json=as_json)


@app.command()
@click.argument("file", type=PATH)
@click.option("--out", type=PATH, required=True, help="The picture to write (PNG).")
@model
def explain(file: Path, out: Path, model: str | None) -> None:
    """Draw a spectrogram with the network's attention over it."""
    from feltone.doors.demo import draw
    from feltone.recognizer import from_model

    recognize = from_model(model)
    prediction = recognize(file)
    draw(recognize, prediction, out, title=f"{file.name}: {prediction.label} ({max(prediction.scores.values()):.0%})")
    print(f"{out}: {prediction.label}, spectrogram and attention of the first {prediction.seconds:.1f} s")


@app.command()
@data
@as_json
def corpora(data: Path | None, as_json: bool) -> None:
    """List known corpora, their licences and what was found."""
    from feltone.doors.laboratory import list_corpora

    list_corpora(data, as_json=as_json)


@app.command()
@click.argument("corpus")
@click.argument("root", type=PATH, envvar="FELTONE_DATA")
@as_json
@click.option("--seed", default=0, help="Of the perturbed copies.")
def prepare(corpus: str, root: Path, as_json: bool, seed: int) -> int:
    """Verify a corpus by name and cache its features.

    CORPUS is a known corpus or `manifest`; ROOT the folder of the recordings, or the manifest.
    """
    from feltone.doors.laboratory import prepare_corpus

    return prepare_corpus(corpus, root, seed, as_json=as_json)


@app.command()
@click.argument("recipe", metavar="RECIPE")
@click.option("--corpus", required=True, help="A known corpus, several joined by +, or `manifest`.")
@click.option("--data", type=PATH, envvar="FELTONE_DATA", required=True, help="Folder of the corpora, or a manifest.")
@click.option(
    "--protocol",
    required=True,
    help="paper, clean, speaker, sentence, speaker-sentence, emobox, own, cross, all.",
)
@click.option("--out", type=PATH, required=True, help="Folder of the run; continued when it exists.")
@click.option("--fold", type=int, multiple=True, help="Only these folds (repeatable).")
@folds
@folds_from
@click.option("--test-corpus", help="For cross: the corpus to test on.")
@click.option("--seed", default=0, help="Of split, copies, weights and order.")
@click.option("--seeds", type=click.IntRange(1), default=1, help="So many seeds, from --seed on.")
@click.option("--together", type=int, help="Runs trained at once, at most; by default 1, on a GPU a fold's seeds.")
@click.option("--precision", default="auto", help="bf16, 32, or auto: bf16 where the processor has it.")
@click.option("--compile/--no-compile", default=True, help="Compile the networks (needs a C++ compiler).")
@click.option("--accelerator", default="auto", help="auto, cpu, cuda, mps.")
@click.option("--devices", default=1, help="Processes that share every batch.")
@click.option("--threads", type=int, help="Per process.")
@click.option("--tensorboard", type=PATH, help="Folder for TensorBoard curves.")
def train(
    recipe: str,
    corpus: str,
    data: Path,
    protocol: str,
    out: Path,
    fold: tuple[int, ...],
    folds: int | None,
    folds_from: Path | None,
    test_corpus: str | None,
    seed: int,
    seeds: int,
    together: int | None,
    precision: str,
    compile: bool,
    accelerator: str,
    devices: int,
    threads: int | None,
    tensorboard: Path | None,
) -> None:
    """Train a recipe on the folds of a protocol, and score it.

    RECIPE is paper, paper-12, brief or smoke. The same command continues where it stopped.
    """
    from feltone.doors.laboratory import Experiment, train_folds
    from feltone.lab.training.run import Machine

    experiment = Experiment(corpus, data, protocol, seed, folds, folds_from, test_corpus)
    machine = Machine.of(accelerator, devices, precision, compile, threads, together)
    train_folds(recipe, experiment, out, fold, seeds, machine, tensorboard)


@app.command()
@click.argument("run_or_model")
@click.option("--corpus", help="As for train; not for a run.")
@data
@click.option("--protocol", help="As for train; not for a run.")
@click.option("--out", type=PATH, help="Folder for scores.json, figures and page.")
@click.option("--results", type=PATH, help="Also write the row into this folder of results.")
@folds
@folds_from
@click.option("--seed", default=0, help="Of the split.")
@as_json
def evaluate(
    run_or_model: str,
    corpus: str | None,
    data: Path | None,
    protocol: str | None,
    out: Path | None,
    results: Path | None,
    folds: int | None,
    folds_from: Path | None,
    seed: int,
    as_json: bool,
) -> None:
    """Score a run or a model, with intervals and the leakage audit.

    Accuracy, UAR, macro-F1, recall per class, confusion, calibration.
    """
    from feltone.doors.laboratory import Experiment, evaluate_model, evaluate_run

    if not corpus and not protocol:
        evaluate_run(Path(run_or_model), out, results, as_json=as_json)
    elif corpus and data and protocol:
        experiment = Experiment(corpus, data, protocol, seed, folds, folds_from)
        evaluate_model(run_or_model, experiment, out, results, as_json=as_json)
    else:
        raise ConfigError("to judge a model name all of --corpus, --data and --protocol; for a run name none of them")


@app.command()
@click.argument("variant", required=False)
@as_json
def flops(variant: str | None, as_json: bool) -> None:
    """Print what each network costs, beside the paper's figures."""
    from feltone.doors.laboratory import print_costs

    print_costs(variant, as_json=as_json)


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
