"""What several tests need: a small corpus that can be made anywhere, and the real ones where they are at hand."""

import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path

# Of several workers each has a core: two threads that wait for each other at every step would cost both.
# Said before torch is imported, and heard by every process that a test starts.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import soundfile

LONG = ["docs", "reproduce", "page_browser", "story", "outside", "devices", "annotate_engines"]
"""Files that take a minute and more, longest first. A worker takes whole files; one begun last would be waited for."""

SAMPLE_RATE = 16_000
SPEAKERS = {"03": 1.0, "08": 1.6, "09": 1.7, "10": 1.1}  # of a low voice, the pitch
SENTENCES = {"a01": 3, "a02": 4}  # syllables
SAVEE = {"DC": "a01 d01 f01 h01 n01 sa01 su01", "KL": "a02 n02 su02"}  # speaker -> clips
# EmoDB's letter -> pitch in Hz, pitch glide, level, syllables per second, share of breath noise
MANNERS = {
    "W": (220.0, -0.2, 0.8, 5.0, 0.05),
    "L": (110.0, 0.0, 0.2, 3.2, 0.02),
    "E": (120.0, -0.3, 0.4, 3.8, 0.30),
    "A": (250.0, 0.2, 0.3, 5.0, 0.20),
    "F": (240.0, 0.3, 0.6, 4.5, 0.02),
    "N": (130.0, 0.0, 0.4, 4.2, 0.02),
    "T": (110.0, -0.1, 0.1, 2.9, 0.10),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {f"test_{name}": place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


def speak(speaker: str, sentence: str, letter: str, seed: int) -> np.ndarray:
    """A babble of syllables whose pitch, level and rhythm depend on the emotion, and a little on the speaker."""
    rng = np.random.default_rng(seed)
    pitch, glide, level, rate, breath = MANNERS[letter]
    seconds = SENTENCES[sentence] / rate * rng.uniform(0.95, 1.05)
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    frequency = pitch * SPEAKERS[speaker] * rng.uniform(0.95, 1.05) * (1 + glide * time / seconds)
    phase = 2 * np.pi * np.cumsum(frequency) / SAMPLE_RATE
    voice = sum(np.sin(k * phase) / k for k in range(1, 6)) / 2
    syllables = np.sin(np.pi * rate * time) ** 2
    return 0.9 * level * syllables * ((1 - breath) * voice / 1.2 + breath * rng.uniform(-1, 1, len(time)))


@pytest.fixture(scope="session")
def synthetic_emodb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder holding `emodb/` with 56 clips: 4 speakers x 7 emotions x 2 sentences, 0.6-1.5 s, alike in every run."""
    root = tmp_path_factory.mktemp("corpora")
    (root / "emodb").mkdir()
    for seed, (speaker, sentence, letter) in enumerate(product(SPEAKERS, SENTENCES, MANNERS)):
        waveform = speak(speaker, sentence, letter, seed)
        soundfile.write(root / "emodb" / f"{speaker}{sentence}{letter}a.wav", waveform, SAMPLE_RATE, subtype="PCM_16")
    return root


@pytest.fixture(scope="session")
def two_corpora(synthetic_emodb: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small EmoDB, and a few clips under SAVEE's names, surprise among them, which EmoDB has not."""
    root = tmp_path_factory.mktemp("two")
    (root / "emodb").symlink_to(synthetic_emodb / "emodb")
    (root / "savee").mkdir()
    some = sorted((synthetic_emodb / "emodb").glob("*.wav"))
    names = [f"{speaker}_{name}.wav" for speaker, clips in SAVEE.items() for name in clips.split()]
    for source, name in zip(some, names, strict=False):
        waveform, rate = soundfile.read(source)
        soundfile.write(root / "savee" / name, waveform * 0.5, rate)
    return root


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Recipe `small` of the tiny network, which can learn from other corpora first; a cache of its own, told."""
    from toy import know_small

    know_small(monkeypatch, tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def corpora_root() -> Path:
    """Where the real recordings are; tests that need them are skipped elsewhere."""
    told = os.environ.get("FELTONE_DATA")
    if not told or not Path(told).is_dir():
        pytest.skip("needs real recordings: set FELTONE_DATA to the folder that holds emodb/, savee/, ...")
    return Path(told)


@pytest.fixture
def table(synthetic_emodb: Path, tmp_path: Path) -> Path:
    """Recordings of two labels, as a user would list them."""
    chosen = [path for path in sorted((synthetic_emodb / "emodb").rglob("*.wav")) if path.stem[5] in "WT"]
    rows = [f"{path},{'up' if path.stem[5] == 'W' else 'down'}" for path in chosen]
    file = tmp_path / "recordings.csv"
    file.write_text("\n".join(["path,label", *rows]))
    return file


@pytest.fixture
def ray_cluster() -> Iterator[subprocess.Popen[str]]:
    """Two nodes (`ray_cluster.py`): its first line is its address; for every line it is given it kills one."""
    script = Path(__file__).with_name("ray_cluster.py")
    running = subprocess.Popen(
        [sys.executable, str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        bufsize=1,
    )
    yield running
    running.communicate(timeout=240)
