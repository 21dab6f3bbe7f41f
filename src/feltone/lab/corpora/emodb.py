"""EmoDB, the Berlin Database of Emotional Speech: ten actors, ten German sentences, seven emotions.

The published 535 recordings are the best recognised of some 800, so no rule gives their names: `emodb.txt` lists them,
one line per speaker and sentence.
"""

import re
from importlib import resources
from pathlib import Path

from feltone.lab.corpora.clip import Clip
from feltone.lab.corpora.corpus import Corpus

# 03a01Fa: speaker 03, sentence a01, emotion F(reude), version a
SCHEME = re.compile(r"(?P<speaker>\d\d)(?P<sentence>[ab]\d\d)(?P<emotion>[A-Z])(?P<version>[a-z])")
EMOTION = {
    "W": "anger",  # Wut, Ärger
    "L": "boredom",  # Langeweile
    "E": "disgust",  # Ekel
    "A": "fear",  # Angst
    "F": "happiness",  # Freude
    "N": "neutral",
    "T": "sadness",  # Trauer
}
SEX = {
    speaker: "female" if speaker in {"08", "09", "13", "14", "16"} else "male"
    for speaker in ("03", "08", "09", "10", "11", "12", "13", "14", "15", "16")
}


def parse(path: Path) -> Clip | None:
    """Clip of a recording named by the corpus' scheme."""
    found = SCHEME.fullmatch(path.stem)
    if not found or found["speaker"] not in SEX:
        return None
    return Clip(
        corpus="emodb",
        name=path.stem,
        path=path,
        label=EMOTION.get(found["emotion"], found["emotion"]),
        speaker=found["speaker"],
        sex=SEX[found["speaker"]],
        sentence=found["sentence"],
    )


def expected_names() -> frozenset[str]:
    """The 535 published names."""
    listed = resources.files("feltone.lab.corpora").joinpath("emodb.txt").read_text(encoding="utf-8")
    rows = (line.split() for line in listed.splitlines())
    return frozenset(take + version for take, *versions in rows for version in versions)


CORPUS = Corpus(
    name="emodb",
    title="EmoDB",
    licence="CC0 1.0 as packaged by audEERING",
    citation="F. Burkhardt, A. Paeschke, M. Rolfes, W. Sendlmeier, B. Weiss: A database of German emotional speech. "
    "Interspeech 2005.",
    obtain="free download, for example through audEERING's audb ('emodb'); put the 535 recordings below emodb/",
    language="German",
    expected={
        "anger": 127,
        "boredom": 81,
        "disgust": 46,
        "fear": 69,
        "happiness": 71,
        "neutral": 79,
        "sadness": 62,
    },
    speakers=10,
    sentences=10,
    parse=parse,
    expected_names=expected_names,
    shippable=True,
)
