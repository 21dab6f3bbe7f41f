"""Timelines: what other programs read must say what the windows said."""

import csv
import io
import json
import re
from dataclasses import replace
from itertools import pairwise

import pytest

from feltone.timeline import FORMATS, SILENCE, Segment, Timeline


def window(start: float, label: str, end: float | None = None) -> Segment:
    scores = {"anger": 0.75, "neutral": 0.25} if label == "anger" else {"anger": 0.25, "neutral": 0.75}
    silent = dict.fromkeys(scores, 0.0)
    return Segment(start, start + 4 if end is None else end, label, silent if label == SILENCE else scores)


TIMELINE = Timeline(
    "my talk",
    1.0,
    (window(0, "anger"), window(1, "anger"), window(2, "neutral"), window(3, SILENCE), window(4, "neutral", 6.5)),
)


def test_spans_divide_the_recording_without_gap_or_overlap() -> None:
    spans = TIMELINE.spans()
    assert spans[0].start == 0 and spans[-1].end == 6.5
    assert all(a.end == b.start for a, b in pairwise(spans))
    assert [span.label for span in spans] == ["anger", "neutral", SILENCE, "neutral"]


def test_a_moment_belongs_to_the_window_whose_middle_is_nearest() -> None:
    anger, neutral = TIMELINE.spans()[:2]
    assert anger.end == 3.5  # between the middles 3 and 4
    assert neutral.end == 4.5


def test_two_equal_windows_after_one_another_keep_their_own_places() -> None:
    same = Timeline("t", 2.0, (window(0, "anger", 2), window(2, "neutral", 4), window(4, "anger", 6)))
    assert [(span.start, span.end) for span in same.spans()] == [(0, 2), (2, 4), (4, 6)]


def test_json_and_csv_hold_every_window_and_score() -> None:
    document = json.loads(TIMELINE.to_json())
    rows = list(csv.DictReader(io.StringIO(TIMELINE.to_csv())))
    assert document["hop"] == 1.0 and len(document["segments"]) == len(rows) == 5
    for said, row, segment in zip(document["segments"], rows, TIMELINE.segments, strict=True):
        assert said == vars(segment)
        assert (float(row["start"]), float(row["end"]), row["label"]) == (segment.start, segment.end, segment.label)
        assert row["unsure"] == str(segment.unsure).lower()
        assert {label: float(row[label]) for label in segment.scores} == segment.scores


def test_a_span_is_unsure_where_all_its_windows_are() -> None:
    doubted = [replace(segment, unsure=number in (0, 2)) for number, segment in enumerate(TIMELINE.segments)]
    assert [span.unsure for span in replace(TIMELINE, segments=tuple(doubted)).spans()] == [False, True, False, False]


def test_rttm_follows_the_ten_fields_of_its_definition() -> None:
    lines = TIMELINE.to_rttm().splitlines()
    assert len(lines) == len(TIMELINE.spans())
    for line, span in zip(lines, TIMELINE.spans(), strict=True):
        fields = line.split()
        assert len(fields) == 10 and fields[0] == "SPEAKER" and fields[1] == "my_talk"
        assert float(fields[3]) + float(fields[4]) == pytest.approx(span.end)
        assert fields[7] == span.label


def test_audacity_labels_are_start_end_text() -> None:
    for line in TIMELINE.to_audacity().splitlines():
        assert re.fullmatch(r"\d+\.\d{3}\t\d+\.\d{3}\t\w+", line)


@pytest.mark.parametrize("name", FORMATS)
def test_a_recording_of_one_window_can_be_written(name: str) -> None:
    assert "anger" in FORMATS[name](Timeline("t", 1.0, (window(0, "anger", 0.7),)))
