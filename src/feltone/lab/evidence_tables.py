"""The evidence as Markdown: the paper's tables beside ours, comparisons, the leak, and what others published.

    rows + costs                 -> table1, table2, table3, emobox_anchors
    `comparisons.evidence`       -> comparisons, leak

What was not run is said to be so; whatever stands under protocol `paper` carries its warning.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from feltone.lab import published, tables
from feltone.lab.corpora import SOME, whole
from feltone.lab.evaluate import name_of
from feltone.lab.protocols import PAPER_WARNING
from feltone.lab.published import EMOBOX, LISTENERS, PAPER_TABLES, Published
from feltone.lab.tasks import OF_PARTS

Row = Mapping[str, Any]
"""A row of `results/accuracy/`."""

BESIDE = ("paper", "clean", "speaker", "sentence", "emobox")  # protocols of the paper's tables, in this order
DAGGER = f"† **Warning:** {PAPER_WARNING}."
TITLES = {"savee": "SAVEE", "emodb": "EmoDB", "crema-d": "CREMA-D", "ravdess": "RAVDESS"}


def paper_table(number: int, rows: Sequence[Row], costs: Mapping[str, Row]) -> str:
    """One of the paper's tables with our scores under several protocols, and what they cost.

    Args:
        number: 1, 2 or 3.
        rows: of results, all of them.
        costs: variant -> its row of results/flops.json.
    """
    lines = _lines(number, rows)
    headers = ["", "corpus", "published †", *(f"{name} †" if name == "paper" else name for name in BESIDE)]
    scores = markdown(
        headers,
        [
            [
                line.row,
                corpus_of(corpus, rows),
                f"{line.wa[whole(corpus)]:.2f}",
                *(score(found(rows, line, corpus, name)) for name in BESIDE),
            ]
            for line in lines
            for corpus in _with_parts(line, rows)
        ],
        left=2,
    )
    headers = ["", "multiply–adds", "published", "parameters", "seconds of training of one run"]
    cost = markdown(headers, [[line.row, *_cost(line, rows, costs)] for line in lines], left=1)
    began = "".join(f" {line.row} began from weights of {line.began}." for line in _published(number) if line.began)
    return f"{scores}\n\n{DAGGER}\n\n{cost}\n\nPublished: {published.PAPER}.{began}"


def emobox_anchors(rows: Sequence[Row]) -> str:
    """What EmoBox published on its folds, what is ours there, and what listeners make of CREMA-D."""
    corpora = list(EMOBOX[0].scores)
    lines = [
        [one.model, _millions(one.parameters), *(f"{wa:.2f} / {uar:.2f}" for wa, uar in one.scores.values())]
        for one in EMOBOX
    ]
    ours: dict[str, dict[str, Row]] = {}
    for row in rows:
        if row["protocol"] == "emobox" and row["recipe"] not in OF_PARTS:
            ours.setdefault(f"**here:** {name_of(row['model'], row['recipe'])}", {})[row["corpus"]] = row
    for name, by_corpus in ours.items():
        parameters = _millions(max(row["parameters"] for row in by_corpus.values()))
        lines.append([name, parameters, *(_both(by_corpus.get(corpus)) for corpus in corpora)])
    if not ours:
        lines.append(["**here**", "", *([tables.NOT_RUN] * len(corpora))])
    source = f"WA / UAR %, protocol `emobox`. Published: {published.EMOBOX_SOURCE}. {published.EMOBOX_FOLDS}."
    table = markdown(["model", "parameters", *(TITLES[corpus] for corpus in corpora)], lines, left=1)
    return f"{table}\n\n{source}\n\n{listeners()}"


def listeners() -> str:
    """What people make of clips that they hear without seeing."""
    heard = LISTENERS
    return (
        f"People who hear a clip of {TITLES[heard.corpus]} without seeing it name the intended emotion in "
        f"{100 * heard.votes_right:.1f} % of {heard.votes:,} votes; the majority of them does for "
        f"{100 * heard.majority_right:.1f} % of the clips. Source: {published.LISTENERS_SOURCE}."
    )


def audit(rows: Iterable[Row]) -> str:
    """Share of the test clips whose recording, speaker or sentence was in training, of every division that was run."""
    shares: dict[tuple[str, str], list[str]] = {}
    for row in sorted(rows, key=lambda row: (row["corpus"], row["protocol"])):
        found = [row["leakage"][what] for what in ("same_recording", "same_speaker", "same_sentence")]
        shown = ["unknown" if share is None else f"{100 * share:.0f} %" for share in found]
        shares.setdefault((row["corpus"], row["protocol"]), shown)
    lines = [[corpus, f"`{protocol}`", *shown] for (corpus, protocol), shown in shares.items()]
    return markdown(["corpus", "protocol", "same recording", "same speaker", "same sentence"], lines, left=2)


def comparisons(evidence: Mapping[str, Any]) -> str:
    """Pairs of models on the same clips, and which of the wanted ones were not run."""
    headers = ["", "corpus", "protocol", "first, WA %", "second, WA %", "difference WA", "p", "difference UAR", "p"]
    lines = [
        [
            one["question"],
            _corpus(one),
            f"{one['protocol']} †" if one["protocol"] == "paper" else one["protocol"],
            *(f"{one[side]} {100 * one['wa'][side]:.1f}" for side in ("first", "second")),
            *(cell for name in ("wa", "uar") for cell in (points(one[name]), _p_of(one[name]["t_test"]))),
            "; ".join(f"{t['only_first']} : {t['only_second']}, {probability(t['p'])}" for t in one["mcnemar"]),
            tables.runs(one),
        ]
        for one in evidence["comparisons"]
    ]
    made = markdown([*headers, "only one is right, p", "folds × seeds"], lines, left=3) if lines else "None yet."
    legend = (
        "Differences are first minus second in percentage points, of all folds of a seed together, averaged over "
        "seeds; in brackets the 95 % interval from resampled speakers, the same draw for both models. p: corrected "
        "resampled t test over folds and seeds (Nadeau & Bengio 2003), where there are several runs. *Only one is "
        "right*: samples that only the first and only the second model has right, and the exact McNemar test, per "
        "seed. No p is corrected for the number of comparisons."
    )
    dagger = [DAGGER] if any(one["protocol"] == "paper" for one in evidence["comparisons"]) else []
    return "\n\n".join([made, *dagger, legend, *_not_run(evidence["not_run"])])


def leak(evidence: Mapping[str, Any]) -> str:
    """What the split after augmentation is worth: `paper` minus `clean`."""
    headers = ["corpus", "model", "recipe", "paper †, WA %", "clean, WA %", "leak WA", "leak UAR", "seeds"]
    lines = [
        [
            _corpus(one),
            one["model"],
            one["recipe"],
            *(f"{100 * one['wa'][name]:.1f}" for name in ("paper", "clean")),
            *(points(one[name]) for name in ("wa", "uar")),
            " and ".join(str(len(one["seeds"][name])) for name in ("paper", "clean")),
        ]
        for one in evidence["leak"]
    ]
    legend = (
        "Percentage points that a model gains when its test clips have copies in training. The two protocols test on "
        "different clips, so nothing is paired: each side's speakers are resampled by themselves, and the 95 % "
        "interval is that of the difference of two independent scores. Networks hear copies in training under both, "
        "compare-svm only under `paper`, which tests them."
    )
    return f"{markdown(headers, lines, left=3) if lines else tables.NOT_RUN}\n\n{DAGGER}\n\n{legend}"


def found(rows: Iterable[Row], line: Published, corpus: str, protocol: str) -> Row | None:
    """The row that repeats a published one."""
    for row in rows:
        here = (row["corpus"], row["protocol"], row["model"]) == (corpus, protocol, line.model)
        if here and line.recipe in (None, row["recipe"]):
            return row
    return None


def score(row: Row | None, metric: str = "wa") -> str:
    """One metric of a row in per cent, with its interval, and which part of the folds it rests on."""
    if row is None:
        return tables.NOT_RUN
    run = len(row["folds_run"])
    return tables.spread(row[metric]) + (f" ({run} of {row['folds']} folds)" if run < row["folds"] else "")


def points(difference: Mapping[str, Any]) -> str:
    """A difference in percentage points.

    >>> points({"difference": 0.028, "ci95": [-0.01, 0.061]})
    '+2.8 [−1.0, +6.1]'
    """
    shown = [_signed(value) for value in (difference["difference"], *difference["ci95"])]
    return f"{shown[0]} [{shown[1]}, {shown[2]}]"


def probability(p: float) -> str:
    """A p value, as read.

    >>> probability(0.6291), probability(0.00004)
    ('0.63', '<0.001')
    """
    return "<0.001" if p < 0.001 else f"{p:.2g}" if p < 0.995 else "1"


def corpus_of(corpus: str, rows: Iterable[Row]) -> str:
    """A corpus' title, with how many of its speakers our rows are of and what was done to the audio that we have."""
    title, _, speakers = corpus.partition(SOME)
    audio = {row["audio"] for row in rows if row["corpus"] == corpus} - {"original"}
    said = [*[f"{speakers} speakers"] * bool(speakers), *(f"{what} audio" for what in sorted(audio))]
    return f"{TITLES[title]} (ours: {', '.join(said)})" if said else TITLES[title]


