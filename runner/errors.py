"""Everything that botrun raises on purpose.

    BotrunError                   one clear sentence for the person at the terminal
    ├── UsageError                the command line, the environment or a file asks for something impossible
    │   ├── BotLoadError          the bot file cannot be found, read or imported; knows file and line
    │   ├── MissingPackageError   an optional package is not installed; knows the command that installs it
    │   └── MissingModelError     a model is not on this machine; knows the command that downloads it
    ├── ProtocolError             the peer sent something that its protocol does not allow
    │   └── OfferError            botrun refuses a WebRTC offer or candidate
    ├── StartError                a transport or processor could not start, so the call cannot begin
    ├── TransportError            a connection broke or could not be made
    ├── ServiceError              an STT, LLM or TTS service failed
    │   └── ServiceRefusal        it answered with an error status; knows the status
    └── ProviderError             a phone provider refused or could not be reached; knows its status

Instances carry the facts; the sentence is made from them.
"""

from __future__ import annotations

from pathlib import Path

STOPPED_BY_CTRL_C = 130
"""Exit status after Ctrl-C, as in a shell: 128 + SIGINT."""


class BotrunError(Exception):
    """The root: `str(error)` is one sentence that says what, where and what to do."""


class UsageError(BotrunError):
    """The command line, the environment or a file asks for something impossible."""


class BotLoadError(UsageError):
    """The bot cannot be loaded.

    `path` and `line` point into the user's code where that is known.
    """

    def __init__(self, message: str, path: Path | None = None, line: int | None = None) -> None:
        self.path = path
        self.line = line
        where = f"{path}:{line}: " if path and line else f"{path}: " if path else ""
        super().__init__(f"{where}{message}")


class MissingPackageError(UsageError):
    """An optional package is missing; `install` is the command that installs it."""

    def __init__(self, what: str, package: str, install: str) -> None:
        self.package = package
        self.install = install
        super().__init__(f"{what} needs the package {package}, which is not installed: {install}")


class MissingModelError(UsageError):
    """A local model is not on this machine; `fetch` is the command that downloads it."""

    def __init__(self, what: str, model: str, fetch: str) -> None:
        self.model = model
        self.fetch = fetch
        super().__init__(f"{what} needs the model {model}, which is not on this machine: {fetch}")


def why(error: Exception) -> str:
    """The reason for a failure; for an `OSError`, the file and the system's message."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    return f"{error.filename}: {error.strerror}" if error.filename else error.strerror


class ProtocolError(BotrunError):
    """The peer sent something that its protocol does not allow."""


class OfferError(ProtocolError):
    """A WebRTC offer or candidate that we refuse; the sentence goes to the client with status 400."""


class StartError(BotrunError):
    """A transport or processor could not start, so the call cannot begin."""


class TransportError(BotrunError):
    """A connection broke or could not be made."""


class ServiceError(BotrunError):
    """An STT, LLM or TTS service failed."""


class ServiceRefusal(ServiceError):
    """A service answered with an error status.

    `status` is the HTTP status; `retry_after_s` is its `Retry-After` (s), if it sent one.
    """

    def __init__(self, sentence: str, *, status: int, retry_after_s: float | None = None) -> None:
        self.status = status
        self.retry_after_s = retry_after_s
        super().__init__(sentence)

    @property
    def lasting(self) -> bool:
        """Whether a retry cannot help, because the key or the request is wrong."""
        return 400 <= self.status < 500 and self.status not in (408, 425, 429)


class ProviderError(BotrunError):
    """A phone provider's interface refused, or could not be reached.

    `status` is the HTTP status, 0 if there was none; `arrived` is False if the request cannot have arrived.
    """

    def __init__(self, provider: str, what: str, *, status: int = 0, arrived: bool = True) -> None:
        self.status = status
        self.arrived = arrived
        super().__init__(f"{provider}: {what}")
