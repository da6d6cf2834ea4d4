"""The server's side: gRPC for users, who may call, what a call may ask for, and what `nas serve` starts."""
