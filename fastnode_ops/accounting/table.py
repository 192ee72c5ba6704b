"""The accounts as people read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from fastnode_ops.accounting.balance import Accounts, HostAccount


def print_accounts(accounts: Accounts, hosts: Sequence[HostAccount], stream: TextIO) -> None:
    """Write the table, and what is wrong below it."""
    from rich.console import Console
    from rich.table import Table

    rows = [
        ("planned", accounts.planned, ""),
        ("made", accounts.made, "of them by several hosts: " + f"{accounts.made_twice.num_files:,} files"),
        ("synced", accounts.synced, "came here and was verified"),
        ("used", accounts.used, f"in the model; read again in later epochs: {accounts.used_again:,} samples"),
        ("left", accounts.left, "stands here, not used yet"),
        ("waiting", accounts.waiting, "on hosts that answer"),
        ("not made", accounts.not_made, "yet, or only by a host that does not answer"),
        ("lost", accounts.lost, "made, and nowhere"),
    ]
    table = Table(title="Samples (training batches)", title_justify="left")
    for title in ("", "files", "samples", ""):
        table.add_column(title, justify="right" if title else "left")
    for name, count, remark in rows:
        table.add_row(name, f"{count.num_files:,}", f"{count.num_samples:,}", remark)
    table.add_row("duplicated", "", f"{accounts.num_duplicated:,}", "read twice within an epoch")
    console = Console(file=stream, width=None if stream.isatty() else 120, markup=False)
    console.print(table)
    for host in hosts:
        says = f"host {host.host}: has made {len(host.made):,} files, of which {len(host.files):,} stand there"
        console.print(host.trouble or says, soft_wrap=True)
    if accounts.num_elsewhere:
        console.print(f"{accounts.num_elsewhere:,} updates of the model were not read from files")
    for line in accounts.troubles:
        console.print(f"wrong: {line}", soft_wrap=True)