def markdown(headers: Sequence[str], lines: Iterable[Sequence[str]], left: int) -> str:
    """A table whose first `left` columns are flush left and the others flush right."""
    rule = ["---"] * left + ["--:"] * (len(headers) - left)
    return "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in (headers, rule, *lines)
    )


def _lines(number: int, rows: Sequence[Row]) -> list[Published]:
    """The rows of a table; one for every recipe of ours, where the paper's model can be repeated in several ways."""
    lines = []
    for line in _published(number):
        ways = sorted({(r["recipe"], r["weights"]) for r in rows if r["model"] == line.model and line.recipe is None})
        named = [line._replace(recipe=way, row=f"{line.row}, recipe `{way}`, {began} weights") for way, began in ways]
        lines += named or [line]
    return lines


def _published(number: int) -> list[Published]:
    return [line for line in PAPER_TABLES if line.table == number]


def _with_parts(line: Published, rows: Sequence[Row]) -> list[str]:
    """The corpora of a published row, behind each the parts of it on which it was repeated."""
    names = sorted({row["corpus"] for row in rows if any(found([row], line, row["corpus"], name) for name in BESIDE)})
    return [
        name
        for corpus in line.wa
        for name in (corpus, *(part for part in names if part.removeprefix(f"{corpus}{SOME}").isdecimal()))
    ]


