"""A helper process of the ears: `python -m runner.services.local.ears_helper`. It hears one talker at a time.

in    {"begin": 7, "grammar": "commands", "over_bot": true}   an utterance
                               + JSGF, of a grammar that is not one of ours
      {"feed": 7} + pcm        its sound at 16 kHz, decoded as it comes
      {"finish": 7}            it is over: answer
      {"abort": 7}             nobody wants to know
out   {"ready": true}
      {"heard": 7, "text": "what time is it", "score": 0.41, "rejected": false, "asks": 3.2}
"""

from __future__ import annotations

from runner.services.local.helpers import Message, Pipe
from runner.services.local.recogniser import Recogniser


def answer(recogniser: Recogniser, message: Message) -> dict[str, object] | None:
    """Do what a message says."""
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
    # The first utterance reads the models' pages into memory: not on a caller's time.
    recogniser.begin()
    recogniser.feed(bytes(2 * 16000))
    recogniser.finish()
    pipe.send({"ready": True})
    for message in pipe.messages():
        if (reply := answer(recogniser, message)) is not None:
            pipe.send(reply)


if __name__ == "__main__":
    main()
