"""Attention: a softmax under equations, layers beside loops in NumPy, derivatives, and what is refused."""

from dataclasses import replace

import mpmath
import numpy as np
import pytest
import sympy

import nncodegen as nn
from nncodegen.certificates.differences import without_derivatives
from nncodegen.certificates.exact import bind, derivatives, run
from nncodegen.certificates.examination_points import Points
from nncodegen.certificates.scheduled import carried_out
from nncodegen.compiler.describe import describe
from nncodegen.compiler.ir import SAMPLE, Element, Equation, Program, Step, Tensor, evaluate, slices_of, verify
from nncodegen.compiler.passes.differentiate import differentiate
from nncodegen.compiler.passes.simplify import simplify
from nncodegen.compiler.passes.stabilize import stabilize
from nncodegen.compiler.passes.tangent import tangent
from nncodegen.errors import ModelError, ProgramError
from tests.support.attention import attend, attend_and_weigh, everything, samples, tokens_network
from tests.support.built import built
from tests.support.hessians import derived, hessian_of, product_by_differences
from tests.support.random_numbers import noise_of

pytestmark = pytest.mark.usefixtures("quick_compiler")
RNG = np.random.default_rng(11)
QUERY, VALUE, KEY = (RNG.normal(size=(3, *shape)) for shape in ((4, 3), (6, 2), (6, 5)))
LENGTHS = np.array([[2.0], [6.0], [1.0]])


def parameters_of(program, seed=0):
    """Random parameters, flat, and by name."""
    flat = np.random.default_rng(seed).normal(size=program.parameter_count)
    return flat, {tensor.name: flat[place].reshape(tensor.shape) for tensor, place in slices_of(program.parameters)}


def outputs(model, *inputs):
    """The outputs of a model for inputs side by side, and its parameters by name."""
    program = model.describe()
    flat, named = parameters_of(program)
    rows = np.concatenate([each.reshape(len(each), -1) for each in inputs], axis=1)
    values = evaluate(program, flat, rows, np.zeros((len(rows), sum(target.size for target in program.targets))))
    return values[program.outputs[0].tensor], named


# --- a softmax under equations -----------------------------------------------------------------------------------


def causal(operator, steps=4):
    """The program of one operator over the terms of a causal row."""
    x, y = Element("x", (SAMPLE, "t", "s")), Element("y", (SAMPLE, "t", "s"))
    kept = ("t", "s") if operator == "softmax" else ("t",)
    result, loss = Element("h", (SAMPLE, *kept)), Element("loss")
    weight, where = Element("weight", (SAMPLE,)), (Equation("b", (("t", 1), ("s", -1))),)
    rows = Element("rows", (SAMPLE,))
    return Program(
        "causal",
        (Tensor("x", (None, steps, steps)),),
        (
            Step(result, x, operator, ("s", "b"), where),
            Step(rows, result * y, "sum", ("t", "s")),
            Step(loss, rows * weight, "sum", (SAMPLE,)),
        ),
        (result,),
        targets=(Tensor("y", (None, steps, steps)),),
        loss=loss,
        extents=(("b", steps),),
    )


@pytest.mark.parametrize("operator", ["softmax", "sum", "max"])
def test_rows_have_the_terms_that_exist(operator):
    """A causal row has as many terms as there are steps before it; the others count as nothing."""
    program, x = verify(causal(operator)), RNG.normal(size=(2, 4, 4))
    values = evaluate(program, [], x.reshape(2, -1), np.zeros((2, 16)))["h"]
    for t in range(4):
        row = x[:, t, : t + 1]
        if operator == "softmax":
            expected = np.exp(row) / np.exp(row).sum(axis=1, keepdims=True)
            assert np.all(values[:, t, t + 1 :] == 0)
            np.testing.assert_allclose(values[:, t, : t + 1], expected, rtol=1e-14)
        else:
            np.testing.assert_allclose(values[:, t], getattr(row, operator)(axis=1), rtol=1e-14)
    assert "softmax(s, b) x[n, t, s] where b = t - s" in causal("softmax").show()


