"""`loopfront agent`: measure on this machine and on those it reaches, add one, find out what is wrong with one."""

import getpass
import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from devices.untrusted_text import visible_log
from service.commands.agent_tokens import own_service, store_and_run_again, token_file, token_of
from service.commands.listing import listing
from service.commands.options import DataFolderOption
from service.errors import BadInput
from service.settings import load_settings

if TYPE_CHECKING:
    from devices.agent_config import HostEntry
    from devices.agent_token import AgentToken
    from devices.doctor import Diagnosis

app = typer.Typer(
    invoke_without_command=True, help="Measure on this machine, on those it reaches over SSH, and on phones."
)

KEY_NAMES = ("id_ed25519", "id_ecdsa", "id_rsa")
LARGEST_PORT = 65535

FolderOption = Annotated[
    Path | None,
    typer.Option(
        "--folder", help="For runner, weight pools and results. (default: ~/.local/share/loopfront-agent)"
    ),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="The machines to reach. (default: ~/.config/loopfront/agent.toml)"),
]
NoPhonesOption = Annotated[
    bool,
    typer.Option("--no-phones", help="Leave the phones alone that adb shows. (or: LOOPFRONT_AGENT_PHONES=0)"),
]

FromDirOption = Annotated[
    Path | None,
    typer.Option("--from-dir", help="Fetch nothing: take it from this folder, which `agent fetch` filled."),
]
TokenFileOption = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        help="The file that holds the agent token; else LOOPFRONT_AGENT_TOKEN, that of a service of this machine and "
        "user, or the one that --token kept.",
    ),
]


@app.callback()
def run(  # noqa: PLR0913, PLR0917 - a command's options are its arguments
    context: typer.Context,
    server: Annotated[
        str | None, typer.Option("--server", help="Address of the service, such as http://127.0.0.1:8765.")
    ] = None,
    name: Annotated[str, typer.Option("--name", help="Name of this machine. (default: its host name)")] = "",
    folder: FolderOption = None,
    config: ConfigOption = None,
    no_phones: NoPhonesOption = False,
    from_dir: FromDirOption = None,
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            help="What `loopfront token agent` printed on the service's machine; it is kept in "
            "~/.config/loopfront/agent-tokens for this service, so that once is enough.",
        ),
    ] = None,
    token_path: TokenFileOption = None,
    data_folder: DataFolderOption = None,
) -> None:
    """Register this machine, every one of agent.toml and every phone that adb shows, and measure until Ctrl-C."""
    if context.invoked_subcommand is not None and token is None:
        return
    if server is None:
        raise BadInput("is missing", field="--server", hint="give the address that `loopfront up` printed")
    if token is not None:
        store_and_run_again(token, server)
    from devices.agent import main  # noqa: PLC0415 - of no use to other commands

    arguments = ["--server", server, "--folder", str(folder or _usual_folder()), "--name", name]
    path = config or _usual_config()
    if config is not None or path.exists():
        arguments += ["--config", str(path)]
    arguments += ["--no-phones"] if no_phones else []
    if from_dir is not None:
        arguments += ["--from-dir", str(from_dir)]
    if (found := token_file(token_path, server, data_folder)) is not None:
        arguments += ["--token-file", str(found)]
    raise typer.Exit(main(arguments))


