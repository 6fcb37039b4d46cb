"""`completion`: the shell learns the commands."""

from __future__ import annotations

import click

from colonies_node.cli.verb import verb


@verb(
    "completion",
    None,
    "source <(colonies-node completion bash)\n"
    "colonies-node completion fish > ~/.config/fish/completions/colonies-node.fish",
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script for a shell."""
    from click.shell_completion import get_completion_class

    from colonies_node.cli.main import root

    made = get_completion_class(shell)
    if made is None:
        raise click.ClickException(f"There is no completion for {shell}.")
    click.echo(made(root, {}, "colonies-node", "_COLONIES_NODE_COMPLETE").source())
