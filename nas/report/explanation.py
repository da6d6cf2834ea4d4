"""An explanation of a front (`Service.explain`) in words, the same in the terminal and on the page."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from nas.report.numbers import readable_share

__all__ = ["importance_rows", "member_rows", "page_section", "shared_sentences"]

SHOWN = 8
"""Shared options, and members, that are told of."""


def importance_rows(explanation: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """The objectives, and of each gene its name and its share in each objective, the greatest share first."""
    importance = explanation["importance"]
    genes = {gene for shares in importance.values() for gene in shares}
    ordered = sorted(genes, key=lambda gene: (-max(shares[gene] for shares in importance.values()), gene))
    rows = [[gene, *(readable_share(shares[gene]) for shares in importance.values())] for gene in ordered]
    return list(importance), rows


def shared_sentences(explanation: Mapping[str, Any]) -> list[str]:
    """E.g. ``mixer of layer 2 is softmax in 83% of the front (11% elsewhere)``."""
    sentences = []
    for item in explanation["shared"][:SHOWN]:
        where = f" of layer {item['layer']}" if item["layer"] is not None else ""
        shares = (
            f"{readable_share(item['on_front'])} of the front ({readable_share(item['elsewhere'])} elsewhere)"
        )
        sentences.append(f"{item['gene']}{where} is {item['option']} in {shares}")
    return sentences


def member_rows(explanation: Mapping[str, Any]) -> list[list[str]]:
    """Of each member its digest, what it is best in, and the share of the hypervolume that is its alone."""
    return [
        [m["digest"][:8], ", ".join(m["best_in"]), readable_share(m["contribution"])]
        for m in explanation["members"][:SHOWN]
    ]


def page_section(explanation: Mapping[str, Any]) -> str:
    """As HTML."""
    objectives, rows = importance_rows(explanation)
    shared = "".join(f"<li>{escape(sentence)}</li>" for sentence in shared_sentences(explanation))
    return (
        "<h2>What matters</h2>"
        "<p class='legend'>share of each gene in how an objective changes, from "
        f"{explanation['evaluations']} evaluations</p>"
        + _table(["gene", *objectives], rows)
        + (f"<h2>What the front's members share</h2><ul>{shared}</ul>" if shared else "")
        + "<h2>Why they are on the front</h2>"
        + _table(["digest", "best in", "hypervolume that is its alone"], member_rows(explanation))
    )


def _table(heads: list[str], rows: list[list[str]]) -> str:
    head = "".join(f"<th class='{_kind(n)}'>{escape(name)}</th>" for n, name in enumerate(heads))
    body = "".join(
        "<tr>"
        + "".join(f"<td class='{_kind(n)}'>{escape(cell)}</td>" for n, cell in enumerate(row))
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _kind(column: int) -> str:
    return "text" if column == 0 else ""
