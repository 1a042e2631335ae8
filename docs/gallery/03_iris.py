"""
Iris: a network that classifies
===============================

R. A. Fisher's flowers of 1936: three kinds of iris, fifty of each, told apart by the length and width of their petals.
The network has two inputs, one hidden layer and three probabilities, and is small enough to look at what it has learned.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_iris
from sklearn.model_selection import train_test_split

import nncodegen as nn

iris = load_iris()
petals, kind = iris.data[:, 2:], iris.target
X_train, X_test, y_train, y_test = train_test_split(
    petals, kind, test_size=0.3, random_state=0, stratify=kind
)
mean, deviation = X_train.mean(axis=0), X_train.std(axis=0)


def scaled(X):
    """Lengths in centimetres, as the network is given them."""
    return (X - mean) / deviation


# %%
# Integers may stand for classes. All that ``build`` compiles, it keeps: the second time takes no time.

layers = [nn.Dense(8, "tanh"), nn.Dense(3, "softmax")]
network = nn.build(
    nn.Sequential(layers, inputs=2, loss="categorical_crossentropy", name="petals")
)
result = network.train(
    scaled(X_train),
    y_train,
    optimizer="adam",
    learning_rate=0.02,
    epochs=300,
    batch_size=15,
    l2=0.001,
    metrics=["accuracy"],
    validation_data=(scaled(X_test), y_test),
)
print(result)
right = round(45 * result.metrics["val_accuracy"][-1])
print(f"right of the 45 flowers that it has not seen: {right}")

# %%
# The colours say which kind is the most probable at each point, and how certain the network is: where they are pale, it
# hesitates. Triangles are the flowers that it has not seen.

length, width = np.meshgrid(np.linspace(0.5, 7.2, 200), np.linspace(0, 2.7, 200))
points = np.column_stack([length.ravel(), width.ravel()])
probabilities = network.predict(result.parameters, scaled(points)).reshape(200, 200, 3)
colours = np.array([[0.12, 0.37, 0.66], [0.70, 0.33, 0.12], [0.18, 0.49, 0.31]])

fig, (left, right) = plt.subplots(1, 2, figsize=(9, 4), width_ratios=(3, 2))
certain = 0.6 * (probabilities.max(axis=2, keepdims=True) - 1 / 3) / (2 / 3)
left.imshow(
    1 - certain * (1 - colours[probabilities.argmax(axis=2)]),
    extent=(0.5, 7.2, 0, 2.7),
    origin="lower",
    aspect="auto",
)
for number, name in enumerate(iris.target_names):
    left.plot(
        *X_train[y_train == number].T, "o", color=colours[number], markersize=4, label=name
    )
    left.plot(
        *X_test[y_test == number].T,
        "^",
        color=colours[number],
        markersize=5,
        markeredgecolor="black",
    )
left.set(xlabel="length of the petal, cm", ylabel="width, cm")
left.legend(loc="upper left")
right.plot(result.history, label="learned from")
right.plot(result.metrics["val_loss"], label="not seen")
right.set(xlabel="epoch", ylabel="cross-entropy", yscale="log")
right.legend()
plt.show()
