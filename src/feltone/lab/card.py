"""The model card: what an artefact is, what it was trained on, how well it hears, and what it must not be used for.

It begins with a header in YAML, by which model hubs sort and find models. Scores in it, as in the text, name their
protocol and the networks they were measured on.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from feltone.lab.corpora import CORPORA, whole

LANGUAGES = {"German": "de", "English": "en"}
"""Language of a corpus -> its code, as hubs write it."""

METRICS = {"wa": ("accuracy", "WA"), "uar": ("recall", "UAR"), "macro_f1": ("f1", "macro-F1")}
"""Metric of a result -> what hubs call it, and what we do."""

AFTER = {
    "vit": "Kim & Lee (IEEE Access 2024)",
    "septr": "Ristea, Ionescu & Khan (Interspeech 2022)",
    "ast": "Gong, Chung & Glass (Interspeech 2021)",
    "residual": "He et al. (CVPR 2016)",
    "joined": "Lakshminarayanan et al. (NeurIPS 2017)",
}
"""Family of networks -> whose idea it is."""

INTENDED = """\
## What it is for

Research, prototypes, and as a small recogniser to train further on your own recordings. It hears how something is
said, not what is said, and names one of the labels it was trained on: it has no way to say "something else".

Not for decisions about people. Acted emotion in a studio is not felt emotion in life; expect scores far below these
on telephones, in noise, in other languages and on speakers unlike those it was trained on. In several places the law
forbids emotion recognition at work and in schools.
"""

USE = """\
## How to use it

```python
import feltone

recognize = feltone.load("{name}")
print(recognize("clip.wav"))
```

