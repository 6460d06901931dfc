"""Record a call as audio and as subtitles."""
