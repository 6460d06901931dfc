"""The fact sheet's vectors pass, and nothing that differs from them in a single byte."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from runner.providers import PROVIDERS, provider_named
from runner.providers.plivo import signed_text
from runner.providers.webhooks import FORM, RefusedError, WebRequest

NOW = 1_700_000_100.0
TWILIO_URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
TWILIO_FORM = (
    ("CallSid", "CA1234567890ABCDE"),
    ("Caller", "+14158675309"),
    ("Digits", "1234"),
    ("From", "+14158675309"),
    ("To", "+18005551212"),
)
BODY_SHA = "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"
SHA256_HEADER = {"x-twilio-webhooks-signature-settings": "key=k1,algorithm=HMAC_SHA256"}
TELNYX_KEY = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
TELNYX_SIGNATURE = "aBuTQ1AtxQGraK6PrtJP6VW9Mu+R2aG6TbxS7lim9/ia8dN94a42JYoTifASA18z3xe+GLlYfveWOuyyKq7OCw=="
PLIVO_URL = "https://bot.example.com/answer"


@dataclass(frozen=True)
class Signed:
    """A request that must pass, with the key that it is signed with."""

    name: str
    provider: str
    keys: Mapping[str, str]
    url: str
    headers: Mapping[str, str]
    form: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    method: str = "POST"
    socket: bool = False
    free: tuple[str, ...] = field(default=())
    """Headers that are not signed: what they say may change."""

    def request(self) -> WebRequest:
        headers = {"content-type": FORM, **self.headers} if self.form else dict(self.headers)
        body = urlencode(self.form).encode() if self.form else self.body
        return WebRequest(self.method, self.url, headers, body)

    def passes(self, now: float = NOW) -> bool:
        provider = provider_named(self.provider, self.keys)
        try:
            if self.socket:
                provider.check_socket(self.request())
            else:
                provider.check_request(self.request(), now)
        except RefusedError:
            return False
        return True


def twilio(name: str, url: str, signature: str, **more: object) -> Signed:
    headers = {"x-twilio-signature": signature, **more.pop("headers", {})}  # type: ignore[dict-item]
    return Signed(name, "twilio", {"TWILIO_AUTH_TOKEN": "12345"}, url, headers, **more)  # type: ignore[arg-type]


def plivo(name: str, method: str, url: str, signature: str, **more: object) -> Signed:
    headers = {"x-plivo-signature-v3": signature, "x-plivo-signature-v3-nonce": "12345"}
    keys = {"PLIVO_AUTH_TOKEN": "my_auth_token"}
    return Signed(name, "plivo", keys, url, headers, method=method, **more)  # type: ignore[arg-type]


VECTORS = [
    twilio("form", TWILIO_URL, "RSOYDt4T1cUTdK1PDd93/VVr8B8=", form=TWILIO_FORM),
    twilio(
        "form, SHA-256",
        TWILIO_URL,
        "033hgUJA9M/hXIZsYjwkerEP/DBm35nEri5FhCYjA5s=",
        form=TWILIO_FORM,
        headers=SHA256_HEADER,
        free=("x-twilio-webhooks-signature-settings",),
    ),
    twilio(
        "json",
        f"{TWILIO_URL}&bodySHA256={BODY_SHA}",
        "a9nBmqA0ju/hNViExpshrM61xv4=",
        body=b'{"property": "value", "boolean": true}',
    ),
    twilio("socket", "wss://bot.example.com/ws", "c4TTtAVPJTzcp2rN7Q8Nwtala9A=", socket=True, method="GET"),
    twilio("socket/", "wss://bot.example.com/ws/", "7B1bPkKx/k4UCJkWsCzalNrfGh0=", socket=True, method="GET"),
    twilio(
        "socket:443", "wss://bot.example.com/ws", "yg8/0pIO0yZcDTiRCooevijpwMI=", socket=True, method="GET"
    ),
    twilio("GET", "https://bot.example.com/ws", "5jcGf19qPP76K/p3nV+9NOmtCq8=", method="GET"),
    Signed(
        "events",
        "telnyx",
        {"TELNYX_PUBLIC_KEY": TELNYX_KEY},
        "https://bot.example.com/",
        {"telnyx-signature-ed25519": TELNYX_SIGNATURE, "telnyx-timestamp": "1700000000"},
        body=b'{"data":{"event_type":"call.initiated"}}',
    ),
    plivo("GET", "GET", f"{PLIVO_URL}?foo=1&bar=2", "bM6D1/AG+q8iFMXCKDsTERzrr/Q0Rw1wxqa4VzY2Cws="),
    plivo(
        "POST",
        "POST",
        PLIVO_URL,
        "SzhlSUyoW1ShpQ+9VcUGeWujQQmgWFRr8TjCTBbiZwQ=",
        form=(("CallUUID", "c-1"), ("From", "14150000001"), ("To", "14150000002")),
    ),
    plivo(
        "POST?",
        "POST",
        f"{PLIVO_URL}?foo=1&bar=2",
        "ehYMCh/yhNX97Jv14C2lmPoNskQby3+++5w/NutyDmM=",
        form=(("CallUUID", "c-1"), ("From", "14150000001")),
    ),
    Signed(
        "login",
        "exotel",
        {"EXOTEL_WEBHOOK_AUTH": "user:pass word"},
        "https://bot.example.com/exotel/answer",
        {"authorization": "Basic " + base64.b64encode(b"user:pass word").decode()},
        method="GET",
    ),
]
IDS = [f"{vector.provider} {vector.name}" for vector in VECTORS]


@pytest.mark.parametrize("vector", VECTORS, ids=IDS)
def test_the_fact_sheet_s_vector_passes(vector: Signed) -> None:
    assert vector.passes()


def altered(text: str) -> Iterator[str]:
    """Each byte changed, each left out, and one more."""
    for at, char in enumerate(text):
        yield text[:at] + chr(ord(char) ^ 1) + text[at + 1 :]
        yield text[:at] + text[at + 1 :]
    yield text + "x"


def variants(vector: Signed) -> Iterator[Signed]:
    if vector.provider not in ("telnyx", "exotel"):  # these two do not sign the address
        for url in altered(vector.url):
            if url.startswith(("https://", "wss://")):
                yield replace(vector, url=url)
    for name, key in vector.keys.items():
        for other in altered(key):
            yield replace(vector, keys={name: other})
    for name, value in vector.headers.items():
        if name not in vector.free:
            for other in altered(value):
                yield replace(vector, headers={**vector.headers, name: other})
    for index, (name, value) in enumerate(vector.form):
        before, after = vector.form[:index], vector.form[index + 1 :]
        for other in altered(name):
            yield replace(vector, form=(*before, (other, value), *after))
        for other in altered(value):
            yield replace(vector, form=(*before, (name, other), *after))
        yield replace(vector, form=(*before, *after))
    if vector.form:
        yield replace(vector, form=(*vector.form, ("Extra", "1")))
    for body in altered(vector.body.decode()) if vector.body else ():
        yield replace(vector, body=body.encode())


def means_the_same(vector: Signed, other: Signed) -> bool:
    """Bytes that do not matter by the scheme's own rules: base64's unused bits, the case of `Basic`."""
    if vector.provider == "exotel" and vector.headers != other.headers:
        was, now = (v.headers["authorization"].partition(" ")[2] for v in (vector, other))
        try:
            return base64.b64decode(was) == base64.b64decode(now, validate=True)
        except ValueError:
            return False
    return vector.provider == "telnyx" and _decoded(vector) == _decoded(other) and vector.body == other.body


def _decoded(vector: Signed) -> object:
    try:
        return (
            base64.b64decode(vector.keys["TELNYX_PUBLIC_KEY"], validate=True),
            base64.b64decode(vector.headers["telnyx-signature-ed25519"], validate=True),
            vector.headers["telnyx-timestamp"],
        )
    except ValueError:
        return object()


@pytest.mark.parametrize("vector", VECTORS, ids=IDS)
@pytest.mark.faults(27)
def test_a_change_of_any_single_byte_is_refused(vector: Signed) -> None:
    tried = [other for other in variants(vector) if not means_the_same(vector, other)]
    assert len(tried) > 50
    passed = [other for other in tried if other.passes()]
    assert passed == []


@pytest.mark.parametrize("vector", VECTORS, ids=IDS)
def test_without_any_of_its_headers_it_is_refused(vector: Signed) -> None:
    for name in set(vector.headers) - set(vector.free):
        assert not replace(vector, headers={k: v for k, v in vector.headers.items() if k != name}).passes()


@pytest.mark.faults(27)
def test_an_old_and_a_future_telnyx_time_are_refused_though_they_are_signed() -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    vector = next(v for v in VECTORS if v.provider == "telnyx")

    def signed_at(at: float) -> Signed:
        stamp = str(int(at))
        signature = base64.b64encode(key.sign(f"{stamp}|".encode() + vector.body)).decode()
        headers = {"telnyx-signature-ed25519": signature, "telnyx-timestamp": stamp}
        return replace(vector, headers=headers)

    now = time.time()
    assert signed_at(now - 299).passes(now)
    assert signed_at(now + 299).passes(now)
    assert not signed_at(now - 302).passes(now)
    assert not signed_at(now + 302).passes(now)


def test_twilio_repeats_a_parameter_s_distinct_values_in_order() -> None:
    form = (("A", "2"), ("A", "1"), ("A", "2"))
    signed = "https://h/x" + "A1A2"
    import hmac

    signature = base64.b64encode(hmac.new(b"12345", signed.encode(), hashlib.sha1).digest()).decode()
    assert twilio("repeated", "https://h/x", signature, form=form).passes()


def test_an_unknown_algorithm_is_refused() -> None:
    headers = {"x-twilio-webhooks-signature-settings": "key=k1,algorithm=HMAC_MD5"}
    assert not twilio(
        "?", TWILIO_URL, "RSOYDt4T1cUTdK1PDd93/VVr8B8=", form=TWILIO_FORM, headers=headers
    ).passes()


def test_plivo_signs_a_bare_question_mark_where_a_post_has_no_query() -> None:
    fields = [("CallUUID", "c-1"), ("From", "14150000001"), ("To", "14150000002")]
    assert signed_text("POST", PLIVO_URL, fields, "n") == (
        f"{PLIVO_URL}?CallUUIDc-1From14150000001To14150000002.n"
    )
    assert signed_text("POST", f"{PLIVO_URL}?foo=1&bar=2", fields[:2], "12345") == (
        f"{PLIVO_URL}?bar=2&foo=1.CallUUIDc-1From14150000001.12345"
    )


def test_plivo_takes_any_of_several_signatures() -> None:
    vector = next(v for v in VECTORS if v.provider == "plivo")
    several = f"abc, {vector.headers['x-plivo-signature-v3']}"
    assert replace(vector, headers={**vector.headers, "x-plivo-signature-v3": several}).passes()


@pytest.mark.parametrize("name", PROVIDERS)
def test_garbage_is_refused_and_never_an_error_of_ours(name: str) -> None:
    keys = dict.fromkeys(provider_named(name, {}).all_keys(), "k:1234567")
    keys["TELNYX_PUBLIC_KEY"] = TELNYX_KEY
    provider = provider_named(name, keys)
    headers = dict.fromkeys(
        ("x-twilio-signature", "telnyx-signature-ed25519", "telnyx-timestamp", "x-plivo-signature-v3",
         "x-plivo-signature-v3-nonce", "authorization"), "\xff\ud800 ,,=;",
    )  # fmt: skip
    for body in (b"", b"\xff\xfe", b"%", b"a=%zz&&&=", b"&".join([b"a=1"] * 10_000), b"[" * 100_000):
        for more in ({}, {"content-type": FORM}, {"content-type": "application/json"}):
            with pytest.raises(RefusedError):
                provider.check_request(
                    WebRequest("POST", "https://h/x?a=%ff", {**headers, **more}, body), NOW
                )


def test_a_refusal_names_address_and_parameters_but_neither_values_nor_secrets() -> None:
    vector = replace(VECTORS[0], headers={"x-twilio-signature": "x"})
    with pytest.raises(RefusedError) as refused:
        provider_named("twilio", vector.keys).check_request(vector.request(), NOW)
    result = str(refused.value)
    assert "https://mycompany.com/myapp.php?foo&bar=…" in result
    assert "CallSid, Caller" in result
    assert "TWILIO_AUTH_TOKEN" in result
    assert "+1415" not in result
