"""`botrun dial +1… -t twilio`: let the running bot call a number."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runner.errors import BotrunError, UsageError

if TYPE_CHECKING:
    import httpx2

PROVIDERS = ("twilio", "telnyx", "plivo", "exotel")
LOOK_EVERY_S = 1.0
ANSWER_S = 10.0
LONGEST_CALL_S = 24 * 3600
LONGEST_RING_S = 600
FAILED = 1

_To = Annotated[str, typer.Argument(metavar="NUMBER", help="The number to call, such as +14155550100.")]
_Provider = Annotated[
    str, typer.Option("--transport", "-t", metavar="NAME", help="The provider: " + ", ".join(PROVIDERS) + ".")
]
_From = Annotated[
    str | None,
    typer.Option("--from", metavar="NUMBER", help="The caller's number. [default: the run's --number]"),
]
_Limit = Annotated[
    int,
    typer.Option(
        "--limit", metavar="S", help="Maximum length of the call in seconds; the provider enforces it."
    ),
]
_Ring = Annotated[int, typer.Option("--ring", metavar="S", help="How long to let it ring, in seconds.")]
_Voicemail = Annotated[
    bool,
    typer.Option("--hang-up-on-voicemail/--talk-to-voicemail", help="What to do when a voicemail answers."),
]
_Port = Annotated[int, typer.Option("--port", "-p", metavar="PORT", help="The port of the running bot.")]
_NoWait = Annotated[
    bool, typer.Option("--no-wait", help="Return at once instead of waiting for the call to end.")
]


def dial(
    to: _To,
    provider: _Provider = "twilio",
    from_number: _From = None,
    limit_s: _Limit = 600,
    ring_s: _Ring = 30,
    hang_up_on_voicemail: _Voicemail = True,
    port: _Port = 7860,
    no_wait: _NoWait = False,
) -> int:
    """Let the running bot call a number. The run needs a public address (--tunnel or --proxy)."""
    from runner.settings.parsing import check_bounds, did_you_mean, parse_phone_number

    if provider == "daily":
        raise UsageError(
            f"botrun dial uses {', '.join(PROVIDERS)}. With Daily, the bot calls out itself: "
            "transport.start_dialout({...}), see docs/daily.md"
        )
    if provider not in PROVIDERS:
        hint = did_you_mean(provider, PROVIDERS)
        raise UsageError(f"--transport: {provider!r} is not a phone provider ({', '.join(PROVIDERS)}){hint}")
    for name, number, least, most in (
        ("--limit", limit_s, 1, LONGEST_CALL_S),
        ("--ring", ring_s, 1, LONGEST_RING_S),
        ("--port", port, 1, 65535),
    ):
        check_bounds(name, number, least, most)
    order = {
        "provider": provider,
        "to": parse_phone_number(to),
        "from_number": parse_phone_number(from_number) if from_number else "",
        "limit_s": limit_s,
        "ring_s": ring_s,
        "detect_voicemail": hang_up_on_voicemail,
    }
    run = _Run(port)
    call_id = run.ask("POST", "/dial", order)["call_id"]
    typer.echo(f"calling: {call_id}")
    return 0 if no_wait else _follow(run, call_id)


def _follow(run: _Run, call_id: str) -> int:
    shown = "ringing"
    while True:
        answer = run.ask("GET", f"/dial/{call_id}")
        if answer["state"] != shown:
            shown = answer["state"]
            typer.echo(shown)
        if answer["over"]:
            return 0 if shown == "over: completed" else FAILED
        time.sleep(LOOK_EVERY_S)


class _Run:
    """The run at a port of this machine, and its key, which only the user who started it can read."""

    def __init__(self, port: int) -> None:
        from runner.server.state_file import dial_key_path
        from runner.settings import Settings, resolve

        state_dir = resolve({}, {}).state_dir
        self._base = f"http://127.0.0.1:{port}"
        path = dial_key_path(Settings(port=port, state_dir=state_dir))
        try:
            self._key = path.read_text(encoding="utf-8").strip()
        except OSError:
            raise UsageError(
                f"no bot with a public address runs on port {port}. Start one with"
                " botrun FILE -t twilio --tunnel, or give its --port"
            ) from None

    def ask(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """Send one request. A refusal is raised as a BotrunError with its reason."""
        import httpx2

        try:
            answer = self._request(method, path, body)
        except httpx2.HTTPError as error:
            raise BotrunError(f"the bot at {self._base} does not respond ({type(error).__name__})") from None
        body_of_answer: dict[str, Any] = answer.json()
        if answer.status_code != 200:
            raise BotrunError(str(body_of_answer.get("detail", "the bot refused the call")))
        return body_of_answer

    def _request(self, method: str, path: str, body: object) -> httpx2.Response:
        import httpx2

        from runner.server.wire.tls import trust_for

        asked: dict[str, Any] = {"json": body, "headers": {"x-botrun-key": self._key}, "timeout": ANSWER_S}
        try:
            return httpx2.request(
                method, self._base + path, **asked, trust_env=False, verify=trust_for(self._base) or True
            )
        except (httpx2.RemoteProtocolError, httpx2.ReadError):
            if not self._base.startswith("http:"):
                raise
            # A run with --https accepts no plain HTTP.
            self._base = self._base.replace("http:", "https:", 1)
            return self._request(method, path, body)
