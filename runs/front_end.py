"""Compare the front end with librosa on 20 real recordings; writes results/front_end.json.

FELTONE_DATA=... .venv/bin/python runs/front_end.py
"""

import os
from pathlib import Path

import librosa
import numpy as np

from feltone import audio, features
from feltone.features import DEFAULT
from feltone.files import write_json
from feltone.lab import corpora, provenance

ROOT = Path(__file__).parents[1]


def by_librosa(waveform: features.Waveform) -> np.ndarray:
    """The same image by librosa, in double precision."""
    mel = librosa.feature.melspectrogram(
        y=librosa.util.fix_length(waveform, size=DEFAULT.clip_samples).astype(np.float64),
        sr=DEFAULT.sample_rate,
        n_fft=DEFAULT.fft_size,
        hop_length=DEFAULT.hop_size,
        win_length=DEFAULT.window_size,
        window="hamming",
        n_mels=DEFAULT.mel_bands,
        fmin=DEFAULT.min_hz,
        fmax=DEFAULT.max_hz,
        htk=True,
        norm=None,
    )
    decibels = librosa.power_to_db(mel, ref=np.max, amin=1e-20, top_db=-DEFAULT.floor_db)
    return (1 - decibels / DEFAULT.floor_db) @ features.area_matrix(DEFAULT.frames, DEFAULT.columns)


def main() -> None:
    """Ten recordings of EmoDB and ten of RAVDESS, evenly spread."""
    root = Path(os.environ["FELTONE_DATA"])
    chosen = [clip for name in ("emodb", "ravdess") for clip in spread(corpora.read(name, root), 10)]
    worst = 0.0
    for clip in chosen:
        waveform = audio.load(clip.path)
        worst = max(worst, float(np.abs(features.log_mel_image(waveform) - by_librosa(waveform)).max()))
    found = {
        "clips": len(chosen),
        "names": [clip.key for clip in chosen],
        "max_abs_difference": worst,
        "librosa": librosa.__version__,
        "command": "FELTONE_DATA=... python runs/front_end.py",
        "commit": provenance.commit(),
        "date": provenance.today(),
    }
    write_json(ROOT / "results" / "front_end.json", found)
    print(f"largest difference {worst:.2e} on {len(chosen)} recordings")


def spread(clips: list[corpora.Clip], count: int) -> list[corpora.Clip]:
    """`count` clips at equal distances."""
    return clips[:: len(clips) // count][:count]


if __name__ == "__main__":
    main()
