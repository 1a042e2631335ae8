"""
Diabetes: when a line is enough
===============================

Ten measurements of 442 patients, and how far their disease had gone a year later (B. Efron et al., Least Angle
Regression, The Annals of Statistics 32, 2004; scikit-learn has them). A network is not better because it is a network:
this page compares three models on the same folds, and says by how much they differ from chance.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import RepeatedKFold, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from nncodegen.estimators import FormulaRegressor, NNRegressor

data = load_diabetes(as_frame=True, scaled=False)
X, y = data.data, data.target / 100

# %%
# ``NNRegressor`` takes the parameters of scikit-learn's MLPRegressor. ``FormulaRegressor`` fits a formula of the
# columns: here the body mass index, the blood pressure and the logarithm of the triglycerides (called s5), and what
# the first two do together.

network = NNRegressor(
    hidden_layer_sizes=(16,),
    activation="tanh",
    alpha=3,
    learning_rate_init=0.02,
    max_iter=500,
    random_state=0,
)
formula = FormulaRegressor("a + b*bmi + c*bp + d*s5 + e*bmi*bp")
models = {
    "least squares, ten columns": LinearRegression(),
    "network, ten columns": make_pipeline(StandardScaler(), network),
    "formula, three columns": make_pipeline(
        StandardScaler().set_output(transform="pandas"), formula
    ),
}
folds = RepeatedKFold(n_splits=5, n_repeats=4, random_state=0)
scores = {name: cross_val_score(model, X, y, cv=folds) for name, model in models.items()}
for name, found in scores.items():
    print(f"{name:28} R2 {found.mean():.3f} ± {found.std() / len(found) ** 0.5:.3f}")

# %%
# The three are as good as each other, as far as 442 patients can tell. Then the formula is to be preferred: it says
# what it has learned, with standard errors.

fitted = models["formula, three columns"].fit(X, y)[-1]
for name, value in fitted.parameters_.items():
    print(f"{name}  {value:7.3f} ± {fitted.standard_errors_[name]:.3f}")

fig, (left, right) = plt.subplots(1, 2, figsize=(9, 4))
left.boxplot(
    list(scores.values()),
    orientation="horizontal",
    tick_labels=[name.replace(", ", "\n") for name in scores],
)
left.set(xlabel="R2 of twenty folds")
left.invert_yaxis()
expected = cross_val_predict(models["network, ten columns"], X, y, cv=5)
right.plot(100 * expected, 100 * y, "o", markersize=3, alpha=0.6)
right.plot([25, 350], [25, 350], color="C1")
right.set(
    xlabel="expected by the network, in folds it had not seen",
    ylabel="progression",
    aspect="equal",
)
plt.show()
