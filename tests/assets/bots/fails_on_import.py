"""The fault is in the user's own code, though the library below it raises."""

import json


def read() -> object:
    return json.loads("{")


CONFIG = read()
