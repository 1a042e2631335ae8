"""Networks that predict the next token at each step, and their probabilities step by step with NumPy."""

import numpy as np

import nncodegen as nn

STEPS, TOKENS = 7, 5
LOGITS = "sparse_categorical_crossentropy_from_logits"
PROBABILITIES = "sparse_categorical_crossentropy"


def transformer(name="transformer"):
    """Attention with positions and dropout, residuals, logits."""
    x = nn.Input(STEPS)
    h = nn.Embedding(TOKENS, 8)(x)
    h += nn.PositionEmbedding(STEPS + 2)(h)
    for _ in range(2):
        h += nn.MultiHeadAttention(2, 3, dropout=0.1)(nn.LayerNormalization()(h), use_causal_mask=True)
        h += nn.Dense(8)(nn.Dense(12, "gelu")(nn.RMSNormalization()(h)))
    return nn.Network(x, nn.Dense(TOKENS)(h), LOGITS, name=name)


def grouped(name="grouped"):
    """Keys and values that heads share, rotated by their places, after a recurrent layer; probabilities."""
    x = nn.Input(STEPS)
    h = nn.LSTM(8, return_sequences=True)(nn.Embedding(TOKENS, 6)(x))
    attention = nn.GroupQueryAttention(4, 4, 2, rotary=nn.RotaryEmbedding())
    h = nn.Dropout(0.2)(nn.LayerNormalization()(attention(h, use_causal_mask=True)))
    return nn.Network(x, nn.Dense(TOKENS, "softmax")(h), PROBABILITIES, name=name)


def recurrent(name="recurrent"):
    """Recurrent layers of all kinds, one on the other; they have no positions."""
    x = nn.Input(STEPS)
    h = nn.Embedding(TOKENS + 1, 6)(x)  # the last token begins sequences, and is never predicted
    for kind in (nn.LSTM, nn.GRU, nn.SimpleRNN):
        h = kind(6, return_sequences=True)(h)
    return nn.Network(x, nn.Dense(TOKENS, "softmax")(h), PROBABILITIES, name=name)


NETWORKS = {make.__name__: make() for make in (transformer, grouped, recurrent)}


def softmax(z):
    """The softmax along the last axis."""
    powers = np.exp(z - z.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)
