"""The wire between service and workers: generated stubs in `v1`, and `convert` beside them."""
