"""What every experiment script shares: flags that fail with one sentence and exit code 2, and a console."""

import contextlib
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import app, flags, logging
from rich.console import Console

from qgen import record
from qgen.energy import meters, profiles
from qgen.settings import changed, read

console = Console(stderr=False, highlight=False, soft_wrap=False)


class UsageError(Exception):
    """A wrong flag value: the message names the flag, the value and what would work."""


def fail(message: str) -> None:
    """Prints one sentence and ends with exit code 2."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


def run(main: Callable[[], None]) -> None:
    """Runs `main` under absl; a UsageError and a wrong flag end with one sentence and exit code 2."""

    def parse(arguments: Sequence[str]) -> list[str]:
        try:
            rest = flags.FLAGS(list(arguments))
        except flags.Error as error:
            fail(f"{error} Run with --help for the flags.")
            raise
        for name in empty(flags.FLAGS):
            fail(f"--{name}=: must not be empty; leave the flag away for its default.")
        if rest[1:]:
            fail(f"Unknown argument {rest[1]!r}: every argument is a flag of the form --name=value. Run with --help.")
        return rest

    def guarded(_: Sequence[str]) -> None:
        try:
            main()
        except UsageError as error:
            fail(str(error))

    logging.set_verbosity(logging.WARNING)
    app.run(guarded, flags_parser=parse)


def empty(given: flags.FlagValues) -> list[str]:
    """The text flags that are given and empty, of which a path would silently be the working directory."""
    return [name for name in given if given[name].present and given[name].value == ""]


@contextlib.contextmanager
def flag(
    name: str, value: object = None, errors: tuple[type[Exception], ...] = (ValueError, OSError, RuntimeError)
) -> Iterator[None]:
    """Turns an error of the block into a UsageError that names the flag and its value."""
    shown = f"--{name}" if value is None else f"--{name}={value}"
    try:
        yield
    except errors as error:
        raise UsageError(f"{shown}: {error}") from error


@contextlib.contextmanager
def setting(entries: Sequence[str]) -> Iterator[None]:
    """Turns a ValueError of the block into a UsageError that names the --set entries whose field the message names."""
    try:
        yield
    except ValueError as error:
        fields = {entry: re.escape(entry.partition("=")[0]) for entry in entries}
        named = [entry for entry in entries if re.search(f"[`.]{fields[entry]}`", str(error))]
        shown = " ".join(f"--set={entry}" for entry in named or entries) or "--set"
        raise UsageError(f"{shown}: {error}") from error


def writable(folder: Path) -> None:
    """Makes the folder, or raises OSError with what is in the way; nothing is left behind where it fails."""
    for place in (folder, *folder.parents):
        if place.exists():
            if not place.is_dir():
                raise OSError(f"{place} is a file; name a folder.")
            if not os.access(place, os.W_OK):
                raise OSError(f"{place} is not writable; name a folder that is.")
            break
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"{folder} cannot be made ({error.strerror}); name another folder.") from error


def configured(entries: Sequence[str], configs: Mapping[str, Any], only: str = "") -> dict[str, Any]:
    """The configs with `place.field=value` entries put in.

    Args:
        entries: what `--set` was given.
        configs: place -> config.
        only: the place of all entries, which then have the form `field=value`; empty: each entry names its own.

    Raises:
        UsageError: for an entry of another form, an unknown place or field, or a value that cannot be or is refused.
    """
    form = "field=value, such as shots=1000" if only else "stage.field=value, such as training.steps=100"
    texts: dict[str, dict[str, str]] = {place: {} for place in configs}
    for entry in entries:
        name, equals, text = entry.partition("=")
        place, dot, field = (only, ".", name) if only else name.partition(".")
        if not (equals and dot and field):
            raise UsageError(f"--set={entry}: must have the form {form}.")
        if place not in configs:
            raise UsageError(f"--set={entry}: {place!r} must be one of: {', '.join(configs)}.")
        with setting([entry]):
            read(place, configs[place], field, text)
        texts[place][field] = text
    made = {}
    for place, config in configs.items():
        with setting([entry for entry in entries if only or entry.startswith(f"{place}.")]):
            made[place] = changed(place, config, texts[place])
    return made


def known(flag_name: str, names: Sequence[str], choices: Iterable[str]) -> None:
    """Refuses the first name that is not one of the choices."""
    choices = tuple(dict.fromkeys(choices))
    for name in names:
        if name not in choices:
            raise UsageError(f"--{flag_name}={name}: must be one of: {', '.join(choices)}.")


def seeds(value: int | None, preset: int) -> int:
    """How many seeds: what the flag says, or the preset where it says nothing."""
    if value is not None and value < 1:
        raise UsageError(f"--seeds={value}: must be at least 1.")
    return preset if value is None else value


def machines(names: Sequence[str]) -> dict[str, profiles.Profile]:
    """The hardware profiles of these names; all, where none is named."""
    table = profiles.load()
    known("profile", names, table)
    return {name: table[name] for name in names or table}


def meter(name: str) -> meters.Meter:
    """The joule counter of this name."""
    with flag("meter", name):
        return meters.open_meter(name)


def rows(out: Path, resume: bool) -> list[record.Record]:
    """Makes the output folder and reads the records that it holds already."""
    found: list[record.Record] = []
    with flag("out", out):
        writable(out)
        if (out / "records.jsonl").exists():
            try:
                found = record.load(out / "records.jsonl")
            except record.RecordError as error:
                raise ValueError(f"{str(error)[:-1]}; name another --out, or remove the folder.") from error
    if found and not resume:
        raise UsageError(
            f"--noresume: {out} already holds {len(found)} records; name another --out, or leave the flag away."
        )
    return found


def finish(rows: Sequence[record.Record]) -> None:
    """Says how many rows failed and why the first ones did, and then ends with exit code 1."""
    if failed := [row for row in rows if row.status != "ok"]:
        console.print(f"{len(failed)} of {len(rows)} rows failed; the same command runs them again. The first reasons:")
        for row in failed[:3]:
            console.print(f"{row.stage} {row.arm}, seed {row.seed}: {row.reason}", markup=False)
        sys.exit(1)
