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
# Speaker -> sex, and age in years when recorded: the corpus' own table.
SPEAKERS = {
    "03": ("male", 31),
    "08": ("female", 34),
    "09": ("female", 21),
    "10": ("male", 32),
    "11": ("male", 26),
    "12": ("male", 30),
    "13": ("female", 32),
    "14": ("female", 35),
    "15": ("male", 25),
    "16": ("female", 31),
}


def parse(path: Path) -> Clip | None:
    """Clip of a recording named by the corpus' scheme."""
    found = SCHEME.fullmatch(path.stem)
    if not found or found["speaker"] not in SPEAKERS:
        return None
    sex, age = SPEAKERS[found["speaker"]]
    return Clip(
        corpus="emodb",
        name=path.stem,
        path=path,
        label=EMOTION.get(found["emotion"], found["emotion"]),
        speaker=found["speaker"],
        sex=sex,
        sentence=found["sentence"],
        age=age,
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
