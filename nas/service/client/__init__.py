"""The client's side: a service elsewhere, asked over gRPC."""
