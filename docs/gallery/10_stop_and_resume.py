"""
Early stopping, and going on
============================

A network with more weights than patients learns them by heart: the loss where it learns falls on and on, while that of
patients it has not seen rises again. ``patience`` ends the training then, and gives back the parameters of the best
epoch. And whatever ends a training, it can go on later, with the same bits as one that never stopped.

The data are 569 tumours of the breast, 30 measurements of each (W. H. Wolberg, W. N. Street and O. L. Mangasarian, 1995;
scikit-learn has them).
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import nncodegen as nn

X, y = load_breast_cancer(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=0.5, random_state=0, stratify=y
)
scaler = StandardScaler().fit(X_train)
X_train, X_test = scaler.transform(X_train), scaler.transform(X_test)

layers = [nn.Dense(32, "relu"), nn.Dense(1, "sigmoid")]
tumours = nn.build(nn.Sequential(layers, inputs=30, loss="binary_crossentropy", name="tumours"))
options = {
    "optimizer": "adam",
    "learning_rate": 0.003,
    "batch_size": 32,
    "validation_data": (X_test, y_test),
}

everything = tumours.train(X_train, y_train, epochs=150, **options)
stopped = tumours.train(X_train, y_train, epochs=150, patience=15, **options)
print("without patience", everything)
print("with patience   ", stopped, "best epoch", stopped.best_epoch)
for name, result in (("without patience", everything), ("with patience", stopped)):
    print(f"{name:17} loss of the unseen {tumours.loss(result.parameters, X_test, y_test):.3f}")

# %%
# Both went the same way as long as both went.

fig, axes = plt.subplots(figsize=(7, 4))
axes.plot(everything.history, color="C0", label="learned from")
axes.plot(everything.metrics["val_loss"], color="C1", label="not seen")
axes.axvline(
    stopped.best_epoch - 1, color="0.5", linestyle=":", label="the epoch that is given back"
)
axes.axvline(stopped.epochs - 1, color="0.5", label="patience ended")
axes.set(xlabel="epoch", ylabel="cross-entropy", yscale="log")
axes.legend()
plt.show()

# %%
# A training that is stopped after 60 epochs, saved, read again, perhaps on another day, and taken to 150, is the
# training that went through: to the last bit of every parameter.

with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / "tumours.npz"
    tumours.train(X_train, y_train, epochs=60, **options).save(file)
    print(f"{file.stat().st_size / 1024:.0f} kB on disk")
    resumed = tumours.train(X_train, y_train, epochs=150, resume=tumours.load(file), **options)
print("the same bits:", bool((resumed.parameters == everything.parameters).all()))
