"""HTTP and WebSocket connections under uvicorn, and TLS."""
