"""What fuzzing starts from: small inputs of every kind that are in order, made anew each time."""

import io
import json
import tempfile
from collections.abc import Iterator

import numpy as np
import soundfile

from feltone import artifact
from feltone.lab.corpora import rows

KINDS = [
    ("WAV", "PCM_16"),
    ("WAV", "FLOAT"),
    ("WAV", "ULAW"),
    ("WAVEX", "PCM_24"),
    ("W64", "PCM_16"),
    ("FLAC", "PCM_16"),
]
KINDS += [("AIFF", "PCM_16"), ("AU", "PCM_16"), ("CAF", "ALAC_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", None)]
CONTAINERS = [("mp4", "aac"), ("matroska", "libopus"), ("matroska", "pcm_s16le"), ("adts", "aac")]
ROWS = [
    {"path": "a.wav", "label": "anger", "speaker": "anna", "start": 0.25, "end": 1.5},
    {"path": "b.wav", "label": "joy"},
]


def seeds(target: str) -> list[bytes]:
    """Inputs of a target that are in order."""
    made = {"audio": audio, "manifest": tables, "artifact": models, "multipart": uploads, "websocket": streams}
    return list(made[target]())


def tone(seconds: float = 0.15, rate: int = 16_000) -> np.ndarray:
    """Something to hear."""
    return np.float32(0.3 * np.sin(np.arange(round(seconds * rate)) / 7))


def audio() -> Iterator[bytes]:
    """A short recording in every container."""
    for kind, subtype in KINDS:
        file = io.BytesIO()
        soundfile.write(file, tone(), 16_000, format=kind, subtype=subtype)
        yield file.getvalue()
    try:
        import av
    except ImportError:
        return
    for form, codec in CONTAINERS:
        # One that can seek back, for the length is written into the head at the end.
        with tempfile.TemporaryFile() as file:
            with av.open(file, "w", format=form) as container:
                track = container.add_stream(codec, rate=48_000, layout="mono")
                whole = av.AudioFrame.from_ndarray(tone(rate=48_000)[None], "fltp", "mono")
                whole.sample_rate = 48_000
                size = track.codec_context.frame_size or 1_024
                for frame in av.AudioResampler(track.format, "mono", 48_000, size).resample(whole):
                    container.mux(track.encode(frame))
                container.mux(track.encode(None))
            file.seek(0)
            yield file.read()


def tables() -> Iterator[bytes]:
    """A small table in every form, after the byte that chooses it."""
    import pyarrow
    from pyarrow import parquet

    csv = b"path,label,speaker,start,end\na.wav,anger,anna,0.25,1.5\nb.wav,joy,,0 days 00:00:01,NaT\n"
    file = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(ROWS), file, compression="none")
    made = {".csv": csv, ".tsv": csv.replace(b",", b"\t"), ".parquet": file.getvalue()}
    made[".jsonl"] = "\n".join(map(json.dumps, ROWS)).encode()
    for number, kind in enumerate(sorted(rows.READERS)):
        yield bytes([number]) + made[kind]


def models() -> Iterator[bytes]:
    """The shipped model's description and ledger, a small graph and small weights, after the byte that chooses them."""
    import onnx
    import safetensors.numpy

    folder = artifact.find()
    yield b"\0" + (folder / artifact.DESCRIPTION).read_bytes()
    value = onnx.helper.make_tensor_value_info
    nodes = [onnx.helper.make_node("ReduceMean", ["image"], ["logits"], keepdims=0, axes=[2])]
    given = [value("image", onnx.TensorProto.FLOAT, ["batch", 128, 128])]
    weight = onnx.helper.make_tensor("weight", onnx.TensorProto.FLOAT, [2], [0.0, 1.0])
    graph = onnx.helper.make_graph(nodes, "small", given, [value("logits", onnx.TensorProto.FLOAT, None)], [weight])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    yield b"\1" + model.SerializeToString()
    yield b"\2" + safetensors.numpy.save({"a": np.zeros((2, 3), np.float32), "b": np.zeros(1, np.int64)})
    yield b"\3" + b"\n".join((folder / "training.csv").read_bytes().split(b"\n")[:4])


def uploads() -> Iterator[bytes]:
    """A body with a file, a file for a body, bodies that are none, to both routes."""
    wav = io.BytesIO()
    soundfile.write(wav, tone(), 16_000, format="WAV")
    body = b'--cut\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n\r\n%s\r\n--cut--\r\n'
    for way in (0, 1):
        yield bytes([way]) + body % wav.getvalue()
        yield bytes([way]) + (body % b"x").replace(b"--cut--\r\n", b"") + body % b"y"
        yield bytes([2 | way]) + wav.getvalue()
    yield b"\0--cut\r\ncontent-disposition: form-data; name=hop\r\n\r\n1\r\n--cut--\r\n"


def streams() -> Iterator[bytes]:
    """A greeting and some sound in both formats, a greeting of another kind, sound without one."""

    def message(kind: int, content: bytes) -> bytes:
        return bytes([kind]) + len(content).to_bytes(2, "little") + content

    for form, dtype in (("pcm16", "<i2"), ("float32", "<f4")):
        samples = (tone(0.5, 8_000) * (20_000 if form == "pcm16" else 1)).astype(dtype).tobytes()
        greeting = json.dumps({"sample_rate": 8_000, "format": form, "interval_ms": 100}).encode()
        yield message(0, greeting) + message(1, samples) + message(1, samples[:1_001])
    yield message(0, b'{"sample_rate": 1e9}') + message(1, b"\0" * 10)
    yield message(1, b"\0" * 100)
    yield message(0, greeting) + message(0, b"text among the sound")
