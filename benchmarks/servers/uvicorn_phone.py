"""The floor: Twilio's messages echoed by Starlette on uvicorn, nothing between: JSON, base64 and G.711 read
and written again.

    python uvicorn_phone.py --port 7870
"""

from __future__ import annotations

import argparse
import json
from binascii import a2b_base64, b2a_base64
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from runner.audio.g711 import ulaw_decode, ulaw_encode


async def echo(socket: WebSocket) -> None:
    """One call."""
    await socket.accept()
    try:
        while True:
            message: dict[str, Any] = json.loads(await socket.receive_text())
            if message["event"] == "media":
                await socket.send_text(answer_to(message))
    except WebSocketDisconnect:
        return


def answer_to(message: dict[str, Any]) -> str:
    pcm = ulaw_decode(a2b_base64(message["media"]["payload"]))
    payload = b2a_base64(ulaw_encode(pcm), newline=False).decode()
    return json.dumps({"event": "media", "streamSid": message["streamSid"], "media": {"payload": payload}})


app = Starlette(routes=[WebSocketRoute("/ws", echo)])

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    uvicorn.run(app, host="127.0.0.1", port=parser.parse_args().port, log_level="warning")
