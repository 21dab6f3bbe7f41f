"""Windows over a long recording, and the formats other programs read them in."""

import csv
import io
import json
from dataclasses import dataclass
from itertools import groupby, pairwise

SILENCE = "silence"  # label of a window of digital silence: there is nothing to recognise in it


@dataclass(frozen=True)
class Segment:
    """One analysed window, or a span of equal windows."""

    start: float  # seconds
    end: float
    label: str
    scores: dict[str, float]  # label -> probability; all zero for silence
    unsure: bool = False  # whether the highest is below what the model's card calls sure; of a span, in all its windows


@dataclass(frozen=True)
class Timeline:
    """The windows of one recording, in order; windows overlap where the hop is shorter than the window."""

    name: str
    hop: float  # seconds between window starts
    segments: tuple[Segment, ...]

    def spans(self) -> tuple[Segment, ...]:
        """The recording divided without overlap: each moment goes to the window whose middle is nearest.

        Neighbouring windows of one label become one span, with their scores averaged.
        """
        middles = [(segment.start + segment.end) / 2 for segment in self.segments]
        borders = [0.0, *((a + b) / 2 for a, b in pairwise(middles)), self.segments[-1].end]
        merged = []
        for label, run in groupby(range(len(self.segments)), key=lambda i: self.segments[i].label):
            rows = list(run)
            scores = [self.segments[i].scores for i in rows]
            means = {name: sum(score[name] for score in scores) / len(rows) for name in scores[0]}
            unsure = all(self.segments[i].unsure for i in rows)
            merged.append(Segment(borders[rows[0]], borders[rows[-1] + 1], label, means, unsure))
        return tuple(merged)

    def to_json(self) -> str:
        """One document with every window's scores."""
        rows = [vars(segment) for segment in self.segments]
        return json.dumps({"name": self.name, "hop": self.hop, "segments": rows}, indent=1)

    def to_csv(self) -> str:
        """One row per window: start, end, label, whether it is unsure, and a column per label."""
        text = io.StringIO()
        labels = list(self.segments[0].scores)
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["start", "end", "label", "unsure", *labels])
        for s in self.segments:
            unsure, scores = str(s.unsure).lower(), (f"{s.scores[k]:.4f}" for k in labels)
            writer.writerow([f"{s.start:.3f}", f"{s.end:.3f}", s.label, unsure, *scores])
        return text.getvalue()

    def to_rttm(self) -> str:
        """NIST RTTM: one line per span, the label in the name field."""
        name = "_".join(self.name.split()) or "recording"
        lines = []
        for s in self.spans():
            score = f"{s.scores[s.label]:.4f}" if s.label in s.scores else "<NA>"
            lines.append(f"SPEAKER {name} 1 {s.start:.3f} {s.end - s.start:.3f} <NA> <NA> {s.label} {score} <NA>\n")
        return "".join(lines)

    def to_audacity(self) -> str:
        """Audacity's label track: start, end and label, tab-separated, one line per span."""
        return "".join(f"{s.start:.3f}\t{s.end:.3f}\t{s.label}\n" for s in self.spans())


FORMATS = {"json": Timeline.to_json, "csv": Timeline.to_csv, "rttm": Timeline.to_rttm, "audacity": Timeline.to_audacity}
"""Format -> how a timeline is written in it."""
