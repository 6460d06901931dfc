"""Every setting in one line: flag, environment name, default and help. What reads them is `settings.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from runner.settings import parsing as values
from runner.settings.parsing import IceServer
from runner.settings.transports import parse_transport


@dataclass(frozen=True, slots=True)
class Setting:
    """How one setting is named and read. `many`: it may be given several times."""

    env: str
    help: str
    parse: Callable[[str], Any]
    flags: tuple[str, ...] = ()
    metavar: str | None = None
    many: bool = False


def _setting(default: Any, env: str, help: str, parse: Callable[[str], Any], *flags: str, **more: Any) -> Any:
    return field(default=default, metadata={"setting": Setting(env, help, parse, flags, **more)})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the person at the terminal asked for. Durations in seconds."""

    transports: tuple[str, ...] = _setting(
        (),
        "BOTRUN_TRANSPORT",
        "How people reach the bot: webrtc, twilio, … Several are allowed, the first is the"
        " default. Without any: all that are installed.",
        parse_transport,
        "--transport",
        "-t",
        metavar="NAME",
        many=True,
    )
    direct: bool = _setting(
        False,
        "BOTRUN_DIRECT",
        "Join a Daily room at once, for one call, without a server.",
        values.parse_bool,
        "--direct",
        "-d",
    )
    host: str = _setting(
        "127.0.0.1", "BOTRUN_HOST", "The address to listen on.", values.parse_host, "--host", metavar="HOST"
    )
    port: int = _setting(
        7860,
        "BOTRUN_PORT",
        "The port to listen on; 0 picks a free one.",
        values.parse_port,
        "--port",
        "-p",
        metavar="PORT",
    )
    https: bool = _setting(
        False,
        "BOTRUN_HTTPS",
        "Serve over TLS, to this network too, so that a mobile may talk; a key is asked for. Implies"
        " --host 0.0.0.0.",
        values.parse_bool,
        "--https",
    )
    open_page: bool = _setting(
        False, "BOTRUN_OPEN", "Open the page in a browser.", values.parse_bool, "--open/--no-open"
    )
    body: Any = _setting(
        None,
        "BOTRUN_BODY",
        "What the bot finds in runner_args.body: JSON, or a JSON or YAML file.",
        values.parse_body,
        "--body",
        metavar="FILE|JSON",
    )
    ice_servers: tuple[IceServer, ...] = _setting(
        (),
        "BOTRUN_ICE_SERVERS",
        "A STUN or TURN server: stun:host:port, turn:user:password@host:port, or JSON. Several are allowed.",
        values.parse_ice_server,
        "--ice-server",
        metavar="URL",
        many=True,
    )
    allow_origins: tuple[str, ...] = _setting(
        (),
        "BOTRUN_ALLOW_ORIGINS",
        "Another site whose pages may use this bot, as http://localhost:5173 of an app under development."
        " Several are allowed.",
        values.parse_origin,
        "--allow-origin",
        metavar="ORIGIN",
        many=True,
    )
    verbose: bool = _setting(
        False, "BOTRUN_VERBOSE", "Tell more, with tracebacks.", values.parse_bool, "--verbose", "-v"
    )
    log: str = _setting(
        "auto",
        "BOTRUN_LOG",
        "Log as text or json; auto is text on a terminal, json elsewhere.",
        values.parse_choice("auto", "text", "json"),
    )
    max_sessions: int = _setting(
        0,
        "BOTRUN_MAX_SESSIONS",
        "So many calls at once; further ones are refused. 0 is no limit.",
        values.parse_count(least=0),
    )
    idle_secs: float = _setting(
        300.0,
        "BOTRUN_IDLE_SECS",
        "A call in which nobody speaks for so long (s) is ended; 0 is never.",
        values.parse_number(),
    )
    max_call_secs: float = _setting(
        7200.0, "BOTRUN_MAX_CALL_SECS", "No call is longer (s); 0 is no limit.", values.parse_number()
    )
    proxy: str | None = _setting(
        None,
        "BOTRUN_PROXY",
        "The public address at which your own tunnel or proxy brings a provider's calls here.",
        values.parse_public,
        "--proxy",
        "-x",
        metavar="HOST",
    )
    tunnel: bool = _setting(
        False,
        "BOTRUN_TUNNEL",
        "Open a tunnel, so that a provider's calls come here.",
        values.parse_bool,
        "--tunnel",
    )
    tunnel_via: str | None = _setting(
        None,
        "BOTRUN_TUNNEL_VIA",
        "Through what: ngrok, or ssh://user@host/PORT, whose PORT your --proxy address leads to."
        " Without it: ngrok.",
        values.parse_tunnel,
        "--tunnel-via",
        metavar="WHAT",
    )
    public_port: int = _setting(
        7861,
        "BOTRUN_PUBLIC_PORT",
        "The port of this machine where a tunnel of your own must end; 0 picks a free one.",
        values.parse_port,
        "--public-port",
        metavar="PORT",
    )
    number: str | None = _setting(
        None,
        "BOTRUN_NUMBER",
        "Phone number (one of yours) to connect to this bot while it runs; its previous settings are"
        " restored at the end.",
        values.parse_phone_number,
        "--number",
        metavar="+1…",
    )
    accept_unsigned_webhooks: bool = _setting(
        False,
        "BOTRUN_ACCEPT_UNSIGNED_WEBHOOKS",
        "Do not check who sends webhooks: anybody who knows the address can start the bot, at your cost.",
        values.parse_bool,
        "--accept-unsigned-webhooks",
    )
    max_public_calls: int = _setting(
        10,
        "BOTRUN_MAX_PUBLIC_CALLS",
        "So many calls at once through the public address; further callers hear that it is busy."
        " 0 is no limit.",
        values.parse_count(least=0),
    )
    max_calls_per_caller: int = _setting(
        2,
        "BOTRUN_MAX_CALLS_PER_CALLER",
        "So many of them from one number. 0 is no limit.",
        values.parse_count(least=0),
    )
    max_starts_per_min: int = _setting(
        30,
        "BOTRUN_MAX_STARTS_PER_MIN",
        "So many of them begin within a minute. 0 is no limit.",
        values.parse_count(least=0),
    )
    max_public_call_secs: float = _setting(
        3600.0,
        "BOTRUN_MAX_PUBLIC_CALL_SECS",
        "No call through the public address is longer (s); 0 is no limit.",
        values.parse_number(),
    )
    provider_api: str | None = _setting(
        None,
        "BOTRUN_PROVIDER_API",
        "Another address of the provider's REST interface than the usual one, for a region of it.",
        values.parse_text,
    )
    state_dir: str | None = _setting(
        None,
        "BOTRUN_STATE_DIR",
        "The folder that remembers what a number did before. Without it: ~/.local/state/botrun.",
        values.parse_text,
    )
    reload: bool = _setting(
        True,
        "BOTRUN_RELOAD",
        "Take over what is saved, while calls go on.",
        values.parse_bool,
        "--reload/--no-reload",
    )
    watch: tuple[str, ...] = _setting(
        (),
        "BOTRUN_WATCH",
        "A further file or folder whose saving counts. Several are allowed.",
        values.parse_path,
        "--watch",
        metavar="PATH",
        many=True,
    )
    reload_secs: float = _setting(
        10.0,
        "BOTRUN_RELOAD_SECS",
        "So long (s) an edited bot may take to be imported.",
        values.parse_number(),
    )
    certificate: tuple[str, ...] = field(default=(), compare=False)
    """With `https`: where certificate and key lie."""
    login_key: str = field(default="", repr=False, compare=False)
    """With `https`: what the run asks for, the same after each reload."""
    sources: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)


SETTINGS: Mapping[str, Setting] = {f.name: f.metadata["setting"] for f in fields(Settings) if f.metadata}
DEFAULTS: Mapping[str, Any] = {f.name: f.default for f in fields(Settings) if f.metadata}

FIXED = (
    *("host", "port", "transports", "open_page", "verbose", "log", "reload", "watch"),
    *("https", "certificate", "login_key"),
    *("proxy", "tunnel", "tunnel_via", "public_port", "number", "accept_unsigned_webhooks"),
    *("max_public_calls", "max_calls_per_caller", "max_starts_per_min", "max_public_call_secs"),
    *("provider_api", "state_dir"),
)
"""Settings of the run, which editing `.env` does not change."""
