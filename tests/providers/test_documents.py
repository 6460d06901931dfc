"""Answer documents, and what a handshake makes of what they pass along."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.callers.wires import wire_for
from runner.errors import ProviderError
from runner.providers import PROVIDERS, provider_named
from runner.providers.webhooks import FORM, CallFacts, MediaSocket, WebRequest
from runner.serializers.handshake import CallInfo, Handshake

SOCKET = MediaSocket(origin="wss://h", token="TOKEN")
CALL = CallFacts(call_id="C1", from_number="+14150000001", to_number="+14150000002")
HEAD = '<?xml version="1.0" encoding="UTF-8"?><Response>'


def handshake(provider: str, parameters: dict[str, str]) -> CallInfo:
    reader = Handshake()
    for message in wire_for(provider, custom_parameters=parameters).opening():
        result = reader.feed(message)
    assert result is not None
    return result


def test_twiml_has_the_official_shape() -> None:
    document = provider_named("twilio", {}).answer(CALL, SOCKET)
    assert document.media_type == "application/xml"
    assert document.text == (
        f'{HEAD}<Connect><Stream url="wss://h/ws/TOKEN">'
        '<Parameter name="from_number" value="+14150000001" />'
        '<Parameter name="to_number" value="+14150000002" /></Stream></Connect></Response>'
    )


def test_texml_asks_for_rtp_both_ways() -> None:
    document = provider_named("telnyx", {}).answer(CALL, SOCKET)
    assert document.text == (
        f'{HEAD}<Connect><Stream url="wss://h/ws/TOKEN" bidirectionalMode="rtp" bidirectionalCodec="PCMU">'
        '<Parameter name="from_number" value="+14150000001" />'
        '<Parameter name="to_number" value="+14150000002" /></Stream></Connect></Response>'
    )


def test_plivo_xml_keeps_the_call_and_has_the_address_as_its_text() -> None:
    document = provider_named("plivo", {}).answer(CALL, SOCKET)
    assert document.text == (
        f'{HEAD}<Stream bidirectional="true" keepCallAlive="true" contentType="audio/x-mulaw;rate=8000"'
        ' extraHeaders="fromNumber=14150000001,toNumber=14150000002">wss://h/ws?token=TOKEN</Stream></Response>'
    )


def test_exotel_gets_the_address_in_json() -> None:
    document = provider_named("exotel", {}).answer(CALL, SOCKET)
    assert (document.media_type, json.loads(document.text)) == (
        "application/json",
        {"url": "wss://h/ws/TOKEN"},
    )


@pytest.mark.parametrize("name", ["twilio", "telnyx", "plivo"])
def test_the_caller_s_number_comes_back_in_the_start_message(name: str) -> None:
    tree = ET.fromstring(provider_named(name, {}).answer(CALL, SOCKET).text)
    fields = {p.attrib["name"]: p.attrib["value"] for p in tree.iter("Parameter")}
    extra = next(tree.iter("Stream")).attrib.get("extraHeaders", "")
    fields |= dict(pair.split("=") for pair in extra.split(",") if pair)
    result = handshake(name, fields)
    assert result.from_number is not None
    assert result.from_number.removeprefix("+") in ("14150000001", "15550001001")  # Telnyx tells it itself


@pytest.mark.parametrize("name", ["twilio", "telnyx", "plivo"])
@given(number=st.text(max_size=600))
def test_whatever_a_number_is_the_document_can_be_read(name: str, number: str) -> None:
    call = CallFacts(from_number=number, to_number='+1"<&>')
    tree = ET.fromstring(provider_named(name, {}).answer(call, SOCKET).text.encode())
    assert len(list(tree.iter("Stream"))) == 1


@pytest.mark.parametrize("name", PROVIDERS)
def test_busy_and_the_end_bring_no_sound_here(name: str) -> None:
    provider = provider_named(name, {})
    for document in (provider.busy(), provider.end()):
        assert "Stream" not in document.text
        assert "wss:" not in document.text
    if name != "exotel":
        assert 'reason="busy"' in provider.busy().text


def test_plivo_fetches_where_a_transferred_caller_goes() -> None:
    document = provider_named("plivo", {}).transfer_document("+14150000003")
    assert document.text == f"{HEAD}<Dial><Number>+14150000003</Number></Dial></Response>"
    with pytest.raises(ProviderError):
        provider_named("twilio", {}).transfer_document("+14150000003")


WEBHOOKS = [
    ("twilio", "CallSid=C1&From=%2B1415&To=%2B1416&Direction=outbound-api&AnsweredBy=machine_start",
     CallFacts(call_id="C1", from_number="+1415", to_number="+1416", outbound=True, answered_by="machine")),
    ("twilio", "CallSid=C1&From=%2B1415&To=%2B1416&Direction=inbound",
     CallFacts(call_id="C1", from_number="+1415", to_number="+1416")),
    ("telnyx", "CallSid=C1&From=%2B1415&To=%2B1416&Direction=inbound",
     CallFacts(call_id="C1", from_number="+1415", to_number="+1416")),
    ("plivo", "CallUUID=C1&From=14150000001&To=14150000002&Direction=outbound&Machine=true",
     CallFacts(call_id="C1", from_number="+14150000001", to_number="+14150000002", outbound=True,
               answered_by="machine")),
    ("exotel", "CallSid=C1&CallFrom=098&CallTo=080&Direction=incoming",
     CallFacts(call_id="C1", from_number="098", to_number="080")),
]  # fmt: skip


@pytest.mark.parametrize(("name", "fields", "call"), WEBHOOKS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_webhook_describes_the_call(name: str, fields: str, call: CallFacts, method: str) -> None:
    if method == "GET":
        request = WebRequest("GET", f"https://h/answer?{fields}")
    else:
        request = WebRequest("POST", "https://h/answer", {"content-type": FORM}, fields.encode())
    assert provider_named(name, {}).read_call(request) == call


def test_telnyx_sends_events_as_json() -> None:
    payload = {
        "call_control_id": "v3:a",
        "from": "+1",
        "to": "+2",
        "direction": "outgoing",
        "result": "machine",
    }
    body = json.dumps({"data": {"event_type": "call.machine.detection.ended", "payload": payload}}).encode()
    call = provider_named("telnyx", {}).read_call(WebRequest("POST", "https://h/", {}, body))
    assert call == CallFacts(
        call_id="v3:a", from_number="+1", to_number="+2", outbound=True, answered_by="machine"
    )


def test_the_repr_of_what_travels_shows_neither_numbers_nor_tokens() -> None:
    assert "+1415" not in repr(CALL)
    assert "TOKEN" not in repr(SOCKET)
