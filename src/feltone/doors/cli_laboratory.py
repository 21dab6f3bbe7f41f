"""The laboratory's verbs on the command line: corpora, prepare, train, evaluate, flops, baseline, robustness."""

from pathlib import Path

import click

from feltone.doors.options import PATH, as_json, corpus, data, folds, folds_from
from feltone.errors import ConfigError


@click.command()
@data
@as_json
def corpora(data: Path | None, as_json: bool) -> None:
    """List known corpora, their licences and what was found."""
    from feltone.doors.laboratory import list_corpora

    list_corpora(data, as_json=as_json)


@click.command()
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


@click.command()
@click.argument("recipe", metavar="RECIPE")
@corpus
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
@click.option("--teacher", help="Instead of the recipe's own: hf:NAME on the hub, hf:FOLDER, or smile:ComParE_2016.")
@click.option("--after", "before", multiple=True, help="Learn from this corpus first, below --data (repeatable).")
@click.option("--from", "model", help="Begin from a finished model: a shipped one's name, a folder, hf:OWNER/MODEL.")
@click.option("--teacher-layer", type=int, help="Of --teacher: the layer that is averaged; default: the last output.")
@click.option("--seeds", type=click.IntRange(1), default=1, help="So many seeds, from --seed on.")
@click.option("--join", is_flag=True, help="Of every fold also one model of all its seeds, which is more accurate.")
@click.option("--together", type=int, help="Runs trained at once, at most; by default 1, on a GPU a fold's seeds.")
@click.option("--precision", default="auto", help="bf16, 32, or auto: bf16 where the processor has it.")
@click.option("--compile/--no-compile", default=True, help="Compile the networks (needs a C++ compiler).")
@click.option("--accelerator", default="auto", help="auto, cpu, cuda, mps.")
@click.option("--devices", default=1, help="Processes that share every batch.")
@click.option("--threads", type=int, help="Per process.")
@click.option("--calibrate", type=PATH, help="Folder of tested folds of strangers: how sure the model may be.")
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
    teacher: str | None,
    before: tuple[str, ...],
    model: str | None,
    teacher_layer: int | None,
    seeds: int,
    join: bool,
    together: int | None,
    precision: str,
    compile: bool,
    accelerator: str,
    devices: int,
    threads: int | None,
    calibrate: Path | None,
    tensorboard: Path | None,
) -> None:
    """Train a recipe on the folds of a protocol, and score it.

    RECIPE is everyday, everyday-large, honest, honest-large, honest-student, honest-student-large, paper, paper-12,
    paper-16x16, nope, ast, septr, brief, smoke or an ablation such as honest-no-masks; ast:WEIGHTS begins from a
    checkpoint. The same command continues where it stopped.
    """
    from feltone.doors.laboratory import Experiment
    from feltone.doors.train import recipe_named, train_folds
    from feltone.lab.training.machine import Machine

    machine = Machine.of(accelerator, devices, precision, compile, threads, together)
    wanted = recipe_named(recipe, teacher, teacher_layer, before, model, machine)
    experiment = Experiment(
        corpus, data, protocol, seed, folds, folds_from, test_corpus, before=wanted.corpora_before, heard=wanted.heard
    )
    train_folds(wanted, experiment, out, fold, seeds, machine, tensorboard, calibrate, join)


@click.command()
@click.argument("run_or_model")
@click.option("--corpus", help="As for train; not for a run.")
@data
@click.option("--protocol", help="As for train; not for a run.")
@click.option("--out", type=PATH, help="Folder for scores.json, figures and page.")
@click.option("--results", type=PATH, help="Also write the row into this folder of results.")
@folds
@folds_from
@click.option("--test-corpus", help="For cross: the corpus to test on; --corpus is what the model learnt from.")
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
    test_corpus: str | None,
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
        experiment = Experiment(corpus, data, protocol, seed, folds, folds_from, test_corpus)
        evaluate_model(run_or_model, experiment, out, results, as_json=as_json)
    else:
        raise ConfigError("to judge a model name all of --corpus, --data and --protocol; for a run name none of them")


