"""The table of all settings: flag, environment variable, default and help. `resolve` reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from runner.settings import parsing as values
from runner.settings.parsing import IceServer
from runner.settings.transports import parse_transport


@dataclass(frozen=True, slots=True)
class Setting:
    """Names and parser of one setting. `many`: it is repeatable."""

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
    """All settings of one run. Durations in seconds."""

    transports: tuple[str, ...] = _setting(
        (),
        "BOTRUN_TRANSPORT",
        "How callers reach the bot: webrtc, twilio, … Repeatable; the first is the default."
        " Default: every installed transport.",
        parse_transport,
        "--transport",
        "-t",
        metavar="NAME",
        many=True,
    )
    direct: bool = _setting(
        False,
        "BOTRUN_DIRECT",
        "Join a Daily room immediately, for one call, without starting a server.",
        values.parse_bool,
        "--direct",
        "-d",
    )
    host: str = _setting(
        "127.0.0.1", "BOTRUN_HOST", "Address to listen on.", values.parse_host, "--host", metavar="HOST"
    )
    port: int = _setting(
        7860,
        "BOTRUN_PORT",
        "Port to listen on. 0 = any free port.",
        values.parse_port,
        "--port",
        "-p",
        metavar="PORT",
    )
    https: bool = _setting(
        False,
        "BOTRUN_HTTPS",
        "Serve HTTPS on the local network, so that a phone's browser can talk to the bot. Asks for a"
        " login key. Implies --host 0.0.0.0.",
        values.parse_bool,
        "--https",
    )
    open_page: bool = _setting(
        False, "BOTRUN_OPEN", "Open the page in a browser.", values.parse_bool, "--open/--no-open"
    )
    body: Any = _setting(
        None,
        "BOTRUN_BODY",
        "Value of runner_args.body: JSON, or the path of a JSON or YAML file.",
        values.parse_body,
        "--body",
        metavar="FILE|JSON",
    )
    ice_servers: tuple[IceServer, ...] = _setting(
        (),
        "BOTRUN_ICE_SERVERS",
        "STUN or TURN server: stun:host:port, turn:user:password@host:port, or JSON. Repeatable.",
        values.parse_ice_server,
        "--ice-server",
        metavar="URL",
        many=True,
    )
    allow_origins: tuple[str, ...] = _setting(
        (),
        "BOTRUN_ALLOW_ORIGINS",
        "Another origin whose pages may use this bot, such as http://localhost:5173. Repeatable.",
        values.parse_origin,
        "--allow-origin",
        metavar="ORIGIN",
        many=True,
    )
    verbose: bool = _setting(
        False, "BOTRUN_VERBOSE", "Log more, with tracebacks.", values.parse_bool, "--verbose", "-v"
    )
    log: str = _setting(
        "auto",
        "BOTRUN_LOG",
        "Log format: text, json, or auto (text on a terminal, json elsewhere).",
        values.parse_choice("auto", "text", "json"),
    )
    max_sessions: int = _setting(
        0,
        "BOTRUN_MAX_SESSIONS",
        "Maximum number of concurrent calls; more are refused. 0 = unlimited.",
        values.parse_count(least=0),
    )
    idle_secs: float = _setting(
        300.0,
        "BOTRUN_IDLE_SECS",
        "End a call after this many seconds of silence on both sides. 0 = never.",
        values.parse_number(),
    )
    max_call_secs: float = _setting(
        7200.0,
        "BOTRUN_MAX_CALL_SECS",
        "Maximum length of a call in seconds. 0 = unlimited.",
        values.parse_number(),
    )
    shutdown_secs: float = _setting(
        1.0,
        "BOTRUN_SHUTDOWN_SECS",
        "After Ctrl-C or SIGTERM, maximum time for bots to finish what they are saying and to run"
        " on_client_disconnected, in seconds. New calls are refused meanwhile. 0 = end calls at once.",
        values.parse_number(),
    )
    proxy: str | None = _setting(
        None,
        "BOTRUN_PROXY",
        "Public host name of your own tunnel or proxy, where the provider connects calls.",
        values.parse_public,
        "--proxy",
        "-x",
        metavar="HOST",
    )
    tunnel: bool = _setting(
        False,
        "BOTRUN_TUNNEL",
        "Open a tunnel, so that the provider can connect calls to this machine.",
        values.parse_bool,
        "--tunnel",
    )
    tunnel_via: str | None = _setting(
        None,
        "BOTRUN_TUNNEL_VIA",
        "Tunnel to use: ngrok, or ssh://user@host/PORT, where --proxy forwards to PORT. Default: ngrok.",
        values.parse_tunnel,
        "--tunnel-via",
        metavar="WHAT",
    )
    public_port: int = _setting(
        7861,
        "BOTRUN_PUBLIC_PORT",
        "Local port for provider traffic, where your own tunnel must end. 0 = any free port.",
        values.parse_port,
        "--public-port",
        metavar="PORT",
    )
    number: str | None = _setting(
        None,
        "BOTRUN_NUMBER",
        "Your phone number to point at this bot while it runs. Its previous webhook is restored on exit.",
        values.parse_phone_number,
        "--number",
        metavar="+1…",
    )
    accept_unsigned_webhooks: bool = _setting(
        False,
        "BOTRUN_ACCEPT_UNSIGNED_WEBHOOKS",
        "Accept webhooks without a valid signature. Anyone who knows the address can then start calls"
        " at your cost.",
        values.parse_bool,
        "--accept-unsigned-webhooks",
    )
    max_public_calls: int = _setting(
        10,
        "BOTRUN_MAX_PUBLIC_CALLS",
        "Maximum number of concurrent calls through the public address; further callers hear that it is"
        " busy. 0 = unlimited.",
        values.parse_count(least=0),
    )
    max_calls_per_caller: int = _setting(
        2,
        "BOTRUN_MAX_CALLS_PER_CALLER",
        "Maximum number of concurrent public calls from one phone number. 0 = unlimited.",
        values.parse_count(least=0),
    )
    max_calls_per_number: int = _setting(
        0,
        "BOTRUN_MAX_CALLS_PER_NUMBER",
        "Maximum number of concurrent public calls to one of your numbers. 0 = unlimited.",
        values.parse_count(least=0),
    )
    max_starts_per_min: int = _setting(
        30,
        "BOTRUN_MAX_STARTS_PER_MIN",
        "Maximum number of public calls started per minute. 0 = unlimited.",
        values.parse_count(least=0),
    )
    max_public_call_secs: float = _setting(
        3600.0,
        "BOTRUN_MAX_PUBLIC_CALL_SECS",
        "Maximum length of a public call in seconds. 0 = unlimited.",
        values.parse_number(),
    )
    provider_api: str | None = _setting(
        None,
        "BOTRUN_PROVIDER_API",
        "Base URL of the provider's REST API, for another region.",
        values.parse_text,
    )
    state_dir: str | None = _setting(
        None,
        "BOTRUN_STATE_DIR",
        "Folder for the previous webhooks of your numbers. Default: ~/.local/state/botrun.",
        values.parse_text,
    )
    reload: bool = _setting(
        True,
        "BOTRUN_RELOAD",
        "Reload the bot when you save it; calls continue.",
        values.parse_bool,
        "--reload/--no-reload",
    )
    watch: tuple[str, ...] = _setting(
        (),
        "BOTRUN_WATCH",
        "Another file or folder to watch for changes. Repeatable.",
        values.parse_path,
        "--watch",
        metavar="PATH",
        many=True,
    )
    reload_secs: float = _setting(
        10.0,
        "BOTRUN_RELOAD_SECS",
        "Maximum time to import an edited bot, in seconds.",
        values.parse_number(),
    )
    record: bool | None = _setting(
        None,
        "BOTRUN_RECORD",
        "Record calls in .botrun/calls: 1 = all, 0 = none. Default: calls of this machine, not public ones.",
        values.parse_bool,
        "--record/--no-record",
    )
    record_content: str = _setting(
        "all",
        "BOTRUN_RECORD_CONTENT",
        "What records hold: all, or none = times and figures, without sound and words.",
        values.parse_choice("all", "none"),
        "--record-content",
        metavar="all|none",
    )
    state: str | None = _setting(
        None,
        "BOTRUN_STATE",
        "Redis or Valkey where several servers share tokens, limits and replay protection:"
        " redis://host:6379/0. Default: in this run.",
        values.parse_redis,
        "--state",
        metavar="URL",
    )
    media_address: str | None = _setting(
        None,
        "BOTRUN_MEDIA_ADDRESS",
        "Public IP address of this machine, where a NAT or a load balancer sends WebRTC's UDP packets.",
        values.parse_ip,
        "--media-address",
        metavar="IP",
    )
    media_ports: tuple[int, ...] = _setting(
        (),
        "BOTRUN_MEDIA_PORTS",
        "UDP ports for WebRTC, such as 40000-40999. Default: any free port.",
        values.parse_port_range,
        "--media-ports",
        metavar="FIRST-LAST",
    )
    public_host: str = _setting(
        "127.0.0.1",
        "BOTRUN_PUBLIC_HOST",
        "Address on which --public-port listens; 0.0.0.0 where the proxy is another machine or container.",
        values.parse_host,
        "--public-host",
        metavar="HOST",
    )
    check_public: bool = _setting(
        True,
        "BOTRUN_CHECK_PUBLIC",
        "Check at start that the public address leads to this server. Turn it off if other servers share it.",
        values.parse_bool,
        "--check-public/--no-check-public",
    )
    workers: int = _setting(
        0,
        "BOTRUN_WORKERS",
        "Number of worker processes. 0 = one per core.",
        values.parse_count(least=0),
        "--workers",
        "-w",
        metavar="N",
    )
    isolate: bool = _setting(
        False,
        "BOTRUN_ISOLATE",
        "botrun serve: a process for each call, for bots that block or crash.",
        values.parse_bool,
        "--isolate",
    )
    spare: int = _setting(
        4,
        "BOTRUN_SPARE",
        "botrun serve --isolate: processes that have loaded the bot and wait for a call.",
        values.parse_count(least=1),
        "--spare",
        metavar="N",
    )
    grace_secs: float = _setting(
        300.0,
        "BOTRUN_GRACE_SECS",
        "After SIGTERM, maximum time for calls to end by themselves, in seconds.",
        values.parse_number(),
        "--grace",
        metavar="SECS",
    )
    capacity: int = _setting(
        0,
        "BOTRUN_CAPACITY",
        "Calls that one worker carries; more are refused. 0 = as botrun load measured,"
        " else by event loop lag and CPU.",
        values.parse_count(least=0),
        "--capacity",
        metavar="CALLS",
    )
    worker_memory_mb: int = _setting(
        0,
        "BOTRUN_WORKER_MEMORY",
        "Memory of a worker in MB above which it is replaced, once its calls are over. 0 = unlimited.",
        values.parse_count(least=0),
        "--worker-memory",
        metavar="MB",
    )
    services_from: str | None = _setting(
        None,
        "BOTRUN_SERVICES_FROM",
        "Folder of a recorded call: recogniser, language model, voice and tools answer as they did in it.",
        values.parse_text,
    )
    live_tools: tuple[str, ...] = _setting(
        (),
        "BOTRUN_LIVE_TOOLS",
        "With BOTRUN_SERVICES_FROM: names of tools that run their own code.",
        values.parse_text,
        many=True,
    )
    bot_args: tuple[str, ...] = ()
    """The bot's own arguments: those after `--`."""
    certificate: tuple[str, ...] = field(default=(), compare=False)
    """With `https`: paths of the certificate and its key."""
    login_key: str = field(default="", repr=False, compare=False)
    """With `https`: the login key, which does not change on reload."""
    sources: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)


SETTINGS: Mapping[str, Setting] = {f.name: f.metadata["setting"] for f in fields(Settings) if f.metadata}
DEFAULTS: Mapping[str, Any] = {f.name: f.default for f in fields(Settings) if f.metadata}

FIXED = (
    *("host", "port", "transports", "open_page", "verbose", "log", "reload", "watch"),
    *("https", "certificate", "login_key", "shutdown_secs", "bot_args"),
    *("proxy", "tunnel", "tunnel_via", "public_port", "number", "accept_unsigned_webhooks"),
    *("max_public_calls", "max_calls_per_caller", "max_starts_per_min", "max_public_call_secs"),
    *("provider_api", "state_dir"),
    *("state", "max_calls_per_number", "media_address", "media_ports", "public_host", "check_public"),
    *("workers", "isolate", "spare", "grace_secs", "capacity", "worker_memory_mb"),
)
"""Settings that need a restart; editing them in `.env` has no effect while botrun runs."""
