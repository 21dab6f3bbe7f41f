"""Folds: sizes, what is disjoint from what, and that the audit sees every leak."""

import csv
import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path

import pytest

from feltone.errors import ProtocolError
from feltone.lab import corpora, protocols
from feltone.lab.augment import COPIES
from feltone.lab.corpora import Clip
from feltone.lab.protocols import Fold, Leakage, Sample, audit, split

GROUPED = ("speaker", "sentence", "speaker-sentence")
PAPER_TEST_IMAGES = {"savee": 384, "emodb": 428, "crema-d": 5954}  # SPEC §6, from the authors' confusion matrices
EMOBOX = {  # corpus -> folds, training and test clips of each, speakers of the test part also in training
    "emodb": (5, 428, 107, 1.0),
    "ravdess": (6, 1200, 240, 0.0),
    "savee": (4, 360, 120, 0.0),
    "crema-d": (1, 5586, 1856, 1.0),
}


@pytest.fixture(scope="module")
def small(synthetic_emodb: Path) -> list[Clip]:
    """4 speakers x 7 labels x 2 sentences; a division of its own, by sentence."""
    clips = corpora.read("emodb", synthetic_emodb)
    return [replace(clip, split="test" if clip.sentence == "a01" else "train") for clip in clips]


@pytest.fixture(scope="module")
def published(small: list[Clip], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folds of the small corpus, by sentence, as a table and as EmoBox lays them out."""
    root = tmp_path_factory.mktemp("folds")
    rows = [
        (fold, "test" if clip.sentence == tested else "train", clip.name, clip.label)
        for fold, tested in enumerate(("a01", "a02"), 1)
        for clip in small
    ]
    with (root / "emodb.csv").open("w", newline="", encoding="utf-8") as handle:
        csv.writer(handle).writerows([("fold", "part", "clip", "label"), *rows])
    for fold, part, name, _ in reversed(rows):
        path = root / "clone" / "data" / "emodb" / f"fold_{fold}" / f"emodb_{part}_fold_{fold}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as handle:
            handle.write(json.dumps({"key": f"emodb-{name}", "wav": f"downloads/emodb/wav/{name}.wav"}) + "\n")
    (path.parent / f"emodb_{part}_fold{fold}.jsonl").write_text('{"key": "an older copy"}\n', encoding="utf-8")
    return root


def real(name: str, root: Path) -> list[Clip]:
    if not (root / name).is_dir():
        pytest.skip(f"no {name}/ below FELTONE_DATA")
    return corpora.read(name, root)


def of(samples: Sequence[Sample], what: str) -> set[str]:
    return {getattr(sample.clip, what) for sample in samples}


def clip(name: str, label: str, speaker: str | None = "s", sentence: str | None = "t", corpus: str = "own") -> Clip:
    return Clip(corpus, name, Path(name), label, speaker, sentence=sentence)


def grid(speakers: int, sentences: int, labels: Sequence[str] = ("x", "y")) -> list[Clip]:
    fields = product(range(speakers), range(sentences), labels)
    return [clip(f"{s:02}-{t:02}-{label}", label, f"s{s:02}", f"t{t:02}") for s, t, label in fields]


# --- every protocol ---


@pytest.mark.parametrize("protocol", [name for name in protocols.PROTOCOLS if name != "cross"])
def test_deterministic_and_independent_of_the_order_of_clips(protocol: str, small: list[Clip], published: Path) -> None:
    shuffled = random.Random(1).sample(small, len(small))
    once, again, other = (split(protocol, clips, seed=5, published=published) for clips in (small, small, shuffled))
    assert once == again == other
    assert [fold.index for fold in once] == list(range(1, len(once) + 1))
    assert {fold.protocol for fold in once} == {protocol}


@pytest.mark.parametrize(("protocol", "folds"), [("paper", None), ("clean", None), ("speaker", 2)])
def test_another_seed_divides_otherwise(protocol: str, folds: int | None, small: list[Clip]) -> None:
    divisions = {tuple(split(protocol, small, seed=seed, folds=folds)[0].test) for seed in range(4)}
    assert len(divisions) > 1


def test_another_seed_pairs_speakers_and_sentences_otherwise() -> None:
    clips = grid(5, 5)
    assert split("speaker-sentence", clips, seed=0) != split("speaker-sentence", clips, seed=1)


@pytest.mark.parametrize("protocol", ["clean", *GROUPED, "emobox"])
def test_training_holds_the_four_copies_and_test_the_originals(
    protocol: str, small: list[Clip], published: Path
) -> None:
    for fold in split(protocol, small, published=published):
        assert Counter(sample.copy for sample in fold.train) == dict.fromkeys(COPIES, len(fold.train) // 4)
        assert {sample.copy for sample in fold.test} == {"original"}
        assert audit(fold).same_recording == 0
        assert fold.warning is None


def test_the_test_part_does_not_show_where_a_fold_is_printed(small: list[Clip]) -> None:
    (fold,) = split("clean", small)
    assert fold.train[0].clip.name in repr(fold)
    assert not any(sample.clip.name in repr(fold) for sample in fold.test)


# --- paper and clean ---


def test_paper_leaks_and_says_so(small: list[Clip]) -> None:
    (fold,) = split("paper", small)
    assert len(fold.test) == 45  # a fifth of 4 x 56, rounded up
    assert len(fold.train) + len(fold.test) == 4 * 56
    assert audit(fold).same_recording > 0.9
    assert fold.warning and "augmented copies in training" in fold.warning


def test_clean_is_stratified(small: list[Clip]) -> None:
    (fold,) = split("clean", small)
    counts = Counter(sample.clip.label for sample in fold.test)
    assert sum(counts.values()) == 12
    assert set(counts.values()) <= {1, 2}
    assert len(counts) == 7


@pytest.mark.parametrize(("name", "images"), PAPER_TEST_IMAGES.items())
def test_paper_has_the_published_number_of_test_images(name: str, images: int, corpora_root: Path) -> None:
    (fold,) = split("paper", real(name, corpora_root))
    assert len(fold.test) == images
    assert audit(fold).same_recording > 0.9


@pytest.mark.parametrize("name", corpora.CORPORA)
def test_clean_tests_a_fifth_of_a_real_corpus(name: str, corpora_root: Path) -> None:
    clips = real(name, corpora_root)
    (fold,) = split("clean", clips)
    assert len(fold.test) / len(clips) == pytest.approx(0.2, abs=0.002)
    assert audit(fold).same_recording == 0


# --- grouped ---


def check_grouped(clips: Sequence[Clip], what: str, count: int, folds: int | None = None) -> None:
    divided = split(what, clips, folds=folds)
    assert len(divided) == count
    for fold in divided:
        assert not of(fold.train, what) & of(fold.test, what)
        assert getattr(audit(fold), f"same_{what}") == 0
        assert len(fold.train) // 4 + len(fold.test) == len(clips)
    tested = Counter(sample.clip.key for fold in divided for sample in fold.test)
    assert tested == dict.fromkeys((one.key for one in clips), 1)


@pytest.mark.parametrize(("what", "count"), [("speaker", 4), ("sentence", 2)])
def test_one_is_left_out_where_there_are_few(what: str, count: int, small: list[Clip]) -> None:
    check_grouped(small, what, count)
    assert all(len(of(fold.test, what)) == 1 for fold in split(what, small))


@pytest.mark.parametrize(("speakers", "count"), [(10, 10), (11, 5), (24, 5)])
def test_five_groups_above_ten(speakers: int, count: int) -> None:
    check_grouped(grid(speakers, 3), "speaker", count)


def test_the_number_of_groups_may_be_asked_for(small: list[Clip]) -> None:
    check_grouped(small, "speaker", 2, folds=2)


@pytest.mark.parametrize("name", corpora.CORPORA)
@pytest.mark.parametrize("what", ["speaker", "sentence"])
def test_groups_of_real_corpora(what: str, name: str, corpora_root: Path) -> None:
    clips = real(name, corpora_root)
    groups = len({getattr(one, what) for one in clips})
    check_grouped(clips, what, groups if groups <= 10 else 5)


def test_speaker_and_sentence_are_both_new(small: list[Clip]) -> None:
    divided = split("speaker-sentence", small)
    assert len(divided) == 2
    assert {audit(fold) for fold in divided} == {Leakage(0, 0, 0)}


@pytest.mark.parametrize("name", corpora.CORPORA)
def test_speaker_and_sentence_are_both_new_in_real_corpora(name: str, corpora_root: Path) -> None:
    clips = real(name, corpora_root)
    divided = split("speaker-sentence", clips)
    assert len(divided) == min(5, corpora.CORPORA[name].sentences or 5, corpora.CORPORA[name].speakers)
    assert {audit(fold) for fold in divided} == {Leakage(0, 0, 0)}
    for what in ("speaker", "sentence"):
        assert all(not of(a.test, what) & of(b.test, what) for a, b in pairwise(divided))


def test_speakers_of_two_corpora_are_not_one_because_they_have_one_name() -> None:
    clips = [*grid(2, 2), *(replace(one, corpus="other") for one in grid(2, 2))]
    divided = split("speaker", clips)
    assert len(divided) == 4
    assert {audit(fold).same_speaker for fold in divided} == {0}


# --- emobox ---


def test_both_forms_of_published_folds_give_the_same(small: list[Clip], published: Path) -> None:
    table, clone = (split("emobox", small, published=folder) for folder in (published, published / "clone"))
    assert table == clone
    assert [of(fold.test, "sentence") for fold in table] == [{"a01"}, {"a02"}]


@pytest.mark.parametrize(("name", "counts"), EMOBOX.items())
def test_published_folds_have_the_published_counts(
    name: str, counts: tuple[int, int, int, float], corpora_root: Path
) -> None:
    folds, train, test, same_speaker = counts
    divided = split("emobox", real(name, corpora_root), published=corpora_root / "folds")
    assert [(len(fold.train) // 4, len(fold.test)) for fold in divided] == [(train, test)] * folds
    assert {audit(fold).same_speaker for fold in divided} == {same_speaker}
    assert {audit(fold).same_recording for fold in divided} == {0}


# --- cross and everything ---


def test_cross_keeps_the_shared_classes() -> None:
    ours = [clip(f"{label}{n}", label) for label in ("anger", "fear", "calm") for n in range(2)]
    theirs = [clip(f"{label}{n}", label, corpus="other") for label in ("anger", "fear", "boredom") for n in range(2)]
    (fold,) = protocols.cross(ours, theirs)
    assert of(fold.train, "label") == of(fold.test, "label") == {"anger", "fear"}
    assert of(fold.train, "corpus") == {"own"} and of(fold.test, "corpus") == {"other"}
    assert audit(fold) == Leakage(0, 0, 0)  # "s" and "t" of one corpus are not those of the other
    assert protocols.cross(ours[::-1], theirs[::-1]) == [fold]


def test_everything_is_trained_on_and_nothing_tested(small: list[Clip]) -> None:
    fold = protocols.everything(small[::-1])
    assert [sample.clip for sample in fold.train[::4]] == small
    assert fold.test == ()
    assert audit(fold) == Leakage(0, 0, 0)


# --- audit ---


def test_a_planted_leak_is_caught(small: list[Clip]) -> None:
    fold = split("speaker-sentence", small)[0]
    planted = replace(fold, train=(*fold.train, Sample(fold.test[0].clip, "noise")))
    share = 1 / len(fold.test)
    assert audit(fold).same_recording == 0
    assert audit(planted).same_recording == share
    assert audit(planted).same_speaker == pytest.approx(
        share * sum(one.clip.speaker == fold.test[0].clip.speaker for one in fold.test)
    )


def test_what_is_not_known_is_not_claimed() -> None:
    known, unknown = clip("a", "x"), clip("b", "x", speaker=None, sentence=None)
    told = Fold("clean", 1, (Sample(unknown),), (Sample(known),))
    assert audit(told) == Leakage(0, 0, 0)
    assert audit(replace(told, test=(Sample(known), Sample(unknown)))) == Leakage(0.5, None, None)


# --- refusals ---


def test_no_clips() -> None:
    for protocol in ("paper", "clean", *GROUPED):
        with pytest.raises(ProtocolError, match="there are no clips to divide"):
            split(protocol, [])
    with pytest.raises(ProtocolError, match="there are no clips to divide"):
        protocols.everything([])


def test_unknown_protocol(small: list[Clip]) -> None:
    with pytest.raises(ProtocolError, match="protocol 'papper' is not known; known: paper, clean, speaker, "):
        split("papper", small)


def test_cross_by_split(small: list[Clip]) -> None:
    with pytest.raises(ProtocolError, match="cross: needs two lists of clips"):
        split("cross", small)


def test_a_label_with_one_clip() -> None:
    with pytest.raises(ProtocolError, match="label 'z' has one clip; a stratified split needs at least two"):
        split("clean", [*grid(3, 3), clip("lone", "z")])


def test_too_few_clips_for_the_labels() -> None:
    with pytest.raises(ProtocolError, match="6 clips are too few to test 3 labels on a fifth of them"):
        split("clean", grid(1, 2, ("x", "y", "z")))


@pytest.mark.parametrize("protocol", GROUPED)
def test_unknown_speakers_or_sentences(protocol: str) -> None:
    what = protocol.split("-")[0]
    unknown = clip("nameless", "x", speaker=None, sentence=None)
    with pytest.raises(ProtocolError, match=f"{what}: the {what} of 1 clips is not known, for example of nameless"):
        split(protocol, [*grid(3, 3), unknown])


@pytest.mark.parametrize(("protocol", "clips"), [("speaker", grid(1, 3)), ("sentence", grid(3, 1))])
def test_a_single_group(protocol: str, clips: list[Clip]) -> None:
    with pytest.raises(ProtocolError, match=f"{protocol}: all clips have the same {protocol}; at least two are needed"):
        split(protocol, clips)


@pytest.mark.parametrize("folds", [-1, 0, 1, 4])
@pytest.mark.parametrize("protocol", GROUPED)
def test_an_impossible_number_of_folds(protocol: str, folds: int) -> None:
    with pytest.raises(ProtocolError, match=f"{protocol}: {folds} folds of 3 .*; ask for 2 to 3"):
        split(protocol, grid(3, 3), folds=folds)


def test_too_many_folds_for_rare_labels() -> None:
    clips = [clip(f"{n}", f"label{n // 2}", f"s{n}") for n in range(8)]
    with pytest.raises(ProtocolError, match="no label has a clip for each of 5 folds; ask for fewer"):
        split("speaker", clips, folds=5)


def test_a_label_that_only_the_test_part_has() -> None:
    clips = [*grid(3, 3), clip("lone", "z", "s00", "t00")]
    for protocol in ("speaker", "sentence"):
        with pytest.raises(ProtocolError, match=f"{protocol}: fold . has no training clips of z; ask for another"):
            split(protocol, clips)


def test_a_side_without_clips() -> None:
    paired = [clip(f"{n}{label}", label, f"s{n}", f"t{n}") for n in range(3) for label in "xy"]
    with pytest.raises(ProtocolError, match="speaker-sentence: fold 1 has no clips on one of its sides"):
        for seed in range(20):  # some pairing of groups matches no clip
            split("speaker-sentence", paired, seed=seed)


def test_corpora_that_share_no_two_classes() -> None:
    with pytest.raises(ProtocolError, match=r"cross: the corpora share 1 classes \(x\); at least two are needed"):
        protocols.cross([clip("a", "x"), clip("b", "y")], [clip("c", "x")])
    with pytest.raises(ProtocolError, match=r"cross: the corpora share 0 classes \(none\)"):
        protocols.cross([clip("a", "x")], [])


def test_emobox_without_folds(small: list[Clip], tmp_path: Path) -> None:
    with pytest.raises(ProtocolError, match="emobox: say where its folds are"):
        split("emobox", small)
    with pytest.raises(ProtocolError, match=r"emobox: neither .*emodb\.csv nor .*data/emodb exists"):
        split("emobox", small, published=tmp_path)
    (tmp_path / "data" / "emodb").mkdir(parents=True)
    with pytest.raises(ProtocolError, match="data/emodb holds no folds; fetch it again"):
        split("emobox", small, published=tmp_path)


def test_emobox_of_crema_d_lies_in_emoboxs_own_folder(tmp_path: Path) -> None:
    with pytest.raises(ProtocolError, match="data/cremad exists"):
        split("emobox", [clip("1001_IEO_ANG_HI", "anger", corpus="crema-d")], published=tmp_path)


def test_emobox_with_recordings_missing(small: list[Clip], published: Path) -> None:
    with pytest.raises(
        ProtocolError, match=f"1 clips of fold 1 are not among the recordings, for example {small[0].name};"
    ):
        split("emobox", small[1:], published=published)


def test_emobox_of_two_corpora_at_once(small: list[Clip], published: Path) -> None:
    with pytest.raises(ProtocolError, match="its folds are of one corpus, not of emodb and own together"):
        split("emobox", [*small, clip("a", "x")], published=published)


@pytest.mark.parametrize("row", ["one,test,03a01Fa,x", "1,dev,03a01Fa,x", "1,test,,x", "1", "-1,test,03a01Fa,x"])
def test_damaged_table_of_folds(row: str, small: list[Clip], tmp_path: Path) -> None:
    (tmp_path / "emodb.csv").write_text(f"fold,part,clip,label\n{row}\n", encoding="utf-8")
    with pytest.raises(ProtocolError, match=r"emodb\.csv, line 2: needs a fold number, a part \(train or test\)"):
        split("emobox", small, published=tmp_path)


@pytest.mark.parametrize("line", ["{", "[]", '{"key": "emodb-03a01Fa"}', '"wav"'])
def test_damaged_clone_of_emobox(line: str, small: list[Clip], tmp_path: Path) -> None:
    path = tmp_path / "data" / "emodb" / "fold_1" / "emodb_test_fold_1.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text(line + "\n", encoding="utf-8")
    with pytest.raises(ProtocolError, match=r"emodb_test_fold_1\.jsonl, line 1: not a JSON object with 'wav'"):
        split("emobox", small, published=tmp_path)


def test_own_follows_the_division_that_the_clips_bring_along(synthetic_emodb: Path) -> None:
    clips = [replace(clip, split=None) for clip in corpora.read("emodb", synthetic_emodb)]
    told = [replace(clip, split="test" if clip.speaker == clips[0].speaker else "train") for clip in clips]
    (fold,) = split("own", told)
    assert {sample.clip.speaker for sample in fold.test} == {clips[0].speaker}
    assert audit(fold).same_speaker == 0 and len({s.clip for s in fold.train}) + len(fold.test) == len(clips)
    with pytest.raises(ProtocolError, match="own: 0 clips say split=train"):
        split("own", clips)
