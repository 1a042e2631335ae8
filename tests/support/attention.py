"""Attention in NumPy, one sample, head and query after the other, and random networks of it."""

import numpy as np

import nncodegen as nn


def attend(named, number, query, value=None, key=None, mask=None, lengths=None, causal=False):
    """The result of a layer of attention, (N, T, features), with its parameters by name and its number."""
    return attend_and_weigh(named, number, query, value, key, mask, lengths, causal)[0]


def attend_and_weigh(named, number, query, value=None, key=None, mask=None, lengths=None, causal=False):
    """The result, and the weights of all heads, (N, heads, T, S)."""
    value = query if value is None else value
    key = value if key is None else key
    W = {letter: named[f"W{letter}{number}"] for letter in "qkvo"}
    bias = {letter: named.get(f"b{letter}{number}", 0.0) for letter in "qkvo"}
    q = np.einsum("nti,...ki->nt...k", query, W["q"]) + bias["q"]
    k = np.einsum("nsi,hki->nshk", key, W["k"]) + bias["k"]
    v = np.einsum("nsi,hki->nshk", value, W["v"]) + bias["v"]
    answers = np.zeros((*q.shape[:-1], v.shape[-1]))
    shares = np.zeros((*q.shape[:-1], value.shape[1]))
    for place in np.ndindex(q.shape[:-1]):
        n, t, h = place[:3]
        allowed = np.full(value.shape[1], True)
        allowed &= np.arange(len(allowed)) <= t if causal else True
        allowed &= True if lengths is None else np.arange(len(allowed)) < lengths[n]
        allowed &= True if mask is None else np.broadcast_to(mask[n], (q.shape[1], len(allowed)))[t] == 1
        if allowed.any():
            scores = k[n, allowed, h] @ q[place] / np.sqrt(q.shape[-1])
            weights = np.exp(scores - scores.max())
            answers[place] = weights / weights.sum() @ v[n, allowed, h]
            shares[(*place, allowed)] = weights / weights.sum()
    flat = answers.reshape(*answers.shape[:2], -1)
    result = flat @ W["o"].reshape(len(W["o"]), -1).T + bias["o"]
    return result, shares.reshape(*shares.shape[:2], -1, shares.shape[-1]).transpose(0, 2, 1, 3)


