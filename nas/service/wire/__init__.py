"""What both sides of the wire agree on: messages, errors, and folders of files."""
