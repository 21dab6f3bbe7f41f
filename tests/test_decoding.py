"""Whatever an upload does to its decoder, it does to a bounded process of its own, and the next one is answered."""

import asyncio
import io
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile

import feltone
from feltone import audio
from feltone.doors.serve.decoding import Decoder, Decoders
from feltone.doors.serve.settings import Settings
from feltone.errors import AudioError, FeltoneError
from serving import CLIPS, serving, told

RATE = 16_000
CLIP = (CLIPS / "anger.flac").read_bytes()
pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is bounded on Linux alone")


def encoded(samples: np.ndarray, rate: int, kind: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, subtype="PCM_16")
    return file.getvalue()


HOUR = encoded(np.zeros(3_600 * RATE, np.int16), RATE, "FLAC")  # of silence, in some ten kilobytes
DAYS = encoded(np.zeros(6 * 24 * 3_600, np.int16), 1, "WAV")  # a sample a second: a megabyte that becomes 33 GB


@asynccontextmanager
async def decoding(**settings: float) -> AsyncIterator[Decoders]:
    async with Decoders(1, Settings(**settings)) as decoders:
        yield decoders


async def heard_next(decoders: Decoders) -> None:
    """The recording after is decoded as ever."""
    async with decoders.take() as decoder:
        np.testing.assert_array_equal(decoder.load(CLIP, RATE, end=4.0), audio.load(CLIP, RATE, end=4.0))


def refusal_of(decoder: Decoder, content: bytes) -> str:
    with pytest.raises(AudioError) as caught:
        decoder.load(content, RATE, end=1e9)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_samples_and_faults_are_those_of_the_one_that_decodes_at_home() -> None:
    contents = [CLIP, encoded(np.ones(44_100, np.int16), 44_100, "WAV"), HOUR[:5_000], b"", b"text", CLIP[:3_000]]

    async def compare() -> None:
        async with decoding() as decoders:
            for content in contents:
                async with decoders.take() as decoder:
                    there = outcome(lambda content=content, decoder=decoder: decoder.load(content, RATE, end=4.0))
                assert there == outcome(lambda content=content: audio.load(content, RATE, end=4.0))
                async with decoders.take() as decoder:
                    there = outcome(
                        lambda content=content, decoder=decoder: np.concatenate(list(decoder.stream(content, RATE)))
                    )
                assert there == outcome(lambda content=content: audio.load(content, RATE))

    asyncio.run(compare())


def outcome(work) -> tuple[type, str] | list[float]:
    try:
        return work().tolist()
    except FeltoneError as fault:
        return type(fault), str(fault)


def test_a_recording_that_wants_more_memory_than_there_is_for_it_is_refused() -> None:
    async def ask() -> None:
        async with decoding(decode_bytes=64 << 20) as decoders:
            async with decoders.take() as decoder:
                assert refusal_of(decoder, HOUR) == "audio bytes: needs more than 64 MiB of memory to be decoded"
            await heard_next(decoders)

    asyncio.run(ask())


def test_a_recording_that_wants_more_time_than_there_is_for_it_is_refused() -> None:
    async def ask() -> None:
        async with decoding(decode_seconds=0.2, decode_bytes=4 << 30) as decoders:
            async with decoders.take() as decoder:
                assert refusal_of(decoder, DAYS) == "audio bytes: takes longer than 0.2 s to be decoded"
            await heard_next(decoders)

    asyncio.run(ask())


@pytest.mark.parametrize("blow", [signal.SIGSEGV, signal.SIGKILL, signal.SIGABRT])
def test_a_decoder_that_breaks_down_takes_nothing_with_it(blow: signal.Signals) -> None:
    async def ask() -> None:
        async with decoding() as decoders:
            async with decoders.take() as decoder:
                chunks = decoder.stream(HOUR, RATE)
                next(chunks)
                os.kill(decoder._process.pid, blow)
                with pytest.raises(AudioError, match="broke its decoder; it is damaged, or made to do harm"):
                    list(chunks)
            await heard_next(decoders)

    asyncio.run(ask())


def test_a_decoder_that_stands_still_is_given_up_and_whoever_waits_for_it_is_told() -> None:
    async def ask() -> None:
        async with decoding() as decoders:
            async with decoders.take() as decoder:
                os.kill(decoder._process.pid, signal.SIGSTOP)
                asyncio.get_running_loop().call_later(0.1, decoder.give_up)
                with pytest.raises(AudioError, match="takes longer than 30 s"):
                    await asyncio.to_thread(decoder.load, CLIP, RATE, end=4.0)
            await heard_next(decoders)

    asyncio.run(ask())


def test_a_recording_left_halfway_leaves_nothing_for_the_next() -> None:
    async def ask() -> None:
        async with decoding() as decoders:
            async with decoders.take() as decoder:
                next(decoder.stream(HOUR, RATE))
            await heard_next(decoders)

    asyncio.run(ask())


def test_a_decoder_ends_with_its_service_and_knows_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FELTONE_TOKENS", "a-secret")

    async def pid() -> int:
        async with decoding() as decoders:
            await heard_next(decoders)
            async with decoders.take() as decoder:
                process = decoder._process.pid
                assert b"a-secret" not in Path(f"/proc/{process}/environ").read_bytes()
                return process

    assert not Path(f"/proc/{asyncio.run(pid())}").exists()


def test_the_service_refuses_what_costs_too_much_and_answers_the_next() -> None:
    recognize = feltone.load()
    with serving(recognize, max_seconds=60.0) as running:
        told(running.post("/v1/timeline", HOUR), 413, "too_long")
        told(running.post("/v1/timeline", DAYS), 413, "too_long")
        answer = running.post("/v1/predict", HOUR, CLIP).json()["predictions"]
        assert answer[0]["error"]["message"].startswith("silent") and answer[1]["label"] in recognize.labels
        direct = recognize(CLIP)
        assert answer[1]["scores"] == pytest.approx(direct.scores, abs=1e-3)
