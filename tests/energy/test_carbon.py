import jax
import numpy as np
import pytest

from qgen.energy import carbon, pricing
from qgen.energy.ranges import TableError

REGIONS = carbon.load_grid()
LIVES, WITHIN = carbon.load_lifecycles()


def test_published_intensities():
    published = {"usa": 369, "france": 56, "germany": 381, "united_kingdom": 238, "canada": 170, "china": 582}
    published |= {"india": 713, "poland": 662, "sweden": 41, "norway": 30, "world": 475}
    assert {name: REGIONS[name].intensity.central for name in published} == published


def test_grams_by_hand(key):
    region = carbon.Region(REGIONS["germany"].intensity.fixed(), REGIONS["germany"].pue.fixed())
    energy = np.array([7.2e6, 1.8e6])
    server, from_grid = carbon.grams(key, energy, region, building=True)
    np.testing.assert_allclose(server, [2 * 1.56 * 381, 0.5 * 1.56 * 381], rtol=1e-5)
    np.testing.assert_allclose(from_grid, 1.56 * energy, rtol=1e-5)
    quantum, same = carbon.grams(key, energy, region, building=False)  # its cooling is in its watts already
    np.testing.assert_allclose(quantum, [2 * 381, 0.5 * 381], rtol=1e-5)
    np.testing.assert_allclose(same, energy, rtol=1e-6)


def test_facility_factors_are_the_published_pues(key):
    """Hyperscale operators 1.1, industry average 1.56."""
    draws = np.asarray(carbon.facility(key, 20_000))
    assert 1.1 <= draws.min() < 1.11 and 1.55 < draws.max() <= 1.56
    assert np.median(draws) == pytest.approx(1.3, abs=0.01)


def test_electricity(key):
    draws = carbon.electricity_usd(key, np.full(5000, 3.6e7))
    assert 0.5 <= draws.min() and draws.max() <= 3.0
    assert pricing.summary(draws)[0] == pytest.approx(1.2, rel=0.05)


def test_published_lifecycles():
    assert LIVES["olmo3"].total_gwh == 12.3
    assert LIVES["olmo3"].parts["development"].share.central == 0.822
    assert [part.share.central for part in LIVES["meta_rm1"].parts.values()] == [0.31, 0.29, 0.40]
    rows = {(title.split(" ")[0], part): gwh for title, part, _, gwh in carbon.until_release()}
    assert rows[("Llama", "run_405b")] == pytest.approx(21.6, abs=0.05)
    assert rows[("Olmo", "development")] == pytest.approx(10.1, abs=0.05)
    assert rows[("BLOOM", "final_run")] == pytest.approx(0.433, abs=0.001)
    assert np.isnan(rows[("Google", "training")])


@pytest.mark.parametrize("stage", carbon.STAGES)
def test_weights_are_shares(key, stage):
    draws = np.asarray(carbon.weight(key, stage, draws=2000))
    assert (draws >= 0).all() and (draws <= 1).all()
    assert draws.std() > 0


def test_weight_draws_from_the_published_whole_lives(key):
    """Curation: only Meta's RM1 has a data part of 31 %, of which 10 to 80 % are this stage."""
    draws = np.asarray(carbon.weight(key, "curation", draws=4000))
    assert draws.min() >= 0.0309 and draws.max() <= 0.2481
    assert np.median(draws) == pytest.approx(0.093, rel=0.05)
    with pytest.raises(ValueError, match="`stage` must be one of"):
        carbon.weight(key, "curating")


def test_weights_of_all_stages_can_add_up_to_one_life(key):
    medians = [float(np.median(carbon.weight(key, stage, draws=2000))) for stage in carbon.STAGES]
    assert 0.7 < sum(medians) < 1.3


NODE = {"gpu_kw": 10.2, "other_kw": 1.6, "other_use": 0.5}


def test_jegham_long_prompt_of_gpt4o():
    """Worked example of arXiv 2505.09598: 1500 tokens in 33.84 s, 190.5 W to 219.1 W: about 1.788 Wh at the low end."""
    speed = {"tokens": 1500, "tokens_per_s": 50.0, "latency_s": 3.84}
    low = carbon.per_prompt_wh(**speed, gpu_use=0.055, **NODE)
    high = carbon.per_prompt_wh(**speed, gpu_use=0.075, **NODE)
    assert low == pytest.approx(1.79, abs=0.005)
    assert low / (33.84 / 3600) == pytest.approx(190.5, abs=0.1)
    assert high / (33.84 / 3600) == pytest.approx(219.1, abs=0.1)


@pytest.mark.parametrize(
    "change",
    [{"tokens_per_s": 0.0}, {"tokens": -1}, {"gpu_use": 1.2}, {"other_use": float("nan")}, {"pue": 0.9}, {"batch": 0}],
)
def test_jegham_errors(change):
    good = {"tokens": 100, "tokens_per_s": 50.0, "latency_s": 1.0, "gpu_use": 0.06, **NODE}
    with pytest.raises(ValueError, match=f"`{next(iter(change))}`"):
        carbon.per_prompt_wh(**{**good, **change})


NUMBER = '{{ low = {0}, central = {0}, high = {0}, unit = "{1}", source = "x", grade = "C" }}'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[a]\npue = 1", r"g.toml: entry `a` must have the fields"),
        (f"[a]\nintensity = {NUMBER.format(3, 'W')}\npue = {NUMBER.format(1.1, '1')}", "field `intensity`: must be in"),
        (
            f"[a]\nintensity = {NUMBER.format(3, 'g/kWh')}\npue = {NUMBER.format(0.9, '1')}",
            "field `pue`: is at least 1",
        ),
    ],
)
def test_grid_errors(tmp_path, text, message):
    path = tmp_path / "g.toml"
    path.write_text(text)
    with pytest.raises(TableError, match=message):
        carbon.load_grid(path)


def part(value, unit="1", stages="['training']"):
    return NUMBER.format(value, unit).replace(" }", f", stages = {stages} }}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"[a]\ntitle='t'\nwhole=true\nparts={{ x = {part(0.5)} }}", "entry `a`: its parts must add up to 1"),
        (f"[a]\ntitle='t'\nwhole=true\nparts={{ x = {part(1, stages='[]')} }}", "field `x`: `stages` must name"),
        (f"[a]\ntitle='t'\nwhole=true\nparts={{ x = {part(1, 'W')} }}", "field `x`: must be a share"),
        (f"[a]\ntitle='t'\nwhole=true\nparts={{ x = {part(1)} }}", "entry `within` must have the stages"),
    ],
)
def test_lifecycle_errors(tmp_path, text, message):
    path = tmp_path / "l.toml"
    path.write_text(text)
    with pytest.raises(TableError, match=message):
        carbon.load_lifecycles(path)


def test_grams_need_no_jit_but_allow_it(key):
    grams, _ = jax.jit(lambda e: carbon.grams(key, e, REGIONS["usa"], building=True))(np.ones(3))
    assert grams.shape == (3,)
