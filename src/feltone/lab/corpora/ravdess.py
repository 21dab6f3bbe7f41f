"""RAVDESS, the speech part: twenty-four North American actors, two sentences, eight emotions at two intensities.

Of the corpus' seven thousand files the audio recordings of speech are read (names beginning 03-01); song (03-02) and
the video files are passed over. Neutral has no strong intensity, hence half as many clips. As published, two takes of
actor 07 are one recording: 03-01-03-01-02-01-07 and 03-01-03-01-02-02-07.
"""

import re
from itertools import product
from pathlib import Path

from feltone.lab.corpora.clip import Clip
from feltone.lab.corpora.corpus import Corpus

# 03-01-05-02-01-02-16: audio only, speech, angry, strong, statement 1, repetition 2, actor 16
SCHEME = re.compile(
    r"03-01-(?P<emotion>\d\d)-(?P<intensity>0[12])-(?P<statement>0[12])-(?P<repetition>0[12])-(?P<actor>\d\d)"
)
EMOTION = {
    "01": "neutral",
    "02": "calm",
    "03": "happiness",
    "04": "sadness",
    "05": "anger",
    "06": "fear",
    "07": "disgust",
    "08": "surprise",
}
ACTORS = tuple(f"{number:02}" for number in range(1, 25))


def parse(path: Path) -> Clip | None:
    """Clip of a recording named by the corpus' scheme; the statement is the sentence, odd actors are male."""
    found = SCHEME.fullmatch(path.stem)
    if not found or found["actor"] not in ACTORS:
        return None
    return Clip(
        corpus="ravdess",
        name=path.stem,
        path=path,
        label=EMOTION.get(found["emotion"], found["emotion"]),
        speaker=found["actor"],
        sex="male" if int(found["actor"]) % 2 else "female",
        sentence=found["statement"],
    )


def expected_names() -> frozenset[str]:
    """24 actors x 2 statements x 2 repetitions x (7 emotions x 2 intensities + neutral)."""
    played = product(EMOTION, ("01", "02"), ("01", "02"), ("01", "02"), ACTORS)
    return frozenset("-".join(("03", "01", *fields)) for fields in played if fields[:2] != ("01", "02"))


CORPUS = Corpus(
    name="ravdess",
    title="RAVDESS (speech)",
    licence="CC BY-NC-SA 4.0",
    citation="S. R. Livingstone, F. A. Russo: The Ryerson Audio-Visual Database of Emotional Speech and Song (RAVDESS)."
    " PLoS ONE 13(5): e0196391, 2018.",
    obtain="zenodo.org/records/1188976, Audio_Speech_Actors_01-24.zip; unpack it below ravdess/",
    language="English",
    expected={
        "anger": 192,
        "calm": 192,
        "disgust": 192,
        "fear": 192,
        "happiness": 192,
        "neutral": 96,
        "sadness": 192,
        "surprise": 192,
    },
    speakers=24,
    sentences=2,
    parse=parse,
    expected_names=expected_names,
)
