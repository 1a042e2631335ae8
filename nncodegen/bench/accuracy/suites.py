"""Expressions of the suites of Herbie's benchmark that ``expressions`` has not in its own words.

The formulas and the conditions are those of the benchmark (Panchekha et al., Automatically Improving Accuracy for
Floating Point Expressions, 2015; folder bench of the program), with other names of variables. Left out are those
without variables or with a single point, and those whose domains are so narrow that random bits do not hit them.
"""

from __future__ import annotations

from nncodegen.bench.accuracy.problem import AccuracyProblem

_HALF = "sin((p - q)/2)**2 + cos(p)*cos(q)*sin((k - l)/2)*sin((k - l)/2)"
_LANCZOS = (
    "(0.9999999999998099 + 676.5203681218851/(({0}) + 1) - 1259.1392167224028/(({0}) + 2)"
    " + 771.3234287776531/(({0}) + 3) - 176.6150291621406/(({0}) + 4) + 12.507343278686905/(({0}) + 5)"
    " - 0.13857109526572012/(({0}) + 6) + 9.984369578019572e-06/(({0}) + 7) + 1.5056327351493116e-07/(({0}) + 8))"
)
_GAMMA = "sqrt(pi*2)*(({0}) + 7 + 0.5)**(({0}) + 0.5)*exp(-(({0}) + 7 + 0.5))*" + _LANCZOS
_DAWSON = (
    "(1 + 0.1049934947*(x*x) + 0.0424060604*(x*x)**2 + 0.0072644182*(x*x)**3 + 0.0005064034*(x*x)**4"
    " + 0.0001789971*(x*x)**5)/(1 + 0.7715471019*(x*x) + 0.2909738639*(x*x)**2 + 0.0694555761*(x*x)**3"
    " + 0.0140005442*(x*x)**4 + 0.0008327945*(x*x)**5 + 2*0.0001789971*(x*x)**6)*x"
)
_ERF = (
    "1 - (1/(1 + 0.3275911*abs(x))*(0.254829592 + 1/(1 + 0.3275911*abs(x))*(-0.284496736 + 1/(1 + 0.3275911*abs(x))"
    "*(1.421413741 + 1/(1 + 0.3275911*abs(x))*(-1.453152027 + 1/(1 + 0.3275911*abs(x))*1.061405429)))))*exp(-x*x)"
)
_FLOATS = (
    "x + (((2*x)*((3*x*x + 2*y - x)/(x*x + 1))*((3*x*x + 2*y - x)/(x*x + 1) - 3)"
    " + x*x*(4*((3*x*x + 2*y - x)/(x*x + 1)) - 6))*(x*x + 1) + 3*x*x*((3*x*x + 2*y - x)/(x*x + 1)) + x*x*x + x"
    " + 3*((3*x*x - 2*y - x)/(x*x + 1)))"
)
_HYPERBOLA = "(c*(d*d)/(w*h*(g*g)))"
_WIDE = " & ".join(f"(4.930380657631324e-32 < {name}) & ({name} < 2.028240960365167e31)" for name in "abc")
_QUADRATIC, _CUBIC = "(-b + sqrt(b*b - 4*a*c))/(2*a)", "(-b + sqrt(b*b - 3*a*c))/(3*a)"

