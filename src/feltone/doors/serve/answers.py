"""The shape of every answer, with an example of each, as /openapi.json shows them."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

SCORES = {
    "anger": 0.81,
    "boredom": 0.01,
    "disgust": 0.03,
    "fear": 0.02,
    "happiness": 0.11,
    "neutral": 0.01,
    "sadness": 0.01,
}
HEARD: dict[str, Any] = {
    "file": "clip.wav",
    "label": "anger",
    "unsure": False,
    "scores": SCORES,
    "seconds": 2.03,
    "cut": False,
}
REFUSALS: dict[int, tuple[str, str, str]] = {
    400: ("malformed", "the body cannot be read: Missing boundary in multipart.", "send multipart/form-data"),
    401: ("unauthorised", "this service asks for a token", "send the header 'Authorization: Bearer TOKEN'"),
    408: ("too_slow", "the body did not arrive within 60 s", "send a smaller one"),
    413: ("too_large", "the body is larger than 33554432 bytes", "send a shorter recording"),
    415: ("not_multipart", "the body is not multipart/form-data", "send multipart/form-data with a file"),
    422: ("unreadable", "is empty (0 bytes)", "send a recording that plays: wav, flac, ogg, opus, mp3"),
    429: ("queue_full", "64 requests are being answered", "try again in 1 s"),
    503: ("draining", "the service is stopping", "try again in a few seconds"),
}
PROMETHEUS: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/plain": {"example": "feltone_open_streams 0.0"}}}
}
UPLOAD: dict[str, Any] = {
    "type": "object",
    "required": ["file"],
    "properties": {"file": {"type": "string", "format": "binary", "description": "a recording"}},
}
UPLOADS: dict[str, Any] = UPLOAD | {
    "properties": {"file": {"type": "array", "minItems": 1, "items": {"type": "string", "format": "binary"}}}
}


class Error(BaseModel):
    """Why a request, or one file of it, was refused."""

    code: str = Field(description="for programs; does not change", examples=["unreadable"])
    message: str = Field(description="the fault", examples=["is empty (0 bytes)"])
    remedy: str = Field(description="what to do about it", examples=["send a recording that plays"])
    files: list["Failed"] | None = Field(None, description="one by one, where several were sent and none could be read")


class Failed(BaseModel):
    """A file that could not be read."""

    file: str = Field(description="the name it was sent under", examples=["empty.wav"])
    error: Error


class Refusal(BaseModel):
    """The one shape of all errors."""

    error: Error


class Heard(BaseModel):
    """What was recognised in a file's first seconds."""

    model_config = ConfigDict(json_schema_extra={"examples": [HEARD]})
    file: str = Field(description="the name it was sent under")
    label: str
    unsure: bool = Field(description="whether the highest score is below what the model's card calls sure")
    scores: dict[str, float] = Field(description="label -> probability, in the model's order")
    seconds: float = Field(description="of speech analysed")
    cut: bool = Field(description="whether the recording goes on after what was analysed")


class Predictions(BaseModel):
    """One prediction or error per file, in the order they were sent."""

    model: str = Field(examples=["residual-emodb-crema-d"])
    predictions: list[Heard | Failed]


class Window(BaseModel):
    """One analysed window of a recording."""

    start: float = Field(description="seconds", examples=[1.0])
    end: float = Field(examples=[5.0])
    label: str = Field(description='a label of the model, or "silence"', examples=["anger"])
    unsure: bool = Field(description="whether the highest score is below what the model's card calls sure")
    scores: dict[str, float] = Field(description="label -> probability; all zero for silence", examples=[SCORES])


class Timeline(BaseModel):
    """Windows over a recording, overlapping where the hop is shorter than they are."""

    model: str = Field(examples=["residual-emodb-crema-d"])
    file: str = Field(examples=["meeting.mp3"])
    hop: float = Field(description="seconds between window starts", examples=[1.0])
    segments: list[Window]


class Model(BaseModel):
    """What answers here, where it comes from, and how far to trust it."""

    name: str = Field(examples=["residual-emodb-crema-d"])
    labels: list[str] = Field(examples=[list(SCORES)])
    features: dict[str, Any] = Field(description="the front end")
    precision: str = Field(examples=["fp32"])
    parameters: int | None
    corpus: str | None = Field(description="what it was trained on", examples=["emodb"])
    recipe: str | None = Field(examples=["brief"])
    protocol: str | None = Field(description="how training and test were divided", examples=["speaker"])
    scores: dict[str, Any] | None = Field(description="measured on what it was not trained on; none if it was on all")
    warning: str | None = Field(description="what its scores may not be used for")
    licence: str | None = Field(description="of the recordings it learned from")
    card: str | None = Field(description="the model card, Markdown")
    sha256: str = Field(description="of artifact.json, which holds the SHA-256 of every other file")


class State(BaseModel):
    """Whether the service stands, or would answer."""

    status: str = Field(examples=["ok"])


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """FastAPI's `responses` for some refusals, each with its example."""
    return {status: _refusal(*REFUSALS[status]) for status in statuses}


def _refusal(code: str, message: str, remedy: str) -> dict[str, Any]:
    example = {"error": {"code": code, "message": message, "remedy": remedy}}
    return {"model": Refusal, "description": message, "content": {"application/json": {"example": example}}}
