"""The far ends of calls: the local phone, the WebRTC caller, scenarios, load."""
