"""Coverage-guided fuzzing of what strangers send, by Atheris: python fuzz/run.py TARGET|all [--seconds 600]

Whatever escapes a target (fuzz/targets.py) is written to fuzz/crashes/TARGET/. Mend it, and keep the input as
tests/regressions/TARGET/NAME, where the test suite replays it from then on. Needs feltone[fuzz], train and serve.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[1]
CRASHES = ROOT / "fuzz" / "crashes"
REGRESSIONS = ROOT / "tests" / "regressions"
TARGETS = ("audio", "manifest", "artifact", "multipart", "websocket")
LIMITS = ["-rss_limit_mb=3000", "-timeout=60", "-print_final_stats=1", "-verbosity=1"]
LONGEST = {"audio": 8_192, "manifest": 4_096, "artifact": 8_192, "multipart": 8_192, "websocket": 8_192}  # bytes


def main() -> int:
    """Fuzz the targets one after the other; 1 where something escaped one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=[*TARGETS, "all"])
    parser.add_argument("--seconds", type=int, default=600, help="per target")
    parser.add_argument("--out", type=Path, help="JSON to add the figures to: results/fuzz.json")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)  # the corpus, in the process that fuzzes
    asked = parser.parse_args()
    if asked.inside:
        return fuzz(asked.target, asked.inside, asked.seconds)
    escaped = False
    for target in TARGETS if asked.target == "all" else [asked.target]:
        row = measured(target, asked.seconds)
        escaped |= row["crashes"] > 0
        print(json.dumps({target: row}), flush=True)
        if asked.out:
            record(asked.out, target, row, asked.seconds)
    return int(escaped)


def measured(target: str, seconds: int) -> dict[str, object]:
    """Fuzz a target in a process of its own: the engine ends the process it runs in."""
    before, begun = set(crashes(target)), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="feltone-corpus-") as corpus:
        command = [sys.executable, __file__, target, "--seconds", str(seconds), "--inside", corpus]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        kept = len(list(Path(corpus).iterdir()))
    said = done.stderr + done.stdout
    found = sorted(crashes(target) - before)
    if done.returncode and not found:
        sys.exit(said[-4_000:])
    counted = re.findall(r"number_of_executed_units:\s*(\d+)", said) or re.findall(r"^#(\d+)", said, re.MULTILINE)
    covered = re.findall(r"cov: (\d+)", said)
    for file in found:
        print(f"escaped: {file}\n{said[-3_000:]}", file=sys.stderr)
    return {
        "inputs": int(counted[-1]) if counted else 0,
        "seconds": round(time.monotonic() - begun),
        "covered": int(covered[-1]) if covered else 0,  # branches of Feltone's Python that the corpus reaches
        "corpus": kept,
        "crashes": len(found),
    }


def crashes(target: str) -> set[Path]:
    """Inputs that escaped a target so far."""
    return {file for file in (CRASHES / target).glob("*") if file.is_file()}


def record(out: Path, target: str, row: dict[str, object], seconds: int) -> None:
    """Add a run's figures to a file."""
    from feltone.files import write_json
    from feltone.lab import provenance

    told = json.loads(out.read_text()) if out.is_file() else {"targets": {}}
    engine = f"atheris {metadata.version('atheris')}"
    origin = {"commit": provenance.commit(), "machine": provenance.device(), "date": provenance.today()}
    command = f"python fuzz/run.py {target} --seconds {seconds} --out {out}"
    told["targets"][target] = row | {"engine": engine, "command": command} | origin
    write_json(out, told)


def fuzz(target: str, corpus: Path, seconds: int) -> int:
    """Run the engine; does not return."""
    import atheris

    with atheris.instrument_imports(include=["feltone"]):
        import targets
    import seeds

    kept = [file.read_bytes() for file in sorted((REGRESSIONS / target).glob("*"))]
    for number, content in enumerate([*seeds.seeds(target), *kept]):
        (corpus / f"seed-{number}").write_bytes(content)
    (CRASHES / target).mkdir(parents=True, exist_ok=True)
    bounds = [f"-max_total_time={seconds}", f"-max_len={LONGEST[target]}", f"-artifact_prefix={CRASHES / target}/"]
    atheris.Setup([sys.argv[0], *LIMITS, *bounds, str(corpus)], targets.TARGETS[target], enable_python_coverage=True)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
