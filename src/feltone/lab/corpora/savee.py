"""SAVEE, Surrey Audio-Visual Expressed Emotion: four English men, 120 utterances each, seven emotions.

Two layouts are in use, `DC_a01.wav` and `DC/a01.wav`; the clip is called `DC_a01` either way.

Sentences. The authors say: per emotion 15 TIMIT sentences, 3 common to all, 2 for that emotion, 10 different for each;
as neutral, the 3 common and the 12 specific ones besides neutral ones of its own. Which number is which sentence
was measured here: dynamic time warping of cepstra between all 120 recordings of a speaker, averaged over the four
speakers, finds 96 pairs that say the same (distance at most 2.92; every other pair at least 3.08), and they are
exactly the pairs of this rule:

    01-03 of every emotion         the common sentences; neutral says them twice, again as n16-n18
    04-05 of every other emotion   its specific ones, said as neutral too (`SAID_AS_NEUTRAL`)
    all others                     said with one emotion only
"""

import re
from itertools import product
from pathlib import Path

from feltone.lab.corpora.clip import Clip
from feltone.lab.corpora.corpus import Corpus

SCHEME = re.compile(r"(?:(?P<speaker>[A-Z]{2})_)?(?P<emotion>[a-z]{1,2})(?P<number>\d\d)")
EMOTION = {
    "a": "anger",
    "d": "disgust",
    "f": "fear",
    "h": "happiness",
    "n": "neutral",
    "sa": "sadness",
    "su": "surprise",
}
SPEAKERS = ("DC", "JE", "JK", "KL")  # all male
SAID_AS_NEUTRAL = {"n19": "a", "n21": "d", "n23": "f", "n25": "su", "n27": "sa", "n29": "h"}


def sentence(emotion: str, number: int) -> str:
    """Identity of a sentence across emotions.

    >>> sentence("a", 1), sentence("n", 16), sentence("n", 20), sentence("h", 7)
    ('common01', 'common01', 'a05', 'h07')
    """
    if emotion == "n" and 16 <= number <= 18:
        number -= 15
    if number <= 3:
        return f"common{number:02}"
    if emotion == "n" and number >= 19:
        first = number - (number + 1) % 2  # the odd number of a pair: 19 for 19 and 20
        return f"{SAID_AS_NEUTRAL[f'n{first}']}{4 + number - first:02}"
    return f"{emotion}{number:02}"


def parse(path: Path) -> Clip | None:
    """Clip of a recording named by either scheme."""
    found = SCHEME.fullmatch(path.stem)
    speaker = found and (found["speaker"] or path.parent.name)
    if not found or speaker not in SPEAKERS or not 1 <= int(found["number"]) <= 30:
        return None
    return Clip(
        corpus="savee",
        name=f"{speaker}_{found['emotion']}{found['number']}",
        path=path,
        label=EMOTION.get(found["emotion"], found["emotion"]),
        speaker=speaker,
        sex="male",
        sentence=sentence(found["emotion"], int(found["number"])),
    )


def expected_names() -> frozenset[str]:
    """4 speakers x (6 emotions x 15 + 30 neutral)."""
    said = [f"{emotion}{number:02}" for emotion in EMOTION for number in range(1, 31 if emotion == "n" else 16)]
    return frozenset("_".join(pair) for pair in product(SPEAKERS, said))


CORPUS = Corpus(
    name="savee",
    title="SAVEE",
    licence="for research, on registration",
    citation="S. Haq, P. J. B. Jackson: Multimodal Emotion Recognition. In W. Wang (ed.): Machine Audition: Principles,"
    " Algorithms and Systems, IGI Global, 2010.",
    obtain="register at kahlan.eps.surrey.ac.uk/savee; unpack AudioData/ below savee/",
    language="English",
    expected={
        "anger": 60,
        "disgust": 60,
        "fear": 60,
        "happiness": 60,
        "neutral": 120,
        "sadness": 60,
        "surprise": 60,
    },
    speakers=4,
    sentences=87,
    parse=parse,
    expected_names=expected_names,
)
