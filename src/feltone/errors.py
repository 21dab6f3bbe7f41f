"""What can go wrong because of what Feltone was given; every message is one line: the thing, the fault, the remedy.

A `FeltoneError` means that the request was at fault (the command line exits with 2); any other exception that
escapes is a fault of ours. A `FeltoneWarning` tells of something that was mended on the way.
"""


def printable(text: str) -> str:
    """A text that stands in one line and commands no terminal: what would is escaped, as are halves of characters."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


class FeltoneError(Exception):
    """The request cannot be met as asked; the message says what to change.

    Messages repeat what files are called and hold, made `printable`.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class AudioError(FeltoneError):
    """A recording cannot be read or holds nothing that could be recognised."""


class ArtifactError(FeltoneError):
    """A model folder is missing, incomplete, altered, or of a newer schema."""


class CorpusError(FeltoneError):
    """A corpus or manifest is missing, incomplete, or says something contradictory."""


class ProtocolError(FeltoneError):
    """A split cannot be made from these clips."""


class ConfigError(FeltoneError):
    """A recipe, variant or option has a name or value that does not exist."""


class StorageError(FeltoneError):
    """A file cannot be written or is damaged, or its folder is another process' at the moment."""


class BusyError(StorageError):
    """Another process is at work on it."""


class TrainingError(FeltoneError):
    """A training cannot go on as it is."""


class MissingExtraError(FeltoneError):
    """An optional part of Feltone is not installed."""

    def __init__(self, purpose: str, extra: str) -> None:
        self.purpose, self.extra = purpose, extra
        super().__init__(f"{purpose} needs an optional part of Feltone: pip install 'feltone[{extra}]'")


class Stopped(BaseException):
    """A signal asked to stop; what was reached is kept."""

    def __init__(self, signal: int, message: str) -> None:
        super().__init__(message)
        self.signal = signal


class FeltoneWarning(UserWarning):
    """Something was amiss and has been mended; the message says what, in one line."""
