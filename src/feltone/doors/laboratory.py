"""The laboratory's verbs on the command line but training (`train.py`): corpora, prepare, evaluate, flops, baseline."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from feltone.artifact import load as load_artifact
from feltone.doors import console
from feltone.errors import ConfigError, CorpusError
from feltone.features import DEFAULT
from feltone.files import write_json
from feltone.lab import corpora, crossing, dataset, experiment, report, tables, tested
from feltone.lab.baselines import Baseline, compare_svm, learnt_from, result_of
from feltone.lab.corpora import verify
from feltone.lab.experiment import Experiment, Material
from feltone.lab.models import VARIANTS
from feltone.lab.models.cost import cost, costs
from feltone.lab.probe import probe
from feltone.lab.protocols import Sample
from feltone.lab.tested import FoldResult
from feltone.lab.training.stopping import obeyed

__all__ = [
    "Experiment",
    "evaluate_model",
    "evaluate_run",
    "judge_baseline",
    "list_corpora",
    "prepare_corpus",
    "print_costs",
]


def list_corpora(data: Path | None, *, as_json: bool) -> None:
    """Known corpora, and what was found of them below `data`."""
    known = [(corpus, _found(corpus.name, data)) for corpus in corpora.CORPORA.values()]
    if as_json:
        told = ("name", "title", "language", "labels", "clips", "speakers", "licence", "citation", "obtain")
        console.document([{key: getattr(c, key) for key in told} | {"found": found} for c, found in known])
        return
    shown = [
        [c.name, str(c.clips), str(c.speakers), str(len(c.labels)), c.licence, "-" if found is None else str(found)]
        for c, found in known
    ]
    console.table(["corpus", "clips", "speakers", "classes", "licence", "found"], shown, numeric=(1, 2, 3, 5))
    console.say(f"\nlooked below {data}" if data else "\nsay where your recordings are with --data, or in FELTONE_DATA")
    console.say("how to obtain and how to cite each: feltone corpora --json; next: feltone prepare CORPUS ROOT")


@obeyed()
def prepare_corpus(name: str, root: Path, seed: int, *, as_json: bool) -> int:
    """Verify a corpus and cache its features; 3 when something is wrong with it, 0 otherwise."""
    material = Material.read(name, root)
    with console.progress(f"listening to {name}", len(material.clips)) as advance:
        if name in corpora.CORPORA:
            checked = verify.verify(corpora.find(name), root, lambda done, total: advance())
        else:
            checked = verify.verify_clips(material.clips, root, lambda done, total: advance())
    samples = [Sample(clip) for clip in material.clips]
    with console.progress(f"features of {name}", len(samples)) as advance:
        cache = dataset.cache_folder()
        dataset.load(samples, material.labels, DEFAULT, seed, cache, lambda done, total: advance())
    if as_json:
        console.document(checked.to_dict())
    else:
        for line in checked.lines():
            console.out.print(line, markup=False)
        console.say(f"features cached below {dataset.cache_folder()}")
        console.say(f"next: feltone train brief --corpus {name} --data {root} --protocol clean --out runs/{name}-clean")
    return 0 if checked.ok else 3


def evaluate_run(run: Path, out: Path | None, results: Path | None, *, as_json: bool) -> None:
    """Score every network of a run over the folds and seeds that are done."""
    documents = []
    for stage, done in tested.of_run(run).items():
        history = sorted(run.glob("seed-*/fold-*/history.jsonl"))
        documents.append(_publish(done, history, (out or run) / f"report-{stage}", results, as_json=as_json))
    if as_json:
        console.document(documents)


def evaluate_model(model: str, wanted: Experiment, out: Path | None, results: Path | None, *, as_json: bool) -> None:
    """Score an artefact on the test parts of a protocol, audited against the ledger of what it was trained on."""
    artifact, material = load_artifact(model), wanted.material()
    learnt_from = artifact.description["origin"]["corpus"]
    if wanted.protocol == crossing.PROTOCOL and learnt_from != material.name:
        raise ConfigError(f"{artifact.name} learnt from {learnt_from}; name that with --corpus, not {material.name}")
    unknown = set(material.labels) - set(artifact.labels)
    if unknown:
        raise CorpusError(f"{material.name}: labels {', '.join(sorted(unknown))} are unknown to {artifact.name}")
    folds = wanted.folds(material)
    done = [experiment.judged(artifact, material, fold, len(folds), wanted.seed, artifact.name) for fold in folds]
    folder = out or Path(f"{artifact.name}--{done[0].predictions.corpus}--{wanted.protocol}")
    document = _publish(done, [], folder, results, as_json=as_json)
    if as_json:
        console.document(document)


def judge_baseline(
    kind: str,
    encoder: str | None,
    layer: int | None,
    wanted: Experiment,
    only: Sequence[int] | None,
    out: Path | None,
    results: Path | None,
    *,
    as_json: bool,
) -> None:
    """Fit and test a baseline on the folds of a protocol (or some), then score it."""
    chosen = baseline_named(kind, encoder, layer)
    material = wanted.material()
    every = wanted.folds(material)
    folds = experiment.chosen(every, only)
    heard = sum(len(learnt_from(fold)) + len(fold.test) for fold in folds)
    cache = dataset.cache_folder()
    with console.progress(f"{kind} on {material.name}", heard) as advance:
        options = {"seed": wanted.seed, "cache": cache, "on_clip": advance}
        done = [result_of(chosen, material.name, fold, len(every), **options) for fold in folds]
    folder = out or Path(f"{chosen.hearing.name}--{material.name}--{wanted.protocol}")
    document = _publish(done, [], folder, results, as_json=as_json)
    if as_json:
        console.document(document)


def baseline_named(kind: str, encoder: str | None, layer: int | None) -> Baseline:
    """A baseline as a user asks for it; raises `ConfigError` for options that are not its own, or are missing."""
    if kind == "compare-svm":
        if encoder or layer is not None:
            raise ConfigError("--encoder and --layer are options of probe; leave them out for compare-svm")
        return compare_svm()
    if not encoder:
        raise ConfigError("probe: name a speech model with --encoder, for instance facebook/wav2vec2-base")
    return probe(encoder, layer)


def print_costs(variant: str | None, *, as_json: bool) -> None:
    """Multiply-adds and parameters of every network, beside the paper's figures."""
    found = [cost(variant)] if variant else costs()
    if as_json:
        console.document([item.to_dict() for item in found])
        return
    rows = [
        [
            c.variant,
            f"{c.macs / 1e9:.3f} G",
            f"{c.executed_macs / 1e9:.3f} G",
            f"{c.parameters:,}",
            f"{c.paper_macs / 1e9:.2f} G" if c.paper_macs else "-",
        ]
        for c in found
    ]
    console.table(["variant", "multiply-adds", "computed", "parameters", "paper"], rows, numeric=(1, 2, 3, 4))
    console.say("multiply-adds: as the paper counts; computed: without what nothing reads in the last block")
    absent = [] if variant else sorted(set(VARIANTS) - {c.variant for c in found})
    if absent:
        console.say(f"not counted, for want of pip install 'feltone[rivals]': {', '.join(absent)}")


