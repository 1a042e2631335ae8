"""The method of order 5 of Tsitouras, without the last stage, which only the estimate of its error reads."""

from nncodegen.motion.method import RungeKutta

TSIT5 = RungeKutta(
    name="tsit5",
    order=5,
    stages=(
        (0.161, 0.161),
        (0.327, -0.008480655492356989, 0.335480655492357),
        (0.9, 2.8971530571054935, -6.359448489975075, 4.3622954328695815),
        (0.9800255409045097, 5.325864828439257, -11.748883564062828, 7.4955393428898365, -0.09249506636175525),
        (1, 5.86145544294642, -12.92096931784711, 8.159367898576159, -0.071584973281401, -0.028269050394068383),
    ),
    weights=(
        0.09646076681806523,
        0.01,
        0.4798896504144996,
        1.379008574103742,
        -3.290069515436081,
        2.324710524099774,
    ),
    source="Ch. Tsitouras, Runge-Kutta pairs of order 5(4) satisfying only the first column simplifying assumption, "
    "Computers and Mathematics with Applications 62 (2011), 770-775",
)
