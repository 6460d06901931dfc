"""Unchanged Pipecat bots: their own pipecat runs the pipeline, botrun carries the call.

    loading.py      before and after the bot's file is imported; the only module that needs no pipecat
    adapter.py      wraps `bot(runner_args)`: one call, from its arguments to its end
    arguments.py    botrun's arguments -> the classes of `pipecat.runner.types`
    transports/     the provider's socket, botrun's WebRTC connection and a Daily room in Pipecat's shape;
                    parameters for a transport that the bot does not name
    memory.py       the conversation that a save keeps
    pipeline.py     joins a running pipeline to its call: greeting, interruption, app messages
    observers.py    turn and stop latency, silence, transcript, from the pipeline's frames
    call_events.py  the same frames as events of the session, for its record
    loguru_log.py   loguru's records in botrun's log
    older.py        names that the installed pipecat does not have, and what to use instead
    runner_app.py   what bots ask of `pipecat.runner.run`: routes and command line arguments
    patches.py      every attribute of pipecat that is replaced, in one table

Loaded only when the bot's files import pipecat.
"""
