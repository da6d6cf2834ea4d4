"""Version 1 of proto/nas/rpc."""
