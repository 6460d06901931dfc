"""`Provider`: the interface of a phone provider."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from runner.errors import ProviderError, UsageError
from runner.providers.rest import Rest
from runner.providers.webhooks import CallFacts, Document, MediaSocket, WebRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class DialRequest:
    """An outbound call. `public`: botrun's public URL; `socket`: the media socket, for providers that want it
    in the request; durations in seconds."""

    to: str
    from_number: str
    public: str
    socket: MediaSocket
    limit_s: int = 600
    ring_s: int = 30
    detect_voicemail: bool = True


@dataclass(frozen=True, slots=True)
class Event:
    """An event, named as the provider names it. `event_id` is the same when the event is sent again."""

    kind: str
    event_id: str
    rings: bool = False


class Provider(ABC):
    """One account at one provider.

    Args:
        keys: credentials, by environment variable; unset ones are absent.
        api: base URL of the REST interface, if not the usual one (a region's, or a test's).

    Attributes:
        name: as in `--transport`.
        title: the provider's name in messages.
        signing_keys: variables needed to check webhooks.
        rest_keys: variables needed to hang up, transfer and set up numbers.
        can_set_number: whether the REST interface can set a number's webhook.
        same_call_id: whether webhooks and the start message use the same id of a call.
        usual_api: base URL of the REST interface.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    signing_keys: ClassVar[tuple[str, ...]]
    rest_keys: ClassVar[tuple[str, ...]]
    dial_keys: ClassVar[tuple[str, ...]] = ()
    other_keys: ClassVar[tuple[str, ...]] = ()
    can_set_number: ClassVar[bool] = True
    same_call_id: ClassVar[bool] = True
    usual_api: ClassVar[str]

    def __init__(self, keys: Mapping[str, str], *, api: str = "") -> None:
        self._keys = dict(keys)
        self.api = (api or self.usual_api).rstrip("/")
        self.rest = Rest(self.title, self.api, secrets=tuple(self._keys.values()), **self._login())

    def __repr__(self) -> str:
        return f"<{self.title}>"

    def key(self, name: str) -> str:
        """A credential.

        Raises:
            ProviderError: the variable is not set.
        """
        value = self._keys.get(name, "")
        if not value:
            raise ProviderError(self.title, f"{name} is not set")
        return value

    def differs_from(self, keys: Mapping[str, str]) -> bool:
        """Whether any of these credentials has another value here."""
        return any(self._keys.get(name) != value for name, value in keys.items())

    @classmethod
    def all_keys(cls) -> tuple[str, ...]:
        """All variables that the provider reads."""
        wanted = (*cls.signing_keys, *cls.rest_keys, *cls.dial_keys, *cls.other_keys)
        return tuple(dict.fromkeys(wanted))

    def missing_keys(self, *groups: tuple[str, ...]) -> list[str]:
        """The unset variables of these groups; by default of those for signing and REST."""
        wanted = groups or (self.signing_keys, self.rest_keys)
        return [name for group in wanted for name in dict.fromkeys(group) if not self._keys.get(name)]

    @abstractmethod
    def _login(self) -> dict[str, Any]:
        """Arguments for `Rest`: `basic=(user, password)` or `bearer=key`."""

    # ------------------------------------------------------------ authentication

    @abstractmethod
    def check_request(self, request: WebRequest, now: float) -> None:
        """Check that the provider sent this webhook. `now` is Unix time (s).

        Raises:
            RefusedError: the provider did not send it, or that cannot be checked.
        """

    def check_socket(self, request: WebRequest) -> None:  # noqa: B027 - most have only the token
        """Check that the provider opens this media socket, in addition to the socket's token.

        Raises:
            RefusedError: the provider did not.
        """

    # ------------------------------------------------------------ webhooks

    @abstractmethod
    def read_call(self, request: WebRequest) -> CallFacts:
        """The call that a webhook describes."""

    @abstractmethod
    def answer(self, call: CallFacts, socket: MediaSocket) -> Document:
        """The answer that connects the call to this media socket."""

    @abstractmethod
    def busy(self) -> Document:
        """The answer that plays the busy signal."""

    @abstractmethod
    def end(self) -> Document:
        """The answer that hangs up (a voicemail was reached)."""

    def event(self, request: WebRequest) -> Event | None:
        """The webhook's event, for providers that take commands instead of documents; else None."""
        return None

    async def pick_up(self, call: CallFacts, socket: MediaSocket, event: Event) -> None:
        """Answer the call by command, and connect it to this media socket."""
        raise ProviderError(self.title, "it takes no commands: answer its webhooks with a document")

    async def turn_away(self, call: CallFacts, event: Event) -> None:
        """Reject the call as busy, by command."""
        raise ProviderError(self.title, "it takes no commands: answer its webhooks with a document")

    # ------------------------------------------------------------ REST

    @abstractmethod
    async def hang_up(self, call_id: str) -> None:
        """Hang up a call. A call that has already ended counts as success.

        Raises:
            ProviderError: the request failed.
        """

    @abstractmethod
    async def transfer(self, call_id: str, to: str, document_url: str = "") -> None:
        """Transfer the caller to another number; `document_url` serves `transfer_document`."""

    def transfer_document(self, to: str) -> Document:
        """The document for a transfer, for providers that fetch one."""
        raise ProviderError(self.title, "it needs no document for a transfer")

    @abstractmethod
    async def dial(self, request: DialRequest) -> str:
        """Dial a number; returns the call's id."""

    @abstractmethod
    async def check_account(self) -> str:
        """Check the credentials; returns a phrase about the account."""

    async def number_state(self, number: str) -> dict[str, str]:
        """A number's present settings: what `restore_number` needs."""
        raise UsageError(f"{self.title} numbers cannot be set up by REST. By hand: {self.by_hand}")

    async def point_number(self, state: Mapping[str, str], url: str) -> None:
        """Set the number's webhook to `url`."""
        raise UsageError(f"{self.title} numbers cannot be set up by REST. By hand: {self.by_hand}")

    async def restore_number(self, state: Mapping[str, str]) -> None:
        """Restore the settings of `number_state`."""
        raise UsageError(f"{self.title} numbers cannot be set up by REST. By hand: {self.by_hand}")

    by_hand: ClassVar[str] = ""
    """Instructions for people, where `can_set_number` is False."""

    async def aclose(self) -> None:
        """Close the connections."""
        await self.rest.aclose()


def masked(number: str) -> str:
    """A number with its middle hidden, for log lines."""
    return f"{number[:3]}•••{number[-2:]}" if len(number) > 6 else "•••"
