"""Channel mixers (feed-forward blocks): one file each. Importing this package needs no torch."""

from searchspaces.channels.channel import CHANNELS, Channel, channels, parse_channel, register_channel

__all__ = ["CHANNELS", "Channel", "channels", "parse_channel", "register_channel"]
