"""`key`: private keys and their ids."""

from __future__ import annotations

import json
import os

import click

from colonies_node import keyfiles
from colonies_node.cli.verb import Noun, as_json, key_path, named

command = Noun("key", help="Make private keys and show their ids.")


@command.verb(
    "generate",
    None,
    "colonies-node key generate --out user.key\n"
    "colonies-node key generate --encrypt --out user.key   # asks for a passphrase",
)
@click.option("--out", metavar="FILE", help="Write the key to this new file, which only you can read.")
@click.option("--encrypt", is_flag=True, help="Keep the key under a passphrase; needs --out.")
@as_json
def generate(out: str | None, encrypt: bool, as_json: bool) -> None:
    """Make a private key and show its id.

    Without --out the key itself is printed.
    """
    from colonies_node.core import identity, keyfile

    if encrypt and not out:
        raise click.UsageError("--encrypt needs --out FILE.")
    private_key = identity.new_private_key(os.urandom(32))
    made = {"id": identity.id_of(private_key)}
    if out:
        path = key_path(out)
        text = private_key + "\n"
        if encrypt:
            if path.exists():
                keyfiles.write_key_file(path, "")  # refuses before it asks for a passphrase
            salt, nonce = os.urandom(keyfile.SALT_BYTES), os.urandom(keyfile.NONCE_BYTES)
            text = keyfile.seal(private_key, keyfiles.new_passphrase(path), salt, nonce)
        keyfiles.write_key_file(path, text)
        made["file"] = str(path)
    else:
        made["prvkey"] = private_key
    _show(made, as_json)


@command.verb(
    "id",
    None,
    "colonies-node key id user.key\ncolonies-node key id            # of the key in COLONIES_PRVKEY",
)
@named("--prvkey", "A private key or key file; without it the one in COLONIES_PRVKEY.", required=False)
@as_json
def id(prvkey: str | None, as_json: bool) -> None:
    """Show the id of a private key or key file.

    An encrypted key file tells its id without its passphrase.
    """
    value = prvkey or os.environ.get("COLONIES_PRVKEY")
    if not value:
        raise click.UsageError("Give a key file, or set COLONIES_PRVKEY.")
    found = keyfiles.key_id(value)
    click.echo(json.dumps({"id": found}) if as_json else found)


def _show(made: dict[str, str], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(made, indent=2))
        return
    words = {"id": "id", "file": "key file", "prvkey": "private key"}
    for name, value in made.items():
        click.echo(f"{words[name]}: {value}")
