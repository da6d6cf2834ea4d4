"""Generated stubs of what users say to the service."""
