"""The tables about speed, from results/speed/: used by render.py alone.

bench-NAME.json     `feltone bench` on the machine of that name
profile-NAME.json   `python -m feltone_benchmarks.profile` there
gpu-NAME.json       training on a GPU of that name
agreement.json      the plain path and Feltone's on every EmoDB clip
equal-accuracy.json  the scores of networks trained plainly and by Feltone
growth.json         how cost grows
"""

import json
from pathlib import Path
from typing import Any

from feltone.lab.tables import NOT_RUN
from feltone_benchmarks import report
from feltone_benchmarks.recognition import WHAT

FOLDER = Path(__file__).parent / "speed"
SHORT = (  # sides of the README's table
    "plain",
    "feltone",
    "feltone-fp32",
    "feltone-int8",
    "feltone-fp32-1s",
    "opensmile-ComParE_2016",
    "opensmile-eGeMAPSv02",
    "wav2vec2-base",
    "ast",
)
TARGETS = {  # part, number -> what was asked of it, and whether more is better
    ("recognition", "ratio_to_plain"): ("× plain, fp32", 10.0, True),
    ("recognition", "ratio_to_plain_int8"): ("× plain, int8", 10.0, True),
    ("recognition", "ms_per_clip_one_core"): ("ms per 4-s clip on one core, fp32", 4.0, False),
    ("recognition", "ms_per_clip_one_core_int8"): ("ms per 4-s clip on one core, int8", 4.0, False),
    ("recognition", "scaling_two_cores"): ("× clips per second on two cores", 1.8, True),
    ("start", "predict_ms"): ("ms `feltone predict FILE`, cold", 600.0, False),
    ("start", "import_ms"): ("ms `import feltone`", 150.0, False),
    ("training", "stage1_ratio"): ("× plain, training stage 1", 2.2, True),
    ("training", "stage23_ratio"): ("× plain, training stages 2 and 3", 4.0, True),
    ("training", "total_ratio"): ("× plain, the whole three-stage run", 3.0, True),
}


def tables() -> dict[str, str]:
    """Every table by its marker's name."""
    parts = {f"speed_{part}": part_of(part) for part in report.PARTS}
    return parts | {
        "speed_short": short(),
        "speed_targets": targets(),
        "agreement": agreement(),
        "equal_accuracy": equal_accuracy(),
        "profile": profile(),
        "speed_gpu": gpu(),
        "growth": growth(),
        "serving": serving(),
        "browser": browser(),
        "web_golden": web_golden(),
    }


def named(kind: str) -> dict[str, dict[str, Any]]:
    """The measurements of one kind, by the machine's name."""
    files = sorted(FOLDER.glob(f"{kind}-*.json"))
    return {file.stem.removeprefix(f"{kind}-"): json.loads(file.read_text()) for file in files}


def documents(kind: str) -> list[dict[str, Any]]:
    """The measurements of one kind, machine by machine."""
    return list(named(kind).values())


def part_of(part: str) -> str:
    """One part of what `feltone bench` measured, on every machine."""
    text = []
    for found in documents("bench"):
        if part in found:
            text += [
                f"**{report.place(found)}.** {report.asked(part, found[part])}",
                report.table(found[part]["sides"]),
            ]
    return "\n\n".join(text)


def short() -> str:
    """The sides a newcomer asks for, in milliseconds on every machine."""
    found = named("bench")
    lines = [f"| ms, one core | {' | '.join(found)} | |", "|---|" + "--:|" * len(found) + "---|"]
    for name in SHORT:
        sides = [one["recognition"]["sides"].get(name) for one in found.values()]
        cells = [report.number(side["median_ms"]) if side else NOT_RUN for side in sides]
        lines.append(f"| {name} | {' | '.join(cells)} | {WHAT[name]} |")
    return "\n".join([*lines, "", *(f"{name}: {report.place(one)}  " for name, one in found.items())])


