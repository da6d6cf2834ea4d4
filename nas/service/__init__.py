"""The service: what a client may ask for (`api`), answered in this process or elsewhere."""
