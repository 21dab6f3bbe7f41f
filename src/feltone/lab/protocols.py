"""Clips -> folds: how a corpus is divided into training and test, and the audit of what that division lets through.

`paper` is the protocol of Kim & Lee's tables: the corpus is augmented fourfold and *then* split, so a test clip's own
copies are in training (SPEC §6 shows it from their confusion matrices). It exists to reproduce those tables. The
others are for everything else: `clean`, `speaker`, `sentence`, `speaker-sentence`, `emobox`, `cross`.

Every protocol is a function `(clips, seed, folds, ...) -> [Fold]` of the seed and the clips' names, in any order.
"""

import math
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedShuffleSplit

from feltone.errors import ProtocolError
from feltone.lab import published_folds
from feltone.lab.augment import COPIES
from feltone.lab.corpora.clip import Clip

TEST_SHARE = 0.2
LEAVE_ONE_OUT_UP_TO = 10  # speakers or sentences; with more, five groups
PAPER_WARNING = "protocol `paper`: test clips have augmented copies in training; do not compare with honest protocols"


@dataclass(frozen=True)
class Sample:
    """One version of a clip: the original or a perturbed copy."""

    clip: Clip
    copy: str = "original"


@dataclass(frozen=True)
class Fold:
    """One division of a corpus. Training code is handed `train` alone; only evaluation reads `test`."""

    protocol: str
    index: int  # 1-based, as folds are published
    train: tuple[Sample, ...]
    test: tuple[Sample, ...] = field(repr=False)
    dropped: tuple[Clip, ...] = field(default=(), repr=False)  # of classes that only one side of `cross` has
    before: tuple[Sample, ...] = field(default=(), repr=False)  # of other corpora, learnt from beforehand

    @property
    def learnt(self) -> tuple[Sample, ...]:
        """All that is learnt from."""
        return self.before + self.train

    @property
    def warning(self) -> str | None:
        """What must be printed wherever a result of this fold is."""
        return PAPER_WARNING if self.protocol == "paper" else None


@dataclass(frozen=True)
class Leakage:
    """Share of test samples whose recording, speaker or sentence is also in training; None where it is not known."""

    same_recording: float
    same_speaker: float | None
    same_sentence: float | None


def audit(fold: Fold) -> Leakage:
    """What a fold lets through from training to test, from the clips themselves."""

    def share(what: str) -> float | None:
        seen = {_identity(sample.clip, what) for sample in fold.learnt}
        tested = [_identity(sample.clip, what) for sample in fold.test]
        if None in tested:
            return None
        return sum(value in seen for value in tested) / max(1, len(tested))

    recording = share("name")
    assert recording is not None  # every clip has a name
    return Leakage(recording, share("speaker"), share("sentence"))


def paper(clips: Sequence[Clip], seed: int) -> list[Fold]:
    """Augment fourfold, then split 80:20 stratified by label. Leaks; see the head of this module."""
    samples = [Sample(clip, copy) for clip in _in_order(clips) for copy in COPIES]
    train, test = _stratified([sample.clip.label for sample in samples], seed)
    return [Fold("paper", 1, tuple(samples[i] for i in train), tuple(samples[i] for i in test))]


def clean(clips: Sequence[Clip], seed: int) -> list[Fold]:
    """Split 80:20 stratified by label, then augment the training part."""
    ordered = _in_order(clips)
    train, test = _stratified([clip.label for clip in ordered], seed)
    return [_fold("clean", 1, [ordered[i] for i in train], [ordered[i] for i in test])]


def speaker(clips: Sequence[Clip], seed: int, folds: int | None = None) -> list[Fold]:
    """Nobody is on both sides: leave one speaker out up to ten speakers, else five groups of speakers."""
    return _grouped("speaker", _in_order(clips), seed, folds)


def sentence(clips: Sequence[Clip], seed: int, folds: int | None = None) -> list[Fold]:
    """No sentence is on both sides; speakers are."""
    return _grouped("sentence", _in_order(clips), seed, folds)


def speaker_sentence(clips: Sequence[Clip], seed: int, folds: int | None = None) -> list[Fold]:
    """Neither speaker nor sentence is on both sides; clips that share one of the two with the test are left out."""
    ordered = _in_order(clips)
    speakers, sentences = _known(ordered, "speaker"), _known(ordered, "sentence")
    count = min(5, len(set(speakers)), len(set(sentences))) if folds is None else folds
    speaker_group, sentence_group = _groups(speakers, count, seed), _groups(sentences, count, seed + 1)
    made = []
    for k in range(count):
        here = [(speaker_group[s] == k, sentence_group[t] == k) for s, t in zip(speakers, sentences, strict=True)]
        test = [clip for clip, of_test in zip(ordered, here, strict=True) if all(of_test)]
        train = [clip for clip, of_test in zip(ordered, here, strict=True) if not any(of_test)]
        made.append(_fold("speaker-sentence", k + 1, train, test))
    return made