def test_what_a_softmax_under_equations_needs():
    """An index that is not on the left is given by an equation; a logarithm of no term has no value."""
    program = causal("softmax")
    free = replace(program, steps=(replace(program.steps[0], where=()), *program.steps[1:]))
    with pytest.raises(ProgramError, match="b of softmax is neither on the left nor given"):
        verify(free)
    with pytest.raises(ProgramError, match="log_softmax cannot have equations"):
        verify(replace(program, steps=(replace(program.steps[0], operator="log_softmax"), *program.steps[1:])))


# --- layers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("use_causal_mask", [True, False])
def test_self_attention(use_bias, use_causal_mask):
    """A sequence that looks at itself, causal or not, is that of the loops in NumPy."""
    x = nn.Input((4, 3))
    layer = nn.MultiHeadAttention(2, 3, value_dim=2, use_bias=use_bias)
    answers, named = outputs(nn.Network(x, layer(x, x, use_causal_mask=use_causal_mask), name="own"), QUERY)
    np.testing.assert_allclose(answers, attend(named, 1, QUERY, causal=use_causal_mask), atol=1e-13)
    if not use_causal_mask:
        alone, _ = outputs(nn.Sequential([layer], (4, 3), name="own"), QUERY)
        assert np.array_equal(alone, answers)  # in a stack, it looks at its only input


def test_cross_attention():
    """Queries look at another sequence, with other keys, of which some do not exist."""
    query, value, key = (nn.Input(x.shape[1:], name=name) for x, name in ((QUERY, "a"), (VALUE, "b"), (KEY, "c")))
    length, layer = nn.Input(1, name="steps"), nn.MultiHeadAttention(2, 3, output_shape=2)
    node = layer(query, value, key, lengths=length)
    answers, named = outputs(nn.Network([query, value, key, length], node, name="cross"), QUERY, VALUE, KEY, LENGTHS)
    expected = attend(named, 1, QUERY, VALUE, KEY, lengths=LENGTHS)
    np.testing.assert_allclose(answers, expected, atol=1e-13)
    assert answers.shape == (3, 4, 2)
    moved = np.where(np.arange(6)[:, None] < LENGTHS[:, None], VALUE, 1e30)
    again, _ = outputs(nn.Network([query, value, key, length], node, name="cross"), QUERY, moved, KEY, LENGTHS)
    np.testing.assert_array_equal(again, answers)  # what comes after the end of a sequence counts as nothing


@pytest.mark.parametrize("shape", [(4, 6), (1, 6), (6,)])
def test_masks(shape):
    """A mask says which places a query may look at; one that may look at none is answered by 0."""
    query, value, mask = (nn.Input(s, name=name) for s, name in (((4, 3), "a"), ((6, 2), "b"), (shape, "m")))
    exists = (np.random.default_rng(3).random((3, *shape)) < 0.5).astype(float)
    exists[0] = 0
    layer = nn.MultiHeadAttention(1, 2, use_bias=False)
    node = layer(query, value, attention_mask=mask, use_causal_mask=True)
    answers, named = outputs(nn.Network([query, value, mask], node, name="masked"), QUERY, VALUE, exists)
    np.testing.assert_allclose(answers, attend(named, 1, QUERY, VALUE, mask=exists, causal=True), atol=1e-13)
    assert np.all(answers[0] == 0)


