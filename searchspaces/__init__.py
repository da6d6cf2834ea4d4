"""Search spaces of efficient transformers. Importing this package needs no torch."""

from searchspaces.architecture import NO_MIXER, Architecture, Layer
from searchspaces.declaration import SpaceSpec
from searchspaces.encoding import Encoding, Population
from searchspaces.errors import Problem, SpaceError
from searchspaces.space import SearchSpace, load_space, space_names

__all__ = [
    "NO_MIXER",
    "Architecture",
    "Encoding",
    "Layer",
    "Population",
    "Problem",
    "SearchSpace",
    "SpaceError",
    "SpaceSpec",
    "load_space",
    "space_names",
]
