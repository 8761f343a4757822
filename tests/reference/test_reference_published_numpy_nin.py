"""The defects of a published NiN in NumPy (PyNet): each check passes here and rejects the operator as published.

Only the defective lines are kept from the published code; docs/reference.md lists the defects.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from nin_exp.reference.activations import ReLU
from nin_exp.reference.batches import batch_indices
from nin_exp.reference.containers import Sequential
from nin_exp.reference.conv import Conv2d
from nin_exp.reference.dropout import Dropout, Dropout2d
from nin_exp.reference.losses import CrossEntropy
from nin_exp.reference.module import Parameter
from nin_exp.reference.optimizers import SGD
from nin_exp.reference.pooling import GlobalAvgPool, MaxPool2d


def rejected(message: str) -> pytest.RaisesExc[AssertionError]:
    return pytest.raises(AssertionError, match=message)


class PublishedGAP:
    def forward(self, inputs: np.ndarray) -> np.ndarray:
        self.input_shape = inputs.shape
        return np.mean(inputs.reshape(*inputs.shape[:2], -1), axis=2)

    def backward(self, grad_out: np.ndarray) -> np.ndarray:
        n, c, h, w = self.input_shape
        return np.repeat(grad_out.reshape(n * c, -1), h * w, axis=1).reshape(n, c, h, w)


def test_gap_gradients_of_a_map_sum_to_the_gradient_of_its_mean():
    def check(gap: GlobalAvgPool | PublishedGAP) -> None:
        gap.forward(np.zeros((2, 3, 8, 8)))
        dy = np.arange(6.0).reshape(2, 3)
        sums = gap.backward(dy).sum(axis=(2, 3))
        assert np.allclose(sums, dy), f"map sums are {np.max(sums) / np.max(dy):g} times the gradient"

    check(GlobalAvgPool())
    with rejected("64 times the gradient"):
        check(PublishedGAP())


NAMES = ["mlp2_1", "mlp2_2", "mlp3_1", "mlp3_2"]


class PublishedSetParams:
    def __init__(self, rng: np.random.Generator) -> None:
        self.params = {name: rng.standard_normal((2, 2)) for name in NAMES}

    def state_dict(self) -> dict[str, np.ndarray]:
        return dict(self.params)

    def load_state_dict(self, params: dict[str, np.ndarray]) -> None:
        self.params = {"mlp2_1": params["mlp2_1"], "mlp2_2": params["mlp2_1"]}
        self.params |= {"mlp3_1": params["mlp3_1"], "mlp3_2": params["mlp3_1"]}


def test_a_loaded_state_gives_every_layer_its_own_weights(rng):
    def check(make: Callable[[], Sequential | PublishedSetParams]) -> None:
        source, target = make(), make()
        target.load_state_dict(source.state_dict())
        for name, value in source.state_dict().items():
            assert np.array_equal(target.state_dict()[name], value), f"{name} differs"

    check(lambda: Sequential({name: Conv2d(4, 4, 1, rng=rng) for name in NAMES}))
    with rejected("mlp2_2 differs"):
        check(lambda: PublishedSetParams(rng))


def published_dropout(shape: tuple[int, ...], p_h: float, rng: np.random.Generator) -> np.ndarray | float:
    """Masks of U = (rand < p) / p, and the scalar 1 / p where a draw drops everything."""
    mask = (rng.random((*shape[:2], 1, 1)) < p_h).astype(float)
    return mask / p_h if mask.any() else 1 / p_h


def test_dropout_p_is_the_probability_to_drop(rng):
    def check(drop: Callable[[np.ndarray], np.ndarray]) -> None:
        share = np.mean(drop(np.ones((100, 100, 1, 1))) == 0)
        assert abs(share - 0.2) < 0.02, f"p = 0.2 drops {share:.1f}"

    check(Dropout(0.2, rng=rng))
    check(Dropout2d(0.2, rng=rng))
    with rejected(r"p = 0\.2 drops 0\.8"):
        check(lambda x: x * published_dropout(x.shape, 0.2, rng))


def test_dropout_that_drops_everything_gives_zeros():
    def check(drop: Callable[[np.ndarray], np.ndarray]) -> None:
        y = drop(np.ones((1, 1, 2, 2)))
        assert np.all(y == 0), f"a dropped map became {y.max():g}"

    generator = AlwaysDrop(np.random.PCG64(0))
    check(Dropout2d(0.5, rng=generator))
    check(Dropout(0.5, rng=generator))
    with rejected("a dropped map became 2"):
        check(lambda x: x * published_dropout(x.shape, 0.5, NeverBelow(np.random.PCG64(0))))


class AlwaysDrop(np.random.Generator):
    """Draws 0: below every p."""

    def random(self, size: object = None, dtype: object = np.float64, out: object = None) -> np.ndarray:
        return np.zeros(size, dtype)


class NeverBelow(np.random.Generator):
    """Draws just below 1: the published mask keeps nothing."""

    def random(self, size: object = None, dtype: object = np.float64, out: object = None) -> np.ndarray:
        return np.full(size, 0.999, dtype)


@pytest.mark.parametrize(("count", "size", "seen"), [(10_000, 100, 9_900), (10_000, 128, 9_984)])
def test_every_example_is_seen(count, size, seen):
    def check(batches: list[np.ndarray]) -> None:
        total = sum(len(batch) for batch in batches)
        assert total == count, f"{total} of {count} were seen"

    check(list(batch_indices(count, size)))
    with rejected(f"{seen} of {count} were seen"):
        check([np.arange(j, j + size) for j in np.arange(0, count - size, step=size)])


def test_each_epoch_shuffles_anew(rng):
    def check(epoch: Callable[[], np.ndarray]) -> None:
        assert not np.array_equal(epoch(), epoch()), "two epochs have one order"

    check(lambda: np.concatenate(list(batch_indices(100, 8, rng))))
    once = rng.permutation(100)
    with rejected("two epochs have one order"):
        check(lambda: once)


def test_momentum_reaches_the_update():
    def check(step: Callable[[Parameter], None]) -> None:
        w = Parameter(np.zeros(1))
        for _ in range(2):
            w.grad = np.ones(1)
            step(w)
        assert np.allclose(w.data, -0.1 * (1 + 1.9)), f"two steps lead to {w.data[0]:g}"

    optimizers: dict[int, SGD] = {}
    check(lambda w: optimizers.setdefault(0, SGD([w], lr=0.1, momentum=0.9)).step())

    def published(w: Parameter, momentum: float = 0.9) -> None:
        w.data -= 0.1 * w.grad  # momentum is an argument of the network that no layer ever gets

    with rejected("two steps lead to -0.2"):
        check(published)


class PublishedCrossEntropy:
    """Changes its arguments, and does not divide its gradient by N though its value is a mean."""

    def forward(self, scores: np.ndarray, labels: np.ndarray) -> float:
        scores -= np.max(scores, axis=1, keepdims=True)
        self.probs = np.exp(scores)
        self.probs /= self.probs.sum(axis=1, keepdims=True)
        self.labels = labels
        return float(-np.log(self.probs[np.arange(len(labels)), labels]).mean())

    def backward(self) -> np.ndarray:
        grad = self.probs
        grad[np.arange(len(self.labels)), self.labels] -= 1
        return grad


def test_cross_entropy_changes_no_argument(rng):
    def check(loss: CrossEntropy | PublishedCrossEntropy) -> None:
        logits = rng.standard_normal((4, 3))
        before = logits.copy()
        loss.forward(logits, np.array([0, 1, 2, 0]))
        assert np.array_equal(logits, before), "the logits were changed"
        first = loss.backward().copy()
        assert np.array_equal(loss.backward(), first), "the probabilities were changed"

    check(CrossEntropy())
    with rejected("the logits were changed"):
        check(PublishedCrossEntropy())


def test_a_mean_loss_has_a_mean_gradient(rng):
    def check(loss: CrossEntropy | PublishedCrossEntropy) -> None:
        logits, labels = rng.standard_normal((8, 3)), np.arange(8) % 3
        loss.forward(logits.copy(), labels)
        gradient, step = loss.backward().copy(), 1e-6 * rng.standard_normal((8, 3))
        slope = loss.forward(logits + step, labels) - loss.forward(logits - step, labels)
        times = 2 * np.sum(gradient * step) / slope
        assert abs(times - 1) < 1e-4, f"the gradient is {times:.2f} times the slope"

    check(CrossEntropy())
    with rejected(r"the gradient is 8\.00 times the slope"):
        check(PublishedCrossEntropy())


def test_weights_and_biases_have_gradients_of_one_scale(rng):
    """The published bias gradient is divided by the number of rows, the weight's is not."""

    def check(db: np.ndarray, dw: np.ndarray, dy: np.ndarray) -> None:
        slope = float(dw.sum())  # with x = 1 everywhere a weight and a bias act alike
        assert np.allclose(db.sum(), slope), f"the bias has {db.sum() / slope:g} of the weight's gradient"

    conv, dy = Conv2d(1, 2, 1, rng=rng, dtype=np.float64), rng.standard_normal((3, 2, 4, 4)) + 1
    conv(np.ones((3, 1, 4, 4)))
    conv.backward(dy)
    check(conv.bias.grad, conv.weight.grad, dy)
    with rejected(r"the bias has 0\.0208333 of"):
        check(conv.bias.grad / (3 * 4 * 4), conv.weight.grad, dy)