def test_weights_of_heads():
    """On request, a call returns the weights of all heads, which are those of the rows that exist."""
    x, y, length = nn.Input((4, 3), name="x"), nn.Input((6, 2), name="y"), nn.Input(1, name="steps")
    for layer in (nn.MultiHeadAttention(2, 3, dropout=0.5), nn.GroupQueryAttention(3, 4, 2)):
        for options in ({"use_causal_mask": True}, {"value": y, "lengths": length}):
            h, weights = layer(x, **options, return_attention_scores=True)
            inputs = [x] if "value" not in options else [x, y, length]
            model = nn.Network(inputs, [h, weights], name="weights")
            program = model.describe()
            flat, named = parameters_of(program)
            arrays = [QUERY, VALUE, LENGTHS][: len(inputs)]
            rows = np.concatenate([each.reshape(3, -1) for each in arrays], axis=1)
            targets = np.zeros((3, sum(target.size for target in program.targets)))
            values = evaluate(program, flat, rows, targets)
            expected = attend_and_weigh(
                named, 1, *arrays[:2], lengths=LENGTHS if arrays[1:] else None, causal=not arrays[1:]
            )
            for output, array in zip(program.outputs, expected, strict=True):
                np.testing.assert_allclose(values[output.tensor], array, atol=1e-13)
            noise = {source.tensor.name: np.full((3, *source.tensor.shape[1:]), -1.0) for source in program.noise}
            if noise:  # what is returned are the weights before dropout, as in Keras
                dropped = evaluate(program, flat, rows, targets, noise=noise)
                np.testing.assert_allclose(dropped[program.outputs[1].tensor], expected[1], atol=1e-13)


