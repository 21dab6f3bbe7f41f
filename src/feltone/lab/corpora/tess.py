"""TESS, the Toronto Emotional Speech Set: two actresses, "Say the word ...", two hundred words, seven emotions.

The words are those of the Northwestern University Auditory Test No. 6. Folders (`OAF_angry`, `YAF_pleasant_surprised`)
are not looked at: the file name says it all. Some distributions misspell one speaker (`OA_bite_neutral`).
"""

import re
from itertools import product
from pathlib import Path

from feltone.lab.corpora.clip import Clip
from feltone.lab.corpora.corpus import Corpus

# OAF_back_ps: older actress, "Say the word back", pleasant surprise
SCHEME = re.compile(r"(?P<speaker>OAF?|YAF?)_(?P<word>[a-z]+)_(?P<emotion>[A-Za-z_]+)")
EMOTION = {
    "angry": "anger",
    "disgust": "disgust",
    "fear": "fear",
    "happy": "happiness",
    "neutral": "neutral",
    "ps": "surprise",
    "sad": "sadness",
}
SPELLED_OUT = {"pleasant_surprise": "ps", "pleasant_surprised": "ps"}
SPEAKERS = ("OAF", "YAF")  # the older (64) and the younger (26) actress
WORDS = """
    back bar base bath bean beg bite boat bone book bought burn cab calm came cause chain chair chalk chat check cheek
    chief choice cool dab date dead death deep dime dip ditch dodge dog doll door fail fall far fat fit five food gap
    gas gaze germ get gin goal good goose gun half hall hash hate have haze hire hit hole home hurl hush jail jar join
    judge jug juice keen keep keg kick kill king kite knock late laud lean learn lease lid life limb live loaf long
    lore lose lot love luck make match merge mess met mill mob mode mood moon mop mouse nag name near neat nice note
    numb pad page pain pass pearl peg perch phone pick pike pole pool puff rag raid rain raise rat reach read red ring
    ripe road room rose rot rough rush said sail search seize sell shack shall shawl sheep shirt should shout size soap
    soup sour south sub such sure take talk tape team tell thin third thought thumb time tip tire ton tool tough turn
    vine voice void vote wag walk wash week wheat when which whip white wife wire witch yearn yes young youth
"""


def parse(path: Path) -> Clip | None:
    """Clip of a recording named by the corpus' scheme; the word is the sentence."""
    found = SCHEME.fullmatch(path.stem)
    if not found:
        return None
    speaker = found["speaker"][:2] + "F"
    code = SPELLED_OUT.get(found["emotion"].lower(), found["emotion"].lower())
    return Clip(
        corpus="tess",
        name=f"{speaker}_{found['word']}_{code}",
        path=path,
        label=EMOTION.get(code, code),
        speaker=speaker,
        sex="female",
        sentence=found["word"],
    )


def expected_names() -> frozenset[str]:
    """2 speakers x 200 words x 7 emotions."""
    return frozenset("_".join(fields) for fields in product(SPEAKERS, WORDS.split(), EMOTION))


CORPUS = Corpus(
    name="tess",
    title="TESS",
    licence="CC BY-NC-ND 4.0 as usually quoted; read the terms at the source",
    citation="M. K. Pichora-Fuller, K. Dupuis: Toronto emotional speech set (TESS). Borealis, 2020. "
    "doi:10.5683/SP2/E8H2MF.",
    obtain="doi.org/10.5683/SP2/E8H2MF; put the 2,800 recordings, in folders or not, below tess/",
    language="English",
    expected=dict.fromkeys(EMOTION.values(), 400),
    speakers=2,
    sentences=200,
    parse=parse,
    expected_names=expected_names,
)
