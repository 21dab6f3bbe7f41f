"""Bring the numbers and pictures of the documents and the shipped models' cards up to date with the files in results/.

Comparisons are computed from the tested folds below results/accuracy/folds/ and kept in results/comparisons.json,
scores by group of speakers and by confidence in results/groups.json.

make results           writes them
make results CHECK=1   only says whether they are up to date (the test suite does this too)
"""

import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import cards
import newcomer_table
import not_run
import pictures
import reconstruction_tables
import scale_tables
import speed_tables
import trust_tables

from feltone import artifact
from feltone.files import write_text
from feltone.lab import (
    ablation_table,
    augment,
    claims_table,
    comparisons,
    crossing,
    evidence_tables,
    group_tables,
    groups,
    published,
    study_tables,
    tables,
    tested,
)
from feltone.lab.corpora import SOME
from feltone.lab.experiment import model_name

ROOT = Path(__file__).parents[1]
ROWS = tables.read_rows(ROOT / "results" / "accuracy")
KEPT = tested.kept(ROOT / "results" / "accuracy")  # tested folds, by row
DOCUMENTS = (
    "README.md",
    "RESULTS.md",
    "docs/honest.md",
    "docs/protocols.md",
    "docs/reliability.md",
    "docs/responsible-use.md",
    "docs/scale.md",
)
PROTOCOL_ORDER = ("paper", "clean", "emobox", "speaker", "sentence", "speaker-sentence", "own", "cross")
OURS = {name: (f"{name}-after-crema-d", f"{name}-large") for name in ("honest", "everyday")}
"""Recipe -> the names it has for small corpora and for large ones."""
SHARED = {"same_recording": "recordings", "same_speaker": "speakers", "same_sentence": "sentences"}


