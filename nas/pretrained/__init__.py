"""Pretrained models of Hugging Face: read into this project's terms, nested, and compared with what replaces
their parts. Importing this package needs no torch."""

from nas.pretrained.parent import KEEP, Parent, read_parent

__all__ = ["KEEP", "Parent", "read_parent"]