Without Feltone: `model.onnx` takes `image` (batch, {mel_bands}, {columns}) and gives `logits`, `embedding` and
`attention`; `artifact.json` holds the labels in order and the settings of the front end.
"""


def write(description: Mapping[str, Any], scores: str | None, rows: Sequence[Mapping[str, Any]] = ()) -> str:
    """The card in Markdown.

    Args:
        description: what `artifact.json` says.
        scores: a Markdown table of the same recipe's scores, made from result files; None where there is none.
        rows: these results, for the header.
    """
    origin, features = description["origin"], description["features"]
    source = origin["source"]
    return "\n".join(
        [
            *header(description, rows),
            "",
            f"# {description['name']}",
            "",
            f"Recognises {_sentence(description['labels'])} in speech: a `{description['model']['variant']}` of "
            f"{description['parameters']:,} parameters and {description['macs'] / 1e9:.3f} G multiply-adds per "
            f"{features['clip_seconds']:g} s, after {AFTER[description['model'].get('family', 'vit')]}.",
            "",
            INTENDED,
            "## What it was trained on",
            "",
            f"{source['title']} ({origin['audio']} audio; licence: {source['licence']}). {source['citation']}",
            "",
            f"{_begun(description['model'])}{_learnt_first(origin['recipe'])}{_taught(origin['recipe'])}"
            f"Recipe `{origin['recipe']['name']}`, protocol `{origin['protocol']}`, "
            f"{_seeds(description['model'], origin['seed'])}, "
            f"{origin['train_seconds'] / 60:.0f} minutes on one machine; commit {origin['commit']}. Every clip it has "
            "seen is listed in `training.csv`.",
            "",
            "## How well it hears",
            "",
            scores or "Not measured beyond its own run; see `feltone evaluate`.",
            "",
            *_sureness(description),
            *_parity(description.get("parity", {})),
            USE.format(name=description["name"], **features),
        ]
    )


def header(description: Mapping[str, Any], rows: Iterable[Mapping[str, Any]] = ()) -> list[str]:
    """The lines of YAML that a card begins with.

    Weights trained on corpora that let them be shared are under Feltone's own licence; of all others the card tells.

    Args:
        description: what `artifact.json` says.
        rows: results of networks of the same recipe.
    """
    names = [*map(whole, description["origin"]["corpus"].split("+")), *_before(description["origin"]["recipe"])]
    known = [CORPORA[name] for name in names if name in CORPORA]
    free = len(known) == len(names) and all(corpus.shippable for corpus in known)
    other = {"license": "other", "license_name": "terms-of-the-recordings", "license_link": "README.md"}
    said: dict[str, Any] = {
        "library_name": "feltone",
        "pipeline_tag": "audio-classification",
        "tags": ["speech-emotion-recognition", "speech", "emotion", "onnx"],
        **({"license": "apache-2.0"} if free else other),
        "language": sorted({LANGUAGES[corpus.language] for corpus in known}),
        "datasets": [corpus.name for corpus in known],
    }
    results = [_result(row) for row in rows]
    if results:
        said["metrics"] = [metric for metric, _ in METRICS.values()]
        said["model-index"] = [{"name": description["name"], "results": results}]
    # JSON is YAML, whatever a name or title holds.
    return ["---", *(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in said.items() if value), "---"]


def _result(row: Mapping[str, Any]) -> dict[str, Any]:
    warning = f"; {row['warning']}" if row.get("warning") else ""
    over = f"{len(row['folds_run'])} of {row['folds']} folds, {len(row['seeds'])} seeds"
    place = f"{row['corpus']}, protocol {row['protocol']}, {over}, {row['audio']} audio{warning}"
    metrics = [
        {"type": kind, "value": row[key]["mean"], "name": f"{title}, {row['model']}s of recipe {row['recipe']}"}
        for key, (kind, title) in METRICS.items()
    ]
    task = {"type": "audio-classification", "name": "speech emotion recognition"}
    return {"task": task, "dataset": {"type": row["corpus"], "name": place, "split": "test"}, "metrics": metrics}


def _sureness(description: Mapping[str, Any]) -> list[str]:
    """How sure it may be, where it was calibrated."""
    told = description.get("calibration")
    if not told:
        return []
    return [
        "## When it is unsure",
        "",
        f"Below a highest probability of {told['unsure_below']:.2f} an answer is marked `unsure`. On {told['clips']:,} "
        f"clips of speakers that networks of its recipe had not learnt from (`{told['row'].removesuffix('.json')}`) "
        f"{told['answered']:.0%} of the answers were sure, and {told['right']:.0%} of these right. Its probabilities "
        f"are at the temperature {told['temperature']:.2f} that suited these clips best: expected calibration error "
        f"{100 * told['ece_after']:.1f} points there, {100 * told['ece_before']:.1f} without.",
        "",
    ]


def _begun(model: Mapping[str, Any]) -> str:
    weights = model.get("weights", "random")
    return "" if weights == "random" else f"Training began from the weights of `{weights}`. "


def _before(recipe: Mapping[str, Any]) -> list[str]:
    """Corpora that were learnt from before the one that the artefact names."""
    return [name for first in ("before", "begun") for name in recipe.get(first, {}).get("corpora", [])]


def _learnt_first(recipe: Mapping[str, Any]) -> str:
    names = " and ".join(_before(recipe))
    if "begun" in recipe:
        return f"Training began from `{recipe['begun']['model']}`, which had learnt from {names}. "
    return f"It learnt from {names} first, by recipe `{recipe['before']['name']}`. " if names else ""


def _taught(recipe: Mapping[str, Any]) -> str:
    outside = recipe.get("outside")
    if not outside:
        return ""
    layer = "" if outside.get("layer") is None else f" (layer {outside['layer']})"
    heard = f"openSMILE's {outside['functionals']}" if "functionals" in outside else outside["encoder"]
    return f"It was taught to match the features of `{heard}`{layer}, which has terms of its own. "


def _seeds(model: Mapping[str, Any], first: int) -> str:
    """One seed, or those whose networks are joined."""
    members = model.get("members")
    return f"seeds {first} to {first + members - 1}, joined" if members else f"seed {first}"


def _sentence(labels: Sequence[str]) -> str:
    return f"{', '.join(labels[:-1])} and {labels[-1]}"


def _parity(parity: Mapping[str, Mapping[str, float]]) -> list[str]:
    if not parity:
        return []
    rows = [
        f"| {name} | {row['max_probability_difference']:.1e} | {row['equal_labels']:.1%} | {row['images']:.0f} |"
        for name, row in parity.items()
    ]
    head = ["| graph | largest difference of a probability | equal labels | images |", "|---|--:|--:|--:|"]
    return ["## The graphs beside the network they came from", "", *head, *rows, ""]
