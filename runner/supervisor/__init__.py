"""Save, and keep talking: a supervisor that outlives the bot's code, and workers that run it.

    botrun ── supervisor      holds port, keyboard, file watch; imports next to nothing, never `.env`
                └─ nursery    has imported what is heavy, but no bot; forks a worker in milliseconds
                     ├─ keeper     with a public address: tunnel, number, count of calls
                     ├─ worker 1   the code from before: finishes the calls that cannot move
                     └─ worker 2   the new code: accepts once it has been imported cleanly

They speak in JSON lines (`runner/eventloop/json_channel.py`); the messages stand in `worker/supervised.py`.
"""
