"""tiger.minimize and tiger.Minimizer."""

import numpy
import pytest

import tiger

START = numpy.array([-1.2, 1.0])


def rosenbrock(x):
    return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2


def gradient(x):
    return numpy.array([-400 * x[0] * (x[1] - x[0] ** 2) - 2 * (1 - x[0]), 200 * (x[1] - x[0] ** 2)])


def product(x, v):
    return numpy.array([[1200 * x[0] ** 2 - 400 * x[1] + 2, -400 * x[0]], [-400 * x[0], 200]]) @ v


@pytest.mark.parametrize("method", [m.name for m in tiger.minimizers().values() if m.name not in ("natgrad", "gd")])
def test_every_method(method):
    found = tiger.minimize(rosenbrock, START, method=method, jac=gradient, hessp=product,
                           options={"tolerance_change": 0, "seed": 3})
    assert abs(found.x - 1).max() < 5e-2 and found.fun == rosenbrock(found.x)
    assert found.success and found.nfev > 0 and found.message.startswith("converged")
    assert (START == [-1.2, 1.0]).all()


def test_gradients_in_three_ways():
    both = tiger.minimize(lambda x: (rosenbrock(x), gradient(x)), START, jac=True)
    apart = tiger.minimize(rosenbrock, START, jac=gradient)
    without = tiger.minimize(rosenbrock, START)
    assert (both.x == apart.x).all() and both.nfev == apart.nfev
    assert abs(without.x - 1).max() < 1e-5 and without.nfev > 3 * both.nfev


def test_scipy_agrees():
    optimize = pytest.importorskip("scipy.optimize")
    theirs = optimize.minimize(rosenbrock, START, jac=gradient, method="L-BFGS-B", options={"gtol": 1e-7, "ftol": 0})
    ours = tiger.minimize(rosenbrock, START, jac=gradient, method="L-BFGS-B", tol=1e-7, options={"tolerance_change": 0})
    assert abs(ours.x - theirs.x).max() < 1e-6 and ours.nfev <= 1.2 * theirs.nfev


def test_natgrad_is_newton_on_a_linear_model():
    random = numpy.random.default_rng(5)
    a, b = random.normal(size=(23, 4)), random.normal(size=23)
    found = tiger.minimize(lambda w: 0.5 * sum((a @ w - b) ** 2), numpy.zeros(4), method="natgrad", jac=lambda w: a.T @ (a @ w - b),
                           fisherp=lambda w, v: a.T @ (a @ v), options={"damping": 0})
    numpy.testing.assert_allclose(found.x, numpy.linalg.lstsq(a, b, rcond=None)[0], atol=1e-9)
    assert found.nit == 1


def test_bounds_shapes_and_arguments():
    def away(x, c):
        assert x.shape == (2, 2) and (x[0] <= 0.25).all()
        return ((x - c) ** 2).sum()

    found = tiger.minimize(away, numpy.zeros((2, 2)), args=(0.7,), bounds=[(None, 0.25)] * 2 + [(-1, None)] * 2)
    assert found.x.shape == (2, 2)
    numpy.testing.assert_allclose(found.x, [[0.25, 0.25], [0.7, 0.7]], atol=1e-6)
    with pytest.raises(NotImplementedError, match="takes no bounds"):
        tiger.minimize(rosenbrock, START, method="cg", jac=gradient, bounds=[(0, 1)] * 2)


def test_callback_and_exceptions():
    seen = []

    def callback(now):
        seen.append(now.fun)
        return len(seen) == 4

    found = tiger.minimize(rosenbrock, START, jac=gradient, callback=callback)
    assert len(seen) == 4 and found.nit == 4 and not found.success and found.stop == "caller"
    with pytest.raises(ZeroDivisionError):
        tiger.minimize(lambda x: 1 / 0, START)
    with pytest.raises(KeyboardInterrupt):
        tiger.minimize(interrupted, START, method="cmaes")


def interrupted(x):
    raise KeyboardInterrupt


@pytest.mark.parametrize("method", [m.name for m in tiger.minimizers().values() if m.needs == "value"])
def test_ask_and_tell(method):
    options = {"seed": 11, "max_iter": 60}
    whole = tiger.minimize(rosenbrock, START, method=method, options=options)
    mapped = tiger.minimize(rosenbrock, START, method=method, options=options, workers=map)
    search = tiger.Minimizer(method, START, **options)
    for i in range(60):
        points = search.ask()
        if i == 23:  # goes on elsewhere
            state = search.state.copy()
            search = tiger.Minimizer(method, START, **options)
            search.state[:] = state
        search.tell([rosenbrock(x) for x in points])
    assert search.done and len(search.ask()) == 0
    for found in (mapped, search.result()):
        assert (found.x == whole.x).all() and found.fun == whole.fun and found.nfev == whole.nfev


def test_what_is_refused():
    with pytest.raises(ValueError, match="did you mean lbfgs"):
        tiger.minimize(rosenbrock, START, method="lbfgss")
    with pytest.raises(TypeError, match="did you mean history_size"):
        tiger.minimize(rosenbrock, START, options={"history_sise": 3})
    with pytest.raises(ValueError, match="history_size must be"):
        tiger.minimize(rosenbrock, START, options={"history_size": 0})
    with pytest.raises(ValueError, match="bounds must be 2 pairs"):
        tiger.minimize(rosenbrock, START, bounds=[(0, 1)])
    with pytest.raises(ValueError, match="not finite"):
        tiger.minimize(rosenbrock, [numpy.nan, 1])
    with pytest.raises(ValueError, match="needs gradients"):
        tiger.Minimizer("lbfgs", START)
    with pytest.raises(ValueError, match="5 points"):
        tiger.Minimizer("cmaes", START, popsize=5).ask(), tiger.Minimizer("cmaes", START, popsize=5)
        search = tiger.Minimizer("cmaes", START, popsize=5)
        search.ask()
        search.tell([1.0])
    with pytest.raises(AttributeError):
        tiger.minimise
