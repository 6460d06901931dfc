"""Helper process of the recogniser: `python -m runner.services.local.ears_helper`. It decodes one speaker at
a time.

in    {"begin": 7, "grammar": "commands", "over_bot": true}   an utterance
                               + JSGF of a custom grammar
      {"feed": 7} + pcm        its sound at 16 kHz, decoded as it comes
      {"finish": 7}            the utterance is over: answer
      {"abort": 7}             discard the utterance
out   {"ready": true}
      {"heard": 7, "text": "what time is it", "score": 0.41, "rejected": false, "asks": 3.2}
"""

from __future__ import annotations

from runner.services.local.helpers import Message, Pipe
from runner.services.local.recogniser import Recogniser


def answer(recogniser: Recogniser, message: Message) -> dict[str, object] | None:
    """Handle a message."""
    match message.header:
        case {"begin": number, "grammar": str(grammar), "over_bot": bool(over_bot)}:
            if message.payload:
                try:
                    recogniser.learn(grammar, message.payload.decode())
                except ValueError as error:
                    recogniser.begin()
                    return {"heard": number, "error": str(error)}
            recogniser.begin(grammar, over_bot=over_bot)
        case {"begin": _} | {"abort": _}:
            recogniser.begin()
        case {"feed": _}:
            recogniser.feed(message.payload)
        case {"finish": number}:
            heard = recogniser.finish()
            return {
                "heard": number,
                "text": heard.text,
                "score": round(heard.score, 3),
                "rejected": heard.score < 0,
                "asks": None if heard.asks is None else round(heard.asks, 3),
            }
    return None


def main() -> None:
    """Serve until stdin ends."""
    pipe = Pipe()
    recogniser = Recogniser()
    # The first utterance loads the models' pages into memory, so decode one before the first call.
    recogniser.begin()
    recogniser.feed(bytes(2 * 16000))
    recogniser.finish()
    pipe.send({"ready": True})
    for message in pipe.messages():
        if (reply := answer(recogniser, message)) is not None:
            pipe.send(reply)


if __name__ == "__main__":
    main()
