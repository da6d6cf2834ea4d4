"""Search strategies: one file each, registered by `@register_strategy`."""

from nas.strategies.strategy import Strategy, get_strategy, register_strategy, strategies

__all__ = ["Strategy", "get_strategy", "register_strategy", "strategies"]
