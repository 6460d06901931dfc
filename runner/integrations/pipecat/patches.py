"""Every attribute of pipecat that is replaced, and every private one that is read: the whole list.

Pipecat's public hooks do most of the work (`hooks.py`, an observer, subclasses). What is here has no hook.
`tests/integrations/pipecat/test_patches.py` compares the list with the installed version.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pipecat

from runner.integrations.pipecat.call import current
from runner.integrations.pipecat.transports import params as transport_params
from runner.processors.handover_state import greeting, is_greeting
from runner.transports.session_port import HangUpPolicy

logger = logging.getLogger(__name__)

OLDEST, NEWEST = (1, 10), (1, 14)
"""The versions that are tested."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """A function that is replaced.

    Attributes:
        module: where it is.
        name: its name there, such as "WorkerRunner._setup_sigint".
        takes: the parameters that it must have, among others.
        why: what does not work without.
        replace: makes the new function of the old one.
    """

    module: str
    name: str
    takes: tuple[str, ...]
    why: str
    replace: Callable[[Any], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reads:
    """A private attribute that is read: its name occurs in the source of `owner` in `module`."""

    module: str
    owner: str
    attribute: str
    why: str


def _hang_up_by_botrun(init: Any) -> Any:
    """Pipecat's serializers hang up at the provider, and demand credentials for that even in local calls."""
    signature = inspect.signature(init)

    @functools.wraps(init)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        call = current()
        if call is None:
            init(self, *args, **kwargs)
            return
        given = signature.bind(self, *args, **kwargs)
        params = given.arguments.get("params") or type(self).InputParams()
        given.arguments["params"] = params.model_copy(update={"auto_hang_up": False})
        init(*given.args, **given.kwargs)
        names = CREDENTIALS[type(self).__module__.rpartition(".")[2]]
        keys = {name: given.arguments.get(name) for name in names}
        complete = {name: key for name, key in keys.items() if key} if all(keys.values()) else {}
        call.port.hang_up = HangUpPolicy(auto_hang_up=params.auto_hang_up, credentials=complete)

    return __init__


CREDENTIALS = {
    "twilio": ("account_sid", "auth_token"),
    "telnyx": ("api_key",),
    "plivo": ("auth_id", "auth_token"),
}
"""What each serializer is given for the hang-up."""


def _nothing(method: Any) -> Any:
    @functools.wraps(method)
    def nothing(self: Any) -> None:
        if current() is None:
            method(self)

    return nothing


GREETING_EVENTS = frozenset(("on_client_connected", "on_client_ready"))


def _mark_greeting(run_handler: Any) -> Any:
    @functools.wraps(run_handler)
    async def _run_handler(self: Any, event_name: str, *args: Any, **kwargs: Any) -> None:
        call = current()
        if call is None or event_name not in GREETING_EVENTS or is_greeting():
            await run_handler(self, event_name, *args, **kwargs)
            return
        for memory in call.memories:
            memory.greeting_begins()
        with greeting():
            await run_handler(self, event_name, *args, **kwargs)

    return _run_handler


PATCHES = (
    *(
        Patch(
            module=f"pipecat.serializers.{provider}",
            name=f"{provider.capitalize()}FrameSerializer.__init__",
            takes=("params", *CREDENTIALS[provider]),
            why="botrun hangs up, and local calls need no credentials",
            replace=_hang_up_by_botrun,
        )
        for provider in CREDENTIALS
    ),
    Patch(
        module="pipecat.workers.runner",
        name="WorkerRunner._setup_sigint",
        takes=(),
        why="one process serves many calls: Ctrl-C is botrun's",
        replace=_nothing,
    ),
    Patch(
        module="pipecat.workers.runner",
        name="WorkerRunner._setup_sigterm",
        takes=(),
        why="botrun lets calls end before it stops",
        replace=_nothing,
    ),
    Patch(
        module="pipecat.utils.base_object",
        name="BaseObject._run_handler",
        takes=("event_name",),
        why="what on_client_connected makes the bot say is a greeting, and not said again after a save",
        replace=_mark_greeting,
    ),
    Patch(
        module="pipecat.runner.utils",
        name="_get_transport_params",
        takes=("transport_key", "transport_params"),
        why="a bot can be called over a transport that it does not name",
        replace=transport_params.from_another,
    ),
)

READS = (
    Reads(
        module="pipecat.pipeline.worker",
        owner="PipelineWorker",
        attribute="_push_queue",
        why="a greeting queued before the pipeline runs is not said again after a save",
    ),
    Reads(
        module="pipecat.processors.frameworks.rtvi",
        owner="RTVIProcessor",
        attribute="_client_version",
        why="a client of Pipecat's stays connected through a save, and announces itself once",
    ),
    Reads(
        module="pipecat.transports.smallwebrtc.transport",
        owner="RawAudioTrack",
        attribute="_sample_rate",
        why="the bot's sound over WebRTC is sent at its rate",
    ),
)

_applied = False


def apply() -> None:
    """Replace what the list says, once. What this version does not have is reported."""
    global _applied
    if _applied:
        return
    _applied = True
    _check_version()
    for patch in PATCHES:
        problem = problem_of(patch)
        if problem is None:
            owner, name = _owner_of(patch)
            setattr(owner, name, patch.replace(getattr(owner, name)))
        elif problem:
            logger.warning("pipecat %s: %s; %s may not hold", pipecat.__version__, problem, patch.why)


def problem_of(patch: Patch) -> str | None:
    """Why a patch does not fit this version; "" if its module cannot be imported, None if it fits."""
    try:
        owner, name = _owner_of(patch)
    except ImportError:
        return ""
    except AttributeError:
        return f"{patch.module} has no {patch.name}"
    parameters = inspect.signature(getattr(owner, name)).parameters
    missing = [name for name in patch.takes if name not in parameters]
    return f"{patch.module}.{patch.name} takes no {', '.join(missing)}" if missing else None


def problems() -> Iterator[str]:
    """What the installed version has moved, for the test."""
    for patch in PATCHES:
        if problem := problem_of(patch):
            yield f"{problem} ({patch.why})"
    for read in READS:
        try:
            module = importlib.import_module(read.module)
        except ImportError:  # of an extra that is not installed
            continue
        if f"self.{read.attribute}" not in inspect.getsource(getattr(module, read.owner)):
            yield f"{read.module}.{read.owner} has no {read.attribute} ({read.why})"


def _owner_of(patch: Patch) -> tuple[Any, str]:
    owner: Any = importlib.import_module(patch.module)
    *kinds, name = patch.name.split(".")
    for kind in kinds:
        owner = getattr(owner, kind)
    getattr(owner, name)
    return owner, name


def _check_version() -> None:
    numbers = tuple(int(part) for part in pipecat.__version__.split(".")[:2] if part.isdecimal())
    if numbers < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        logger.warning(
            "pipecat %s is older than %s, the oldest that botrun is tested with: "
            "`pip install -U pipecat-ai` if a bot does not work",
            pipecat.__version__,
            wanted,
        )