def nin(c: int, num_classes: int, rng: np.random.Generator, pool: Callable[[], MaxPool2d]) -> Sequential:
    return Sequential(
        *(Conv2d(c, 6, 5, padding=2, rng=rng), ReLU(), Conv2d(6, 5, 1, rng=rng), ReLU(), pool()),
        *(Conv2d(5, 6, 5, padding=2, rng=rng), ReLU(), Conv2d(6, 5, 1, rng=rng), ReLU(), pool()),
        *(Conv2d(5, 6, 3, padding=1, rng=rng), ReLU(), Conv2d(6, num_classes, 1, rng=rng), GlobalAvgPool()),
    )


def test_nin_can_be_built_and_run(rng):
    """The published network's last version passes ``momentum`` to layers that do not take it."""
    network = nin(3, 10, rng, lambda: MaxPool2d(3, 2, ceil_mode=True))
    images = rng.standard_normal((2, 3, 32, 32)).astype(np.float32)
    assert network(images).shape == (2, 10)
    assert network.backward(np.ones((2, 10), np.float32)).shape == images.shape
    with pytest.raises(TypeError, match="unexpected keyword argument 'momentum'"):
        Conv2d(3, 192, 5, padding=2, momentum=0.9, rng=rng)


def test_class_maps_without_relu_can_be_negative(rng):
    """A ReLU after the class maps, as published, can die: then every logit is 0 and so is every gradient."""

    def check(network: Sequential) -> None:
        logits = network(np.ones((1, 3, 4, 4), np.float32))
        dx = network.backward(np.ones_like(logits))
        assert np.any(dx != 0), "no gradient reaches the input"

    conv = Conv2d(3, 4, 1, rng=rng)
    conv.bias.data[...] = -100
    check(Sequential(conv, GlobalAvgPool()))
    with rejected("no gradient reaches the input"):
        check(Sequential(conv, ReLU(), GlobalAvgPool()))
