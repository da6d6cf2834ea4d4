"""Search strategies: one file each, registered by `@register_strategy`."""

from nas.strategies.strategy import Strategy, parse_strategy, register_strategy, strategies

__all__ = ["Strategy", "parse_strategy", "register_strategy", "strategies"]
