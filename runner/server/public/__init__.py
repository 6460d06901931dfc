"""What a public address brings: carriers' calls, and nothing else.

`opening` opens it all and puts it back; `keeper` has what is there once in a run: the tunnel, the number
(`numbers`, `number_book`) and the `ledger`, which keeps count (`limits`, `tickets`, `outgoing`). `door` is
the second listener, with the carriers' routes; `exchange` what it knows: address, providers, and the way to
the ledger (`desk`, `desk_line`). `farewell` ends a provider's call.
"""
