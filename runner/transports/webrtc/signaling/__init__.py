"""Offers, answers, ICE candidates and data channel messages."""