def _publish(
    done: Sequence[FoldResult], history: Sequence[Path], folder: Path, results: Path | None, *, as_json: bool
) -> dict[str, Any]:
    """Write the report of one row, and the row itself among the results; print its headline."""
    if results:  # with what other runs contributed to the row
        done = tested.collected(done, results)
    values = tested.row_of(done)
    report.write_report(folder, values, [one.predictions for one in done], history=history)
    if results:
        write_json(results / done[0].row_name, values)
    if not as_json:
        console.out.print(headline(values), markup=False)
        if values.get("classes"):
            console.out.print(f"  {crossing.told(values['classes'])}", markup=False)
        if values["warning"]:
            console.out.print(f"  warning: {values['warning']}", markup=False)
        console.say(f"  report: {(folder / 'report.html').resolve().as_uri()}")
    return values


def headline(values: dict[str, Any]) -> str:
    """One line: the three metrics with their intervals, and over what."""
    titles = {"wa": "WA", "uar": "UAR", "macro_f1": "macro-F1"}
    metrics = [f"{title} {tables.spread(values[key])}" for key, title in titles.items()]
    over = f"{len(values['folds_run'])} of {values['folds']} folds, {len(values['seeds'])} seeds"
    return f"{values['corpus']} {values['protocol']} {values['model']}: {', '.join(metrics)} % over {over}"


def _found(name: str, data: Path | None) -> int | None:
    if data is None:
        return None
    try:
        return len(corpora.read(name, data / name))
    except CorpusError:
        return None
