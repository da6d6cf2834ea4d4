"""Mixers beside each other: what each takes and how exact it is, and whether mixing them pays."""
