"""Readouts: what turns tokens into answers, one file each. Importing this package needs no torch."""

from searchspaces.readouts.readout import READOUTS, Readout, parse_readout, readouts, register_readout

__all__ = ["READOUTS", "Readout", "parse_readout", "readouts", "register_readout"]