def tokens_network(steps=5, tokens=7, width=6, heads=2, name="tokens", **options):
    """A transformer in small: tokens and positions, one block with residuals, and classes of each step."""
    x = nn.Input(steps, name="x")
    h = nn.Embedding(tokens, width)(x)
    h += nn.PositionEmbedding(steps)(h)
    normal = nn.RMSNormalization()(h)
    h += nn.MultiHeadAttention(heads, width // heads, **options)(normal, normal, use_causal_mask=True)
    h += nn.Dense(width)(nn.Dense(4, "gelu")(nn.LayerNormalization()(h)))
    output = nn.Dense(tokens, use_bias=False)(h)
    return nn.Network(x, output, "sparse_categorical_crossentropy_from_logits", name=name)


def everything(name="everything", dropout=0.25):
    """A network with all that attention knows: causal, across, in groups, with a mask, lengths and rotations."""
    x, y, length = nn.Input((4, 3), name="x"), nn.Input((3, 2), name="y"), nn.Input(1, name="steps")
    mask = nn.Input((4, 3), name="mask")
    h = x + nn.MultiHeadAttention(2, 2)(x, use_causal_mask=True)
    h = nn.RMSNormalization()(h + nn.PositionEmbedding(5)(h))
    h += nn.MultiHeadAttention(2, 2, 1, dropout=dropout)(h, y, attention_mask=mask, lengths=length)
    h += nn.GroupQueryAttention(2, 2, 1, use_bias=False, rotary=nn.RotaryEmbedding(10))(h)
    return nn.Network([x, y, length, mask], nn.Dense(2, "tanh")(h), name=name)


def samples(count=9):
    """Inputs and targets of the network with everything."""
    rng = np.random.default_rng(5)
    mask, length = (rng.random((count, 12)) < 0.7).astype(float), rng.integers(1, 4, (count, 1)).astype(float)
    X = np.concatenate([rng.normal(size=(count, 12)), rng.normal(size=(count, 6)), length, mask], axis=1)
    return X, rng.normal(size=(count, 8))


class ChannelsFirst(nn.Layer):
    """Attention over inputs (channels, steps), whose queries, keys and results have their steps last."""

    def describe(self, call):
        n, c, t = call.x.indices
        width, steps = call.shape
        s, i = call.index(steps), call.index(width)
        of_keys = call.x.renamed({t: s})
        q = call.step("q", (n, i, t), call.parameter("Wq", (i, c), "glorot_uniform") * call.x, "sum", (c,))
        k = call.step("k", (n, i, s), call.parameter("Wk", (i, c), "glorot_uniform") * of_keys, "sum", (c,))
        v = call.step("v", (n, i, s), call.parameter("Wv", (i, c), "glorot_uniform") * of_keys, "sum", (c,))
        p = call.step("p", (n, t, s), call.step("z", (n, t, s), q * k, "sum", (i,)), "softmax", (s,))
        return call.part(call.step("a", (n, i, t), p * v, "sum", (s,)))


class KeysFirst(nn.Layer):
    """Attention whose scores have the keys before the queries."""

    def describe(self, call):
        n, t, c = call.x.indices
        steps, width = call.shape
        s, i = call.index(steps), call.index(width)
        of_keys = call.x.renamed({t: s})
        q = call.step("q", (n, t, i), call.parameter("Wq", (i, c), "glorot_uniform") * call.x, "sum", (c,))
        k = call.step("k", (n, s, i), call.parameter("Wk", (i, c), "glorot_uniform") * of_keys, "sum", (c,))
        p = call.step("p", (n, s, t), call.step("z", (n, s, t), q * k, "sum", (i,)), "softmax", (s,))
        return call.part(call.step("a", (n, t, i), p * of_keys.renamed({c: i}), "sum", (s,)))


def beside_recurrent(steps, width=4, heads=2, causal=True):
    """Attention between recurrent layers, one of them backwards."""
    x = nn.Input((steps, width), name="x")
    h = nn.GRU(width, return_sequences=True)(x)
    h += nn.MultiHeadAttention(heads, width // heads)(h, use_causal_mask=causal)
    h = nn.LSTM(width, return_sequences=True, go_backwards=True)(h)
    return nn.Network(x, nn.Dense(1)(h), "mse", name="beside_recurrent")


def beside_convolutions(steps, width=4, heads=2):
    """Attention between convolutions."""
    x = nn.Input((steps, width), name="x")
    h = nn.Conv1D(width, 3, padding="same", activation="tanh")(x)
    h += nn.MultiHeadAttention(heads, width // heads)(h)
    h = nn.Conv1D(width, 2, padding="same")(h)
    return nn.Network(x, nn.Dense(1)(h), "mse", name="beside_convolutions")


def beside_statistics(steps, width=4, heads=2):
    """Attention before, between and after statistics of batches."""
    x = nn.Input((steps, width), name="x")
    h = nn.MultiHeadAttention(heads, width // heads)(x)
    h += nn.MultiHeadAttention(heads, width // heads)(nn.BatchNormalization()(h), use_causal_mask=True)
    return nn.Network(x, nn.Dense(1)(nn.BatchNormalization()(h)), "mse", name="beside_statistics")


def channels_first(steps, width=4):
    """Attention whose inputs and outputs have their steps last."""
    x = nn.Input((width, steps), name="x")
    return nn.Network(x, ChannelsFirst()(x), "mse", name="channels_first")


def keys_first(steps, width=4):
    """Attention whose scores have their queries last."""
    x = nn.Input((steps, width), name="x")
    return nn.Network(x, KeysFirst()(x), "mse", name="keys_first")


BESIDE = (beside_recurrent, beside_convolutions, beside_statistics, channels_first, keys_first)
"""Networks whose attention is not alone with layers of each step, or has its queries last in memory."""
