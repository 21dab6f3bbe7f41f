"""What the paper's tables say of one model and another, and whether our runs bear it out.

A claim is a comparison whose first side the paper holds to be the better (`comparisons.Wanted.claim`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from feltone.lab import tables
from feltone.lab.comparisons import WANTED, Side, Wanted
from feltone.lab.corpora import whole
from feltone.lab.evaluate import name_of
from feltone.lab.evidence_tables import BESIDE, DAGGER, TITLES, corpus_of, markdown, points, probability
from feltone.lab.published import PAPER_TABLES, Published

UNKNOWN = "–"


def table(evidence: Mapping[str, Any]) -> str:
    """Every claim on every corpus where both of its sides were run: published, ours, and what became of it.

    Args:
        evidence: `comparisons.evidence`.
    """
    claims = {wanted.question: wanted for wanted in WANTED if wanted.claim}
    made = [one for one in evidence["comparisons"] if one["question"] in claims and whole(one["corpus"]) in TITLES]
    others = [name for name in BESIDE[1:] if any(one["protocol"] == name for one in made)]
    lines = []
    for question, wanted in claims.items():
        usual = name_of(*wanted.second)
        by_place: dict[tuple[str, str], dict[str, Any]] = {}
        for one in made:
            if one["question"] == question:
                by_place.setdefault((one["corpus"], one["second"]), {})[one["protocol"]] = one
        lines += [
            [
                wanted.claim if second == usual else f"{wanted.claim}: {second}",
                corpus_of(corpus, made),
                _published(wanted, corpus),
                *_under_paper(wanted, by_protocol.get("paper")),
                *(_difference(by_protocol.get(name)) for name in others),
            ]
            for (corpus, second), by_protocol in by_place.items()
        ] or [[wanted.claim, *[UNKNOWN] * 2, *_under_paper(wanted, None), *[tables.NOT_RUN] * len(others)]]
    headers = ["the paper's tables say", "corpus", "published †", "ours, `paper` †", "borne out †"]
    legend = (
        "Differences in WA, percentage points, first minus second; in brackets the 95 % interval from resampled "
        "speakers. *Borne out*: the interval under `paper` lies above nought; *the reverse*: below it; *not shown*: "
        "it contains nought, so these runs do not tell the two apart. *Only one is right*: clips that only the first "
        "and only the second has right, with McNemar's exact p, per seed. Of patches the paper shows masks, no scores."
    )
    return f"{markdown([*headers, 'only one is right †', *others], lines, left=2)}\n\n{DAGGER}\n\n{legend}"


def verdict(ci95: Sequence[float]) -> str:
    """What an interval of the difference says of a claim that it is positive.

    >>> verdict([0.01, 0.04]), verdict([-0.04, -0.01]), verdict([-0.01, 0.04])
    ('yes', 'the reverse', 'not shown')
    """
    low, high = ci95
    return "yes" if low > 0 else "the reverse" if high < 0 else "not shown"


def _published(wanted: Wanted, corpus: str) -> str:
    """By how much the paper's figures differ, in points."""
    lines = [line for side in (wanted.first, wanted.second) if (line := _line_of(side))]
    wa = [line.wa[whole(corpus)] for line in lines if whole(corpus) in line.wa]
    return f"{wa[0] - wa[1]:+.2f}".replace("-", "−") if len(wa) == 2 else UNKNOWN


def _line_of(side: Side) -> Published | None:
    return next((line for line in PAPER_TABLES if (line.model, line.recipe) == side), None)


def _began(wanted: Wanted, one: Mapping[str, Any]) -> str:
    """What our sides began from, where the published ones had weights to begin from."""
    sides = zip((_line_of(wanted.first), _line_of(wanted.second)), one["weights"], strict=True)
    said = [f"{line.row} from {ours} weights, theirs {line.began}'s" for line, ours in sides if line and line.began]
    return f" ({'; '.join(said)})" if said else ""


def _under_paper(wanted: Wanted, one: Mapping[str, Any] | None) -> list[str]:
    if one is None:
        return [tables.NOT_RUN] * 3
    tests = (f"{test['only_first']} : {test['only_second']}, {probability(test['p'])}" for test in one["mcnemar"])
    return [_difference(one), verdict(one["wa"]["ci95"]) + _began(wanted, one), "; ".join(tests)]


def _difference(one: Mapping[str, Any] | None) -> str:
    return tables.NOT_RUN if one is None else points(one["wa"])
