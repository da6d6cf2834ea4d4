"""One file a revision; one that was shipped is never changed."""
