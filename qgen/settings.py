"""Single fields of a config, read from text: what `--set stage.field=value` gives."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from qgen import check


def changed(place: str, config: Any, settings: Mapping[str, str]) -> Any:
    """A config with single fields set from text; `place` is its name in error messages.

    Raises:
        ValueError: for an unknown field, a text that the field's type cannot read, or a value out of range.
    """
    return dataclasses.replace(config, **{name: read(place, config, name, text) for name, text in settings.items()})


def read(place: str, config: Any, name: str, text: str) -> Any:
    """The value of one field of a config from text, by the type of what it holds.

    Raises:
        ValueError: for an unknown field, or a text that the field's type cannot read.
    """
    check.one_of(f"field of {place}", name, [field.name for field in dataclasses.fields(config)])
    return _parse(f"{place}.{name}", text, type(getattr(config, name)))


def _parse(name: str, text: str, kind: type) -> Any:
    try:
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        if kind is tuple:
            return tuple(_number(part) for part in text.split(","))
        return kind(text)
    except (KeyError, ValueError):
        wanted = {bool: "true or false", tuple: "numbers with commas between"}.get(kind, kind.__name__)
        raise ValueError(f"Setting `{name}` must be {wanted}, but is {text!r}.") from None


def _number(text: str) -> float | int:
    return float(text) if "." in text or "e" in text else int(text)
