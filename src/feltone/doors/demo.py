"""`feltone demo` and `feltone explain`: what was recognised, and where the network looked."""

import json
from pathlib import Path
from typing import Any

import feltone
from feltone import artifact, attention, page, picture
from feltone.doors import console
from feltone.doors.predict import WRONG, attempt, described, report, show
from feltone.files import write_atomically, write_text
from feltone.recognizer import Prediction, Recognizer, from_model

CLIPS = Path(feltone.__file__).parent / "clips"
PAGE_PICTURE = (560, 340)  # pixels
SHARP_CARDS = 12  # up to here pictures are drawn at twice that; beyond, a page would weigh tens of megabytes
MOST_CARDS = 60  # on one page; the table has all of them

SYNTHETIC = (
    "These clips are synthetic speech, made for this purpose by demo/make_clips.py: a synthesiser whose pitch, pace "
    "and loudness imitate an emotion. They show how Feltone runs, not how well it hears; for that see the model card."
)


def demonstrate(audio: Path | None, out: Path, model: str | None) -> int:
    """Recognise the bundled clips, or a user's file or folder; returns the exit code."""
    recognize = from_model(model, quick_start=True)
    predictions, errors = attempt(recognize, [str(audio or CLIPS)])
    if not predictions:
        return report(0, errors) or WRONG
    named = [(Path(name).name, prediction) for name, prediction in predictions]
    show([{"file": name} | described(prediction) for name, prediction in named])
    write_text(out, demo_page(recognize, named, bundled=audio is None))
    code = report(len(predictions), errors)
    console.say(
        f"\n{'Synthetic clips, which are often mistaken; ' if audio is None else ''}model {recognize.artifact.name}"
    )
    console.say(f"Look at what it heard: {out.resolve().as_uri()}")
    console.say("Next: make demo AUDIO=your.wav    or    .venv/bin/feltone predict your.wav")
    return code


def demo_page(recognize: Recognizer, predictions: list[tuple[str, Prediction]], *, bundled: bool) -> str:
    """One self-contained page: spectrogram, attention and class scores of every clip."""
    about = {clip["file"]: clip for clip in bundled_clips()} if bundled else {}
    scale = 2 if len(predictions) <= SHARP_CARDS else 1
    cards = [card(recognize, name, p, about.get(name, {}), scale) for name, p in predictions[:MOST_CARDS]]
    rest = len(predictions) - len(cards)
    return page.page(
        "What Feltone heard",
        page.paragraph(
            f"Model {recognize.artifact.name}: log-Mel spectrogram of the first four seconds, low frequencies at the "
            "bottom; the curve below it, and the brightness of the picture, show where the class token attends."
        ),
        page.note(SYNTHETIC) if bundled else "",
        page.cards(*cards),
        page.note(f"{rest} more recordings are in the table on the terminal.") if rest else "",
        page.section(
            "How far to trust this",
            page.paragraph(
                "The scores always sum to 100 %: the network must choose among the emotions it was trained on, and "
                "it learned them from actors. Its model card says from whom, and how often it is right on speakers "
                "it has never heard."
            ),
            page.commands(f"less {artifact.find(recognize.artifact.folder) / 'README.md'}"),
        ),
    )


def card(recognize: Recognizer, name: str, prediction: Prediction, about: dict[str, Any], scale: int) -> page.Html:
    """One clip: picture, scores, and what is known about it."""
    drawn = page.image(
        portrait(recognize, prediction, size=PAGE_PICTURE, scale=scale),
        f"Spectrogram of {name} with the attention over time; recognised as {prediction.label}",
    )
    known = []
    if about:
        known = [page.paragraph(f"“{about['sentence']}” ({about['translation']}), rendered as {about['rendered_as']}")]
    length = f"{prediction.seconds:.1f} s analysed" + (", the recording goes on" if prediction.cut else "")
    return page.card(
        f"{name}: {prediction.label}",
        *known,
        page.paragraph(length),
        page.bars(prediction.scores, best=prediction.label),
        picture=drawn,
    )


def portrait(recognize: Recognizer, prediction: Prediction, **look: Any) -> bytes:
    """PNG of a prediction's spectrogram with its attention over it."""
    artifact, config = recognize.artifact, recognize.features
    image = config.mel_bands, config.columns
    return picture.spectrogram_png(
        prediction.image,
        attention.mask(prediction.attention, artifact.patches, image),
        seconds=config.clip_seconds,
        sample_rate=config.sample_rate,
        clip_end_seconds=prediction.seconds,
        **look,
    )


def draw(recognize: Recognizer, prediction: Prediction, out: Path, title: str) -> None:
    """Write the picture of `feltone explain`."""
    png = portrait(recognize, prediction, title=title, scale=2)
    write_atomically(out, lambda handle: handle.write(png))


def bundled_clips() -> list[dict[str, Any]]:
    """What is known about the bundled clips."""
    clips: list[dict[str, Any]] = json.loads((CLIPS / "clips.json").read_text(encoding="utf-8"))["clips"]
    return clips
