"""Devices that measure. Importing this package needs neither torch nor grpc."""
