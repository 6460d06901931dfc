"""The routes of the main port."""