@click.command()
@click.argument("variant", required=False)
@as_json
def flops(variant: str | None, as_json: bool) -> None:
    """Print what each network costs, beside the paper's figures."""
    from feltone.doors.laboratory import print_costs

    print_costs(variant, as_json=as_json)


@click.command()
@click.argument("kind", type=click.Choice(["compare-svm", "probe"]))
@click.option("--corpus", required=True, help="As for train.")
@click.option("--data", type=PATH, envvar="FELTONE_DATA", required=True, help="Folder of the corpora, or a manifest.")
@click.option("--protocol", required=True, help="As for train.")
@click.option("--encoder", help="For probe: a model's name on the Hugging Face hub, or its folder.")
@click.option("--layer", type=int, help="For probe: the layer that is averaged over time; default: the last output.")
@click.option("--out", type=PATH, help="Folder for scores.json, figures and page.")
@click.option("--results", type=PATH, help="Also write the row into this folder of results.")
@click.option("--fold", type=int, multiple=True, help="Only these folds (repeatable).")
@folds
@folds_from
@click.option("--test-corpus", help="For cross: the corpus to test on.")
@click.option("--seed", default=0, help="Of split and classifier.")
@as_json
def baseline(
    kind: str,
    corpus: str,
    data: Path,
    protocol: str,
    encoder: str | None,
    layer: int | None,
    out: Path | None,
    results: Path | None,
    fold: tuple[int, ...],
    folds: int | None,
    folds_from: Path | None,
    test_corpus: str | None,
    seed: int,
    as_json: bool,
) -> None:
    """Score what is to be beaten, fold by fold, as a network is scored.

    KIND is compare-svm (openSMILE's ComParE_2016 and a linear support vector machine) or probe (a frozen speech model
    and a logistic regression).
    """
    from feltone.doors.laboratory import Experiment, judge_baseline

    experiment = Experiment(corpus, data, protocol, seed, folds, folds_from, test_corpus)
    judge_baseline(kind, encoder, layer, experiment, fold, out, results, as_json=as_json)


@click.command()
@click.argument("run_or_model")
@click.option("--corpus", required=True, help="As for train.")
@click.option("--data", type=PATH, envvar="FELTONE_DATA", required=True, help="Folder of the corpora, or a manifest.")
@click.option("--protocol", required=True, help="As for train, but paper, whose test clips are perturbed.")
@click.option("--fold", type=int, multiple=True, help="Only these folds (repeatable).")
@folds
@folds_from
@click.option("--test-corpus", help="For cross: the corpus to test on.")
@click.option("--seed", default=0, help="Of the split and of what is random in a condition; a run has its own.")
@click.option("--stage", help="Of a run: whose network; default: its last.")
@click.option("--out", type=PATH, required=True, help="Folder for robustness.json and robustness.png.")
@click.option("--results", type=PATH, help="Also write the numbers into this folder of results.")
@as_json
def robustness(
    run_or_model: str,
    corpus: str,
    data: Path,
    protocol: str,
    fold: tuple[int, ...],
    folds: int | None,
    folds_from: Path | None,
    test_corpus: str | None,
    seed: int,
    stage: str | None,
    out: Path,
    results: Path | None,
    as_json: bool,
) -> None:
    """Score a run or a model on short, noisy, reverberant and coded clips.

    Each condition is compared with the clips as recorded: duration, white noise and babble by signal-to-noise ratio,
    reverberation, MP3, Opus, telephone, level. Only clips that the model was not trained on are accepted.
    """
    from feltone.doors.laboratory import Experiment
    from feltone.doors.robustness import measure

    experiment = Experiment(corpus, data, protocol, seed, folds, folds_from, test_corpus)
    measure(run_or_model, experiment, fold, out, results, stage=stage, as_json=as_json)


VERBS = (corpora, prepare, train, evaluate, flops, baseline, robustness)
