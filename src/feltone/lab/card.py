"""The model card: what an artefact is, what it was trained on, how well it hears, and what it must not be used for."""

from collections.abc import Mapping, Sequence
from typing import Any

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


def write(description: Mapping[str, Any], scores: str | None) -> str:
    """The card in Markdown.

    Args:
        description: what `artifact.json` says.
        scores: a Markdown table of the same recipe's scores, made from result files; None where there is none.
    """
    origin, features = description["origin"], description["features"]
    source = origin["source"]
    return "\n".join(
        [
            f"# {description['name']}",
            "",
            f"Recognises {_sentence(description['labels'])} in speech: a `{description['model']['variant']}` of "
            f"{description['parameters']:,} parameters and {description['macs'] / 1e9:.3f} G multiply-adds per "
            f"{features['clip_seconds']:g} s, after Kim & Lee (IEEE Access 2024).",
            "",
            INTENDED,
            "## What it was trained on",
            "",
            f"{source['title']} ({origin['audio']} audio; licence: {source['licence']}). {source['citation']}",
            "",
            f"Recipe `{origin['recipe']['name']}`, protocol `{origin['protocol']}`, seed {origin['seed']}, "
            f"{origin['train_seconds'] / 60:.0f} minutes on one machine; commit {origin['commit']}. Every clip it has "
            "seen is listed in `training.csv`.",
            "",
            "## How well it hears",
            "",
            scores or "Not measured beyond its own run; see `feltone evaluate`.",
            "",
            *_parity(description.get("parity", {})),
            USE.format(name=description["name"], **features),
        ]
    )


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
