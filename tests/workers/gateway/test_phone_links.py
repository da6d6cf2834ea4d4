"""Links that admit one browser."""

import pytest

from workers.errors import LinkRefused
from workers.gateway.links import LINK_SECONDS, Links


def test_a_link_is_good_for_one_use_within_ten_minutes() -> None:
    now = [0.0]
    links = Links(lambda: now[0])
    first, second = links.new(), links.new()
    assert LINK_SECONDS == 600
    now[0] = LINK_SECONDS - 1
    links.use(first)
    with pytest.raises(LinkRefused, match="used before"):
        links.use(first)
    assert links.admits(second)
    now[0] = LINK_SECONDS
    assert not links.admits(second)
    with pytest.raises(LinkRefused, match="ten minutes"):
        links.use(second)
    assert len(links.new()) >= 32
