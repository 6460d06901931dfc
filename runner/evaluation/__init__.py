"""Language models that play the caller and judge calls, and a user's own check of the end state."""
