"""Connections, retries and errors of network services."""
