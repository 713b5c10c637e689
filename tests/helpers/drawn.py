"""A posterior of given draws of a program's sites, without sampling."""

import numpy as np

from bayesjoint.infer.draws import Draws
from bayesjoint.report.posterior import Posterior


def posterior_of(program, images, values):
    """Values are (chains, draws, ...), by site."""
    shape = next(iter(values.values())).shape[:2]
    stats = {"diverging": np.zeros(shape, bool), "n_steps": np.ones(shape, int), "lp": np.zeros(shape)}
    stats |= {"acceptance_rate": np.ones(shape), "energy": np.zeros(shape)}
    posterior = Posterior.from_draws(
        Draws(values, {}, stats, np.zeros(3), np.ones(shape[0]), 10, 1, {}), images
    )
    posterior.program = program
    return posterior
