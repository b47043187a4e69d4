"""Numbers as words of a table: SI prefixes, two significant digits where a number is modelled or projected, LaTeX."""

import math
import re

from qgen.report.statistics import Interval

_PREFIXES = {-12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T", 15: "P", 18: "E", 21: "Z"}
_ESCAPES = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
}
_SYMBOLS = {"µ": r"$\mu$", "±": r"$\pm$", "×": r"$\times$", "†": r"$^\dagger$", "≥": r"$\ge$", "≤": r"$\le$", "–": "--"}


def significant(value: float, digits: int = 2) -> str:
    """A number with so many significant digits: plain between 0.001 and 10 000, else as in 3.2e5."""
    if not math.isfinite(value):
        return str(value)
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    rounded = round(value, digits - 1 - exponent)
    exponent = math.floor(math.log10(abs(rounded)))
    if not -3 <= exponent < 4:
        return f"{rounded / 10**exponent:.{digits - 1}f}e{exponent}"
    return f"{rounded:.{max(0, digits - 1 - exponent)}f}"


def si(value: float, unit: str, digits: int = 2) -> str:
    """A value with its unit and an SI prefix, such as 12 kJ."""
    if value == 0 or not math.isfinite(value):
        return f"{significant(value)} {unit}"
    power = _power(value, digits)
    return f"{_scaled(value, power, digits)} {_PREFIXES[power]}{unit}"


def si_interval(interval: Interval, unit: str, digits: int = 2) -> str:
    """A value and its interval, such as 12 kJ [3.1, 40]; ends far away have units of their own."""
    if math.isnan(interval.low):
        return si(interval.central, unit, digits)
    power = _power(interval.central, digits) if interval.central else 0
    if all(end == 0 or 0.01 <= end / 10.0**power < 1e4 for end in (interval.low, interval.high)):
        low, high = (_scaled(end, power, digits) for end in (interval.low, interval.high))
    else:
        low, high = si(interval.low, unit, digits), si(interval.high, unit, digits)
    return f"{si(interval.central, unit, digits)} [{low}, {high}]"


def _power(value: float, digits: int) -> int:
    """The power of ten of the SI prefix that suits a value after rounding."""
    rounded = round(value, digits - 1 - math.floor(math.log10(abs(value))))
    return min(max(3 * (math.floor(math.log10(abs(rounded))) // 3), min(_PREFIXES)), max(_PREFIXES))


def _scaled(value: float, power: int, digits: int) -> str:
    if value == 0:
        return "0"
    rounded = round(value, digits - 1 - math.floor(math.log10(abs(value)))) / 10.0**power
    return f"{rounded:.{max(0, digits - 1 - math.floor(math.log10(abs(rounded))))}f}"


def plain_interval(interval: Interval, digits: int = 2) -> str:
    """A number without unit and its interval, such as 3.2 [1.1, 9.0]."""
    central = significant(interval.central, digits)
    if math.isnan(interval.low):
        return central
    return f"{central} [{significant(interval.low, digits)}, {significant(interval.high, digits)}]"


def plus_minus(interval: Interval) -> str:
    """A mean with a symmetric interval, whose half-width decides the digits, such as 0.812 ± 0.013."""
    half = interval.high - interval.central
    if math.isnan(half):
        return significant(interval.central, 4)
    if half == 0:
        return f"{significant(interval.central, 4)} ± 0"
    places = max(0, 1 - math.floor(math.log10(half)))
    return f"{interval.central:.{places}f} ± {half:.{places}f}"


def probability(value: float) -> str:
    """A probability that was counted over 10 000 draws, to two decimals; the ends say that they are bounds."""
    if value < 0.005:
        return "<0.01"
    return ">0.99" if value > 0.995 else f"{value:.2f}"


def tex(text: str) -> str:
    """Text of a cell as LaTeX."""
    text = "".join(_ESCAPES.get(letter, letter) for letter in text)
    text = re.sub(r"(?<![\w.])(\d(?:\.\d+)?)e(-?\d+)(?!\w)", r"$\1{\\times}10^{\2}$", text)
    text = re.sub(r"(?<![\w$])([<>])", r"$\1$", text)
    return "".join(_SYMBOLS.get(letter, letter) for letter in text)