def _cost(line: Published, rows: Sequence[Row], costs: Mapping[str, Row]) -> list[str]:
    """Multiply-adds, the published ones, parameters, and what was trained how long on which machine."""
    run = {
        corpus: row
        for corpus in _with_parts(line, rows)
        if (row := next((row for name in BESIDE if (row := found(rows, line, corpus, name))), None))
    }
    cost = next(iter(run.values()), None) or costs.get(line.variant)
    macs, parameters = (cost["macs"], f"{cost['parameters']:,}") if cost else (None, tables.NOT_RUN)
    told = f"{line.macs / 1e9:.2f} G" if line.macs else "–"
    trained = [
        f"{corpus_of(corpus, ())} under `{row['protocol']}` "
        + ", ".join(f"{seconds:,.0f} ({device})" for device, seconds in row["seconds_of_a_run"].items())
        for corpus, row in run.items()
    ]
    ours = f"{macs / 1e9:.3f} G" if macs else "–" if cost else tables.NOT_RUN
    return [ours, told, parameters, "; ".join(trained) or tables.NOT_RUN]


def _not_run(absent: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is missing, question by question."""
    questions: dict[str, dict[str, list[str]]] = {}
    for one in absent:
        places = questions.setdefault(one["question"], {}).setdefault(one["missing"], [])
        places += [f"{one['corpus']} {one['protocol']}"] if one["corpus"] else []
    lines = [
        f"* {question}: no {missing}" + (f" ({', '.join(places)})" if places else "")
        for question, by_missing in questions.items()
        for missing, places in by_missing.items()
    ]
    return ["Not run:", "\n".join(lines)] if lines else []


def _corpus(one: Mapping[str, Any]) -> str:
    return one["corpus"] if one["audio"] == "original" else f"{one['corpus']} ({one['audio']} audio)"


def _p_of(test: Mapping[str, Any] | None) -> str:
    return probability(test["p"]) if test else "–"


def _both(row: Row | None) -> str:
    if row is None:
        return tables.NOT_RUN
    run = len(row["folds_run"])
    notes = [f"{run} of {row['folds']} folds"] * (run < row["folds"]) + [f"{row['audio']} audio"] * (
        row["audio"] != "original"
    )
    shown = f"{100 * row['wa']['mean']:.2f} / {100 * row['uar']['mean']:.2f}"
    return f"{shown} ({', '.join(notes)})" if notes else shown


def _millions(parameters: float) -> str:
    return f"{parameters / 1e6:,.1f} M" if parameters < 1e7 else f"{parameters / 1e6:,.0f} M"


def _signed(fraction: float) -> str:
    value = round(100 * fraction, 1)
    return f"+{value:.1f}" if value > 0 else f"−{-value:.1f}" if value < 0 else "0.0"
