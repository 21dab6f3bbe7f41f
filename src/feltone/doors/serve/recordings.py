"""Uploaded recordings -> predictions and timelines: decoded in processes apart, recognised in shared batches."""

import asyncio
from collections.abc import Iterator
from itertools import islice
from typing import IO, Any

import numpy as np
from starlette.datastructures import UploadFile

from feltone.doors.hearing import verdict
from feltone.doors.predict import described
from feltone.doors.serve.batching import Chances
from feltone.doors.serve.decoding import NAME, Decoder
from feltone.doors.serve.faults import Fault, unreadable
from feltone.doors.serve.service import Service
from feltone.doors.serve.uploads import name_of
from feltone.errors import FeltoneError
from feltone.features import FeatureConfig, Image, Waveform, log_mel_image
from feltone.recognizer import Heard, Prediction, Recognizer, windows


async def predict(service: Service, files: list[UploadFile]) -> dict[str, Any]:
    """What was heard in each file, or its error in its place.

    Raises:
        Fault: nothing could be read.
    """
    rows = await asyncio.gather(*(_predicted(service, file) for file in files))
    faults = [row for row in rows if isinstance(row, Fault)]
    if len(faults) < len(files):
        answers = [{"error": row.described()} if isinstance(row, Fault) else row for row in rows]
        named = [{"file": name_of(file)} | answer for file, answer in zip(files, answers, strict=True)]
        return {"model": service.recognize.artifact.name, "predictions": named}
    if len(faults) == 1:
        raise faults[0]
    reasons = [{"file": name_of(file), "error": one.described()} for file, one in zip(files, faults, strict=True)]
    message, remedy = f"none of the {len(files)} files could be read", "see the reason of each under 'files'"
    raise Fault(422, "unreadable", message, remedy, files=reasons)


async def timeline(service: Service, file: UploadFile, hop: float) -> dict[str, Any]:
    """Windows over a recording, every `hop` seconds."""
    segments: list[dict[str, Any]] = []
    try:
        async with service.wholes.take() as decoder:
            heard = _windows(service.recognize.features, decoder, file.file, hop, service.settings.max_seconds)
            while some := await service.decode(decoder, list, islice(heard, service.settings.batch_images)):
                chances = await asyncio.gather(*(_chances(service, window.image) for window in some))
                segments += [
                    {"start": window.start, "end": window.end} | verdict(service.recognize, found)
                    for window, found in zip(some, chances, strict=True)
                ]
    except FeltoneError as fault:
        raise unreadable(fault, NAME) from None
    return {"model": service.recognize.artifact.name, "file": name_of(file), "hop": hop, "segments": segments}


async def _predicted(service: Service, file: UploadFile) -> dict[str, Any] | Fault:
    try:
        async with service.beginnings.take() as decoder:
            heard = await service.decode(decoder, _heard, service.recognize, decoder, file.file)
    except FeltoneError as fault:
        return unreadable(fault, NAME)
    chances = await service.batcher.recognise(heard.image)
    return described(Prediction(seconds=heard.end, cut=heard.cut, **verdict(service.recognize, chances)))


def _heard(recognize: Recognizer, decoder: Decoder, file: IO[bytes]) -> Heard:
    file.seek(0)
    return recognize.hear(file.read(), decoder.load)


async def _chances(service: Service, image: Image) -> Chances | None:
    return await service.batcher.recognise(image) if image.any() else None


def _windows(
    config: FeatureConfig, decoder: Decoder, file: IO[bytes], hop: float, max_seconds: float
) -> Iterator[Heard]:
    """What `Recognizer.segments` hears of a file."""
    file.seek(0)
    chunks = _bounded(
        decoder.stream(file.read(), config.sample_rate), round(max_seconds * config.sample_rate), max_seconds
    )
    for start, samples in windows(chunks, config, hop):
        yield Heard(log_mel_image(samples, config), start, start + len(samples) / config.sample_rate)


def _bounded(chunks: Iterator[Waveform], limit: int, max_seconds: float) -> Iterator[Waveform]:
    heard = 0
    for chunk in chunks:
        heard += len(chunk)
        if heard > limit:
            raise Fault(413, "too_long", f"the recording is longer than {max_seconds:g} s", "send it in parts")
        yield np.asarray(chunk, np.float32)
