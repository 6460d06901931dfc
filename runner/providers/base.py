"""What every phone provider can do for us. A provider's file tells how."""

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
    """A call that we make. `public` is our address; `socket` where to bring the sound, for providers that
    are told so at once; the durations are seconds."""

    to: str
    from_number: str
    public: str
    socket: MediaSocket
    limit_s: int = 600
    ring_s: int = 30
    detect_voicemail: bool = True


@dataclass(frozen=True, slots=True)
class Event:
    """What happened, in the provider's word; `event_id` stays the same when it is told again."""

    kind: str
    event_id: str
    rings: bool = False


class Provider(ABC):
    """One account at one provider.

    Args:
        keys: values by the names of their variables; missing ones are absent.
        api: another address of its REST interface than the usual one: a region's, or a test's.

    Attributes:
        name: as in `--transport`.
        title: as people write it.
        signing_keys: variables that checking webhooks needs.
        rest_keys: variables that hanging up, transferring and setting up numbers need.
        can_set_number: whether its interface can point a number at us.
        same_call_id: whether webhook and start message name the call alike.
        usual_api: the address of its REST interface.
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
        """One of the keys.

        Raises:
            ProviderError: it is not set.
        """
        value = self._keys.get(name, "")
        if not value:
            raise ProviderError(self.title, f"{name} is not set")
        return value

    def differs_from(self, keys: Mapping[str, str]) -> bool:
        """Whether any of these has another value here."""
        return any(self._keys.get(name) != value for name, value in keys.items())

    @classmethod
    def all_keys(cls) -> tuple[str, ...]:
        """Every variable that may matter to it."""
        wanted = (*cls.signing_keys, *cls.rest_keys, *cls.dial_keys, *cls.other_keys)
        return tuple(dict.fromkeys(wanted))

    def missing_keys(self, *groups: tuple[str, ...]) -> list[str]:
        """Those of the named variables that are not set."""
        wanted = groups or (self.signing_keys, self.rest_keys)
        return [name for group in wanted for name in dict.fromkeys(group) if not self._keys.get(name)]

    @abstractmethod
    def _login(self) -> dict[str, Any]:
        """`basic=(user, password)` or `bearer=key` of the REST interface."""

    # ------------------------------------------------------------ who is there

    @abstractmethod
    def check_request(self, request: WebRequest, now: float) -> None:
        """See that the provider sent this webhook. `now` is Unix time (s).

        Raises:
            RefusedError: it did not, or it cannot be told.
        """

    def check_socket(self, request: WebRequest) -> None:  # noqa: B027 - most have only the token
        """See that the provider opens this media socket, beyond the token that it must bring.

        Raises:
            RefusedError: it is somebody else.
        """

    # ------------------------------------------------------------ what it is told

    @abstractmethod
    def read_call(self, request: WebRequest) -> CallFacts:
        """The call that a webhook is about."""

    @abstractmethod
    def answer(self, call: CallFacts, socket: MediaSocket) -> Document:
        """Bring the call's sound to this socket."""

    @abstractmethod
    def busy(self) -> Document:
        """Play the busy signal to the caller."""

    @abstractmethod
    def end(self) -> Document:
        """The call is over (a voicemail was reached)."""

    def event(self, request: WebRequest) -> Event | None:
        """The event that a webhook tells, for providers that are answered by commands, not by a document."""
        return None

    async def pick_up(self, call: CallFacts, socket: MediaSocket, event: Event) -> None:
        """Answer by command, and bring the call's sound to this socket."""
        raise ProviderError(self.title, "its calls are answered by documents")

    async def turn_away(self, call: CallFacts, event: Event) -> None:
        """Let the caller hear that the line is busy, by command."""
        raise ProviderError(self.title, "its calls are answered by documents")

    # ------------------------------------------------------------ REST

    @abstractmethod
    async def hang_up(self, call_id: str) -> None:
        """End a call; one that is over already is fine.

        Raises:
            ProviderError: it could not be done.
        """

    @abstractmethod
    async def transfer(self, call_id: str, to: str, document_url: str = "") -> None:
        """Hand the caller to another number; `document_url` is where `transfer_document` can be had."""

    def transfer_document(self, to: str) -> Document:
        """For providers that fetch where the caller goes."""
        raise ProviderError(self.title, "it takes no document for a transfer")

    @abstractmethod
    async def dial(self, request: DialRequest) -> str:
        """Call somebody; returns the call's id."""

    @abstractmethod
    async def check_account(self) -> str:
        """Try the keys; a sentence about the account."""

    async def number_state(self, number: str) -> dict[str, str]:
        """What a number does now: all that `restore_number` needs, in texts."""
        raise UsageError(f"{self.title} does not let a program set up a number: {self.by_hand}")

    async def point_number(self, state: Mapping[str, str], url: str) -> None:
        """Let the number ask `url` what to do with a call."""
        raise UsageError(f"{self.title} does not let a program set up a number: {self.by_hand}")

    async def restore_number(self, state: Mapping[str, str]) -> None:
        """Let the number do what it did."""
        raise UsageError(f"{self.title} does not let a program set up a number: {self.by_hand}")

    by_hand: ClassVar[str] = ""
    """What a person has to do instead, where `can_set_number` is False."""

    async def aclose(self) -> None:
        """Close the connections."""
        await self.rest.aclose()


def masked(number: str) -> str:
    """A number for a log line."""
    return f"{number[:3]}•••{number[-2:]}" if len(number) > 6 else "•••"
