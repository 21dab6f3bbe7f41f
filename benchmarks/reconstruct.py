"""Put recordings through what our CREMA-D went through, to measure what its reconstruction costs.

    python -m feltone_benchmarks.reconstruct ravdess $FELTONE_DATA OUT --fidelity results/reconstruction/fidelity.json

Our CREMA-D was rebuilt from a published log-Mel set (../shared/corpora/README.md). The same is done here to a corpus
whose recordings are at hand: first three seconds, power on 128 Slaney mel bands in decibels below the clip's maximum,
80 of them; then back: the spectrum by multiplicative updates, the phase by fast Griffin-Lim, and Opus at 16 kHz. Any
recipe or baseline then runs on OUT as on the corpus, and says of its audio that it is reconstructed.

Written again, a recording is the same file; those that are there already are left alone.
"""

import argparse
import json
from functools import cache
from pathlib import Path

import librosa
import numpy as np
import soundfile
import soxr

from feltone import audio
from feltone.files import write_atomically, write_json
from feltone.lab import corpora, provenance

SOURCE_RATE, SECONDS = 22_050, 3.0
FFT, HOP, BANDS = 2048, 512, 128
RANGE_DB = 80.0  # below the clip's maximum
UPDATES, ROUNDS = 100, 32  # of the spectrum, and of its phase
RATE = 16_000  # of what is written
COMPARED_HZ, COMPARED = 8_000, 60  # up to which frequency, and on how many clips, both are compared

Array = np.ndarray


def levels(samples: Array) -> Array:
    """What the published set holds of a clip, before it was standardised: decibels, (bands, frames)."""
    power = librosa.feature.melspectrogram(y=samples, sr=SOURCE_RATE, n_fft=FFT, hop_length=HOP, n_mels=BANDS)
    return librosa.power_to_db(power, ref=np.max, amin=1e-20, top_db=RANGE_DB)


@cache
def filters() -> Array:
    """Slaney's triangles: (bands, bins)."""
    return librosa.filters.mel(sr=SOURCE_RATE, n_fft=FFT, n_mels=BANDS).astype(np.float64)


def spectrum_of(power: Array) -> Array:
    """A spectrum of powers without negative ones that the filters map onto `power`: (bins, frames).

    Source: the multiplicative update of Lee & Seung, NeurIPS 2000, with the filters held fixed.
    """
    bank = filters()
    wanted = bank.T @ power
    found = np.full(wanted.shape, power.mean() + 1e-12)
    for _ in range(UPDATES):
        found *= wanted / (bank.T @ (bank @ found) + 1e-20)
    return found


def rebuilt(samples: Array, seed: int) -> Array:
    """A clip at `SOURCE_RATE` as only its decibels tell it, its peak at half of full scale."""
    if not samples.any():  # silence has no maximum for its decibels to lie below
        return np.zeros_like(samples)
    magnitude = np.sqrt(spectrum_of(10 ** (levels(samples) / 10)))
    found = librosa.griffinlim(
        magnitude, n_iter=ROUNDS, hop_length=HOP, n_fft=FFT, length=len(samples), random_state=seed
    )
    return 0.5 * found / max(1e-12, float(np.abs(found).max()))


def alike(one: Array, other: Array) -> tuple[float, float]:
    """Correlation of the decibels of two clips below `COMPARED_HZ`, and their mean absolute difference."""
    below = librosa.mel_frequencies(BANDS, fmax=SOURCE_RATE / 2) < COMPARED_HZ
    first, second = (levels(samples)[below].ravel() for samples in (one, other))
    return float(np.corrcoef(first, second)[0, 1]), float(np.abs(first - second).mean())


def main() -> None:
    """Rebuild a corpus, and say how like the original it is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus")
    parser.add_argument("root", type=Path, help="folder of the corpora")
    parser.add_argument("out", type=Path, help="folder of the rebuilt corpora; `folds/` is linked there as well")
    parser.add_argument("--fidelity", type=Path, help="where to write how like the original it is")
    asked = parser.parse_args()
    clips = corpora.read(asked.corpus, asked.root)
    compared = {clips[round(k)].key for k in np.linspace(0, len(clips) - 1, COMPARED)}
    measured = []
    for done, clip in enumerate(clips, start=1):
        file = (asked.out / clip.path.relative_to(asked.root)).with_suffix(".ogg")
        samples = audio.load(clip.path, SOURCE_RATE)[: round(SECONDS * SOURCE_RATE)]
        if not file.is_file():
            made = soxr.resample(rebuilt(samples, seed=0), SOURCE_RATE, RATE)
            write_atomically(file, lambda to, made=made: soundfile.write(to, made, RATE, format="OGG", subtype="OPUS"))
        if clip.key in compared:
            measured.append(alike(samples, audio.load(file, SOURCE_RATE)[: len(samples)]))
        if done % 100 == 0 or done == len(clips):
            print(f"{done} of {len(clips)}", flush=True)
    if (asked.root / "folds").is_dir() and not (asked.out / "folds").exists():
        (asked.out / "folds").symlink_to((asked.root / "folds").resolve())
    correlation, difference = np.mean(measured, axis=0)
    told = {
        "corpus": asked.corpus,
        "clips": len(measured),
        "correlation": round(float(correlation), 4),
        "mean_absolute_db": round(float(difference), 2),
        "below_hz": COMPARED_HZ,
        **provenance.origin(),
    }
    print(json.dumps(told, indent=1))
    if asked.fidelity:
        write_json(asked.fidelity, told)


if __name__ == "__main__":
    main()
