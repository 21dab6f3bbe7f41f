"""Reading corpora, and what `verify` finds: every oddity planted here is reported by name."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from feltone.errors import CorpusError
from feltone.lab import corpora
from feltone.lab.corpora import CORPORA, Clip, manifest_digest
from feltone.lab.corpora.savee import sentence
from feltone.lab.corpora.verify import Report, verify, verify_clips

EMODB = CORPORA["emodb"]


def write(path: Path, samples: int = 1600, level: float = 0.5, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).uniform(-level, level, samples)
    soundfile.write(path, np.round(noise * 32767).astype(np.int16), 16_000)
    return path


def parsed(corpus: str, path: str) -> Clip:
    clip = CORPORA[corpus].parse(Path(path))
    assert clip is not None, path
    return clip


# --- names ---


@pytest.mark.parametrize(
    ("corpus", "path", "name", "label", "speaker", "sex", "sentence_id"),
    [
        ("emodb", "03a01Fa.flac", "03a01Fa", "happiness", "03", "male", "a01"),
        ("emodb", "wav/16b10Wb.wav", "16b10Wb", "anger", "16", "female", "b10"),
        ("ravdess", "03-01-02-01-02-01-24.wav", "03-01-02-01-02-01-24", "calm", "24", "female", "02"),
        ("ravdess", "Actor_01/03-01-01-01-01-02-01.wav", "03-01-01-01-01-02-01", "neutral", "01", "male", "01"),
        ("crema-d", "1001_IEO_ANG_HI.mp3", "1001_IEO_ANG_HI", "anger", "1001", "male", "IEO"),
        ("crema-d", "1091_WSI_NEU_XX.wav", "1091_WSI_NEU_XX", "neutral", "1091", "female", "WSI"),
        ("crema-d", "1040_ITH_SAD_X.ogg", "1040_ITH_SAD_XX", "sadness", "1040", "male", "ITH"),
        ("savee", "DC_a01.wav", "DC_a01", "anger", "DC", "male", "common01"),
        ("savee", "AudioData/KL/su05.wav", "KL_su05", "surprise", "KL", "male", "su05"),
        ("savee", "JE/JE_n30.wav", "JE_n30", "neutral", "JE", "male", "h05"),
        ("tess", "OAF_angry/OAF_back_angry.wav", "OAF_back_angry", "anger", "OAF", "female", "back"),
        ("tess", "OAF_Pleasant_surprise/OAF_youth_ps.wav", "OAF_youth_ps", "surprise", "OAF", "female", "youth"),
        ("tess", "YAF_bar_Pleasant_Surprise.wav", "YAF_bar_ps", "surprise", "YAF", "female", "bar"),
        ("tess", "OAF_neutral/OA_bite_neutral.wav", "OAF_bite_neutral", "neutral", "OAF", "female", "bite"),
    ],
)
def test_a_name_tells_label_speaker_sex_and_sentence(
    corpus: str, path: str, name: str, label: str, speaker: str, sex: str, sentence_id: str
) -> None:
    clip = parsed(corpus, path)
    assert (clip.name, clip.label, clip.speaker, clip.sex) == (name, label, speaker, sex)
    assert clip.sentence == sentence_id


@pytest.mark.parametrize(
    ("corpus", "path"),
    [
        ("emodb", "99a01Fa.wav"),  # no such speaker
        ("ravdess", "03-02-02-01-02-01-24.wav"),  # song
        ("ravdess", "01-01-02-01-02-01-24.mp4"),  # video
        ("ravdess", "03-01-02-01-02-01-25.wav"),  # no such actor
        ("ravdess", "03-01-02-03-02-01-24.wav"),  # no such intensity
        ("crema-d", "1092_IEO_ANG_HI.wav"),
        ("crema-d", "1001_ABC_ANG_HI.wav"),
        ("savee", "AudioData/XX/a01.wav"),
        ("savee", "a01.wav"),  # nobody said it
        ("savee", "DC_n31.wav"),
        ("tess", "MAF_back_angry.wav"),
    ],
)
def test_what_is_not_of_the_corpus_is_no_clip(corpus: str, path: str) -> None:
    assert CORPORA[corpus].parse(Path(path)) is None


def test_crema_d_has_48_men_and_43_women() -> None:
    names = CORPORA["crema-d"].expected_names
    assert names is not None
    sexes = {clip.speaker: clip.sex for clip in (parsed("crema-d", f"{name}.wav") for name in names())}
    assert sorted(sexes.values()) == ["female"] * 43 + ["male"] * 48


def test_savee_neutral_repeats_the_common_and_the_specific_sentences() -> None:
    assert {sentence(emotion, 2) for emotion in ("a", "d", "f", "h", "n", "sa", "su")} == {"common02"}
    assert [sentence("n", number) for number in (16, 17, 18)] == ["common01", "common02", "common03"]
    specific = [sentence(emotion, number) for emotion in ("a", "d", "f", "su", "sa", "h") for number in (4, 5)]
    assert [sentence("n", number) for number in range(19, 31)] == specific
    own = [sentence(e, k) for e in ("a", "d", "f", "h", "sa", "su") for k in range(6, 16)]
    assert len({*own, *(sentence("n", k) for k in range(4, 16))}) == 72


def test_an_unknown_corpus_lists_the_known() -> None:
    with pytest.raises(CorpusError, match=r"'emdb' is not known; known: emodb, ravdess, crema-d, .*manifest"):
        corpora.find("emdb")


# --- reading ---


def test_some_speakers_are_the_first_by_name_with_all_their_clips(synthetic_emodb: Path) -> None:
    every = corpora.read("emodb", synthetic_emodb)
    speakers = sorted({clip.speaker for clip in every})
    for count in (1, len(speakers)):
        expected = [clip for clip in every if clip.speaker in speakers[:count]]
        assert corpora.read(f"emodb@{count}", synthetic_emodb) == expected
    for wrong in ("emodb@0", "emodb@", "emodb@two", f"emodb@{len(speakers) + 1}"):
        with pytest.raises(CorpusError, match=rf"'{wrong}': after @ .* 1 to {len(speakers)}"):
            corpora.read(wrong, synthetic_emodb)
    with pytest.raises(CorpusError, match="corpus 'nope' is not known"):
        corpora.read("nope@2", synthetic_emodb)


def test_both_savee_layouts_give_the_same_clips(tmp_path: Path) -> None:
    for speaker in ("DC", "KL"):
        write(tmp_path / "flat" / f"{speaker}_sa07.wav")
        write(tmp_path / "folders" / speaker / "sa07.wav")
    flat, folders = (corpora.read("savee", tmp_path / layout) for layout in ("flat", "folders"))
    assert [clip.key for clip in flat] == [clip.key for clip in folders] == ["savee/DC_sa07", "savee/KL_sa07"]
    assert manifest_digest(flat) == manifest_digest(folders)


def test_a_miniature_of_tess_as_distributed(tmp_path: Path) -> None:
    folders = {"angry": "OAF_angry", "ps": "OAF_Pleasant_surprise", "neutral": "OAF_neutral"}
    for code, folder in folders.items():
        for word in ("back", "bar"):
            write(tmp_path / "tess" / folder / f"OAF_{word}_{code}.wav")
    write(tmp_path / "tess" / "OAF_neutral" / "OA_bite_neutral.wav")
    clips = corpora.read("tess", tmp_path)
    assert [clip.name for clip in clips] == [
        "OAF_back_angry", "OAF_back_neutral", "OAF_back_ps",
        "OAF_bar_angry", "OAF_bar_neutral", "OAF_bar_ps",
        "OAF_bite_neutral",
    ]  # fmt: skip


def test_hidden_leftovers_of_archives_are_not_recordings(tmp_path: Path) -> None:
    write(tmp_path / "emodb" / "03a01Fa.wav")
    (tmp_path / "emodb" / "._03a01Fa.wav").write_bytes(b"resource fork")
    assert len(corpora.read("emodb", tmp_path)) == 1


def test_an_unknown_label_is_refused_by_name(tmp_path: Path) -> None:
    write(tmp_path / "03a01Fa.wav")
    write(tmp_path / "03a01Xa.wav")
    with pytest.raises(CorpusError, match=r"1 recordings have a label .* example 03a01Xa \('X'\)"):
        corpora.read("emodb", tmp_path)


def test_recordings_of_something_else_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "holiday.wav")
    with pytest.raises(CorpusError, match="none of 1 recordings is named like EmoDB; it is obtained so"):
        corpora.read("emodb", tmp_path)


def test_audio_is_told_from_the_recordings(tmp_path: Path) -> None:
    opus, wav = parsed("crema-d", "1001_IEO_ANG_HI.ogg"), parsed("crema-d", "1001_IEO_ANG_HI.wav")
    other, own = parsed("emodb", "03a01Fa.wav"), corpora.Clip("manifest", "mine", Path("mine.ogg"), "anger")
    assert corpora.audio_of([wav, other, own]) == "original"
    assert corpora.audio_of([wav, opus]) == "reconstructed"
    assert corpora.audio_of([other, opus]) == "reconstructed"


def test_digest_depends_on_what_was_trained_on_and_not_on_where_it_lies() -> None:
    here, there = parsed("emodb", "/here/03a01Fa.wav"), parsed("emodb", "/there/03a01Fa.flac")
    other = parsed("emodb", "/here/03a02Fc.wav")
    assert manifest_digest([here, other]) == manifest_digest([other, there])
    assert manifest_digest([here]) != manifest_digest([other])


# --- verify ---


@pytest.fixture
def odd(tmp_path: Path) -> Report:
    """EmoDB with one of every problem but a cut."""
    root = tmp_path / "emodb"
    write(root / "wav" / "03a01Fa.wav", seed=1)
    write(root / "flac" / "03a01Fa.flac", seed=2)  # repeated
    copy = write(root / "wav" / "03a01Nc.wav", seed=3)
    (root / "wav" / "03a01Wa.wav").write_bytes(copy.read_bytes())  # duplicate
    write(root / "wav" / "03a02Fc.wav", level=0.0)  # silent
    (root / "wav" / "03a02Nc.wav").write_bytes(b"")  # unreadable
    write(root / "wav" / "03a02Xa.wav", seed=4)  # unknown label, and so surplus
    write(root / "wav" / "03a01Ff.wav", seed=5)  # surplus
    write(root / "wav" / "test.wav", seed=6)  # misnamed
    return verify(EMODB, tmp_path)


def test_every_problem_is_reported_by_name(odd: Report) -> None:
    told = dict(odd.problems)
    assert len(told.pop("missing")) == 535 - 5
    unreadable = told.pop("unreadable")
    assert len(unreadable) == 1 and "03a02Nc.wav: is empty" in unreadable[0]
    assert told == {
        "unknown label": ("03a02Xa ('X')",),
        "repeated": ("03a01Fa (flac/03a01Fa.flac, wav/03a01Fa.wav)",),
        "surplus": ("03a01Ff", "03a02Xa"),
        "misnamed": ("wav/test.wav",),
        "duplicate": ("03a01Nc = 03a01Wa",),
        "silent": ("03a02Fc",),
    }
    assert not odd.ok


def test_a_report_reads_well_and_survives_json(odd: Report) -> None:
    lines = odd.lines()
    assert lines[0].startswith("emodb: 8 clips of 535, 1 speakers of 10,")
    assert "anger 1/127" in lines[1]
    assert "duplicate: 1 with the very samples of another clip: 03a01Nc = 03a01Wa" in lines
    assert any(line.startswith("missing: 530 ") and line.endswith("and 525 more") for line in lines)
    document = json.loads(json.dumps(odd.to_dict()))
    assert len(document["problems"]["missing"]) == 530
    assert document["ok"] is False


def test_a_copy_in_another_container_is_a_duplicate(tmp_path: Path) -> None:
    write(tmp_path / "03a01Fa.wav")
    write(tmp_path / "03a01Nc.flac")
    assert verify(EMODB, tmp_path).problems["duplicate"] == ("03a01Fa = 03a01Nc",)


@pytest.mark.parametrize(
    ("lengths", "found"),
    [
        ([1000 + k for k in range(20)], 0),  # as recorded
        ([1000 + k for k in range(18)] + [1500, 1500], 2),  # the long ones cut to a limit
        ([1500] * 19 + [1200], 19),  # padded or cut to one length
        ([1500] * 19 + [1700], 19),  # the same, one forgotten
        ([1500] * 9, 0),  # too few to tell
    ],
)
def test_a_common_length_gives_away_a_cut(tmp_path: Path, lengths: list[int], found: int) -> None:
    names = sorted(EMODB.expected_names())[: len(lengths)] if EMODB.expected_names else []
    for seed, (name, samples) in enumerate(zip(names, lengths, strict=True)):
        write(tmp_path / f"{name}.wav", samples, seed=seed)
    assert len(verify(EMODB, tmp_path).problems.get("cut", ())) == found


def test_the_synthetic_corpus_has_nothing_amiss_but_its_size(synthetic_emodb: Path) -> None:
    told: list[tuple[int, int]] = []
    report = verify(EMODB, synthetic_emodb, lambda done, total: told.append((done, total)))
    assert set(report.problems) == {"missing", "surplus"}
    assert report.found == dict.fromkeys(EMODB.labels, 8)
    assert report.speakers == ("03", "08", "09", "10")
    assert 56 * 0.6 < report.seconds < 56 * 1.5
    assert told == [(done, 56) for done in range(1, 57)]


def test_a_manifest_is_verified_without_a_published_corpus(tmp_path: Path) -> None:
    write(tmp_path / "anger" / "a.wav", seed=1)
    write(tmp_path / "sadness" / "b.wav", seed=1)
    report = verify_clips(corpora.read("manifest", tmp_path), tmp_path)
    assert report.problems == {"duplicate": ("anger/a.wav = sadness/b.wav",)}
    assert report.ok
    assert report.lines()[:2] == [
        f"manifest: 2 clips, 0 speakers, 0.0 min, audio original; {tmp_path}",
        "labels: anger 1, sadness 1",
    ]


@pytest.mark.parametrize(
    ("name", "problems"),
    [
        ("emodb", {}),
        ("savee", {}),
        # As published: EmoBox lists both at 163,363 samples.
        ("ravdess", {"duplicate": ("03-01-03-01-02-01-07 = 03-01-03-01-02-02-07",)}),
    ],
)
def test_real_recordings_verify(name: str, problems: dict[str, tuple[str, ...]], corpora_root: Path) -> None:
    if not (corpora_root / name).is_dir():
        pytest.skip(f"no {name}/ below FELTONE_DATA")
    report = verify(CORPORA[name], corpora_root)
    assert report.problems == problems
    assert report.ok
    assert len(report.speakers) == report.expected_speakers
