"""What was found of a corpus, beside what was published: every difference by name.

Names are compared first; then every recording is opened, once, and its samples are looked at: whether they decode,
whether they are silent, whether another clip has the same ones, and whether many clips have one length, as they do
after somebody cut or padded them.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from feltone import audio
from feltone.errors import FeltoneError
from feltone.lab.corpora import corpus as _corpus
from feltone.lab.corpora.clip import Clip
from feltone.lab.corpora.corpus import Corpus
from feltone.machine import cores

SAMPLE_RATE = 16_000  # Hz
SILENT_BELOW = 1e-4  # of full scale, three steps of 16 bit: dither, not speech
CUT_SHARE = 0.05  # of clips with exactly the greatest length; uncut corpora have one such clip
EQUAL_SHARE = 0.9  # of clips with one length
CUT_FROM = 10  # clips; in fewer, equal lengths may be chance
SHOWN = 5  # names per kind of problem in `Report.lines`

PROBLEMS: Mapping[str, str] = {
    "missing": "of the published corpus, not here",
    "unknown label": "with a label the corpus does not have",
    "repeated": "that stand more than once; keep one of each",
    "unreadable": "that cannot be read",
    "surplus": "named by the scheme, but not in the published corpus",
    "misnamed": "not named by the corpus' scheme; they are passed over",
    "duplicate": "with the very samples of another clip",
    "silent": "without sound",
    "cut": "of one exact length: they were cut or padded",
}
"""Kind of problem -> what is said of the names under it."""

BLOCKING = ("missing", "unknown label", "repeated", "unreadable")

Progress = Callable[[int, int], None]
"""Told (done, of how many)."""


@dataclass(frozen=True)
class Report:
    """What was found; `problems` has the kinds that occur, each with its names, sorted."""

    corpus: str
    folder: str
    audio: str
    clips: int
    seconds: float
    longest_seconds: float
    found: Mapping[str, int]  # label -> clips
    expected: Mapping[str, int]  # empty where no published corpus says
    speakers: tuple[str, ...]
    expected_speakers: int | None
    problems: Mapping[str, tuple[str, ...]]

    @property
    def ok(self) -> bool:
        """Complete and usable: no problem of the `BLOCKING` kinds. The other kinds are worth knowing."""
        return not any(kind in self.problems for kind in BLOCKING)

    def lines(self) -> list[str]:
        """For people."""
        published = sum(self.expected.values())
        clips = f"{self.clips:,} clips" + (f" of {published:,}" if published else "")
        speakers = f"{len(self.speakers)} speakers" + (f" of {self.expected_speakers}" if published else "")
        counts = (
            f"{label} {self.found.get(label, 0)}" + (f"/{self.expected.get(label, 0)}" if published else "")
            for label in sorted({*self.found, *self.expected})
        )
        head = [
            f"{self.corpus}: {clips}, {speakers}, {self.seconds / 60:.1f} min, audio {self.audio}; {self.folder}",
            f"labels: {', '.join(counts)}",
        ]
        return head + [_told(kind, names) for kind, names in self.problems.items()]

    def to_dict(self) -> dict[str, Any]:
        """For JSON; every name in full."""
        return {**asdict(self), "ok": self.ok}


def _told(kind: str, names: Sequence[str]) -> str:
    more = f", and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return f"{kind}: {len(names):,} {PROBLEMS[kind]}: {', '.join(names[:SHOWN])}{more}"


def verify(corpus: Corpus, root: Path, progress: Progress = lambda done, total: None) -> Report:
    """Compare the recordings below `root` with the published corpus, and open every one.

    Raises:
        CorpusError: there are no recordings at all.
    """
    folder = _corpus.folder_of(corpus, root)
    parsed = [(path, corpus.parse(path)) for path in _corpus.recordings(corpus, root)]
    clips = [clip for _, clip in parsed if clip]
    names = {clip.name for clip in clips}
    published = corpus.expected_names() if corpus.expected_names else frozenset(names)
    named = {
        "missing": published - names,
        "unknown label": [f"{clip.name} ('{clip.label}')" for clip in _corpus.unknown_labels(corpus, clips)],
        "repeated": _repeated(clips, folder),
        "surplus": names - published,
        "misnamed": [str(path.relative_to(folder)) for path, clip in parsed if clip is None],
    }
    told = _corpus.audio_of(clip.path for clip in clips)
    return _report(corpus.name, folder, told, clips, named, progress, corpus.expected, corpus.speakers)


def verify_clips(clips: Sequence[Clip], folder: Path, progress: Progress = lambda done, total: None) -> Report:
    """Open every recording of a user's manifest; there is no published corpus to compare with."""
    return _report(clips[0].corpus, folder, "original", clips, {}, progress)


