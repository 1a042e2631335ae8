"""
Handwritten digits
==================

1,797 digits of eight by eight pixels (E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, 1998; scikit-learn has
them). The network 64-32-10 is the one that other pages of this site take apart and measure.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import nncodegen as nn

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X / 16, y, test_size=0.3, random_state=0, stratify=y
)

layers = [nn.Dense(32, "tanh"), nn.Dense(10, "softmax")]
digits = nn.build(
    nn.Sequential(layers, inputs=64, loss="categorical_crossentropy", name="digits")
)
result = digits.train(
    X_train,
    y_train,
    optimizer="adam",
    learning_rate=0.003,
    epochs=60,
    batch_size=64,
    l2=1e-4,
    metrics=["accuracy"],
    validation_data=(X_test, y_test),
)
probabilities = digits.predict(result.parameters, X_test)
predicted = probabilities.argmax(axis=1)
accuracy = (predicted == y_test).mean()
print(
    f"{digits.parameter_count:,} parameters, {accuracy:.1%} of {len(y_test)} unseen digits right"
)

# %%
# Which digits it takes for which: each row is a digit, each column what the network said. Below are the mistakes of
# which it was most certain; some are hard for people, too.

confusion = np.zeros((10, 10), int)
np.add.at(confusion, (y_test, predicted), 1)
for row in confusion:
    print("".join(f"{count or '.':>4}" for count in row))

wrong = np.flatnonzero(predicted != y_test)
surest = wrong[np.argsort(-probabilities[wrong].max(axis=1))][:8]
fig, axes = plt.subplots(1, 8, figsize=(9, 1.8))
for one, panel in zip(surest, axes):
    panel.imshow(X_test[one].reshape(8, 8), cmap="gray_r")
    panel.set_title(f"a {y_test[one]}\ntaken for {predicted[one]}", fontsize=9)
for panel in axes:
    panel.set_axis_off()
plt.show()

# %%
# What the hidden units look for: ``unpack`` gives the weights by name, one row of ``W1`` for each unit. Blue pixels
# speak for it, red ones against it.

weights = digits.unpack(result.parameters)["W1"].reshape(32, 8, 8)
limit = abs(weights).max()
fig, axes = plt.subplots(4, 8, figsize=(8, 4.2))
for unit, panel in zip(weights, axes.flat):
    panel.imshow(unit, cmap="RdBu", vmin=-limit, vmax=limit)
    panel.set_axis_off()
plt.show()
