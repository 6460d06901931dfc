"""The public address of a run: phone calls from providers, and nothing else.

`public_side` opens and closes it. `keeper` has what exists once per run: the tunnel, the number and the
ledger of tokens, limits and dialled calls. `endpoints` are the providers' routes on the second listener, and
end calls. `public_calls` is their shared state: address, providers and access to the ledger.
"""
