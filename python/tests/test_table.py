"""The classes against the library's table, and against torch.optim's signatures."""

import inspect

import pytest
import torch

import tiger
import tiger.torch as tt

HINTS = {"foreach", "fused", "capturable", "differentiable", "maximize", "decoupled_weight_decay"}


def keywords(cls):
    signature = inspect.signature(cls.__init__)
    return {
        name: p.default
        for name, p in signature.parameters.items()
        if name not in ("self", "params") and p.kind is not inspect.Parameter.VAR_KEYWORD
    }


def test_every_rule_has_a_class():
    assert list(tt.CLASSES) == list(tiger.rules())
    for cls in tt.CLASSES.values():
        assert getattr(tt, cls.__name__) is cls and cls.__name__ in tt.__all__


@pytest.mark.skipif("shampoo" in tiger.rules(), reason="this build has LAPACK")
def test_what_a_build_lacks_is_named():
    with pytest.raises(NotImplementedError, match="shampoo needs LAPACK.*liblapacke-dev"):
        tt.Shampoo([torch.zeros(3, 5, requires_grad=True)])


@pytest.mark.parametrize("rule", tt.CLASSES)
def test_defaults_are_the_table_s(rule):
    cls = tt.CLASSES[rule]
    ours = {name: value for name, value in keywords(cls).items() if name not in HINTS}
    assert ours == cls.defaults_of_rule()
    assert cls.__doc__ and ("State" in cls.__doc__ or not tiger.rules()[rule].slots)


@pytest.mark.parametrize("rule", [rule for rule, cls in tt.CLASSES.items() if hasattr(torch.optim, cls.__name__)])
def test_defaults_are_torch_s(rule):
    cls = tt.CLASSES[rule]
    ours, theirs = keywords(cls), keywords(getattr(torch.optim, cls.__name__))
    assert {name: ours[name] for name in theirs} == theirs
    positional = [
        p.name
        for p in inspect.signature(getattr(torch.optim, cls.__name__).__init__).parameters.values()
        if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    ]
    assert [
        p.name
        for p in inspect.signature(cls.__init__).parameters.values()
        if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    ][: len(positional)] == positional


@pytest.mark.parametrize("rule", tt.CLASSES)
def test_every_rule_moves_weights(rule):
    p = torch.nn.Parameter(torch.full((5, 3), 0.731))
    before = p.detach().clone()
    optimizer = tt.optimizer(rule, [p])
    p.grad = torch.full_like(p, -0.29)
    for _ in range(2):  # soap's first update only makes its basis
        optimizer.step()
    for slot in tiger.rules()[rule].slots:
        if slot.name in optimizer.state[p]:
            values = optimizer.values(p, slot.name)
            assert values.dtype == torch.float32 and values.shape == optimizer.state[p][slot.name].shape
    assert isinstance(optimizer, torch.optim.Optimizer)
    # One gradient for all has a basis of any directions: soap's step is down the sum, not down every weight.
    assert (p - before).sum() > 0 if rule == "soap" else (p > before).all()


def test_options_by_the_table_s_names():
    p = torch.nn.Parameter(torch.ones(3))
    assert tt.optimizer("adamw", [p], beta2=0.95).param_groups[0]["betas"] == (0.9, 0.95)
    assert tt.optimizer("adamw", [p], betas=(0.8, 0.91), beta2=0.95).param_groups[0]["betas"] == (0.8, 0.95)
    with pytest.raises(LookupError, match="no optimizer 'adamv'"):
        tt.optimizer("adamv", [p])


def test_presets_come_under_what_is_given():
    p = torch.nn.Parameter(torch.ones(3))
    assert tt.AdamW.preset("language") == {"betas": (0.9, 0.95), "weight_decay": 0.1}
    group = tt.Tiger([p], **tt.Tiger.preset("reference", lr=2.5e-3)).param_groups[0]
    assert [group[k] for k in ("lr", "rms_floor", "embedding_rms", "embedding_update")] == [2.5e-3, 0, "row", "dense"]
    assert tt.optimizer("lion", [p], preset="language", beta2=0.97).param_groups[0]["betas"] == (0.95, 0.97)
    with pytest.raises(LookupError, match="tiger has no preset 'referense' .there are reference, finetune, small_batch, language, vision"):
        tt.Tiger.preset("referense")
    with pytest.raises(LookupError, match="sgd has no preset 'vision'$"):
        tt.SGD.preset("vision")


@pytest.mark.parametrize("rule", tt.CLASSES)
def test_every_preset_makes_an_optimizer(rule):
    for name, preset in tiger.rules()[rule].presets.items():
        assert preset.options and preset.source
        tt.optimizer(rule, [torch.nn.Parameter(torch.ones(3, 2))], preset=name)


def test_misspelt_and_illegal_options():
    p = torch.nn.Parameter(torch.ones(3))
    with pytest.raises(TypeError, match="did you mean rounding"):
        tt.AdamW([p], roundin="nearest")
    with pytest.raises(ValueError, match="rounding must be one of stochastic, nearest, kahan, weyl"):
        tt.AdamW([p], rounding="up")
    with pytest.raises(ValueError, match="lr"):
        tt.AdamW([p], lr=-1e-3)
    with pytest.raises(ValueError, match="beta2"):
        tt.AdamW([p], betas=(0.9, 1.0))
    with pytest.raises(ValueError, match="betas must be 2 numbers"):
        tt.AdamW([p], betas=(0.9,))
    with pytest.raises(ValueError, match="nesterov"):
        tt.SGD([p], nesterov=True)
    with pytest.raises(TypeError, match="lr must be a number"):
        tt.AdamW([p], lr="fast")
    with pytest.raises(ValueError, match="whole optimizer"):
        tt.AdamW([{"params": [p], "rounding": "nearest"}])


@pytest.mark.parametrize("hint", ["capturable", "differentiable"])
def test_what_cannot_be_is_refused(hint):
    with pytest.raises(ValueError, match=hint):
        tt.AdamW([torch.nn.Parameter(torch.ones(3))], **{hint: True})