def _report(
    name: str,
    folder: Path,
    told: str,
    clips: Sequence[Clip],
    named: Mapping[str, Iterable[str]],
    progress: Progress,
    expected: Mapping[str, int] | None = None,
    speakers: int | None = None,
) -> Report:
    heard = _listen(clips, progress)
    sounding = [one for one in heard if not one.fault]
    kinds = {**named, **_problems_heard(heard)}
    return Report(
        corpus=name,
        folder=str(folder),
        audio=told,
        clips=len(clips),
        seconds=sum(one.samples for one in sounding) / SAMPLE_RATE,
        longest_seconds=max((one.samples for one in sounding), default=0) / SAMPLE_RATE,
        found=dict(sorted(Counter(clip.label for clip in clips).items())),
        expected=dict(expected or {}),
        speakers=tuple(sorted({clip.speaker for clip in clips if clip.speaker})),
        expected_speakers=speakers,
        problems={kind: tuple(sorted(kinds[kind])) for kind in PROBLEMS if kinds.get(kind)},
    )


@dataclass(frozen=True)
class _Heard:
    """What opening one clip told."""

    name: str
    fault: str = ""
    samples: int = 0
    peak: float = 0.0
    digest: str = ""  # of the decoded samples: a.wav and its copy in FLAC have the same


def _listen(clips: Sequence[Clip], progress: Progress) -> list[_Heard]:
    heard = []
    with ThreadPoolExecutor(cores()) as pool:  # decoding happens outside Python's lock
        for one in pool.map(_hear, clips):
            heard.append(one)
            progress(len(heard), len(clips))
    return heard


def _hear(clip: Clip) -> _Heard:
    try:
        waveform = audio.load(clip.path, SAMPLE_RATE, start=clip.start, end=clip.end)
    except FeltoneError as fault:
        return _Heard(clip.name, fault=str(fault))
    peak = float(np.max(np.abs(waveform)))
    return _Heard(clip.name, "", len(waveform), peak, hashlib.sha256(waveform.tobytes()).hexdigest())


def _problems_heard(heard: Sequence[_Heard]) -> dict[str, list[str]]:
    sounding = [one for one in heard if not one.fault]
    silent = [one.name for one in sounding if one.peak < SILENT_BELOW]
    alike: dict[str, set[str]] = {}
    for one in sounding:
        if one.peak >= SILENT_BELOW:
            alike.setdefault(one.digest, set()).add(one.name)
    return {
        "unreadable": [one.fault for one in heard if one.fault],
        "duplicate": [" = ".join(sorted(names)) for names in alike.values() if len(names) > 1],
        "silent": silent,
        "cut": _cut(sounding),
    }


def _cut(heard: Sequence[_Heard]) -> list[str]:
    """Clips of one exact length where that length gives away a cut."""
    if len(heard) < CUT_FROM:
        return []
    lengths = Counter(one.samples for one in heard)
    longest, (usual, usual_count) = max(lengths), lengths.most_common(1)[0]
    if usual_count > EQUAL_SHARE * len(heard):
        return [one.name for one in heard if one.samples == usual]
    if lengths[longest] > CUT_SHARE * len(heard):
        return [one.name for one in heard if one.samples == longest]
    return []


def _repeated(clips: Sequence[Clip], folder: Path) -> list[str]:
    places: dict[str, list[str]] = {}
    for clip in clips:
        places.setdefault(clip.name, []).append(str(clip.path.relative_to(folder)))
    return [f"{name} ({', '.join(paths)})" for name, paths in places.items() if len(paths) > 1]
