"""
A transformer that invents words
================================

microgpt (A. Karpathy, 2026) is a whole transformer in 200 lines of Python, number by number: letters go in, and for each
of them the probabilities of the next one come out. Here it is written as layers: tokens and places, one block of causal
attention with residuals and one hidden layer, without any biases, 4,192 parameters in all. Its derivatives and its C
follow from that.

It learns the trees below. Given the path of a file with a word on each line, such as the 32,033 names of the original, it
learns these: ``python 13_microgpt.py names.txt``.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import nncodegen as nn

TREES = """
acacia alder almond apple apricot ash aspen banana baobab bay beech birch buckeye camellia carob cassia catalpa cedar
cherry chestnut citron cypress dogwood ebony elder elm fig fir ginkgo guava hawthorn hazel hemlock hickory holly hornbeam
jacaranda juniper kapok larch laurel lemon lilac lime linden locust loquat magnolia mahogany mango mangrove maple medlar
mesquite mimosa mulberry myrtle nutmeg oak oleander olive orange palm papaya peach pear pecan persimmon pine pistachio
plane plum pomelo poplar quince redwood rowan rubber sandalwood sassafras sequoia serviceberry sorb spruce sumac sycamore
tamarind teak tulip viburnum walnut wattle willow yew zelkova
"""
words = Path(sys.argv[1]).read_text().split() if sys.argv[1:] else TREES.split()

# %%
# Each step predicts the next letter; 26 stands for the begin and the end of a word. A word fills some of the 16 places:
# at the others, -1 says that there is nothing to predict.

STEPS, WIDTH, HEADS, END = 16, 16, 4, 26
tokens, targets = np.full((len(words), STEPS), END), np.full((len(words), STEPS), -1)
for row, word in enumerate(words):
    letters = [END, *(ord(letter) - ord("a") for letter in word.lower()), END][: STEPS + 1]
    tokens[row, : len(letters) - 1], targets[row, : len(letters) - 1] = (
        letters[:-1],
        letters[1:],
    )


def normal(h):
    return nn.RMSNormalization(epsilon=1e-5, scale=False)(h)


x = nn.Input(STEPS, name="tokens")
h = nn.Embedding(END + 1, WIDTH)(x)
h = normal(h + nn.PositionEmbedding(STEPS)(h))
h += nn.MultiHeadAttention(HEADS, WIDTH // HEADS, use_bias=False)(
    normal(h), use_causal_mask=True
)
h += nn.Dense(WIDTH, use_bias=False)(nn.Dense(4 * WIDTH, "relu", use_bias=False)(normal(h)))
logits = nn.Dense(END + 1, use_bias=False)(h)
loss = "sparse_categorical_crossentropy_from_logits"
microgpt = nn.build(nn.Network(x, logits, loss, name="microgpt"), fit=False)
print(microgpt.parameter_count, "parameters")

# %%
# A thousand updates of one word each, by Adam at a rate that falls to 0, as in the original.

epochs = max(1, round(1000 / len(words)))
result = microgpt.train(
    tokens,
    targets,
    epochs=epochs,
    batch_size=1,
    optimizer="adam",
    learning_rate=0.01,
    beta_1=0.85,
    beta_2=0.99,
    schedule="polynomial",
    seed=1,
)
print(result)

fig, axes = plt.subplots(figsize=(7, 4))
axes.plot(np.arange(1, len(result.history) + 1), result.history, "o-")
axes.axhline(
    np.log(END + 1), color="0.5", linestyle=":", label="all letters are equally probable"
)
axes.set(xlabel="epoch", ylabel="cross-entropy of the next letter")
axes.legend()
plt.show()

# %%
# It invents words: each letter is drawn by its probability, at a low temperature, which prefers the probable ones. Each
# costs what one place costs, as keys and values of the letters before it are kept.

found = microgpt.generate(
    result.parameters, [[END]] * 20, STEPS, temperature=0.5, stop=END, seed=0
)
for word in found:
    print("".join(chr(ord("a") + token) for token in word), end=" ")
