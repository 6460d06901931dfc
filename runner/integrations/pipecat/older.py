"""A bot that its installed pipecat cannot import: which name is gone, and what to use or install instead."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from types import MappingProxyType, TracebackType

import pipecat

from runner.botcode.failure import install_command
from runner.errors import BotLoadError, MissingPackageError
from runner.integrations.pipecat_names.installed import DISTRIBUTION, PIPECAT

_CONTEXT = "LLMContext of pipecat.processors.aggregators.llm_context"
_PAIR = "LLMContextAggregatorPair of pipecat.processors.aggregators.llm_response_universal"

INSTEAD: Mapping[str, str] = MappingProxyType({
    "pipecat.processors.aggregators.openai_llm_context": f"{_CONTEXT}, and {_PAIR}",
    "pipecat.processors.transcript_processor": (
        f"the events on_user_turn_stopped and on_assistant_turn_stopped of {_PAIR}"
    ),
    "pipecat.processors.user_idle_processor": (
        "user_idle_timeout of LLMUserAggregatorParams, and the event on_user_turn_idle"
    ),
    "pipecat.processors.filters.stt_mute_filter": "user_mute_strategies of LLMUserAggregatorParams",
    "pipecat.vad": "pipecat.audio.vad",
    "OpenAILLMContext": _CONTEXT,
    "OpenAILLMContextFrame": "LLMContextFrame",
    "RTVIConfig": "RTVIProcessor() without a configuration",
    "LLMMessagesFrame": "LLMMessagesUpdateFrame",
    "StartInterruptionFrame": "InterruptionFrame",
})  # fmt: skip
"""Modules and names of Pipecats before 1.0, and what has taken their place."""

PLACES = ("stt", "tts", "llm", "image", "vision")
"""Modules into which a vendor's services were divided."""


def explained(error: BotLoadError) -> BotLoadError | MissingPackageError:
    """The error, or a better one if the bot lacks something of pipecat's."""
    cause = error.__cause__
    if not isinstance(cause, ImportError):
        return error
    missing = cause.__cause__
    if isinstance(missing, ModuleNotFoundError) and missing.name and _is_theirs(_raised_in(cause)):
        package = install_command(_distribution(_raised_in(cause)))
        return MissingPackageError(f"{error.path}:{error.line}:", missing.name, package)
    found = re.match(r"cannot import name '(\w+)' from '([\w.]+)'", str(cause))
    module, name = (found[2], found[1]) if found else (cause.name or "", "")
    if not _is_theirs(module) or (not name and not isinstance(cause, ModuleNotFoundError)):
        return error
    what = f"{name} in {module}" if name else f"module {module}"
    sentence = f"pipecat {pipecat.__version__} has no {what}: the bot was written for another version"
    instead = instead_of(module, name)
    return BotLoadError(f"{sentence}. Use {instead}" if instead else sentence, error.path, error.line)


def instead_of(module: str, name: str = "") -> str:
    """What has taken this name's place; "" if that is not known."""
    if name in INSTEAD:
        return INSTEAD[name]
    known = next((INSTEAD[top] for top in _parents(module) if top in INSTEAD), "")
    return known or (f"{module}.{place}" if name and (place := _place_of(module, name)) else "")


def _parents(module: str) -> Iterator[str]:
    while module:
        yield module
        module = module.rpartition(".")[0]


def _place_of(module: str, name: str) -> str:
    """The file beside this package's `__init__.py` that defines the class."""
    folder = Path(pipecat.__file__).parent.joinpath(*module.split(".")[1:])
    for place in PLACES:
        file = folder / f"{place}.py"
        if file.is_file() and re.search(rf"^class {name}\b", file.read_text(encoding="utf-8"), re.MULTILINE):
            return place
    return ""


def _is_theirs(module: str) -> bool:
    return module.partition(".")[0] == PIPECAT


def _raised_in(error: BaseException) -> str:
    """The module that raised it."""
    last: TracebackType | None = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return "" if last is None else str(last.tb_frame.f_globals.get("__name__", ""))


def _distribution(module: str) -> str:
    """pipecat-ai with the extra that this module of its belongs to."""
    extras = set(metadata.metadata(DISTRIBUTION).get_all("Provides-Extra") or ())
    extra = next((part for part in module.replace("_", "-").split(".") if part in extras), "")
    return f"'{DISTRIBUTION}[{extra}]'" if extra else DISTRIBUTION
