"""The PyMC model: normal priors on one named parameter vector, the marginal likelihood as a potential.

One vector because every PyTensor node costs some 8 microseconds with the Python linker: three vectors double the
overhead a gradient (205 against 97 microseconds measured, beside 500 of the kernel on a small panel).
The Op gives value and gradient in one evaluation; PyTensor merges the two uses. It holds its data, which may be
swapped, so that one compiled model serves all completed data sets, and all data with the same parameters.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from models.hbmmm import correlation
from models.hbmmm.backend import load_pymc
from models.hbmmm.problem import Problem, log_likelihood

Likelihood = Callable[[np.ndarray], tuple[float, np.ndarray]]


class CompiledModel:
    """A PyMC model of `names`, its compiled log posterior and the slot for the data."""

    def __init__(
        self, names: tuple[str, ...], prior_mean: np.ndarray, prior_sd: np.ndarray, concentration: float
    ) -> None:
        pm = load_pymc()
        import pytensor.tensor as pt
        from pytensor.compile.mode import Mode
        from pytensor.graph.basic import Apply
        from pytensor.graph.op import Op

        slot: dict[str, Likelihood] = {}

        class MarginalLogLikelihood(Op):
            """(parameters) -> log-likelihood, gradient; with what makes normal priors of correlations LKJ."""

            __props__ = ()

            def make_node(self, parameters: Any) -> Apply:
                parameters = pt.as_tensor_variable(parameters)
                return Apply(self, [parameters], [pt.dscalar(), pt.dvector()])

            def perform(self, node: Apply, inputs: list, outputs: list) -> None:
                value, gradient = slot["likelihood"](inputs[0])
                outputs[0][0] = np.asarray(value)
                outputs[1][0] = gradient

            def L_op(self, inputs: list, outputs: list, output_gradients: list) -> list:
                return [output_gradients[0] * outputs[1]]

        self._slot = slot
        self._concentration = concentration
        self.names = names
        self.mode = Mode(linker="py", optimizer="fast_compile")
        with pm.Model(coords={"parameter": list(names)}) as model:
            parameters = pm.Normal("parameters", mu=prior_mean, sigma=prior_sd, dims="parameter")
            pm.Potential("marginal_log_likelihood", MarginalLogLikelihood()(parameters)[0])
        self.model = model
        self.log_posterior = model.logp_dlogp_function(ravel_inputs=True, mode=self.mode)
        self.log_posterior.set_extra_values({})
        self.log_posterior.trust_input = True

    def load(self, problem: Problem) -> None:
        """Put the data in."""
        if problem.parameter_names != self.names:
            raise ValueError(
                "the problem's parameters differ from the compiled model's; compile a model for it."
            )
        part, concentration = problem.layout.correlation, self._concentration

        def likelihood(parameters: np.ndarray) -> tuple[float, np.ndarray]:
            value, gradient = log_likelihood(problem, parameters)
            if part.stop > part.start:
                ratio, along = correlation.log_prior_ratio(
                    parameters[part], problem.slopes_count - 1, concentration
                )
                value += ratio
                gradient[part] += along
            return value, gradient

        self._slot["likelihood"] = likelihood

    def load_likelihood(self, likelihood: Likelihood) -> None:
        """Put in a function that gives the log density less that of the normal priors, and its gradient."""
        self._slot["likelihood"] = likelihood

    def value_and_gradient(self, parameters: np.ndarray) -> tuple[float, np.ndarray]:
        """Log posterior density (up to a constant) and gradient."""
        value, gradient = self.log_posterior(np.ascontiguousarray(parameters))
        return float(value), np.array(gradient)


def compiled_model(
    names: tuple[str, ...], prior_mean: np.ndarray, prior_sd: np.ndarray, concentration: float = 2.0
) -> CompiledModel:
    """The compiled model of these parameters and priors (LKJ with this concentration); the last few are kept."""
    return _compiled_model(names, tuple(prior_mean.tolist()), tuple(prior_sd.tolist()), concentration)


@functools.lru_cache(maxsize=4)
def _compiled_model(names: tuple, prior_mean: tuple, prior_sd: tuple, concentration: float) -> CompiledModel:
    return CompiledModel(names, np.array(prior_mean), np.array(prior_sd), concentration)
