"""Channel mixers (feed-forward blocks): one file each. Importing this package needs no torch."""

from searchspaces.channels.channel import Channel, channels, parse_channel, register_channel

__all__ = ["Channel", "channels", "parse_channel", "register_channel"]
