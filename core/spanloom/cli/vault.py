"""`spanloom vault`: reads what was kept, erases a subject, and shows the proof."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..errors import ConfigurationError
from .words import count, one_line, safe

if TYPE_CHECKING:
    from ..vault import Keys, Vault

_KMS = "aws-kms:"
_AUDIT_WIDTH = 110
_store = click.option(
    "--store", envvar="SPANLOOM_VAULT_STORE", default="spanloom-vault", show_default=True, metavar="URL",
    help="The store of Vault(store, …); else SPANLOOM_VAULT_STORE.",
)  # fmt: skip
_keys = click.option(
    "--keys", envvar="SPANLOOM_VAULT_KEYS", default="spanloom-keys.db", show_default=True, metavar="KEYS",
    help="The file of Keyring(…), or aws-kms:<key id>@<store of the wrapped keys>; else SPANLOOM_VAULT_KEYS. "
    "Without @, the wrapped keys are in the folder keys of the store.",
)  # fmt: skip


@click.group()
def vault() -> None:
    """Read and erase what a vault keeps."""


@vault.command()
@click.argument("reference")
@_store
@_keys
def show(reference: str, store: str, keys: str) -> None:
    """Print the content that REFERENCE names, as it stands on a span: vault:…"""
    with _vault(store, keys) as opened:
        content = opened.read(reference)
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, indent=2)
    click.echo(safe(text.encode("utf-8", "backslashreplace").decode()))


@vault.command()
@click.option("--user", help="The id of a user.")
@click.option("--tenant", help="The id of a tenant.")
@click.option("--session", help="The id of a session.")
@click.option("--trace", help="The id of a trace whose content has no subject.")
@click.option("--subject", help="What the application's own function for the subject returned.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_store
@_keys
def erase(yes: bool, store: str, keys: str, **named: str | None) -> None:
    """Make all content of one subject unreadable, for good.

    Destroys its data keys, deletes what was kept, and writes a record into the audit log. Traces stay.
    """
    given = [(kind, name) for kind, name in named.items() if name]
    if len(given) != 1:
        raise click.UsageError("Name one subject: --user, --tenant, --session, --trace or --subject.")
    ((kind, name),) = given
    with _vault(store, keys) as opened:
        if not yes:
            click.confirm(f"Erase all content of {kind} {one_line(name)} in {store} for good?", abort=True)
        done = opened.erase(**{kind: name})
    console = Console(highlight=False)
    if not done.keys and not done.objects:
        console.print(
            Text(f"Nothing of {kind} {one_line(name)} is in this vault. Is it kept by {kind} there?"), soft_wrap=True
        )
    else:
        left = "" if done.objects_left == 0 else ", the rest could not be deleted and cannot be read"
        console.print(
            Text(
                f"Erased {kind} {one_line(name)}: {count(len(done.keys), 'key')} destroyed, "
                f"{count(done.objects, 'object')} deleted{left}."
            ),
            soft_wrap=True,
        )
    console.print(Text(f"Record {done.record}\nSHA-256 {done.digest}", style="dim"), soft_wrap=True)


@vault.command()
@click.option("--expect", multiple=True, metavar="DIGEST", help="The SHA-256 of a record that must be there.")
@_store
def audit(store: str, expect: tuple[str, ...]) -> None:
    """List the erasures, and verify that their log hangs together.

    Exits with 1 where a record is missing or was altered.
    """
    with _vault(store, None) as opened:
        log = opened.audit(tuple(e.lower() for e in expect))
    console = Console(highlight=False)
    if log.records:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for name in ("erased", "subject", "keys", "objects", "left", "verified", "sha-256"):
            table.add_column(name, justify="right" if name in ("keys", "objects", "left") else "left", no_wrap=True)
        for record in log.records:
            erasure = record.erasure
            table.add_row(
                datetime.fromisoformat(record.written).astimezone().strftime("%Y-%m-%d %H:%M:%S"),
                one_line(erasure.subject),
                f"{len(erasure.keys):,}",
                f"{erasure.objects:,}",
                "?" if erasure.objects_left is None else f"{erasure.objects_left:,}",
                "yes" if erasure.verified else Text("no", style="bold red"),
                record.digest[:16],
            )
        # a terminal wraps what is wider than itself; what is cut out of a proof is lost
        Console(highlight=False, width=max(console.width, _AUDIT_WIDTH)).print(table)
    elif not log.faults:
        console.print(f"Nothing was erased in {store} yet.", soft_wrap=True)
    for fault in log.faults:
        console.print(Text.assemble(("FAILED  ", "bold red"), one_line(fault)), soft_wrap=True)
    if log.faults:
        raise SystemExit(1)
    if log.records:
        console.print(f"{count(len(log.records), 'record')}, unbroken.", soft_wrap=True)


@contextmanager
def _vault(store: str, keys: str | None) -> Iterator[Vault]:
    """The vault that is there: nothing is made. What it raises is one sentence."""
    from ..vault import Vault, VaultError  # noqa: PLC0415  costs 30 ms: only where used

    try:
        opened = Vault(store, _NoKeys() if keys is None else _provider(keys, store))
        if not opened.exists():
            raise click.ClickException(f"There is no vault at {store}: --store names another.")
        if (check := getattr(opened.keys, "open", None)) is not None:
            check()
        yield opened
    except (ConfigurationError, VaultError) as error:
        raise click.ClickException(str(error)) from error


def _provider(keys: str, store: str) -> Keys:
    from ..vault import AwsKms, Keyring  # noqa: PLC0415

    if keys.startswith(_KMS):
        key_id, _, place = keys.removeprefix(_KMS).partition("@")
        return AwsKms(key_id, place or f"{store.rstrip('/')}/keys")
    if not Path(keys).expanduser().is_file():
        raise click.ClickException(f"There is no keyring at {keys}: --keys names another.")
    return Keyring(keys)


class _NoKeys:
    """For what needs none."""

    def _none(self, *_: Any) -> Any:
        raise ConfigurationError("This needs the keys of the vault.")

    create: Callable[..., Any] = _none
    get: Callable[..., Any] = _none
    ids: Callable[..., Any] = _none
    destroy: Callable[..., Any] = _none


__all__ = ["vault"]