_TABLE = f"""
exp of logs     | exp(log(a) + log(b)) | (a > 0) & (b > 0)
softmax         | exp(a)/(exp(a) + exp(b)) |
beta a          | (m*(1 - m)/v - 1)*m | (0 < m) & (0 < v) & (v < 0.25)
beta b          | (m*(1 - m)/v - 1)*(1 - m) | (0 < m) & (0 < v) & (v < 0.25)
mixture         | ((1/(1 + exp(-s)))**p*(1 - 1/(1 + exp(-s)))**n)/((1/(1 + exp(-t)))**p*(1 - 1/(1 + exp(-t)))**n) | (0 < p) & (0 < n)
asech and root  | log(1/x + sqrt(1 - x*x)/x) |
distance        | r*(2*atan2(sqrt({_HALF}), sqrt(1 - ({_HALF})))) |
law of cosines  | acos(sin(p)*sin(q) + cos(p)*cos(q)*cos(k - l))*r |
equirectangular | r*sqrt(((k - l)*cos((p + q)/2))*((k - l)*cos((p + q)/2)) + (p - q)*(p - q)) |
bearing         | atan2(sin(k - l)*cos(q), cos(p)*sin(q) - sin(p)*cos(q)*cos(k - l)) |
midpoint        | k + atan2(cos(q)*sin(k - l), cos(p) + cos(q)*cos(k - l)) |
destination     | l + atan2(sin(t)*sin(d)*cos(p), cos(d) - sin(p)*sin(asin(sin(p)*cos(d) + cos(p)*sin(d)*cos(t)))) |
tanh from two   | 2/(1 + exp(-2*x)) - 1 |
ancestry +      | cbrt(1/(2*a)*(-g + sqrt(g*g - h*h))) + cbrt(1/(2*a)*(-g - sqrt(g*g - h*h))) |
ancestry 0      | cbrt(g/(2*a)) |
ancestry -      | 2*cos(2*pi/3 + acos(-g/h)/3) |
quadratic wide  | {_QUADRATIC} | {_WIDE}
critical        | {_CUBIC} |
critical wide   | {_CUBIC} | {_WIDE}
asymptote B     | 1/(x - 1) + x/(x + 1) |
eccentricity    | sqrt(abs((a*a - b*b)/(a*a))) | (0 <= b) & (b <= a) & (a <= 1)
orbit           | e*sin(v)/(1 + e*cos(v)) | (0 <= e) & (e <= 1)
cos of double   | (1 - tan(x)*tan(x))/(1 + tan(x)*tan(x)) |
ellipse A       | (a*sin(x/180*pi))**2 + (b*cos(x/180*pi))**2 |
ellipse B       | 2*(b**2 - a**2)*sin(pi*(x/180))*cos(pi*(x/180)) |
ellipse C       | (a*cos(pi*(x/180)))**2 + (b*sin(pi*(x/180)))**2 |
ellipse D       | -(a*a*b*b) |
ellipse angle   | 180*(atan(1/b*(c - a - sqrt((a - c)**2 + b**2)))/pi) |
ellipse a       | -sqrt(2*((b**2 - 4*a*c)*f)*((a + c) + sqrt((a - c)**2 + b**2)))/(b**2 - 4*a*c) |
ellipse b       | -sqrt(2*((b**2 - 4*a*c)*f)*((a + c) - sqrt((a - c)**2 + b**2)))/(b**2 - 4*a*c) |
ellipse height  | abs(w*sin(t)*cos(atan(h/w/tan(t))) + h*cos(t)*sin(atan(h/w/tan(t)))) |
ellipse width   | abs(w*cos(t)*cos(atan(-h*tan(t)/w)) - h*sin(t)*sin(atan(-h*tan(t)/w))) |
versine         | 1 - cos(x) | (-0.01 <= x) & (x <= 0.01)
sine over tan   | (x - sin(x))/tan(x) | (-1 <= x) & (x <= 1)
near squares    | (x + eps)**2 - x**2 | (abs(x) <= 1e9) & (abs(eps) <= 1)
x minus root    | x - sqrt(x*x - eps) | (0 <= x) & (x <= 1e9) & (abs(eps) <= 1)
log of next     | log(1 + x) |
x over square   | x/(x*x + 1) |
acos by atan    | 2*atan(sqrt((1 - x)/(1 + x))) |
fused one       | (1 + t*2e-16)*(1 + t*2e-16) + (-1 - 2*(t*2e-16)) | (0.9 <= t) & (t <= 1.1)
fused two       | 1.7e308*t - 1.7e308 | (1.9 <= t) & (t <= 2.1)
Kahan 9         | (x - y)*(x + y)/(x*x + y*y) | (0 < x) & (x < 1) & (y < 1)
Kahan 13, 1     | (1 + (2*t/(1 + t))*(2*t/(1 + t)))/(2 + (2*t/(1 + t))*(2*t/(1 + t))) |
Kahan 13, 2     | (1 + (2 - (2/t)/(1 + 1/t))*(2 - (2/t)/(1 + 1/t)))/(2 + (2 - (2/t)/(1 + 1/t))*(2 - (2/t)/(1 + 1/t))) |
Kahan 13, 3     | 1 - 1/(2 + (2 - (2/t)/(1 + 1/t))*(2 - (2/t)/(1 + 1/t))) |
Hamming 6.1 A   | ((1 + 1/eps)*exp(-((1 - eps)*x)) - (1/eps - 1)*exp(-((1 + eps)*x)))/2 |
Hamming 6.1 B   | pi/2*(1/(b*b - a*a))*(1/a - 1/b) |
martel 2        | x + x*x | (0 <= x) & (x <= 2)
martel 3        | x*(x*x) + x*x | (0 <= x) & (x <= 2)
martel 4        | (a + b)*(a + b) | (5 <= a) & (a <= 10) & (0 <= b) & (b <= 0.001)
rosa doppler    | -t*v/((t + u)*(t + u)) |
rosa sine       | 0.954929658551372*x - 0.12900613773279798*((x*x)*x) |
rosa floats     | {_FLOATS} |
rosa turbine    | 3 + 2/(r*r) - 0.125*(3 - 2*v)*(w*w*r*r)/(1 - v) - 4.5 |
throwing        | atan(v/sqrt(v*v - 2*9.8*h)) |
dimer 3         | -2*j*cos(k/2)*sqrt(1 + (u/(2*j*cos(k/2)))**2) |
dimer 4         | j*(exp(l) - exp(-l))*cos(k/2) + u |
dimer 32        | cos(k*(m + n)/2 - s)*exp(-((m + n)/2 - s)**2 - (l - abs(m - n))) |
doping          | c/(1 + exp(-(e - v - d - m)/k)) + a/(1 + exp((w + v + f - m)/k)) |
photons 51      | 1/sqrt(k)*(2*pi*n)**((1 - k)/2) |
photons 64      | cos(t)/sqrt(2)*(a*a) + cos(t)/sqrt(2)*(b*b) |
walk 20         | (1 - 5*(v*v))/(pi*t*sqrt(2*(1 - 3*(v*v)))*(1 - v*v)) |
walk 22         | 4/(3*pi*(1 - v*v)*sqrt(2 - 6*(v*v))) |
walk A          | a*k**m/(1 + 10*k + k*k) |
walk B 1        | acos((1 - 5*(v*v))/(v*v - 1)) |
walk B 2        | sqrt(2)/4*sqrt(1 - 3*(v*v))*(1 - v*v) |
rotation less   | 1 - sqrt(0.5*(1 + 1/hypot(1, x))) |
superfluid 2    | asin(sqrt((1 - (o/q)**2)/(1 + 2*(t/l)**2))) |
superfluid 3a   | sqrt(0.5*(1 + 1/sqrt(1 + (2*l/o)**2*(sin(x)**2 + sin(y)**2)))) |
superfluid 3b   | sin(y)/sqrt(sin(x)**2 + sin(y)**2)*sin(t) |
superfluid 7    | sqrt(2)*t/sqrt((x + 1)/(x - 1)*(l*l + 2*(t*t)) - l*l) |
superfluid 10+  | 2/(t**3/(l*l)*sin(k)*tan(k)*(1 + (k/t)**2 + 1)) |
superfluid 10-  | 2/(t**3/(l*l)*sin(k)*tan(k)*(1 + (k/t)**2 - 1)) |
superfluid 13   | sqrt(2*n*u*(t - 2*(l*l/o) - n*(l/o)**2*(u - w))) |
teapot 6        | pi*l - 1/(f*f)*tan(pi*l) |
teapot 20       | -(1/(pi/4)*log((exp(pi/4*f) + exp(-(pi/4*f)))/(exp(pi/4*f) - exp(-(pi/4*f))))) |
teapot 23       | -(x*(1/tan(b))) + f/sin(b)*(f*f + 2 + 2*x)**(-0.5) |
teapot 24       | -(x*(1/tan(b))) + 1/sin(b) |
whistle 3       | c*sqrt(a/(v*l)) |
whistle 9a      | w*sqrt(1 - (m*d/(2*e))**2*(h/l)) |
whistle 12      | (d/h)**0.5*(d/l)**0.5*(1 - 0.5*(m*e/(2*d))**2*(h/l)) |
whistle 13      | c/(2*w)*({_HYPERBOLA} + sqrt({_HYPERBOLA}*{_HYPERBOLA} - m*m)) |
optics 24       | (a*a + b*b)**2 + 4*(a*a*(1 - a) + b*b*(3 + a)) - 1 |
optics 25       | (a*a + b*b)**2 + 4*(a*a*(1 + a) + b*b*(1 - 3*a)) - 1 |
optics 26       | (a*a + b*b)**2 + 4*(b*b) - 1 |
distributed     | a*b + a*c |
thirty times    | d*10 + d*20 |
distributed 2   | (a*10 + a*b) + a*20 |
distributed 3   | (a*b + (c + 5)*a) + a*32 |
distributed 4   | ((a*b - a*c) + d*a) - a*a |
three times     | (a*3 + a*b) + a*c |
fourth power    | ((a*a)*a)*a |
tenth power of  | a*(a*(((((a*(a*a))*a)*a)*(a*a))*a))*a |
gamma above     | {_GAMMA.format("z - 1")} | z > 0.5
gamma below     | pi/sin(pi*z)*({_GAMMA.format("1 - z - 1")}) | z <= 0.5
lambert start   | log(x) - log(log(x)) |
lambert step    | w - (w*exp(w) - x)/(exp(w) + w*exp(w)) |
dawson          | {_DAWSON} |
erfi near       | abs(1/sqrt(pi)*(2*abs(x) + 2/3*abs(x)**3 + 1/5*abs(x)**5 + 1/21*abs(x)**7)) | x <= 0.5
erfi far        | 1/sqrt(pi)*exp(x*x)*(1/abs(x) + 1/2*(1/abs(x))**3 + 3/4*(1/abs(x))**5 + 15/8*(1/abs(x))**7) | x >= 0.5
erf             | {_ERF} |
cube            | (x*x)*x |
complex cube    | (x*x - y*y)*x - (x*y + y*x)*y |
complex cube im | (x*x - y*y)*y + (x*y + y*x)*x |
complex exp re  | exp(x)*cos(y) |
complex log 2   | log(sqrt(x*x + y*y))*log(b)/(log(b)*log(b)) |
complex log im  | atan2(y, x)*log(b)/(log(b)*log(b)) |
complex log ten | atan2(y, x)/log(10) |
multiply real   | a*c - b*d |
multiply imag   | a*d + b*c |
power real      | exp(log(sqrt(x*x + y*y))*c - atan2(y, x)*d)*cos(log(sqrt(x*x + y*y))*d + atan2(y, x)*c) |
power imag      | exp(log(sqrt(x*x + y*y))*c - atan2(y, x)*d)*sin(log(sqrt(x*x + y*y))*d + atan2(y, x)*c) |
square im       | x*y + y*x |
complex cos re  | 0.5*cos(x)*(exp(-y) + exp(y)) |
normal draw     | 1/6*(-2*log(u))**0.5*cos(2*pi*v) + 0.5 | (0 <= u) & (u <= 1) & (0 <= v) & (v <= 1)
jacobi 1        | ((b - a)/(a + b + 2) + 1)/2 | (a > -1) & (b > -1)
jacobi 2        | ((a + b)*(b - a)/(a + b + 2*i)/(a + b + 2*i + 2) + 1)/2 | (a > -1) & (b > -1) & (i > 0)
jacobi 3        | (a + b + b*a + 1)/(a + b + 2)/(a + b + 2)/(a + b + 2 + 1) | (a > -1) & (b > -1)
jacobi 4        | i*(a + b + i)*(b*a + i*(a + b + i))/((a + b + 2*i)*(a + b + 2*i))/((a + b + 2*i)*(a + b + 2*i) - 1) | (a > -1) & (b > -1) & (i > 1)
jacobi called   | i*i*(i*i)/(2*i*(2*i))/(2*i*(2*i) - 1) | i > 0
gamma draw      | (a - 1/3)*(1 + 1/sqrt(9*(a - 1/3))*x) |
atanh by log1p  | 0.5*log1p(2*x/(1 - x)) |
anomaly         | 2*atan2(sqrt(1 + e)*sin(x/2), sqrt(1 - e)*cos(x/2)) | (0 <= e) & (e < 1)
hyperbolic to   | 2*atan(sqrt((e + 1)/(e - 1))*tanh(h/2)) | e > 1
hyperbolic mean | e*sinh(h) - h | e > 1
Newton kepler   | m - ((m - e*sin(m)) - m)/(1 - e*cos(m)) | (0 <= e) & (e < 1)
latus rectum    | a*(1 - e*e) |
orbit radius    | p/(1 + e*cos(f)) |
momentum        | sqrt(m*p) |
drag of craft   | (-0.5*d)*(c*a/m)*(v*1000)**2/1000 |
"""  # noqa: E501 (a row is a line)

SUITES = tuple(AccuracyProblem(*(part.strip() for part in line.split("|"))) for line in _TABLE.strip().splitlines())