@app.command("add-ssh")
def add_ssh(  # noqa: PLR0913, PLR0917 - a command's options are its arguments
    address: Annotated[str, typer.Argument(help="user@host, or user@host:port.")],
    name: Annotated[str | None, typer.Option("--name", help="Its name. (default: the host)")] = None,
    key: Annotated[
        Path | None, typer.Option("--key", help="Your private key. (default: ~/.ssh/id_ed25519)")
    ] = None,
    device_folder: Annotated[
        str | None,
        typer.Option(
            "--device-folder",
            help="The whole path of where files go there. (default: ~/.cache/loopfront)",
        ),
    ] = None,
    folder: FolderOption = None,
    config: ConfigOption = None,
    from_dir: FromDirOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Pin the host key without asking.")] = False,
) -> None:
    """Show a host's key, pin it, check that everything needed is there, and add it to agent.toml."""
    from devices.agent_config import (  # noqa: PLC0415
        HostEntry,
        add_entry,
        read_agent_config,
        replace_host_key,
        require_addable,
    )
    from devices.doctor import examine  # noqa: PLC0415
    from devices.errors import DeviceError  # noqa: PLC0415
    from devices.readiness import Thresholds  # noqa: PLC0415
    from devices.ssh import SshHost, offered_host_key  # noqa: PLC0415
    from devices.station import ssh_station  # noqa: PLC0415

    user, host, port = _parted(address)
    path = config or _usual_config()
    _hush()
    try:
        known = read_agent_config(path) if path.exists() else ()
        same = [
            each for each in known if (each.host.user, each.host.host, each.host.port) == (user, host, port)
        ]
        before = next((each for each in (known if name else same) if name in (None, each.name)), None)
        if before is None:
            before = next((each for each in known if each.name == host and not name), None)
        if before and before not in same:
            raise BadInput(
                f"{before.name!r} is in {path} already", field="--name", hint="give another, or edit it"
            )
        if not before:  # before anything is asked of the host, with a digest in the place of its key
            unseen = SshHost(host, user, key or Path("key"), "ssh-ed25519 SHA256:" + 43 * "A", port)
            require_addable(path, HostEntry(name or host, unseen, device_folder))
        shown = offered_host_key(host, port)
        if before and before.host.host_key == shown:
            raise BadInput(f"is in {path} already, with the key that it shows", field=address)
        _confirm(address, shown, before.host.host_key if before else None, yes)
        if before:
            entry = replace(before, host=replace(before.host, host_key=shown))
        else:
            made = SshHost(host, user, key or _usual_key(), shown, port)
            entry = HostEntry(name or host, made, device_folder)
        station = ssh_station(entry, folder or _usual_folder(), Thresholds(), from_dir)
        trouble = _report([examine(station)])
        if before and not trouble:
            replace_host_key(path, before.host.host_key, shown)
        elif not trouble:
            add_entry(path, entry)
    except DeviceError as error:
        raise BadInput(str(error), field=address, hint="nothing was written") from None
    if trouble:
        raise BadInput("not added, for the reason above", field=address, hint="mend it and add it again")
    typer.echo(
        f"{'pinned anew in' if before else 'added to'} {path}; `loopfront agent --server ...` measures on it from its "
        "next start"
    )


def _confirm(address: str, shown: str, pinned: str | None, yes: bool) -> None:
    """Let a person compare the key that a host shows; raises BadInput where it isn't theirs."""
    typer.echo(f"{address} shows the host key\n  {shown}")
    if pinned:
        typer.echo(f"pinned is\n  {pinned}\nUnless it was installed anew, another machine answers.")
    typer.echo("Compare it with `ssh-keygen -lf` of its public key there.")
    if not yes and not typer.confirm("Is it this machine's?"):
        raise BadInput("not added", field=address, hint="nothing was written")


@app.command()
def doctor(
    server: Annotated[
        str | None,
        typer.Option(
            "--server",
            help="The service to tell what was found. (default: the one that the agent here talks to)",
        ),
    ] = None,
    folder: FolderOption = None,
    config: ConfigOption = None,
    token_path: TokenFileOption = None,
    no_phones: NoPhonesOption = False,
    from_dir: FromDirOption = None,
    data_folder: DataFolderOption = None,
) -> None:
    """Reach this machine, every one of agent.toml and every phone, run the runner there, and say what is wrong.

    A device that passes leaves its quarantine.
    """
    from devices.agent import remembered_server  # noqa: PLC0415
    from devices.agent_config import OwnEntry, read_agent_config, read_own_entry  # noqa: PLC0415
    from devices.doctor import examine  # noqa: PLC0415
    from devices.errors import DeviceError  # noqa: PLC0415
    from devices.readiness import Thresholds  # noqa: PLC0415
    from devices.station import local_station, ssh_station  # noqa: PLC0415

    running = own_service(data_folder)
    path, place = config or _usual_config(), folder or _usual_folder(running is not None, data_folder)
    is_there = config is not None or path.exists()
    _hush()
    try:
        own = read_own_entry(path) if is_there else OwnEntry()
        entries: tuple[HostEntry, ...] = read_agent_config(path) if is_there else ()
    except DeviceError as error:
        raise BadInput(str(error)) from None
    stations = [local_station("this machine", place, Thresholds(), own.labels)]
    stations += [ssh_station(entry, place, Thresholds(), from_dir) for entry in entries]
    found = [examine(station) for station in stations]
    if not no_phones:
        found += _phones(path if is_there else None, place, from_dir)
    _report(found)
    told = server or remembered_server(place) or (running.url if running else "")
    if told:
        _tell(told, token_of(token_path, told, data_folder), place, found, is_asked=server is not None)
    if any(each.trouble for each in found):
        raise typer.Exit(1)


