import dataclasses

import pytest

from qgen.energy import profiles
from qgen.energy.ranges import Range, TableError

SHIPPED = profiles.load()


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_number_is_valid(name):
    """The contract of the table: units, order, sources and grades of every number."""
    profile = SHIPPED[name]
    assert "." not in name
    assert name.rsplit("_", 1)[1] == profile.date
    assert set(profiles.REQUIRED[profile.kind]) <= set(profile.numbers)
    for field, number in profile.numbers.items():
        assert number.unit == profiles.UNITS[field]
        assert 0 <= number.low <= number.central <= number.high
        assert len(number.source) > 5
        assert number.grade in "BCD", "nothing reaches A"
        assert not number.source.split(":")[0].isidentifier(), "an unexpanded source key"
    if profile.date != "today":
        assert profile.grade == "D", "a projection is of grade D"


def test_every_platform_has_three_dates():
    platforms = {name.rsplit("_", 1)[0] for name in SHIPPED}
    assert platforms == {
        *("sc", "ion", "atom", "analog", "photonic", "spin", "annealer"),
        *("ft_sc", "ft_ion", "ft_atom"),
    }
    assert len(SHIPPED) == 3 * len(platforms)


@pytest.mark.parametrize("field", ["max_qubits"])
def test_machines_grow(field):
    for platform in {name.rsplit("_", 1)[0] for name in SHIPPED}:
        sizes = [SHIPPED[f"{platform}_{date}"][field].central for date in profiles.DATES]
        assert sizes == sorted(sizes)


@pytest.mark.parametrize(
    ("name", "qubits", "total_w"), [("sc_today", 49, 16_820), ("ion_today", 100, 8_850), ("atom_today", 400, 22_200)]
)
def test_watts_add_up_to_the_inventory(name, qubits, total_w):
    """The splits into base and per-qubit watts give the totals of arXiv 2605.15090 at its sizes."""
    profile = SHIPPED[name]
    assert profile["power_base_w"].central + qubits * profile["power_qubit_w"].central == pytest.approx(
        total_w, rel=1e-3
    )


def test_spin_watts():
    profile = SHIPPED["spin_today"]
    assert profile["power_base_w"].central + 49 * profile["power_qubit_w"].central == pytest.approx(19_860, rel=1e-2)


@pytest.mark.parametrize(("photons", "total_w", "close"), [(12, 2490, 0.002), (24, 5660, 0.08), (48, 15_200, 0.09)])
def test_photonic_watts_follow_the_inventory(photons, total_w, close):
    """At today's twelve photons to the printed digits; each further dozen is charged 404 W too much."""
    profile = SHIPPED["photonic_long"]
    units = -(-photons // profile["unit_qubits"].central)
    watts = units * profile["power_base_w"].central + profile["power_qubit2_w"].central * photons**2
    assert profile["power_qubit_w"].high == 0
    assert watts == pytest.approx(total_w, rel=close)


def test_a_fingerprint_changes_with_numbers_only():
    profile = SHIPPED["sc_today"]
    assert len({one.fingerprint for one in SHIPPED.values()}) == len(SHIPPED)
    assert dataclasses.replace(profile, note="other words", title="x").fingerprint == profile.fingerprint
    assert profile.fixed({"delay_s": 1e-4}).fingerprint != profile.fingerprint
    assert dataclasses.replace(profile, connectivity="line").fingerprint != profile.fingerprint


def test_fixed():
    profile = SHIPPED["sc_today"]
    assert profile.fixed()["delay_s"].high == profile["delay_s"].central
    held = profile.fixed({"delay_s": 1e-3})
    assert held["delay_s"].low == held["delay_s"].high == 1e-3
    assert held["reset_s"] == profile["reset_s"]
    with pytest.raises(ValueError, match="Did you mean 'delay_s'"):
        profile.fixed({"delays": 1.0})


ROW = '{ low = 1, central = 2, high = 3, unit = "W", source = "x", grade = "C" }'


def write(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            f"[a]\nkind = 'gate'\npower_base_w = {ROW}",
            r"mine.toml: entry `a`: fields \['title', 'date', 'connectivity'\]",
        ),
        (f"[a]\nwatts = {ROW}\ntitle='t'\nkind='gate'\ndate='today'\nconnectivity='all'", "field `watts` is not known"),
        (
            f"[a]\npower_base_w = {ROW.replace('low = 1', 'low = 9')}\n"
            "title='t'\nkind='gate'\ndate='today'\nconnectivity='all'",
            "entry `a`, field `power_base_w`: .*rising order",
        ),
        ("[a]\nextends = 'b'", "entry `a`, field `extends`: there is no entry 'b'"),
        ("[a]\nextends = 'b'\n[b]\nextends = 'a'", "field `extends`"),
        (f"[a]\npower_base_w = {ROW}\ntitle='t'\nkind='gate'\ndate='today'\nconnectivity='all'", "have no price"),
        (
            f"[a]\nreset_s = {ROW}\ntitle='t'\nkind='gate'\ndate='today'\nconnectivity='all'",
            "must be in 's', but is in 'W'",
        ),
        ("[a]\ntitle='t'\nkind='gates'\ndate='today'\nconnectivity='all'", "`kind` must be one of"),
        ("[a]\ntitle='t'\nkind='gate'\ndate='now'\nconnectivity='all'", "`date` must be one of"),
        ("[a]\ntitle='t'\nkind='gate'\ndate='today'\nconnectivity='some'", "`connectivity` must be one of"),
    ],
)
def test_loader_names_file_entry_and_field(tmp_path, text, message):
    with pytest.raises(TableError, match=message):
        profiles.load(write(tmp_path, text))


def test_shares_and_divisors_are_bounded():
    profile = SHIPPED["sc_today"]
    for field, number, message in (
        ("error_2q", Range(0.1, 0.2, 1.5, "1", "x", "C"), "share of at most 1, but reaches 1.5"),
        ("max_qubits", Range(0, 2, 3, "qubit", "x", "C"), "must be above 0, but reaches 0"),
    ):
        with pytest.raises(ValueError, match=message):
            dataclasses.replace(profile, numbers={**profile.numbers, field: number})
