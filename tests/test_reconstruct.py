"""A rebuilt corpus: like the original in what a log-Mel set keeps, told as reconstructed, made once."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from feltone import audio
from feltone.lab import corpora
from feltone_benchmarks import reconstruct

CLIP = Path(audio.__file__).parent / "clips" / "anger.flac"


def test_what_is_rebuilt_has_the_levels_it_was_made_from() -> None:
    samples = audio.load(CLIP, reconstruct.SOURCE_RATE)
    correlation, difference = reconstruct.alike(samples, reconstruct.rebuilt(samples, seed=0))
    assert correlation > 0.98 and difference < 2


def test_a_spectrum_has_the_powers_that_it_was_found_for() -> None:
    rng = np.random.default_rng(0)
    power = reconstruct.filters() @ rng.exponential(size=(reconstruct.FFT // 2 + 1, 4))
    found = reconstruct.spectrum_of(power)
    assert (found >= 0).all()
    np.testing.assert_allclose(reconstruct.filters() @ found, power, rtol=0.05)


def test_silence_stays_silent() -> None:
    assert not reconstruct.rebuilt(np.zeros(reconstruct.SOURCE_RATE, np.float32), seed=0).any()


def test_a_corpus_is_rebuilt_once_and_says_so(
    synthetic_emodb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = tmp_path / "few" / "emodb"
    few.mkdir(parents=True)
    for file in sorted((synthetic_emodb / "emodb").glob("03a01*")):
        (few / file.name).symlink_to(file)
    out, told = tmp_path / "out", tmp_path / "told.json"
    line = ["reconstruct", "emodb", str(tmp_path / "few"), str(out), "--fidelity", str(told)]
    monkeypatch.setattr(sys, "argv", line)
    reconstruct.main()
    original, made = (corpora.read("emodb", root) for root in (tmp_path / "few", out))
    assert [clip.key for clip in made] == [clip.key for clip in original]
    assert (corpora.audio_of(original), corpora.audio_of(made)) == ("original", "reconstructed")
    assert json.loads(told.read_text())["correlation"] > 0.9
    written = {clip.path: clip.path.stat().st_mtime_ns for clip in made}
    reconstruct.main()
    assert written == {path: path.stat().st_mtime_ns for path in written}
