"""Observe a running pipeline: latency, silence, slow processors, missing parts."""
