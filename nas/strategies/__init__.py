"""Search strategies: one file each, registered by `@register_strategy`."""

from nas.strategies.strategy import STRATEGIES, Strategy, get_strategy, register_strategy, strategies

__all__ = ["STRATEGIES", "Strategy", "get_strategy", "register_strategy", "strategies"]
