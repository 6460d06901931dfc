"""Pure functions on text and streams that services share."""
