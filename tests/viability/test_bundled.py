"""The model that comes with isl: what it is, and that it tells simulated embryos far apart."""

import numpy as np
from simulated_development import recording

from isl.phantom.development.biology import NEVER, Development, chance
from isl.phantom.development.look import CLINICS, draw_frame, draw_look, photograph
from isl.viability.inspect import summary
from isl.viability.model import load_viability_model
from isl.viability.survey import key_film, survey

HOURS = 2 + np.arange(48) * 2.5
GOOD = Development(
    events=(24.0, 35, 36, 52, 52.8, 53.6, 54.4, 66, 80, 97),
    fragments=0.03,
    trend=-0.8,
    arrested=False,
)
BAD = Development(
    events=(31.0, 42, 43, 59, 60, 61, 62, NEVER, NEVER, NEVER),
    fragments=0.3,
    trend=0.5,
    arrested=True,
)


def test_bundled_model_tells_simulated_embryos_apart() -> None:
    model = load_viability_model()
    assert model.name == "viability-phantom"
    assert model.config.simulated
    assert "trained on simulated embryos" in summary(model.directory)
    assert "must not be used to choose" in model.card
    assert chance(GOOD) > 0.95
    assert chance(BAD) < 0.05
    films = []
    for number, development in enumerate((GOOD, BAD)):
        rng = np.random.default_rng(number)
        look = draw_look(rng)
        frames = [
            photograph(draw_frame(development, look, float(h), 80), CLINICS["first"], 0.3, rng)
            for h in HOURS
        ]
        surveyed = survey(recording(np.stack(frames), HOURS), model.config.film)
        films.append(key_film(surveyed, model.config.film))
    good, bad = model.logits(films).mean(axis=0)[:, 0]
    assert good > 0 > bad
