"""One call over a transport of Pipecat: the provider's socket, botrun's WebRTC connection, a Daily room."""