def targets() -> str:
    """What was asked, what was measured, and whether it was reached."""
    found = named("bench")
    lines = [f"| asked | {' | '.join(found)} |", "|---|" + "--:|" * len(found)]
    for (part, key), (words, wanted, more) in TARGETS.items():
        cells = [f"{'≥' if more else '≤'} {wanted:g} {words}"]
        for one in found.values():
            value = one[part][key]
            reached = value is not None and (value >= wanted if more else value <= wanted)
            cells.append("missing" if value is None else f"{value:.3g}{'' if reached else ' **missed**'}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def gpu() -> str:
    """Training on a GPU: a step alone and with others, and what was asked of it."""
    text = []
    for found in documents("gpu"):
        lines = ["| side | ms a step | set-up s | commit | |", "|---|--:|--:|---|---|"]
        for name, side in found["sides"].items():
            cells = [report.number(side["median_ms"]), report.number(side.get("warm_up_s")), side["commit"]]
            lines.append(f"| {' | '.join([name, *cells, side['what']])} |")
        together, alone = found["ten_runs_together"], found["emodb_steps_alone_s"]
        asked = {
            "≥ 8 × eager, one network, stage 1": _judged(found["stage1_ratio"], 8),
            "≥ 8 × eager, one network, stages 2 and 3": _judged(found["stage23_ratio"], 8),
            "five students in ≤ 2 × the time of one": _judged(-found["stage23_five_in_times_one"], -2),
            "five teachers in ≤ 2 × the time of one": "missing",
            "EmoDB's three stages in ≤ 3 min": f"{alone:.0f} s of steps and {found['emodb_set_up_alone_s']:.0f} s of "
            "set-up, from the rows above; not run alone from end to end",
            "CREMA-D's in ≤ 20 min": "missing",
        }
        seconds = together["teachers_s"] + together["students_s"]
        text += [
            f"{found['machine']['device']}, {found['precision']}, {found['date']}:",
            "\n".join(lines),
            "\n".join(["| asked | |", "|---|---|", *(f"| {words} | {what} |" for words, what in asked.items())]),
            f"Ten runs together ({together['what']}): {seconds:.0f} s, {together['steps_of_all']:,} steps.",
            " ".join(found["notes"]),
        ]
    return "\n\n".join(text)


def _judged(value: float, wanted: float) -> str:
    return f"{abs(value):.3g}{'' if value >= wanted else ' **missed**'}"


def agreement() -> str:
    """How far Feltone's probabilities lie from plain's."""
    found = json.loads((FOLDER / "agreement.json").read_text())
    lines = [
        f"| {found['clips']} EmoDB clips | largest difference of a probability | labels that differ |",
        "|---|--:|--:|",
    ]
    for precision in ("fp32", "int8"):
        one = found[precision]
        lines.append(f"| {precision} | {one['max_probability_difference']:.1e} | {one['labels_that_differ']} |")
    return "\n".join(lines)


def equal_accuracy() -> str:
    """Scores of the three stages by plain training and by Feltone's, and what the seeds of each differ by."""
    found = json.loads((FOLDER / "equal-accuracy.json").read_text())
    seeds = sorted(found["runs"]["plain"])
    lines = [
        f"| WA % | {' | '.join(f'seed {seed}' for seed in seeds)} | mean ± sd |",
        "|---|" + "--:|" * (len(seeds) + 1),
    ]
    for network in ("teacher", "student"):
        for side, runs in found["runs"].items():
            scores = [f"{100 * runs[seed][network]:.1f}" for seed in seeds]
            told = found["summary"][side][network]
            spread = f"{100 * told['mean']:.1f}" + (f" ± {100 * told['sd']:.1f}" if told["sd"] is not None else "")
            lines.append(f"| {network}, {side} | {' | '.join(scores)} | {spread} |")
    what = f"{found['corpus']}, `{found['protocol']}`, {found['epochs']} epochs of each of the three stages"
    return f"{report.place(found)}; {what}:\n\n" + "\n".join(lines)


def profile() -> str:
    """Where a clip's time goes, on every machine."""
    text = []
    for found in documents("profile"):
        lines = ["| part | stage | ms |", "|---|---|--:|"]
        for part in ("front_end", "fp32", "int8"):
            lines += [f"| {part.replace('_', ' ')} | {name} | {ms:.2f} |" for name, ms in found[part].items()]
        text += [f"{report.place(found)}:", "\n".join(lines)]
    return "\n\n".join(text)


def serving() -> str:
    """The service under load: requests against concurrency, streams a core carries, mutated uploads."""
    text = []
    for found in documents("serving"):
        rate = found["updates_per_second"]
        lines = ["| precision | clients | requests a second | p50 ms | p95 ms | p99 ms |", "|---|--:|--:|--:|--:|--:|"]
        streams = ["| precision | live streams a core carries | updates in time | p95 ms |", "|---|--:|--:|--:|"]
        for precision in ("fp32", "int8"):
            for row in found[precision]["requests"]:
                cells = [row["concurrency"], row["per_second"], row["p50_ms"], row["p95_ms"], row["p99_ms"]]
                lines.append(f"| {precision} | {' | '.join(map(str, cells))} |")
            most = found[precision]["streams"]
            at = next((one for one in most["tried"] if one["streams"] == most["per_core"]), {})
            cells = [most["per_core"], f"{at.get('punctual', 0):.1%}", at.get("p95_ms", "–")]
            streams.append(f"| {precision} | {' | '.join(map(str, cells))} |")
        hurt = found["mutated"]
        statuses = ", ".join(f"{count:,} × {status}" for status, count in hurt["statuses"].items())
        memory = " → ".join(f"{mb:g}" for mb in hurt["memory_mb"])
        mutated = (
            f"{hurt['uploads']:,} mutated uploads: {statuses}. The server's memory in MB, before, after the first 500"
        )
        mutated += f" and after every further fifth: {memory}."
        heading = f"{report.place(found)}, one core for the service, {rate:g} updates a second per stream:"
        text += [heading, "\n".join(lines), "\n".join(streams), mutated]
    return "\n\n".join(text)


def browser() -> str:
    """A window in the tab: features, network and both, in both precisions."""
    text = []
    for found in documents("browser"):
        lines = ["| side | threads | features ms | network ms | both ms | 10–90 % |", "|---|--:|--:|--:|--:|--:|"]
        for name, side in found["sides"].items():
            cells = [report.number(side[part]["median_ms"]) for part in ("features", "network", "total")]
            spread = "–".join(report.number(side["total"][limit]) for limit in ("low_ms", "high_ms"))
            lines.append(f"| {name} | {side['threads']} | {' | '.join(cells)} | {spread} |")
        asked = f"{report.place(found)}, Chromium {found['chromium']}; at most {found['target_ms']:g} ms are asked:"
        text += [asked, "\n".join(lines)]
    return "\n\n".join(text)


def web_golden() -> str:
    """The page's front end beside Python's."""
    page, exported = (json.loads((FOLDER.parent / f"{name}_golden.json").read_text()) for name in ("web", "onnx"))
    clips, (script, graph) = (
        len(exported["differences"]),
        (max(one["differences"].values()) for one in (page, exported)),
    )
    return (
        f"Largest difference from Python's on the same {clips} clips (image values 0–1): {script:.1e} in the page "
        f"(TypeScript, a rolling image included), {graph:.1e} in ONNX Runtime {exported['onnxruntime']} "
        "(`feltone export --to onnx-waveform`)."
    )


def growth() -> str:
    """Clips, and what each number came to."""
    found = json.loads((FOLDER / "growth.json").read_text())
    text = []
    for kind, rows in found.items():
        if isinstance(rows, list) and rows and "clips" in rows[0]:
            names = [name.replace("_", " ") for name in rows[0]]
            lines = [f"| {' | '.join(names)} |", "|" + "--:|" * len(names)]
            lines += [
                f"| {' | '.join(f'{value:,.4g}' if value < 1e4 else f'{value:,.0f}' for value in row.values())} |"
                for row in rows
            ]
            text += [f"{kind.capitalize()}:", "\n".join(lines)]
    return "\n\n".join(text)
