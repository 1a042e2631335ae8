"""Upper bounds for hidden layers, units and epochs that people type or files contain."""

MOST_LAYERS, MOST_UNITS, MOST_EPOCHS = 20, 10_000, 10_000_000
