from ..above import SAID as ABOVE
from .beside import SAID as BESIDE


async def bot(runner_args):
    """Says where its words come from."""
    return ABOVE, BESIDE
