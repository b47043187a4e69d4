"""What every experiment script shares: flags that fail with one sentence and exit code 2, and a console."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from absl import app, flags, logging
from rich.console import Console

from qgen import record
from qgen.energy import meters, profiles

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


@contextlib.contextmanager
def flag(name: str, value: object = None) -> Iterator[None]:
    """Turns a ValueError or OSError of the block into a UsageError that names the flag and its value."""
    shown = f"--{name}" if value is None else f"--{name}={value}"
    try:
        yield
    except (ValueError, OSError, RuntimeError) as error:
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
    folder.mkdir(parents=True, exist_ok=True)


def settings(entries: Sequence[str], places: Sequence[str]) -> dict[str, dict[str, str]]:
    """Reads `place.field=value` entries into place -> field -> value.

    Raises:
        UsageError: for an entry of another form or an unknown place.
    """
    read: dict[str, dict[str, str]] = {place: {} for place in places}
    for entry in entries:
        name, equals, value = entry.partition("=")
        place, dot, field = name.partition(".")
        if not (equals and dot and field):
            raise UsageError(f"--set={entry}: must have the form stage.field=value, such as training.steps=100.")
        if place not in read:
            raise UsageError(f"--set={entry}: {place!r} must be one of: {', '.join(places)}.")
        read[place][field] = value
    return read


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
            found = record.load(out / "records.jsonl")
    if found and not resume:
        raise UsageError(
            f"--noresume: {out} already holds {len(found)} records; name another --out, or leave the flag away."
        )
    return found
