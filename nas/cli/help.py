"""Help in lines as long as the terminal is wide, whatever the docstring's are."""

from __future__ import annotations

import inspect

import typer

__all__ = ["unwrap_help"]


def unwrap_help(app: typer.Typer) -> None:
    """Join the lines of every paragraph that commands of the app, and of those in it, say of themselves:
    typer breaks them where the source does. Examples stay a line each."""
    for command in app.registered_commands:
        command.help = _unwrapped(command.help or inspect.getdoc(command.callback) or "")
    if app.registered_callback is not None:
        app.registered_callback.help = _unwrapped(inspect.getdoc(app.registered_callback.callback) or "")
    for group in app.registered_groups:
        if group.typer_instance is not None:
            group.help = _unwrapped(inspect.cleandoc(group.typer_instance.info.help or ""))
            unwrap_help(group.typer_instance)


def _unwrapped(text: str) -> str:
    paragraphs = text.split("\n\n")
    return "\n\n".join(part if part.startswith("[dim]") else part.replace("\n", " ") for part in paragraphs)
