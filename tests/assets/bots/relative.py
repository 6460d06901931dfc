from .a_neighbour import SAME_MODULE  # noqa: F401
