"""Stems: what turns inputs into tokens, one file each. Importing this package needs no torch."""

from searchspaces.stems.stem import STEMS, PaddedStem, Stem, parse_stem, register_stem, stems, view_of

__all__ = ["STEMS", "PaddedStem", "Stem", "parse_stem", "register_stem", "stems", "view_of"]
