"""What people look at: architectures as strips, fronts as an interactive page and as a picture."""
