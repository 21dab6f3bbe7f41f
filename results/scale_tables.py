"""The tables about annotating archives, from results/speed/annotate-*.json and results/scale.json: used by render.py.

annotate-NAME.json   `python -m feltone_benchmarks.annotating` on the machine of that name
scale.json           `python -m feltone_benchmarks.scaling`, from one of them
"""

import json
from typing import Any

import speed_tables

from feltone.doors.annotate.pieces import STAGES
from feltone_benchmarks import report

TARGETS = {  # number -> what was asked of it, and whether more is better
    "two_over_one": ("× clips per second with two processes", 1.8, True),
    "engine_overhead": ("of a bare loop's rate lost", 0.15, False),
}
FLAT = 1.1  # memory of the longest list over that of the shortest, at most


def tables() -> dict[str, str]:
    """Every table by its marker's name."""
    found = json.loads((speed_tables.FOLDER.parent / "scale.json").read_text())
    return {
        "annotate": annotate(),
        "annotate_stages": stages(),
        "annotate_lists": lists(),
        "scale": archives(found),
        "scale_check": check(found),
        "scale_limits": limits(found),
    }


def annotate() -> str:
    """Rates of the engines, and what was asked of them."""
    text = []
    for found in speed_tables.documents("annotate"):
        lines = ["| | clips a second | processor ms a clip |", "|---|--:|--:|"]
        engines, whole = found["engines"], found["archive"]
        rows = engines["rates"] | {
            f"two processes, {whole['recordings']:,} clips": whole,
            "Ray, two cores": found["ray"],
        }
        for name, row in rows.items():
            spent = "–" if name.startswith("Ray") else report.number(row["cpu_ms_per_clip"])
            lines.append(f"| {name} | {report.number(row['clips_per_second'])} | {spent} |")
        asked = ["| asked | measured |", "|---|--:|"]
        for key, (words, wanted, more) in TARGETS.items():
            reached = engines[key] >= wanted if more else engines[key] <= wanted
            asked.append(f"| {'≥' if more else '≤'} {wanted:g} {words} | {_judged(engines[key], reached)} |")
        growth = memory_growth(found)
        asked.append(
            f"| memory of the longest list ≤ {FLAT:g} × that of the shortest | {_judged(growth, growth <= FLAT)} |"
        )
        turns = f"medians of {engines['rounds']} turns with {engines['clips']:,} clips"
        made = f"clips of 1–3 s, {engines['different_clips']:,} of them different; {turns} unless it says otherwise"
        text += [f"{report.place(found)}; {made}:", "\n".join(lines), "\n".join(asked)]
        if report.disturbed(engines):
            text.append(f"**{engines['busy_elsewhere']:.0%} of the machine was busy elsewhere: measure again.**")
        ray = 1 - found["ray"]["clips_per_second"] / engines["rates"]["two processes"]["clips_per_second"]
        text.append(f"Ray costs {100 * ray:.0f} % of the rate of two processes, its start included.")
    return "\n\n".join(text)


def _judged(value: float, reached: bool) -> str:
    return f"{value:.3g}{'' if reached else ' **missed**'}"


def memory_growth(found: dict[str, Any]) -> float:
    """Peak memory of the longest list over that of the shortest."""
    by_length = sorted(found["lists"]["rows"], key=lambda row: row["entries"])
    return float(by_length[-1]["peak_mb"] / by_length[0]["peak_mb"])


def stages() -> str:
    """Where a core's time goes, per hour of audio."""
    text = []
    for found in speed_tables.documents("annotate"):
        head = " | ".join(f"{stage} s" for stage in STAGES)
        lines = [
            f"| archive | segments | {head} | audio hours per core and hour | MB read per audio hour |",
            "|---|---|" + "--:|" * (len(STAGES) + 2),
        ]
        for row in found["modes"]["rows"]:
            spent, hours = row["core_seconds"], row["audio_hours"]
            cells = [row["archive"], row["segments"], *(report.number(spent[stage] / hours) for stage in STAGES)]
            cells += [
                report.number(3600 * hours / sum(spent.values())),
                report.number(1000 * row["gigabytes_read"] / hours),
            ]
            lines.append(f"| {' | '.join(cells)} |")
        text += [f"{report.place(found)}; processor seconds per hour of audio:", "\n".join(lines)]
    return "\n\n".join(text)


def lists() -> str:
    """What it takes to plan a manifest."""
    lines = ["| machine | entries | peak memory MB | processor s |", "|---|--:|--:|--:|"]
    for name, found in speed_tables.named("annotate").items():
        lines += [
            f"| {name} | {row['entries']:,} | {row['peak_mb']:,.0f} | {report.number(row['cpu_seconds'])} |"
            for row in found["lists"]["rows"]
        ]
    return "\n".join(lines)


def archives(found: dict[str, Any]) -> str:
    """Days and dollars of archives."""
    lines = ["| hours of audio | instances | days | list | USD | USD per 1,000 h |", "|--:|---|--:|--:|--:|--:|"]
    for row in found["archives"]:
        cells = [f"{row['hours']:,}", f"{row['nodes']:,} × {row['instance']}", report.number(row["days"])]
        cells += [f"{row['listing_share']:.1%}", f"{row['usd']:,}", report.number(row["usd_per_1000_hours"])]
        lines.append(f"| {' | '.join(cells)} |")
    kinds = [
        f"{name}: {kind['cores']} vCPU, {kind['usd_per_hour']} USD an hour, {kind['gigabit']} Gbit/s, {kind['what']}"
        for name, kind in found["instances"].items()
    ]
    about = f"Recordings of {found['recording_minutes']} minutes, `--segments vad`, times of {found['machine']}."
    return "\n".join([*lines, "", f"{about} {found['assumed']} {'; '.join(kinds)}."])


def check(found: dict[str, Any]) -> str:
    """The simulation beside what was measured."""
    lines = ["| | simulated clips a second | measured | ratio |", "|---|--:|--:|--:|"]
    for row in found["check"]:
        cells = [row["what"], *(report.number(row[key]) for key in ("simulated", "measured", "ratio"))]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def limits(found: dict[str, Any]) -> str:
    """What becomes the limit when there are cores enough."""
    told, gpu = found["limits"], found["gpu"]
    lines = [
        "| | |",
        "|---|--:|",
        f"| network that a core keeps busy, Gbit/s | {told['gigabit_per_core']:g} |",
        f"| cores that one Gbit/s feeds | {told['cores_per_gigabit']:,} |",
        f"| cores that a driver keeps busy, putting down one shard after the other | "
        f"{told['cores_that_a_driver_keeps_busy']:,} |",
        f"| entries listed in a second | {told['entries_listed_per_second']:,} |",
        f"| share of a core's time that is the student's | {gpu['student_share']:.1%} |",
        f"| so much faster than a core would a core with a GPU be, at most | {gpu['faster_at_most']} × |",
        f"| core hours beside the GPU per 1,000 h of audio | {gpu['core_hours_beside_it_per_1000_audio_hours']} |",
    ]
    return "\n".join(lines)
