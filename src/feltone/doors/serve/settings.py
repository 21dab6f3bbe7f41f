"""What can be set about the service, with the bounds that keep it standing."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from feltone.errors import ConfigError

TOKENS = "FELTONE_TOKENS"  # environment variable: bearer tokens, separated by commas or blanks
LOCAL_HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True)
class Settings:
    """Where and how to serve; every limit has an answer of its own when it is reached."""

    host: str = "127.0.0.1"
    port: int = 8000  # 0: any free one; the log says which
    precision: str = "fp32"  # or "int8"
    threads: int | None = None  # of ONNX Runtime; None for one per core
    tokens: frozenset[str] = field(default=frozenset(), repr=False)  # who may ask; everybody when empty
    origins: tuple[str, ...] = ()  # pages of other sites that may ask ("https://example.org"); CORS is off without
    max_upload_bytes: int = 32 << 20  # of a request's body
    max_files: int = 16  # of a request
    max_seconds: float = 600.0  # of a recording whose timeline is asked for
    decode_seconds: float = 30.0  # of processor time that decoding a recording may take, and a step of it of waiting
    decode_bytes: int = 256 << 20  # of memory that decoding a recording may take, its file included
    max_queue: int = 64  # requests being answered at once
    max_uploads: int = 128  # requests being received at once
    max_streams: int = 128  # open at once
    max_streams_per_client: int = 8  # from one address
    batch_images: int = 16  # that one run of the graph recognises, at most
    batch_wait_ms: float = 2.0  # that an image waits for company
    upload_seconds: float = 60.0  # for a request's body to arrive
    idle_seconds: float = 30.0  # that a stream may say nothing, and may leave our answers unread
    ahead_seconds: float = 10.0  # by which a stream may run ahead of real time
    drain_seconds: float = 30.0  # for running requests to end when the service is asked to stop

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, int | float) and one.name != "port" and value <= 0:
                raise ConfigError(f"{one.name} {value}: choose one above 0")
        if not 0 <= self.port <= 65_535:
            raise ConfigError(f"port {self.port}: choose one from 0 (any free one) to 65535")
        for origin in self.origins:
            scheme, _, rest = origin.partition("://")
            if scheme not in ("http", "https") or not rest or "/" in rest:
                raise ConfigError(f"origin '{origin}': give scheme, host and port alone, as https://example.org")

    @property
    def open_to_all(self) -> bool:
        """Whether other machines may ask without a token."""
        return self.host not in LOCAL_HOSTS and not self.tokens


def tokens(file: Path | None = None, environment: Mapping[str, str] = os.environ) -> frozenset[str]:
    """Bearer tokens of a file (one per line; `#` begins a remark) and of FELTONE_TOKENS; none where neither is given.

    Raises:
        ConfigError: a token was meant to be asked for, and none is there: the service would stand open.
    """
    found: set[str] = set()
    if TOKENS in environment:
        found |= _some(environment[TOKENS].replace(",", " ").split(), TOKENS)
    if file is not None:
        try:
            lines = file.read_text(encoding="ascii").splitlines()
        except (OSError, UnicodeDecodeError) as fault:
            reason = getattr(fault, "strerror", None) or "not plain ASCII"
            raise ConfigError(f"{file}: tokens cannot be read ({reason}); one per line") from None
        found |= _some([line.partition("#")[0].strip() for line in lines], str(file))
    return frozenset(found)


def _some(candidates: list[str], where: str) -> set[str]:
    found = {token for token in candidates if token}
    if not found:
        raise ConfigError(f"{where}: holds no token; put one in, or leave it out to serve without tokens")
    return found