def honest_table() -> str:
    """One line per corpus and protocol that a network of ours was tested under, beside what is to be beaten."""
    found = {(row["corpus"], row["protocol"], stage_of(row), row["recipe"]): row for row in ROWS}
    lines = [
        "| corpus | protocol | `honest`, WA / UAR % | three of it, joined | `everyday` | three of it, joined | "
        "the paper's student | ComParE + SVM | published | test shares with train |",
        "|---|---|--:|--:|--:|--:|--:|--:|---|---|",
    ]
    places = {(corpus, PROTOCOL_ORDER.index(protocol)) for corpus, protocol, *_ in found}
    for corpus, number in sorted(places):
        protocol = PROTOCOL_ORDER[number]

        def first(model: str, recipes: Sequence[str], at: tuple[str, str] = (corpus, protocol)) -> dict | None:
            return next((row for recipe in recipes if (row := found.get((*at, model, recipe)))), None)

        ours = [first(model, recipes) for recipes in OURS.values() for model in ("residual", "residual-x3")]
        student, svm = first("student", ("paper", "brief")), first("compare-svm", ("compare-svm",))
        tested_here = [row for row in (student, svm, *ours) if row]
        if tested_here in ([], [svm]):
            continue
        cells = [
            corpus,
            protocol + (" **†**" if protocol == "paper" else ""),
            *(both(row) for row in (*ours, student, svm)),
            published_beside(corpus, protocol),
            shared(tested_here[0]["leakage"]),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    note = "WA / UAR %, mean over folds (and seeds); intervals, spreads, tests and all other rows are in RESULTS.md."
    if any(SOME in corpus for corpus, _ in places):
        note += f" The number behind `{SOME}`: how many of the corpus' speakers, the first by name."
    return "\n".join([*lines, "", f"{note} † **{tables.PAPER_WARNING}.**"])


def stage_of(row: dict) -> str:
    """Which stage of its recipe a model is of; a finished one that crosses to another corpus also names its own."""
    return str(row["model"]).removesuffix(model_name("", row["corpus"].partition(crossing.BETWEEN)[0]))


def both(row: dict | None) -> str:
    """WA and UAR of a row, with the folds that were run where that is not all."""
    if not row:
        return tables.NOT_RUN
    apart = [f"recipe {row['recipe']}"] if row["recipe"] == "brief" else []
    if len(row["folds_run"]) < row["folds"]:
        apart.append(f"{len(row['folds_run'])} of {row['folds']} folds")
    scores = f"{100 * row['wa']['mean']:.1f} / {100 * row['uar']['mean']:.1f}"
    return f"{scores} ({', '.join(apart)})" if apart else scores


def published_beside(corpus: str, protocol: str) -> str:
    """The figure that a reader knows: the paper's student, or the smallest of EmoBox's frozen speech models."""
    student, frozen = published.PAPER_TABLES[-1], published.EMOBOX[0]
    if protocol == "paper" and corpus in student.wa:
        return f"{student.wa[corpus]} (the paper's student)"
    if protocol == "emobox" and corpus in frozen.scores:
        wa, uar = frozen.scores[corpus]
        return f"{wa} / {uar} ({frozen.model}, {frozen.parameters / 1e6:.0f} M)"
    return "–"


def shared(leakage: dict[str, float | None]) -> str:
    """What of the test part was in training, in words."""
    found = [f"{100 * value:.0f} % of {SHARED[key]}" for key, value in leakage.items() if value]
    return ", ".join(found) or "nothing"


def costs() -> str:
    """The table of `feltone flops`, from results/flops.json."""
    lines = ["| variant | multiply–adds | computed | parameters | paper |", "|---|--:|--:|--:|--:|"]
    for row in json.loads((ROOT / "results" / "flops.json").read_text()):
        paper = f"{row['paper_macs'] / 1e9:.2f} G" if row["paper_macs"] else "–"
        macs, computed = (f"{row[key] / 1e9:.3f} G" for key in ("macs", "executed_macs"))
        lines.append(f"| `{row['variant']}` | {macs} | {computed} | {row['parameters']:,} | {paper} |")
    return "\n".join(lines)


def rivals_short_run() -> str:
    """The first and the last losses of the rivals' short runs, from results/rivals_short_run.json."""
    found = json.loads((ROOT / "results" / "rivals_short_run.json").read_text())
    head = "| network | steps | clips | batch | loss, first round | loss, last round | seconds a step |"
    lines = [head, "|---|--:|--:|--:|--:|--:|--:|"]
    for name, run in found.items():
        counts = f"{len(run['loss_per_step'])} | {run['clips']} | {run['batch']}"
        losses = f"{run['loss_first_round']:.3f} | {run['loss_last_round']:.3f}"
        lines.append(f"| `{name}` | {counts} | {losses} | {run['seconds_per_step']:.1f} |")
    return "\n".join(lines)


def front_end() -> str:
    """The front end beside librosa, from results/front_end.json."""
    found = json.loads((ROOT / "results" / "front_end.json").read_text())
    difference, clips = found["max_abs_difference"], found["clips"]
    librosa = f"librosa {found['librosa']}"
    return f"Largest difference from {librosa} on {clips} real recordings: {difference:.1e} (image values 0–1)."


def kills() -> str:
    """Kills at random moments, and whether anything was lost, from results/reliability.json."""
    head = "| command | SIGKILL | SIGTERM | times begun anew and ended | lost or different | where it was when killed |"
    lines, works = [head, "|---|--:|--:|--:|--:|---|"], (measured("reliability") or {"works": {}})["works"]
    for name, work in works.items():
        moments = ", ".join(f"{where} {count}" for where, count in work["moments"].items())
        counts = " | ".join(str(work[key]) for key in ("sigkill", "sigterm", "rounds", "lost_or_different"))
        lines.append(f"| `feltone {name}` | {counts} | {moments} |")
    whole = [sum(work[key] for work in works.values()) for key in ("sigkill", "sigterm", "rounds", "lost_or_different")]
    lines.append(f"| all | {' | '.join(map(str, whole))} | |")
    told = [f"`{work['command']}`: {work['device']}, {work['commit']}, {work['date']}" for work in works.values()]
    return "\n".join([*lines, "", "  \n".join(told)])


def errors_by_copy() -> str:
    """Errors under `paper` by kind of copy, from the tested folds: of every corpus, recipe and network."""
    kinds = tuple(augment.COPIES)
    lines = [f"| corpus | network | recipe | {' | '.join(kinds)} |", "|---|---|---|" + "--:|" * len(kinds)]
    for found in KEPT.values():
        if found[0].predictions.protocol != "paper":
            continue
        wrong, asked = Counter(), Counter()
        for one in (fold.predictions for fold in found):
            for key, right in zip(one.keys, one.truth == one.predicted, strict=True):
                copy = key.rpartition(" ")[2]
                asked[copy] += 1
                wrong[copy] += not right
        cells = [f"{wrong[kind]} of {asked[kind]}" for kind in kinds]
        of = found[0]
        lines.append(f"| {' | '.join([of.predictions.corpus, of.predictions.model, of.recipe['name'], *cells])} |")
    return "\n".join(lines)


def paper_errors() -> str:
    """Errors under `paper` by kind and strength of the perturbation, from results/paper_errors.json."""
    found = json.loads((ROOT / "results" / "paper_errors.json").read_text())
    kinds = found["errors"]["student"]
    strengths = list(next(iter(kinds.values())))
    head = ["| copies | network | clips |", *(f" strength {strength} |" for strength in strengths)]
    lines = ["".join(head), "|---|---|--:|" + "--:|" * len(strengths)]
    for kind in kinds:
        for network, counts in found["errors"].items():
            cells = [kind, network, str(found["tested"][kind]), *(str(counts[kind][s]) for s in strengths)]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def evidence() -> dict:
    """What pairs of models and the two protocols differ by, from the tested folds."""
    return comparisons.evidence(KEPT)


def about_speakers() -> dict:
    """Who is understood how well, and what a threshold buys, from the tested folds."""
    return groups.evidence(KEPT)


def measured(name: str) -> dict | None:
    """What `feltone figure NAME … --numbers results/NAME.json` wrote, if it was run."""
    file = ROOT / "results" / f"{name}.json"
    return json.loads(file.read_text()) if file.is_file() else None


def robustness_measured() -> list[dict]:
    """What `feltone robustness … --results results/robustness` wrote, by file name."""
    return [json.loads(file.read_text()) for file in sorted((ROOT / "results" / "robustness").glob("*.json"))]


def evidence_beside(found: dict) -> dict[str, str]:
    """The paper's tables beside ours, the comparisons, the leak and what others published."""
    costs = {row["variant"]: row for row in json.loads((ROOT / "results" / "flops.json").read_text())}
    return {
        **{f"table{k}": evidence_tables.paper_table(k, ROWS, costs) for k in (1, 2, 3)},
        "claims": claims_table.table(found),
        "comparisons": evidence_tables.comparisons(found),
        "leak": evidence_tables.leak(found),
        "emobox_anchors": evidence_tables.emobox_anchors(ROWS),
        "ablation": ablation_table.table(ROWS),
        "teaching": ablation_table.table_of_teaching(ROWS),
        "audit": evidence_tables.audit(ROWS),
        "listeners": evidence_tables.listeners(),
        "attention": study_tables.attention(measured("attention")),
        "positions": study_tables.positions(measured("positions")),
        "robustness": study_tables.robustness(robustness_measured()),
    }


def main() -> int:
    """Write what has changed, or with --check say what has."""
    compared, by_speaker = evidence(), about_speakers()
    made = {
        "honest": honest_table(),
        "all": tables.markdown_table(ROWS),
        "not_run": not_run.table(ROWS),
        "newcomer": newcomer_table.table(),
        "errors_by_copy": errors_by_copy(),
        "paper_errors": paper_errors(),
        "costs": costs(),
        "rivals_short_run": rivals_short_run(),
        "front_end": front_end(),
        "kills": kills(),
        **speed_tables.tables(),
        **trust_tables.tables(),
        **scale_tables.tables(),
        **reconstruction_tables.tables(KEPT),
        **evidence_beside(compared),
        "groups": group_tables.by_group(by_speaker["groups"]),
        "thresholds": group_tables.by_confidence(by_speaker["thresholds"]),
    }
    wanted = {file: tables.render(file.read_text(), made) for file in map(ROOT.joinpath, DOCUMENTS)}
    of_models = cards.cards(ROWS, by_speaker["groups"])
    wanted |= of_models
    wanted[ROOT / "results" / "comparisons.json"] = json.dumps(compared, indent=1) + "\n"
    wanted[ROOT / "results" / "groups.json"] = json.dumps(by_speaker, indent=1) + "\n"
    stale = [file for file, text in wanted.items() if not file.is_file() or file.read_text() != text]
    faded = [one for one in pictures.pictures(ROWS, by_speaker) if one.stale]
    named = [file.relative_to(ROOT) for file in (*stale, *(one.file for one in faded))]
    if "--check" in sys.argv:
        for file in named:
            print(f"{file}: not up to date with results/; run: make results")
        return len(named) > 0
    for file in stale:
        write_text(file, wanted[file])
    for one in faded:
        one.write()
    for file in named:
        print(f"{file}: written")
    for folder in (file.parent for file in of_models if file in stale):  # a card is sealed with the rest
        artifact.seal(folder, json.loads((folder / artifact.DESCRIPTION).read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
