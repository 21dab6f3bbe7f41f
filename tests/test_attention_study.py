"""Agreement of masks: it is 1 when the network looks at the same sounds, wherever a perturbation moved them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from feltone.errors import ConfigError
from feltone.features import FeatureConfig
from feltone.lab import corpora, study_tables
from feltone.lab.attention_study import Placed, agreement, padding_share, study, versions
from feltone.lab.augment import COPIES
from feltone.lab.models import build, variant
from feltone.lab.trained import Trained
from feltone.labels import LabelSet

WIDTH = 128
WHOLE = Placed(1.0, 0.0, 70.0)


def network_of(name: str, seed: int = 0) -> Trained:
    labels = LabelSet(("anger", "neutral"))
    network = build(variant(name), len(labels), seed).eval()
    return Trained(network, "teacher", name, "toy", labels, FeatureConfig(), "clean", 1, seed, "digest")


def mask_at(scale: float = 1.0, offset: float = 0.0) -> np.ndarray:
    """Two bumps of attention, moved as a version would move them."""
    columns = (np.arange(WIDTH) - offset) / scale
    curve = np.exp(-(((columns - 15) / 6) ** 2)) + 0.6 * np.exp(-(((columns - 50) / 8) ** 2))
    return np.tile(curve, (4, 1))


@pytest.mark.parametrize(
    ("scale", "offset", "length", "start"),
    [(1, 0, 70, 0), (1, 31.4, 101.4, 31.4), (1 / 1.1, 0, 70 / 1.1, 0), (1 / 0.9, 0, 70 / 0.9, 0), (1, -12.0, 58, 0)],
)
def test_a_mask_that_follows_the_sounds_agrees_wherever_they_went(
    scale: float, offset: float, length: float, start: float
) -> None:
    there = Placed(scale, offset, length, start)
    assert agreement(mask_at(), mask_at(scale, offset), WHOLE, there) == pytest.approx(1, abs=0.01)


def test_a_mask_that_stays_where_it_is_while_the_sounds_move_does_not_agree() -> None:
    found = agreement(mask_at(), mask_at(), WHOLE, Placed(1.0, 18.0, 88.0, 18.0))
    assert found is not None and found < 0


def test_the_padding_is_not_compared() -> None:
    changed = mask_at()
    changed[:, 70:] = 5.0
    assert agreement(mask_at(), changed, WHOLE, WHOLE) == pytest.approx(1)


def test_squares_are_compared_along_mel_too() -> None:
    one = mask_at()
    bowed = one * np.linspace(0.2, 1, 4)[:, None]
    found = agreement(bowed, bowed[::-1], WHOLE, WHOLE)
    assert found is not None and found < 0.9
    curves = [mask.mean(0, keepdims=True) for mask in (bowed, bowed[::-1])]
    assert agreement(*curves, WHOLE, WHOLE) == pytest.approx(1)


def test_nothing_is_said_of_an_even_mask_or_of_a_few_columns() -> None:
    assert agreement(mask_at(), np.ones((4, WIDTH)), WHOLE, WHOLE) is None
    assert agreement(mask_at(), mask_at(), Placed(1, 0, 5), Placed(1, 0, 5)) is None


def test_attention_to_padding_is_one_for_an_even_mask_and_none_without_padding() -> None:
    even = np.ones((4, WIDTH))
    assert padding_share(even, Placed(1, 30, 100, 30)) == pytest.approx(1)
    assert padding_share(mask_at(), WHOLE) == pytest.approx(0, abs=0.02)
    assert padding_share(even, Placed(1, 0, 200)) is None


def test_versions_know_where_their_own_perturbation_put_the_recording(synthetic_emodb: Path, tmp_path: Path) -> None:
    """The image itself tells: outside the bounds it holds the floor, and right inside it does not."""
    for clip in corpora.read("emodb", synthetic_emodb)[::9]:
        seen = versions(clip, network_of("student"), tmp_path)
        for version, image in zip(COPIES, seen.images.astype(np.float32), strict=True):
            place, loudness = seen.placed[version], image.max(0)
            first, last = int(np.floor(place.start)), int(np.ceil(place.length))
            assert loudness[last + 2 :].max() < 0.05 and loudness[: max(0, first - 2)].max(initial=0) < 0.05
            assert loudness[first : first + 6].max() > 0.3 and loudness[last - 8 : last].max() > 0.2


@pytest.mark.parametrize("name", ["student", "student-16x16"])
def test_a_study_is_complete_repeats_and_fits_its_table(name: str, synthetic_emodb: Path, tmp_path: Path) -> None:
    clips = corpora.read("emodb", synthetic_emodb)[::7]
    ticks: list[int] = []
    found = study(network_of(name), clips, tmp_path, lambda done, total: ticks.append(done))
    assert ticks == list(range(1, len(clips) + 1))
    assert json.loads(json.dumps(found, allow_nan=False)) == found == study(network_of(name), clips, tmp_path)
    for smoothing in found["agreement"].values():
        for by_version in smoothing.values():
            assert set(by_version) == {"noise", "shift", "speed", "another clip"}
            for value in by_version.values():
                assert -1 <= value["ci95"][0] <= value["mean"] <= value["ci95"][1] <= 1 and value["clips"] == len(clips)
    same = found["agreement"]["fine"]
    far = [abs(same["time"][version]["mean"] - same["image"][version]["mean"]) for version in same["time"]]
    assert (max(far) < 1e-5) == (name == "student")  # a slice is alike along mel
    table = study_tables.attention({"studies": {"128×1 patches": found}})
    assert f"{same['time']['noise']['mean']:.2f} [" in table and "another clip" in table


def test_without_a_study_the_table_says_so() -> None:
    assert study_tables.attention(None) == study_tables.positions(None) == "not run"


def test_one_clip_has_nothing_to_be_compared_with(synthetic_emodb: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="two or more"):
        study(network_of("student"), corpora.read("emodb", synthetic_emodb)[:1], tmp_path)


def test_the_control_is_another_clip(synthetic_emodb: Path, tmp_path: Path) -> None:
    """Of two equal clips the control agrees perfectly, so it is the neighbour that is compared and not the clip."""
    clip = corpora.read("emodb", synthetic_emodb)[0]
    same = study(network_of("student"), [clip, replace(clip)], tmp_path)["agreement"]["fine"]["time"]
    assert same["another clip"]["mean"] == pytest.approx(1)
    other = study(network_of("student"), corpora.read("emodb", synthetic_emodb)[:2], tmp_path)["agreement"]["fine"][
        "time"
    ]
    assert other["another clip"]["mean"] < 0.999