def cross(train: Sequence[Clip], test: Sequence[Clip]) -> list[Fold]:
    """Train on some corpora, test on others, over the classes they share."""
    shared = {clip.label for clip in train} & {clip.label for clip in test}
    if len(shared) < 2:
        raise ProtocolError(
            f"cross: the corpora share {len(shared)} classes ({', '.join(shared) or 'none'}); at least two are needed"
        )
    parts = [_in_order(part) for part in (train, test)]
    fold = _fold("cross", 1, *([clip for clip in part if clip.label in shared] for part in parts))
    return [replace(fold, dropped=tuple(clip for part in parts for clip in part if clip.label not in shared))]


def own(clips: Sequence[Clip]) -> list[Fold]:
    """The division that the corpus or manifest brings along: its clips say `train` or `test`."""
    train, test = ([clip for clip in _in_order(clips) if clip.split == part] for part in ("train", "test"))
    if not train or not test:
        raise ProtocolError(f"own: {len(train)} clips say split=train and {len(test)} split=test; both are needed")
    return [_fold("own", 1, train, test)]


def emobox(clips: Sequence[Clip], published: Path) -> list[Fold]:
    """The folds EmoBox published, read from a folder of `<corpus>.csv` or a clone of EmoBox (`published_folds.py`)."""
    ordered = _in_order(clips)
    corpus = ordered[0].corpus
    if corpus != ordered[-1].corpus:
        raise ProtocolError(f"emobox: its folds are of one corpus, not of {corpus} and {ordered[-1].corpus} together")
    by_name = {clip.name: clip for clip in ordered}
    folds = []
    for index, parts in sorted(published_folds.read(published, corpus).items()):
        absent = sorted((set(parts.train) | set(parts.test)) - set(by_name))
        if absent:
            some = f"for example {', '.join(absent[:3])}; complete the corpus"
            raise ProtocolError(f"emobox: {len(absent)} clips of fold {index} are not among the recordings, {some}")
        train, test = ([by_name[name] for name in sorted(part)] for part in (parts.train, parts.test))
        folds.append(_fold("emobox", index, train, test))
    return folds


PROTOCOLS: Mapping[str, str] = {
    "paper": "augment fourfold, then split 80:20 (leaks; reproduces the published tables)",
    "clean": "split 80:20, then augment the training part",
    "speaker": "speaker-disjoint folds; leave one out up to ten speakers",
    "sentence": "sentence-disjoint folds",
    "speaker-sentence": "disjoint in both",
    "emobox": "the folds EmoBox published",
    "own": "the division the corpus or manifest brings along",
    "cross": "train on some corpora, test on another",
    "all": "train on everything, test nothing: for a model to ship",
}
"""Name -> one line; `split` makes the folds of all but `cross`, which needs two lists of clips."""


def split(
    protocol: str, clips: Sequence[Clip], *, seed: int = 0, folds: int | None = None, published: Path | None = None
) -> list[Fold]:
    """Folds of a corpus under a protocol.

    Args:
        protocol: a name in `PROTOCOLS`.
        clips: one corpus, all clips.
        seed: of the division, where it is random.
        folds: number of groups for the grouped protocols; None for their default.
        published: where `emobox` finds its folds.

    Raises:
        ProtocolError: unknown name, or clips that cannot be divided so (the message says what is missing).
    """
    if protocol in ("paper", "clean"):
        return {"paper": paper, "clean": clean}[protocol](clips, seed)
    grouped = {"speaker": speaker, "sentence": sentence, "speaker-sentence": speaker_sentence}
    if protocol in grouped:
        return grouped[protocol](clips, seed, folds)
    if protocol in ("own", "all"):
        return own(clips) if protocol == "own" else [everything(clips)]
    if protocol == "emobox":
        if published is None:
            raise ProtocolError("emobox: say where its folds are (--folds-from, or folds/ below FELTONE_DATA)")
        return emobox(clips, published)
    if protocol == "cross":
        raise ProtocolError("cross: needs two lists of clips, to train on and to test on; name both corpora")
    raise ProtocolError(f"protocol '{protocol}' is not known; known: {', '.join(PROTOCOLS)}")


def everything(clips: Sequence[Clip]) -> Fold:
    """All clips in training and none in test: for a model that is shipped, judged by the same recipe elsewhere."""
    return Fold("all", 1, _augmented(_in_order(clips)), ())


