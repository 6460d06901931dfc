"""`end_state: checks.py:booked`: a function of the user's own looks at the backend when the call is over."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class EndState:
    """What the function said: `met`, and a sentence."""

    met: bool
    sentence: str


def load(path: Path, name: str) -> Callable[..., Any]:
    """The function of this name in this file.

    Raises:
        UsageError: there is none, or the file cannot be imported.
    """
    if not path.is_file():
        raise UsageError(f"end_state: there is no file {path}")
    spec = importlib.util.spec_from_file_location(f"botrun_end_state_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # the user's own code
        raise UsageError(f"end_state: {path} cannot be imported: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(str(path.parent))
    function = getattr(module, name, None)
    if not callable(function):
        raise UsageError(f"end_state: {path} has no function {name}")
    found: Callable[..., Any] = function
    return found


async def check(function: Callable[..., Any], call: Mapping[str, Any]) -> EndState:
    """Ask the function: it is given what is known of the call, if it takes an argument. None and True are
    good; False, a text and an exception are not, and the text says why."""
    name = getattr(function, "__name__", "end_state")
    takes = bool(inspect.signature(function).parameters)
    try:
        result = function(call) if takes else function()
        if inspect.isawaitable(result):
            result = await result
    except Exception as error:  # the user's own code
        words = str(error) or type(error).__name__
        return EndState(met=False, sentence=f"{name}: {words}")
    if result is None or result is True:
        return EndState(met=True, sentence=f"{name} is content")
    return EndState(met=False, sentence=f"{name}: {result if result else 'it is not so'}")