def _tell(
    server: str, token: "AgentToken | None", place: Path, found: "list[Diagnosis]", is_asked: bool
) -> None:
    """Tell the service what was found; that it can't be told is an error only where it was asked for."""
    from devices.doctor import examination_of  # noqa: PLC0415
    from devices.errors import DeviceError  # noqa: PLC0415
    from devices.identity import agent_identity  # noqa: PLC0415
    from devices.service_link import ServiceLink  # noqa: PLC0415

    try:
        with ServiceLink(server, token) as link:
            noted = link.tell_examinations(agent_identity(place), [examination_of(each) for each in found])
    except DeviceError as error:
        if is_asked:
            raise BadInput(
                str(error), field="--server", hint="the devices were examined all the same"
            ) from None
        typer.echo(f"{server} was not told: {error}", err=True)
        return
    for each in noted:
        if each.is_lifted:
            typer.echo(f"{each.device} leaves its quarantine")
    known = ", ".join(each.device for each in noted if each.device) or "none of these devices"
    typer.echo(f"told {server}, which knows {known}")


def _phones(config: Path | None, folder: Path, from_dir: Path | None) -> "list[Diagnosis]":
    """Examine the phones; where there is no adb, say so in a line: nothing else suffers from it."""
    from devices.agent import phone_server  # noqa: PLC0415
    from devices.agent_config import read_phone_entries  # noqa: PLC0415
    from devices.doctor import examine_phones  # noqa: PLC0415
    from devices.errors import ConnectionFault, DeviceError  # noqa: PLC0415
    from devices.readiness import Thresholds  # noqa: PLC0415

    try:
        server = phone_server()
        entries = read_phone_entries(config) if config else ()
        return examine_phones(server, entries, folder, Thresholds(), from_dir) if server else []
    except ConnectionFault as fault:
        typer.echo(f"phones: {fault}")
        return []
    except DeviceError as error:
        raise BadInput(str(error)) from None


@app.command()
def fetch(
    to: Annotated[Path, typer.Option("--to", help="The folder to fill, such as one on a memory stick.")],
    platform: Annotated[
        list[str] | None,
        typer.Option(
            "--platform", help="linux-x86_64, linux-aarch64 (Android too) or macos-arm64. (default: all)"
        ),
    ] = None,
) -> None:
    """Fetch all that agents lay onto devices, for a lab without a network; bring the folder there for --from-dir."""
    from devices.errors import DeviceError  # noqa: PLC0415
    from devices.platforms import PLATFORMS  # noqa: PLC0415
    from devices.supplies.store import fetch_all  # noqa: PLC0415

    known = [each.name for each in PLATFORMS.values()]
    for name in platform or ():
        if name not in known:
            raise BadInput(f"{name!r} is unknown", field="--platform", hint=f"use {', '.join(known)}")
    _show_progress()
    try:
        written = fetch_all(to, platform or known)
    except DeviceError as error:
        raise BadInput(str(error), field="--to") from None
    size_mb = sum(path.stat().st_size for path in written) / 1e6
    typer.echo(f"{len(written)} files, {size_mb:.0f} MB, are in {to}")


def _show_progress() -> None:
    """Print what is downloaded and pushed, which may take minutes."""
    for name in ("devices.supplies", "devices.provision"):
        logging.getLogger(name).setLevel(logging.INFO)
        logging.getLogger(name).addHandler(logging.StreamHandler())


def _hush() -> None:
    _show_progress()
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)  # what goes wrong is told in the table


def _report(found: "list[Diagnosis]") -> bool:
    """Print what was found; tell whether any device can't be measured."""
    table = listing("device", "kind", "state", "")
    for each in found:
        state = "can't be measured" if each.trouble else "must wait" if each.obstacles else "ready"
        words = each.trouble or "; ".join(each.obstacles) or each.facts
        cells = (each.name, each.kind, state, f"{words}\n{each.advice}".strip())
        table.add_row(*(Text(visible_log(cell)) for cell in cells))
    Console().print(table)
    return any(each.trouble for each in found)


def _parted(address: str) -> tuple[str, str, int]:
    user, at, rest = address.rpartition("@")
    host, colon, port = rest.partition(":")
    if not host or (at and not user) or (colon and not (port.isdecimal() and 0 < int(port) <= LARGEST_PORT)):
        raise BadInput("can't be an address", field=address, hint="write user@host or user@host:22")
    return user or getpass.getuser(), host, int(port) if colon else 22


def _usual_key() -> Path:
    folder = Path.home() / ".ssh"
    found = next((folder / name for name in KEY_NAMES if (folder / name).exists()), None)
    if found is None:
        raise BadInput(
            "there is no key", field=str(folder), hint="make one with ssh-keygen, or name one with --key"
        )
    return found


def _usual_folder(has_service: bool = False, data_folder: Path | None = None) -> Path:
    """Where agents keep their files; the agent of a service that runs here has its folder in the service's."""
    usual = Path.home() / ".local" / "share" / "loopfront-agent"
    if has_service and not usual.exists():
        return load_settings(data_folder=data_folder).data_folder / "agent"
    return usual


def _usual_config() -> Path:
    return Path.home() / ".config" / "loopfront" / "agent.toml"
