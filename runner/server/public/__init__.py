"""The public address of a run: phone calls of carriers, and nothing else.

`public_side` opens it and closes it again. `keeper` holds what exists once per run: the tunnel, the number
(`numbers`) and the `ledger/` of tokens, limits and calls made. `endpoints` are the carriers' routes on the
second listener. `public_calls` is what those know: address, providers, the way to the ledger. `call_ending`
hangs up.
"""