@pytest.mark.parametrize("axes", [None, 1, (2,), (2, 1)])
def test_axes_of_attention(axes):
    """Queries look along the chosen axes of a sample, and at the same place of the others, or at all places."""
    query, value = RNG.normal(size=(3, 2, 4, 3)), RNG.normal(size=(3, 2, 4, 5))
    x, y = nn.Input((2, 4, 3), name="x"), nn.Input((2, 4, 5), name="y")
    layer = nn.MultiHeadAttention(2, 2, attention_axes=axes)
    single, size = axes in (1, (2,)), {1: 2, (2,): 4}.get(axes, 8)
    shape = (size, size) if single else (2, 4, 2, 4)
    mask, m = (RNG.random((3, *shape)) < 0.7).astype(float), nn.Input(shape, name="m")
    node = layer(x, y, attention_mask=m, use_causal_mask=single, return_attention_scores=True)
    model = nn.Network([x, y, m], list(node), name="axes")
    program = model.describe()
    flat, named = parameters_of(program)
    X = np.concatenate([each.reshape(3, -1) for each in (query, value, mask)], axis=1)
    values = evaluate(program, flat, X, np.zeros((3, sum(target.size for target in program.targets))))

    def rows(array):
        """The places that do not look at each other as samples, the others as steps."""
        moved = array.transpose(0, 2, 1, 3) if axes == 1 else array
        return moved.reshape(-1, size, array.shape[-1])

    masks = np.repeat(mask.reshape(3, size, size), 8 // size, axis=0)
    answers, weights = attend_and_weigh(named, 1, rows(query), rows(value), mask=masks, causal=single)
    output, scores = (values[element.tensor] for element in program.outputs)
    np.testing.assert_allclose(rows(output), answers, atol=1e-13)
    kept = (3, 8 // size, 2, size, size) if single else (3, 2, 2, 4, 2, 4)
    assert scores.shape == kept
    np.testing.assert_allclose(scores.ravel(), weights.ravel(), atol=1e-13)
    if axes != (2, 1):
        module = built(model, fit=False)
        outputs = np.concatenate([output.reshape(3, -1), scores.reshape(3, -1)], axis=1)
        np.testing.assert_allclose(module.predict(flat, X), outputs, atol=1e-13)


def test_heads_in_groups():
    """Heads of queries share keys and values: those of a group are one after the other."""
    x = nn.Input((4, 3))
    node = nn.GroupQueryAttention(2, 6, 3)(x, x, use_causal_mask=True)
    answers, named = outputs(nn.Network(x, node, name="groups"), QUERY)
    assert named["Wq1"].shape == (3, 2, 2, 3)
    np.testing.assert_allclose(answers, attend(named, 1, QUERY, causal=True), atol=1e-13)


def test_a_layer_that_is_called_twice():
    """Both uses have the same weights, whatever they look at."""
    a, b = nn.Input((4, 3), name="a"), nn.Input((4, 3), name="b")
    layer, other = nn.MultiHeadAttention(2, 2), QUERY[::-1] ** 2
    node = layer(layer(a, b), layer(b, b, use_causal_mask=True))
    answers, named = outputs(nn.Network([a, b], node, name="twice"), QUERY, other)
    first, second = attend(named, 1, QUERY, other), attend(named, 1, other, causal=True)
    np.testing.assert_allclose(answers, attend(named, 1, first, second), atol=1e-13)


def test_positions_and_normalization():
    """Positions have rows of their own, of which a shorter sequence takes the first; squares have the mean 1."""
    for length in (4, 6):
        answers, named = outputs(nn.Sequential([nn.PositionEmbedding(length)], (4, 3), name="places"), QUERY)
        np.testing.assert_array_equal(answers, np.broadcast_to(named["P1"][:4], QUERY.shape))
    for axis in (-1, (1, 2)):
        for scale in (True, False):
            layer = nn.RMSNormalization(axis, 1e-5, scale)
            answers, named = outputs(nn.Sequential([layer], (4, 3), name="squares"), QUERY)
            expected = QUERY / np.sqrt((QUERY**2).mean(axis=axis, keepdims=True) + 1e-5)
            np.testing.assert_allclose(answers, expected * named.get("scale1", 1.0), rtol=1e-14)


def test_weights_of_keras_and_pytorch():
    """Weights by name have their axes in the order that they have here: outputs, heads, features."""
    rng, x = np.random.default_rng(4), nn.Input((4, 3))
    for layer in (nn.MultiHeadAttention(4, 2, name="look"), nn.GroupQueryAttention(2, 4, 2, name="look")):
        groups = 4 if isinstance(layer, nn.MultiHeadAttention) else 2
        heads = {"query": 4, "key": groups, "value": groups}
        keras = {f"look/{name}/kernel": rng.normal(size=(3, count, 2)) for name, count in heads.items()}
        keras |= {f"look/{name}/bias": rng.normal(size=(count, 2)) for name, count in heads.items()}
        keras |= {"look/attention_output/kernel": rng.normal(size=(4, 2, 3)), "look/attention_output/bias": np.ones(3)}
        torch = {
            key.replace("query/", "q_proj.")
            .replace("key/", "k_proj.")
            .replace("value/", "v_proj.")
            .replace("attention_output/", "out_proj.")
            .replace("kernel", "weight")
            .replace("/", "."): values.reshape(8, 3).T
            if key.endswith("output/kernel")
            else values.reshape(3, -1).T
            if key.endswith("kernel")
            else values.ravel()
            for key, values in keras.items()
        }
        model = nn.Network(x, layer(x), name="taken")
        weighted_model = nn.with_weights(model, keras)
        named = {name.removesuffix("_look") + "1": values for name, values in weighted_model.initial.items()}
        q = np.einsum("ti,ihk->thk", QUERY[0], keras["look/query/kernel"])
        q_here = np.einsum("ti,...ki->t...k", QUERY[0], named["Wq1"]).reshape(4, 4, 2)
        np.testing.assert_allclose(q_here, q)
        W = named["Wo1"].reshape(3, 4, 2)
        np.testing.assert_array_equal(W, np.moveaxis(keras["look/attention_output/kernel"], -1, 0))
        for name, values in nn.with_weights(model, torch, "torch").initial.items():
            np.testing.assert_array_equal(values, weighted_model.initial[name])


def test_weights_of_places_and_normalizations():
    """Those of KerasHub's PositionEmbedding and Keras's RMSNormalization have the names that these give them."""
    layers = [nn.PositionEmbedding(4, name="places"), nn.RMSNormalization(name="norm")]
    weights = {"places/embeddings": RNG.normal(size=(4, 3)), "norm/scale": RNG.normal(size=3)}
    initial = nn.with_weights(nn.Sequential(layers, (4, 3), name="taken"), weights).initial
    np.testing.assert_array_equal(initial["P_places"], weights["places/embeddings"])
    np.testing.assert_array_equal(initial["scale_norm"], weights["norm/scale"])


def bad():
    """What is refused: a function that makes it, and the words of the error."""
    x, y, flat = nn.Input((4, 3), name="x"), nn.Input((5, 3), name="y"), nn.Input(3, name="flat")
    layer, cube, wide = nn.MultiHeadAttention(2, 2), nn.Input((2, 4, 3), name="cube"), nn.Input((3, 4, 3), name="wide")

    def made(node, *inputs):
        return lambda: nn.Network(list(inputs), node, name="bad")

    return [
        (made(nn.GroupQueryAttention(2, 5, 2)(x), x), "5 heads of queries, which 2 heads of keys and values do not"),
        (made(nn.MultiHeadAttention(0, 2)(x), x), "num_heads of layer 1 must be a positive integer"),
        (made(nn.MultiHeadAttention(2, 2, dropout=1)(x), x), "dropout of layer 1 must be a number from 0 to below 1"),
        (made(layer(flat), flat), r"the query of layer 1 has the shape \(steps, features\), not \(3,\)"),
        (made(layer(x, y, x), x, y), r"a key for each of its values, but keys have the shape \(4, 3\), values \(5, "),
        (made(layer(x, y, attention_mask=x), x, y), r"attention_mask of layer 1 has the shape \(4, 5\), \(1, 5\) or "),
        (made(layer(x, lengths=flat), x, flat), r"the lengths of layer 1 have the shape \(1,\), not \(3,\)"),
        (lambda: layer(x, x, use_causal_mask=1), "use_causal_mask is True or False, not 1"),
        (lambda: layer(x, return_attention_scores=None), "return_attention_scores is True or False, not None"),
        (made(nn.MultiHeadAttention(1, 2, attention_axes=2)(x), x), r"attention_axes of layer 1 .*, \(1,\) at most"),
        (made(layer(x, cube), x, cube), r"the value of layer 1 has the shape \(steps, features\), not \(2, 4, 3\)"),
        (made(layer(cube, x), cube, x), r"the value of layer 1 has 3 axes, as the query has, not \(4, 3\)"),
        (made(layer(cube, use_causal_mask=True), cube), "looks along 2 axes, in which no place is before another"),
        (made(nn.MultiHeadAttention(1, 2, attention_axes=2)(cube, wide), cube, wide), "axis 1, which has 2 places in"),
        (lambda: layer(x, "x"), "neither an nncodegen.Input nor the result of a layer"),
        (made(nn.PositionEmbedding(3)(x), x), "with at most 3 steps"),
        (made(nn.RotaryEmbedding()(x), x), "layer 1 rotates pairs of features, of which there cannot be 3"),
        (made(nn.RotaryEmbedding(0)(x), x), "the max_wavelength of layer 1 is a number above 0, not 0"),
        (made(nn.RotaryEmbedding(feature_axis=1)(x), x), "needs a sequence_axis and a feature_axis that are different"),
        (made(nn.MultiHeadAttention(1, 2, rotary=True)(x), x), "rotary of layer 1 is a RotaryEmbedding or None, not"),
        (made(nn.RMSNormalization(scale=2)(x), x), "scale of layer 1 is True or False, not 2"),
        (made(nn.RMSNormalization(epsilon=0)(x), x), "epsilon of layer 1 is a number above 0"),
    ]


@pytest.mark.parametrize("number", range(22))
def test_what_does_not_fit_is_refused_in_words(number):
    """The error says which argument of which layer does not fit, and what would."""
    make, message = bad()[number]
    with pytest.raises(ModelError, match=message):
        make()


# --- derivatives, and modules ------------------------------------------------------------------------------------


EVERYTHING, TOKENS = everything(), tokens_network()


def test_gradients():
    """Those of the compiler's program are those of an independent tape, which adds up the terms that exist."""
    program = describe(EVERYTHING)
    backward = simplify(differentiate(stabilize(program)))
    flat, _ = parameters_of(program, 2)
    X, Y = samples(2)
    values = evaluate(backward, flat, X, Y)
    with mpmath.workdps(30):
        exact = derivatives(program, run(program, bind(program, flat, X, Y)))
    for tensor, element in zip(program.parameters, backward.gradient, strict=True):
        np.testing.assert_allclose(values[element.tensor], exact[tensor.name].astype(float), rtol=1e-11, atol=1e-13)


def test_loops():
    """The loops of the schedule give what their steps say, beside steps that are left out or run in order, too."""
    x = nn.Input((4, 2))
    rest = nn.GRU(2, return_sequences=True)(nn.MultiHeadAttention(1, 2)(nn.GRU(2, return_sequences=True)(x)))
    for model in (EVERYTHING, TOKENS, nn.Network(x, nn.Dense(1)(rest), name="between")):
        stages = nn.compile_model(model, until="schedule", fit=False)
        point = Points(stages["describe"], stages["describe"], 2, seed=3).of("ordinary")
        assert carried_out(stages["schedule"], point.parameters, point.X, point.Y) is None


def test_between_recurrences():
    """Attention between recurrent layers is that of the evaluator, also where time is in segments."""
    x = nn.Input((5, 2))
    h = nn.MultiHeadAttention(2, 2)(nn.GRU(3, return_sequences=True)(x))
    model = nn.Network(x, nn.Dense(1)(nn.GRU(2, return_sequences=True)(h)), name="between")
    module, program = built(model, fit=False, segment_length=2), describe(model)
    flat, X, Y = parameters_of(program)[0], RNG.normal(size=(3, 10)), RNG.normal(size=(3, 5))
    backward = differentiate(stabilize(program))
    values = evaluate(backward, flat, X, Y)
    expected = np.concatenate([values[element.tensor].ravel() for element in backward.gradient])
    loss, gradient = module.loss_and_gradient(flat, X, Y)
    assert loss == pytest.approx(float(values["loss"]), rel=1e-12)
    np.testing.assert_allclose(gradient, expected, atol=1e-12)
    for rows in (slice(0, 1), slice(0, 3)):
        outputs = values[backward.outputs[0].tensor].reshape(3, -1)[rows]
        np.testing.assert_allclose(module.predict(flat, X[rows]), outputs, atol=1e-13)


def test_hessians():
    """The second derivatives of a causal row are those of differences."""
    x = nn.Input((3, 2))
    model = nn.Network(x, nn.MultiHeadAttention(1, 2, use_bias=False)(x, use_causal_mask=True), name="curved")
    differentiated, program = derived(model)
    flat, X, Y = parameters_of(describe(model), 1)[0], QUERY[:2, :3, :2].reshape(2, -1), KEY[:2, :2, :3].reshape(2, -1)
    direction = np.random.default_rng(8).normal(size=len(flat))
    expected = product_by_differences(differentiated, flat, direction, X, Y).astype(float)
    np.testing.assert_allclose(hessian_of(program, flat, X, Y) @ direction, expected, rtol=1e-10, atol=1e-12)


def test_derivatives_by_inputs():
    """Those of an equation in the loss, to the second order, are those of differences in many digits."""
    a, b = sympy.symbols("a b")
    u = sympy.Function("u")(a, b)
    places, look = nn.Input((a, b)), nn.MultiHeadAttention(1, 2)
    h = nn.RMSNormalization()(nn.Reshape((3, 2))(nn.Dense(6)(places)))
    output = nn.Dense(1)(nn.Flatten()(look(h, use_causal_mask=True)))
    model = nn.Network(places, {u: output}, losses={"one": u.diff(a, b) + u.diff(a)}, name="fields")
    program = describe(model)
    plain, written, point = (
        without_derivatives(program),
        tangent(program),
        Points(program, program, 1, 3).of("ordinary"),
    )
    with mpmath.workdps(200):
        by_differences, values = (
            run(each, bind(each, point.parameters, point.X, point.Y)) for each in (plain, written)
        )
        for name in ("u_a", "u_ab"):
            assert abs(by_differences[name].item() / values[name].item() - 1) < mpmath.mpf(10) ** -50


@pytest.mark.thorough
def test_certificate():
    """A network of attention has a certificate, with a mask and lengths."""
    x, length, mask = nn.Input((3, 2), name="x"), nn.Input(1, name="steps"), nn.Input(3, name="mask")
    seen = nn.MultiHeadAttention(1, 2)(
        nn.RMSNormalization()(x), use_causal_mask=True, lengths=length, attention_mask=mask
    )
    model = nn.Network([x, length, mask], nn.Dense(1)(seen + nn.PositionEmbedding(4)(seen)), name="certified")
    assert nn.certify(model, points=1, fit=False).holds


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_a_module_is_its_program(precision):
    """Outputs, loss and gradient of the module are those of the evaluator, of one sample and of several."""
    module = built(EVERYTHING, precision, fit=False)
    program = describe(EVERYTHING)
    flat = parameters_of(program, 2)[0].astype(precision).astype(float)
    X, Y = (a.astype(precision).astype(float) for a in samples())
    tolerance = 1e-12 if precision == "float64" else 2e-5
    for rows in (slice(0, 1), slice(0, 9)):
        values = evaluate(differentiate(stabilize(program)), flat, X[rows], Y[rows])
        expected = values[program.outputs[0].tensor].reshape(len(X[rows]), -1)
        np.testing.assert_allclose(module.predict(flat, X[rows]), expected, atol=tolerance)
        loss, gradient = module.loss_and_gradient(flat, X[rows], Y[rows])
        assert loss == pytest.approx(float(values["loss"]), rel=tolerance)
        backward = differentiate(stabilize(program))
        wanted = np.concatenate([values[element.tensor].ravel() for element in backward.gradient])
        np.testing.assert_allclose(gradient, wanted, atol=tolerance * abs(wanted).max())


@pytest.mark.parametrize(("column", "value", "name"), [(18, 0, "steps"), (18, 4, "steps"), (19, 0.5, "mask")])
def test_data_that_say_nothing(column, value, name):
    """A length that is not one of the sequence, and a mask that is neither 0 nor 1, are errors with their place."""
    module, (X, _) = built(EVERYTHING, fit=False), samples(3)
    X[1, column] = value
    with pytest.raises(ValueError, match=rf"X\[1, {column}\] is {value}; {name} has whole numbers from"):
        module.predict(module.initial_parameters(), X)


def test_dropout():
    """In an update, a share of the weights of keys is 0: as the evaluator has them with the same random numbers."""
    module, program = built(EVERYTHING, fit=False), describe(EVERYTHING)
    X, Y = samples(40)
    start = module.initial_parameters(seed=9)
    parameters = module.train(X, Y, epochs=1, batch_size=None, shuffle=False, seed=9, learning_rate=0.1).parameters
    backward = differentiate(stabilize(program))
    noise = noise_of(program.noise, "float64", 9, 0, np.arange(40))
    noise = {
        source.tensor.name: noise[source.tensor.name].reshape(40, *source.tensor.shape[1:]) for source in program.noise
    }
    values = evaluate(backward, start, X, Y, noise=noise)
    gradient = np.concatenate([values[element.tensor].ravel() for element in backward.gradient])
    np.testing.assert_allclose(parameters, start - 0.1 * gradient, atol=1e-13)
    assert all(np.any(array == -1) for array in noise.values())


def test_training():
    """A transformer in small learns to repeat a token; threads give the same bits; -1 is a step without a target."""
    module = built(TOKENS, fit=False)
    tokens = np.random.default_rng(7).integers(0, 7, (64, 5))
    labels = np.where(np.arange(5) < 2, -1, np.roll(tokens, 2, axis=1))  # the token before the last one
    labels[::3, 3:] = -1
    options = {"optimizer": "adam", "learning_rate": 0.02, "epochs": 60, "batch_size": 16, "seed": 3}
    result = module.train(tokens, labels, **options)
    assert np.array_equal(module.train(tokens, labels, threads=2, **options).parameters, result.parameters)
    p = np.exp(module.predict(result.parameters, tokens).reshape(64, 5, 7))
    p /= p.sum(axis=2, keepdims=True)
    there = labels >= 0
    of_labels = np.take_along_axis(p, np.where(there, labels, 0)[..., None], axis=2)[..., 0]
    means = np.where(there, -np.log(of_labels), 0).sum(axis=1) / there.sum(axis=1)
    assert result.loss == pytest.approx(means.mean())
    assert np.mean(p.argmax(axis=2)[there] == labels[there]) > 0.95
    with pytest.raises(ValueError, match=r"Y\[2\] has no target at any step"):
        module.loss(result.parameters, tokens, np.where(np.arange(64)[:, None] == 2, -1, labels))
    with pytest.raises(ValueError, match=r"Y\[0, 2\] is 7, which is no class; expected labels 0 to 6, or -1"):
        module.loss(result.parameters, tokens, np.where(there, 7, labels))


def test_samples_run_one_by_one():
    """Samples one by one give what tiles give, in memory that no tile multiplies; recurrences keep their tiles."""
    network = tokens_network(9, width=12, heads=3, name="one_by_one")
    single, tiles = (nn.build(network, fit=False, choices=choices) for choices in ({}, {"tile": 16}))
    schedules = [
        nn.compile_model(network, until="schedule", fit=False, choices=choices)["schedule"]
        for choices in ({}, {"tile": 16})
    ]
    assert [schedule.tile for schedule in schedules] == [1, 16]
    memory = [schedule.gradient.memory.arrays for schedule in schedules]
    assert 8 * memory[0] < memory[1]
    rng = np.random.default_rng(4)
    tokens, parameters = rng.integers(0, 7, (37, 9)), rng.normal(0, 0.3, single.parameter_count)
    labels = rng.integers(-1, 7, (37, 9))
    labels[:, 0] = 1
    for count in (1, 3, 37):
        data = tokens[:count], labels[:count]
        np.testing.assert_allclose(
            single.predict(parameters, data[0]), tiles.predict(parameters, data[0]), rtol=1e-12, atol=1e-14
        )
        (loss, gradient), (other, expected) = (each.loss_and_gradient(parameters, *data) for each in (single, tiles))
        assert loss == pytest.approx(other, rel=1e-13)
        np.testing.assert_allclose(gradient, expected, atol=1e-13 * abs(expected).max())
    x = nn.Input((4, 3))
    after = nn.MultiHeadAttention(1, 2)(nn.GRU(3, return_sequences=True)(x))
    assert nn.compile_model(nn.Network(x, after), until="schedule", fit=False)["schedule"].tile > 1


def test_later_steps_do_not_exist():
    """In a causal row, not even a later step whose keys and values overflow reaches an earlier one."""
    x = nn.Input((21, 5))
    network = nn.Network(x, nn.MultiHeadAttention(2, 3)(x, use_causal_mask=True), name="causal")
    module = built(network, fit=False)
    rng = np.random.default_rng(5)
    parameters, X = rng.normal(size=module.parameter_count), rng.normal(size=(2, 21, 5))
    expected = module.predict(parameters, X.reshape(2, -1)).reshape(2, 21, 5)
    X[0, 13] = 1.7e308
    predicted = module.predict(parameters, X.reshape(2, -1)).reshape(2, 21, 5)
    np.testing.assert_array_equal(predicted[1], expected[1])
    np.testing.assert_allclose(predicted[0, :13], expected[0, :13], atol=1e-14)
    assert not np.isfinite(predicted[0, 13:]).all(axis=1).any()


def test_the_c_has_loops():
    """Neither the length of a sequence, nor the number of heads, nor the width changes the length of the C."""

    def lines(steps, width, heads):
        model = tokens_network(steps, width=width, heads=heads, name="lengths")
        return len(nn.compile_model(model, until="emit", fit=False).sources.files["lengths.c"].splitlines())

    assert lines(24, 48, 8) == lines(40, 96, 12)
