"""The service: what a client may ask for."""
