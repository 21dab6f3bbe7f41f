"""One vocabulary, and an order of labels that never depends on the files'."""

import dataclasses
import itertools

import pytest

from feltone.errors import ConfigError
from feltone.labels import EMOTIONS, SYNONYMS, LabelSet, canonical


def test_vocabulary_is_ordered_and_each_synonym_leads_into_it() -> None:
    assert list(EMOTIONS) == sorted(set(EMOTIONS))
    assert set(SYNONYMS.values()) <= set(EMOTIONS)
    assert not set(SYNONYMS) & set(EMOTIONS)  # a word is never renamed


@pytest.mark.parametrize("name", [*EMOTIONS, *SYNONYMS, "relief", "Own Label"])
def test_canonical_is_its_own_fixed_point_whatever_the_case_and_spaces(name: str) -> None:
    word = canonical(name)
    assert canonical(word) == word
    assert canonical(f"  {name.upper()} ") == canonical(name.replace("_", " ")) == word


@pytest.mark.parametrize(
    ("found", "word"),
    [
        ("Angry", "anger"),
        ("Boredem", "boredom"),
        ("Pleasant Surprise", "surprise"),
        ("ps", "surprise"),
        ("Relief", "relief"),
    ],
)
def test_canonical_maps_spellings_and_keeps_what_it_does_not_know(found: str, word: str) -> None:
    assert canonical(found) == word


def test_order_is_alphabetical_whatever_order_the_clips_come_in() -> None:
    clips = ["neutral", "anger", "sadness", "anger"]
    orders = {LabelSet.of(order).names for order in itertools.permutations(clips)}
    assert orders == {("anger", "neutral", "sadness")}


def test_index_inverts_iteration() -> None:
    labels = LabelSet(("neutral", "anger", "fear"))  # a model's own order is kept
    assert [labels.index(name) for name in labels] == [0, 1, 2] == list(range(len(labels)))
    assert list(labels) == ["neutral", "anger", "fear"]


def test_unknown_label_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"'joy' is not one of anger, neutral"):
        LabelSet(("anger", "neutral")).index("joy")


@pytest.mark.parametrize(
    ("names", "fault"),
    [(("anger", "fear", "anger"), "not distinct"), (("anger",), "at least two"), ((), "at least two")],
)
def test_label_sets_no_model_could_have_are_refused(names: tuple[str, ...], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        LabelSet(names)


def test_a_label_set_is_a_value() -> None:
    labels = LabelSet(("anger", "fear"))
    assert labels == LabelSet(("anger", "fear")) != LabelSet(("fear", "anger"))
    assert len({labels, LabelSet(("anger", "fear"))}) == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        labels.names = ("anger", "joy")  # type: ignore[misc]
