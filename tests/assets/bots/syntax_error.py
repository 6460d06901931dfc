import json


async def bot(runner_args)
    pass
