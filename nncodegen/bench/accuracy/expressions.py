"""Further expressions, from mathematics, numerics, physics and libraries, which no rule may make worse than written."""

from __future__ import annotations

from nncodegen.bench.accuracy.problem import AccuracyProblem

_TABLE = """
cosatan         | cos(atan(x)) |
sinatan         | sin(atan(x)) |
tanasin         | tan(asin(x)) | abs(x) < 1
cosasin         | cos(asin(x)) | abs(x) < 1
sinacos         | sin(acos(x)) | abs(x) < 1
tanacos         | tan(acos(x)) | abs(x) < 1
expasinh        | exp(asinh(x)) |
sinhlog         | sinh(log(x)) | x > 0
coshlog         | cosh(log(x)) | x > 0
sinhasinh       | sinh(acosh(x)) | x > 1
acot            | atan(1/x) |
asinh written   | log(x + sqrt(x*x + 1)) |
acosh written   | log(x + sqrt(x*x - 1)) | x >= 1
atanh written   | log((1 + x)/(1 - x))/2 | abs(x) < 1
asech written   | log(1/x + sqrt(1/(x*x) - 1)) | (0 < x) & (x <= 1)
acsch written   | log(1/x + sqrt(1/(x*x) + 1)) | x > 0
sinh written    | (exp(x) - exp(-x))/2 |
cosh written    | (exp(x) + exp(-x))/2 |
tanh written    | (exp(x) - exp(-x))/(exp(x) + exp(-x)) |
sech written    | 2/(exp(x) + exp(-x)) |
csch written    | 2/(exp(x) - exp(-x)) |
coth written    | (exp(x) + exp(-x))/(exp(x) - exp(-x)) |
logistic        | 1/(1 + exp(-x)) |
softplus        | log(1 + exp(x)) |
logit           | log(x/(1 - x)) | (0 < x) & (x < 1)
loss of logits  | log(1 + exp(x)) - x*y |
logsumexp       | log(exp(x) + exp(y)) |
hypotenuse      | sqrt(x*x + y*y) |
hypotenuse 3    | sqrt(x*x + y*y + z*z) |
leg             | sqrt(x*x - y*y) |
unit            | sqrt(1 - x*x) | abs(x) <= 1
sec minus one   | 1/cos(x) - 1 |
versine ratio   | (1 - cos(x))/x |
tan minus sin   | tan(x) - sin(x) |
tan half        | sin(x)/(1 + cos(x)) |
tan of half sum | (1 - cos(x))/(1 + cos(x)) |
sinc            | sin(x)/x |
sin cubed       | sin(x) - x |
exp quotient    | (exp(x) - 1)/x |
exp cubed       | (exp(x) - 1 - x)/(x*x) |
log quotient    | log(1 + x)/x | x > -1
log minus       | x - log(1 + x) | x > -1
exp difference  | exp(x) - exp(y) |
cos difference  | cos(x) - cos(y) |
sin difference  | sin(x) - sin(y) |
log difference  | log(x) - log(y) | (x > 0) & (y > 0)
square differ   | x*x - y*y |
cube difference | x*x*x - y*y*y |
fourth differ   | x*x*x*x - y*y*y*y |
next square     | (x + 1)*(x + 1) - x*x |
near square     | (x + y)*(x + y) - x*x |
near cube       | (x + y)*(x + y)*(x + y) - x*x*x |
near fourth     | (x + y)*(x + y)*(x + y)*(x + y) - x*x*x*x |
near fifth      | (x + eps)**5 - x**5 | (abs(x) < 1e9) & (abs(eps) < 1)
square three    | (x + y)*(x + y) - (x*x + y*y) |
binomial        | x*x - 2*x*y + y*y |
next fraction   | x/(x + 1) - 1/(x + 1) |
two fractions   | x/(x + 1) - (x + 1)/(x - 1) |
asymptote C     | x/(x + 1) - (x + 1)/(x - 1) | abs(x) > 1
asymptote A     | 1/(x + 1) - 1/(x - 1) |
two fourths     | 1/(x*x) - 1/((x + 1)*(x + 1)) |
inverse roots   | 1/sqrt(x) - 1/sqrt(y) | (x > 0) & (y > 0)
root of squares | sqrt(x*x + 1) - 1 |
root below      | 1 - sqrt(1 - x) | x <= 1
root minus x    | sqrt(x*x + y) - x |
roots           | sqrt(x + y) - sqrt(x) | x > 0
atan quotient   | atan(x) - x |
asin minus      | asin(x) - x | abs(x) < 1
atan minus half | pi/2 - atan(x) |
acos of         | acos(1 - x) | (0 <= x) & (x <= 0.5)
tenth power     | (1 + 1/x)**x | x > 0
compound        | 100*((1 + i/n)**n - 1)/(i/n) | (0 < i) & (i < 1) & (n > 1)
log of power    | log(x**y) | x > 0
product         | x*y*z/w |
quotients       | (x*y)/(z*w) |
square quotient | x*x/(y*y) |
mean            | (x + y)/2 |
harmonic mean   | 2*x*y/(x + y) |
parallel        | x*y/(x + y) |
geometric mean  | sqrt(x*y) |
conjugate       | x/(x*x + y*y) |
division real   | (a*c + b*d)/(c*c + d*d) |
division imag   | (b*c - a*d)/(c*c + d*d) |
square imag     | 2*x*y |
complex exp     | exp(x)*sin(y) |
complex root    | sqrt((sqrt(x*x + y*y) + x)/2) |
complex root im | sqrt((sqrt(x*x + y*y) - x)/2) |
complex log     | log(sqrt(x*x + y*y)) |
complex log 10  | log(sqrt(x*x + y*y))/log(10) |
complex power   | exp(log(sqrt(x*x + y*y))*c) |
complex sin     | cos(x)*(exp(-y) - exp(y))/2 |
complex cos     | sin(x)*(exp(-y) - exp(y))/2 |
rotation cos    | sqrt((1 + x/sqrt(4*p*p + x*x))/2) | (1e-150 < abs(x)) & (abs(x) < 1e150)
polar           | atan2(y, x) |
haversine       | sin((x - y)/2)*sin((x - y)/2) + cos(x)*cos(y)*sin(z/2)*sin(z/2) |
great circle    | acos(sin(x)*sin(y) + cos(x)*cos(y)*cos(z)) |
kepler          | x - e*sin(x) | (0 <= e) & (e < 1)
lorentz         | 1/sqrt(1 - v*v) | abs(v) < 1
kinetic         | 1/sqrt(1 - v*v) - 1 | abs(v) < 1
doppler         | sqrt((1 + v)/(1 - v)) | abs(v) < 1
escape          | sqrt(2*g*m/r) |
gravitation     | g*m*n/(r*r) |
coulomb         | q*p/(4*pi*e*r*r) |
pendulum        | 2*pi*sqrt(l/g) |
ideal gas       | n*r*t/v |
planck          | 1/(exp(h*f/(k*t)) - 1) |
planck law      | 2*h*f*f*f/(c*c*(exp(h*f/(k*t)) - 1)) |
fermi           | 1/(exp((e - m)/(k*t)) + 1) |
boltzmann       | exp(-e/(k*t)) |
maxwell         | x*x*exp(-x*x/(2*a*a))/(a*a*a) |
gauss           | exp(-(x - m)*(x - m)/(2*s*s))/sqrt(2*pi*s*s) |
lens            | 1/(1/f - 1/d) |
reduced mass    | m*n/(m + n) |
drag            | v*tanh(g*t/v) |
rocket          | u*log(m/(m - f)) |
capacitor       | v*(1 - exp(-t/(r*c))) |
resonance       | 1/sqrt((a*a - w*w)*(a*a - w*w) + g*g*w*w) |
debye           | x*x*x*x*exp(x)/((exp(x) - 1)*(exp(x) - 1)) |
einstein heat   | x*x*exp(x)/((exp(x) - 1)*(exp(x) - 1)) |
langevin        | 1/tanh(x) - 1/x |
brillouin       | cosh(x)/sinh(x) - 1/x |
rms             | sqrt((x*x + y*y)/2) |
variance        | (x*x + y*y)/2 - ((x + y)/2)*((x + y)/2) |
cubic root      | cbrt(x*x*x) |
nth root        | (x*y)**(1/n) | (x > 0) & (y > 0)
log ratio       | log(x/y) | (x > 0) & (y > 0)
log sum         | log(x) + log(y) | (x > 0) & (y > 0)
entropy         | -x*log(x) - (1 - x)*log(1 - x) | (0 < x) & (x < 1)
relative        | x*log(x/y) | (x > 0) & (y > 0)
gamma           | exp(-x)*x**(a - 1) | x > 0
beta            | x**(a - 1)*(1 - x)**(b - 1) | (0 < x) & (x < 1)
weibull         | (k/l)*(x/l)**(k - 1)*exp(-(x/l)**k) | (x > 0) & (l > 0) & (k > 0)
logistic growth | k/(1 + ((k - n)/n)*exp(-r*t)) |
michaelis       | v*s/(k + s) |
hill            | s**n/(k**n + s**n) | (s > 0) & (k > 0)
arrhenius       | a*exp(-e/(r*t)) |
interpolate     | (1 - t)*x + t*y |
slope           | (y - x)/(b - a) |
rational        | (x*x + a*x)/(x*x + b*x + c) |
polynomial      | a + x*(b + x*(c + x*d)) |
root of product | sqrt(x)*sqrt(y)*sqrt(z) | (x > 0) & (y > 0) & (z > 0)
cancelling      | (x + y) - x |
sum of three    | (x - y) + (y - z) |
expansion       | (1 + x)**2 - 1 |
"""

EXPRESSIONS = tuple(
    AccuracyProblem(*(part.strip() for part in line.split("|"))) for line in _TABLE.strip().splitlines()
)
