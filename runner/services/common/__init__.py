"""Connections, retries and errors that network services share."""