def _in_order(clips: Sequence[Clip]) -> list[Clip]:
    """Clips sorted by key, so that no protocol depends on how a disk lists its files."""
    if not clips:
        raise ProtocolError("there are no clips to divide; name a corpus with recordings")
    return sorted(clips, key=lambda clip: clip.key)


def _augmented(clips: Sequence[Clip]) -> tuple[Sample, ...]:
    return tuple(Sample(clip, copy) for clip in clips for copy in COPIES)


def _fold(protocol: str, index: int, train: Sequence[Clip], test: Sequence[Clip]) -> Fold:
    missing = {clip.label for clip in test} - {clip.label for clip in train}
    if missing or not train or not test:
        lacking = f"training clips of {', '.join(sorted(missing))}" if missing else "clips on one of its sides"
        raise ProtocolError(f"{protocol}: fold {index} has no {lacking}; ask for another number of folds")
    return Fold(protocol, index, _augmented(train), tuple(Sample(clip) for clip in test))


def _stratified(labels: Sequence[str], seed: int) -> tuple[Sequence[int], Sequence[int]]:
    counts = Counter(labels)
    rarest = min(counts, key=lambda label: counts[label])
    if counts[rarest] < 2:
        raise ProtocolError(f"label '{rarest}' has one clip; a stratified split needs at least two of each label")
    if math.ceil(TEST_SHARE * len(labels)) < len(counts):
        few = f"{len(labels)} clips are too few to test {len(counts)} labels on a fifth of them"
        raise ProtocolError(f"{few}; add recordings")
    splitter = StratifiedShuffleSplit(n_splits=1, test_size=TEST_SHARE, random_state=seed)
    train, test = next(splitter.split(np.zeros(len(labels)), labels))
    return sorted(train.tolist()), sorted(test.tolist())


def _identity(clip: Clip, what: str) -> str | None:
    """Of a clip's recording, speaker or sentence, across corpora: speaker 03 of one is not speaker 03 of another."""
    value = getattr(clip, what)
    return None if value is None else f"{clip.corpus}/{value}"


def _known(clips: Sequence[Clip], what: str) -> list[str]:
    unknown = [clip.name for clip in clips if getattr(clip, what) is None]
    if unknown:
        raise ProtocolError(
            f"{what}: the {what} of {len(unknown)} clips is not known, for example of {unknown[0]}; "
            f"choose a protocol that does not need it"
        )
    values = [f"{_identity(clip, what)}" for clip in clips]
    if len(set(values)) < 2:
        raise ProtocolError(f"{what}: all clips have the same {what}; at least two are needed")
    return values


def _grouped(protocol: str, clips: Sequence[Clip], seed: int, folds: int | None) -> list[Fold]:
    groups = _known(clips, protocol)
    names = sorted(set(groups))
    default = len(names) if len(names) <= LEAVE_ONE_OUT_UP_TO else 5
    count = default if folds is None else folds
    if not 2 <= count <= len(names):
        raise ProtocolError(f"{protocol}: {count} folds of {len(names)} {protocol}s; ask for 2 to {len(names)}")
    each = {name: k for k, name in enumerate(names)}
    assigned = each if count == len(names) else _stratified_groups([c.label for c in clips], groups, count, seed)
    made = []
    for k in range(count):
        train, test = (
            [c for c, g in zip(clips, groups, strict=True) if (assigned[g] == k) is it] for it in (False, True)
        )
        made.append(_fold(protocol, k + 1, train, test))
    return made


def _stratified_groups(labels: Sequence[str], groups: Sequence[str], count: int, seed: int) -> dict[str, int]:
    """Group -> fold, such that the labels are about as frequent in every fold."""
    if max(Counter(labels).values()) < count:
        raise ProtocolError(f"no label has a clip for each of {count} folds; ask for fewer")
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    assigned = {}
    with warnings.catch_warnings():  # that a label is rarer than the folds are many; `_fold` refuses where it matters
        warnings.simplefilter("ignore", UserWarning)
        for k, (_, test) in enumerate(splitter.split(np.zeros(len(labels)), labels, groups)):
            assigned.update({groups[i]: k for i in test})
    return assigned


def _groups(names: Sequence[str], count: int, seed: int) -> dict[str, int]:
    """Names dealt into `count` groups of nearly equal size, in an order drawn from the seed."""
    distinct = sorted(set(names))
    if not 2 <= count <= len(distinct):
        raise ProtocolError(f"speaker-sentence: {count} folds of {len(distinct)} groups; ask for 2 to {len(distinct)}")
    order = np.random.default_rng(seed).permutation(len(distinct))
    return {distinct[i]: k % count for k, i in enumerate(order)}
