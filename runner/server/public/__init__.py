"""What a public address brings: carriers' calls, and nothing else.

`opening` opens it all and puts it back; `door` is the second listener, with the carriers' routes;
`exchange` knows the run's address, providers and answered calls; `limits`, `tickets` and `outgoing` keep
count; `numbers` and `number_book` set a number and remember what it did before; `farewell` ends a
provider's call.
"""
