"""Without PyTorch: arrays updated in place."""

import numpy
import pytest

import tiger
import tiger.numpy as tn


def arrays(seed=3):
    random = numpy.random.default_rng(seed)
    return {"w": random.normal(size=(7, 5)).astype("float32"), "b": random.normal(size=5).astype("float32")}


def lion(w, g, m, lr, b1, b2, wd):
    w = w - lr * (numpy.sign(b1 * m + (1 - b1) * g) + wd * w)
    return w, b2 * m + (1 - b2) * g


def test_lion_by_hand():
    params, expected = arrays(), {k: v.astype("float64") for k, v in arrays().items()}
    moments = {k: numpy.zeros(v.shape) for k, v in params.items()}
    optimizer = tn.optimizer("lion", params, lr=0.013, beta1=0.83, weight_decay=0.11)
    for update in range(8):
        grads = arrays(update)
        if update == 5:
            optimizer.set(lr=0.0071)
        optimizer.step(grads)
        for k in params:
            lr = 0.013 if update < 5 else 0.0071
            expected[k], moments[k] = lion(expected[k], grads[k], moments[k], lr, 0.83, 0.99, 0.11)
    for k in params:
        numpy.testing.assert_allclose(params[k], expected[k], rtol=0, atol=2e-6 * abs(expected[k]).max())
        numpy.testing.assert_allclose(optimizer.state[k]["exp_avg"], moments[k], rtol=0, atol=2e-6)
        assert optimizer.state[k]["step"] == 8
    assert optimizer.updates == 8


@pytest.mark.parametrize("rule", list(tiger.rules()))
def test_saved_and_loaded(rule, tmp_path):
    params = arrays()
    a = tn.optimizer(rule, params)
    for update in range(3):
        a.step(arrays(update))
    a.save(tmp_path / "states.safetensors")
    copies = {k: v.copy() for k, v in params.items()}
    b = tn.optimizer(rule, copies)
    b.load(tmp_path / "states.safetensors")
    for update in range(3):
        a.step(arrays(10 + update))
        b.step(arrays(10 + update))
    for k in params:
        assert (params[k] == copies[k]).all()


def test_bfloat16_as_uint16_and_missing_gradients():
    w = numpy.full(10, 0x3F80, "uint16")  # 1.0
    half = numpy.full((2, 3), 0.75, "float16")
    still = numpy.full(4, 0.25, "float32")
    optimizer = tn.optimizer("sgd", [w, half, still], lr=0.5)
    optimizer.step([numpy.full(10, 0x3F80, "uint16"), numpy.full((2, 3), 3.0, "float32"), None], scale=2.0)
    assert (w == 0x3F40).all()  # 1 - 0.5 / 2 = 0.75
    assert (half == 0).all()
    assert (still == 0.25).all()


def test_a_preset_comes_under_what_is_given():
    optimizer = tn.optimizer("lion", arrays(), preset="language", beta2=0.97)
    assert (optimizer.options["beta1"], optimizer.options["beta2"]) == (0.95, 0.97)
    with pytest.raises(LookupError, match="lion has no preset 'vision' .there are language"):
        tn.optimizer("lion", arrays(), preset="vision")


def test_what_is_refused():
    with pytest.raises(TypeError, match="did you mean weight_decay"):
        tn.optimizer("lion", arrays(), weight_decai=0.1)
    with pytest.raises(TypeError, match="C-contiguous"):
        tn.optimizer("lion", {"w": numpy.zeros((4, 4), "float32").T[1:]})
    with pytest.raises(TypeError, match="float64"):
        tn.optimizer("lion", {"w": numpy.zeros(3)})
    with pytest.raises(LookupError, match="no optimizer"):
        tn.optimizer("lyon", arrays())
    optimizer = tn.optimizer("lion", arrays())
    with pytest.raises(ValueError, match="shape"):
        optimizer.step({"b": numpy.zeros(4, "float32")})
    with pytest.raises(ValueError, match="not there: c"):
        optimizer.step({"c": numpy.zeros(5, "float32")})
