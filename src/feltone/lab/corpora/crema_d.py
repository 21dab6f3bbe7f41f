"""CREMA-D: ninety-one actors, twelve English sentences, six emotions; one sentence also at three intensities.

Sex and age of the actors are the corpus' own table (VideoDemographics.csv). One published file is named
`1040_ITH_SAD_X`, every other of its kind ends in `XX`, and EmoBox's folds say `XX` for it too: here, and only here,
`X` is read as `XX`. `1076_MTI_SAD_XX` is silent as published, and kept.
"""

import re
from itertools import product
from pathlib import Path

from feltone.lab.corpora.clip import Clip
from feltone.lab.corpora.corpus import Corpus

# 1001_IEO_ANG_HI: actor 1001, sentence "It's eleven o'clock", angry, high intensity
SCHEME = re.compile(r"(?P<actor>\d{4})_(?P<sentence>[A-Z]{3})_(?P<emotion>[A-Z]{3})_(?P<intensity>LO|MD|HI|XX?)")
EMOTION = {
    "ANG": "anger",
    "DIS": "disgust",
    "FEA": "fear",
    "HAP": "happiness",
    "NEU": "neutral",
    "SAD": "sadness",
}
SENTENCES = ("DFA", "IEO", "IOM", "ITH", "ITS", "IWL", "IWW", "MTI", "TAI", "TIE", "TSI", "WSI")
GRADED = "IEO"  # the sentence spoken at three intensities
ACTORS = tuple(str(number) for number in range(1001, 1092))
# fmt: off
FEMALE = frozenset((
    1002, 1003, 1004, 1006, 1007, 1008, 1009, 1010, 1012, 1013, 1018, 1020, 1021, 1024, 1025, 1028, 1029, 1030,
    1037, 1043, 1046, 1047, 1049, 1052, 1053, 1054, 1055, 1056, 1058, 1060, 1061, 1063, 1072, 1073, 1074, 1075,
    1076, 1078, 1079, 1082, 1084, 1089, 1091,
))
AGES = dict(zip(ACTORS, (
    51, 21, 21, 42, 29, 58, 38, 46, 24, 27, 32, 23, 22, 24, 32, 61, 42, 25, 29, 61, 30, 22, 22, 59, 48, 33,
    44, 57, 33, 42, 31, 30, 31, 74, 48, 49, 45, 21, 51, 42, 42, 37, 25, 40, 22, 22, 22, 38, 25, 62, 56, 33,
    35, 36, 57, 52, 25, 36, 21, 28, 51, 56, 33, 53, 38, 25, 66, 34, 27, 25, 41, 33, 24, 31, 40, 25, 20, 21,
    21, 21, 30, 20, 45, 46, 34, 33, 62, 23, 24, 50, 29,
), strict=True))
# fmt: on
UNPUBLISHED = ("1008_WSI", "1009_MTI", "1019_ITH", "1002_TIE_NEU", "1076_ITS_NEU")  # beginnings of 20 names


def parse(path: Path) -> Clip | None:
    """Clip of a recording named by the corpus' scheme."""
    found = SCHEME.fullmatch(path.stem)
    if not found or found["actor"] not in ACTORS or found["sentence"] not in SENTENCES:
        return None
    return Clip(
        corpus="crema-d",
        name=path.stem + "X" * path.stem.endswith("_X"),
        path=path,
        label=EMOTION.get(found["emotion"], found["emotion"]),
        speaker=found["actor"],
        sex="female" if int(found["actor"]) in FEMALE else "male",
        sentence=found["sentence"],
        age=AGES[found["actor"]],
    )


def expected_names() -> frozenset[str]:
    """91 actors x (11 sentences x 6 emotions + one sentence x (5 emotions x 3 intensities + neutral)), less 20."""
    takes = [
        f"{sentence}_{emotion}_{intensity}"
        for sentence, emotion in product(SENTENCES, EMOTION)
        for intensity in (("LO", "MD", "HI") if sentence == GRADED and emotion != "NEU" else ("XX",))
    ]
    names = (f"{actor}_{take}" for actor, take in product(ACTORS, takes))
    return frozenset(name for name in names if not name.startswith(UNPUBLISHED))


CORPUS = Corpus(
    name="crema-d",
    title="CREMA-D",
    licence="ODbL 1.0",
    citation="H. Cao, D. G. Cooper, M. K. Keutmann, R. C. Gur, A. Nenkova, R. Verma: CREMA-D: Crowd-sourced Emotional "
    "Multimodal Actors Dataset. IEEE Transactions on Affective Computing 5(4), 2014.",
    obtain="github.com/CheyneyComputerScience/CREMA-D with git-lfs; put AudioWAV/ below crema-d/",
    language="English",
    expected={
        "anger": 1271,
        "disgust": 1271,
        "fear": 1271,
        "happiness": 1271,
        "neutral": 1087,
        "sadness": 1271,
    },
    speakers=91,
    sentences=12,
    parse=parse,
    expected_names=expected_names,
    shippable=True,
    emobox="cremad",
)
