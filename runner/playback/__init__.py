"""Services that answer as in a recorded call: recogniser, language model, voice, tools, with their times."""
