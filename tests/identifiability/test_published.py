"""Published models have the local identifiability that is published for them.

Each model is written from its source. What is not identifiable, and what is determined of it, are published facts: of
the papers, and of the results that the package StructuralIdentifiability.jl has for these models (Dong, Goodbrake,
Harrington, Pogudin, SIAM Journal on Applied Algebra and Geometry 7, 2023), but for mapk_sums_seen and nfkb: of these,
the verdicts are those of both kinds of numbers. All first values are unknown, and there is one experiment, with random
inputs u in time, as these results have it.
"""

import time
from dataclasses import dataclass

import pytest

import nncodegen as nn
from nncodegen.structural.fields import Digits


@dataclass(frozen=True)
class Published:
    """A model, the unknowns that are not identifiable, and formulas of these that are, or are not, determined."""

    source: str
    equations: str
    observed: str
    parameters: str
    not_identifiable: str = ""
    determined: str = ""
    undetermined: str = ""
    inputs: str = ""

    def model(self, name):
        """The model, whose first values are numbers."""
        states = [line.split("'")[0].strip() for line in self.equations.split(";")]
        observed = {f"seen{k}": formula for k, formula in enumerate(self.observed.split("; "))}
        parameters = {parameter: 1 + k / 7 for k, parameter in enumerate(self.parameters.split())}
        return nn.Dynamics(
            self.equations,
            dict.fromkeys(states, 1),
            parameters,
            times=5,
            observed=observed,
            columns=self.inputs,
            name=name,
        )


MAPK = """
    KS00' = -a00*K*S00 + b00*KS00 + g0100*FS01 + g1000*FS10 + g1100*FS11;
    KS01' = -a01*K*S01 + b01*KS01 + c0001*KS00 - al01*F*S01 + be01*FS01 + g1101*FS11;
    KS10' = -a10*K*S10 + b10*KS10 + c0010*KS00 - al10*F*S10 + be10*FS10 + g1110*FS11;
    FS01' = -al11*F*S11 + be11*FS11 + c0111*KS01 + c1011*KS10 + c0011*KS00;
    FS10' = a00*K*S00 - (b00 + c0001 + c0010 + c0011)*KS00;
    FS11' = a01*K*S01 - (b01 + c0111)*KS01;
    K' = a10*K*S10 - (b10 + c1011)*KS10;
    F' = al01*F*S01 - (be01 + g0100)*FS01;
    S00' = al10*F*S10 - (be10 + g1000)*FS10;
    S01' = al11*F*S11 - (be11 + g1101 + g1110 + g1100)*FS11;
    S10' = -a00*K*S00 + (b00 + c0001 + c0010 + c0011)*KS00 - a01*K*S01 + (b01 + c0111)*KS01 - a10*K*S10
           + (b10 + c1011)*KS10;
    S11' = -al01*F*S01 + (be01 + g0100)*FS01 - al10*F*S10 + (be10 + g1000)*FS10 - al11*F*S11
           + (be11 + g1101 + g1110 + g1100)*FS11
""".replace("\n           ", " ").replace("\n", " ")
MAPK_PARAMETERS = (
    "a00 a01 a10 b00 b01 b10 c0001 c0010 c0011 c0111 c1011 al01 al10 al11 be01 be10 be11 g0100 g1000 g1100 g1101 g1110"
)
MANRAI = "Manrai and Gunawardena, The geometry of multisite phosphorylation, Biophysical Journal 95, 2008"

SIWR = """
    S' = mu - bi*S*I - bw*S*W - mu*S + a*R; I' = bw*S*W + bi*S*I - (gam + mu)*I; W' = xi*(I - W);
    R' = gam*I - (mu + a)*R
"""
LEE = "Lee and others, Model distinguishability ... of cholera transmission, Journal of Theoretical Biology 420, 2017"
VOLTERRA = "Remien, Eckwright, Ridenhour, Structural identifiability of generalized Lotka-Volterra models, 2021"

MODELS = {
    "two_compartments": Published(
        "Bellman and Åström, On structural identifiability, Mathematical Biosciences 7, 1970",
        "x0' = -(a01 + a21)*x0 + a12*x1; x1' = a21*x0 - a12*x1",
        "x0",
        "a01 a21 a12",
        "a01 a21 a12 x1(0)",
        "a01*a12; a01 + a12 + a21; (a01 + a12 + a21)/(a01*a12)",
        "a01 + a12",
    ),
    "predator_and_prey": Published(
        "Lotka and Volterra, with an input: of the predator, only b*x1 is seen",
        "x0' = a*x0 - b*x0*x1 + u; x1' = c*x1 + d*x0*x1",
        "x0",
        "a b c d",
        "b x1(0)",
        "b*x1(0)",
        inputs="u",
    ),
    "competition_one_seen": Published(
        VOLTERRA,
        "x1' = r1*x1 + b11*x1**2 + b12*x1*x2; x2' = r2*x2 + b21*x1*x2 + b22*x2**2",
        "x1",
        "r1 r2 b11 b12 b21 b22",
        "b12 b22 x2(0)",
        "b12*x2(0); b22/b12",
        "b12*b22",
    ),
    "competition_both_seen": Published(
        VOLTERRA,
        "x1' = r1*x1 + b11*x1**2 + b12*x1*x2; x2' = r2*x2 + b21*x1*x2 + b22*x2**2",
        "x1; x2",
        "r1 r2 b11 b12 b21 b22",
    ),
    "siwr": Published(LEE, SIWR, "k*I", "mu bi bw a xi gam k"),
    "siwr_two_outputs": Published(LEE, SIWR, "k*I; S + I + R", "mu bi bw a xi gam k"),
    "pharm": Published(
        "Demignot and Domurado, Effect of prosthetic sugar groups ..., Biopharmaceutics and Drug Disposition 8, 1987",
        "x0' = a1*(x1 - x0) - ka*n*x0/(kc*ka + kc*x2 + ka*x0); x1' = a2*(x0 - x1);"
        "x2' = b1*(x3 - x2) - kc*n*x2/(kc*ka + kc*x2 + ka*x0); x3' = b2*(x2 - x3)",
        "x0",
        "a1 a2 b1 b2 ka kc n",
    ),
    "seaijrc": Published(
        "Roosa and Chowell, Assessing parameter identifiability in compartmental dynamic models ..., model 2, 2019",
        "S' = -b*S*(I + J + q*A)*M; E' = b*S*(I + J + q*A)*M - k*E; A' = k*(1 - r)*E - g1*A;"
        "I' = k*r*E - (alpha + g1)*I; J' = alpha*I - g2*J; C' = alpha*I; M' = 0",
        "C; M",
        "b q k r g1 g2 alpha",
        "q r S(0) E(0) A(0)",
        "r*E(0); r*S(0); q*A(0); A(0)*r/(r - 1)",
        "q*r",
    ),
    "mapk_five_outputs": Published(MANRAI, MAPK, "F; S00; S01; S10; S11", MAPK_PARAMETERS),
    "mapk_sums_seen": Published(MANRAI, MAPK, "K; F; S00; S01 + S10; S11", MAPK_PARAMETERS),
    "mapk_six_outputs": Published(MANRAI, MAPK, "K; F; S00; S01; S10; S11", MAPK_PARAMETERS),
    "goodwin": Published(
        "Goodwin, Oscillatory behavior in enzymatic control processes, 1965; with the Hill term as a state",
        "x1' = -b*x1 + 1/(c + x4); x2' = al*x1 - be*x2; x3' = ga*x2 - de*x3; x4' = si*x4*(ga*x2 - de*x3)/x3",
        "x1",
        "b c al be ga de si",
        "al ga x2(0) x3(0)",
        "al*ga/x3(0); (ga*x2(0) + be*x3(0))/x3(0)",
        "al*ga",
    ),
    "hiv": Published(
        "Wodarz and Nowak, Specific therapy regimes could lead to long-term immunological control of HIV, 1999",
        "x' = lm - d*x - beta*x*v; y' = beta*x*v - a*y; v' = k*y - q2*v; w' = c*x*y*w - c*q*y*w - b*w;"
        "z' = c*q*y*w - h*z",
        "w; z",
        "lm d beta a k q2 c q b h",
        "lm beta k c q x(0) y(0) v(0)",
        "beta*v(0); x(0)/y(0); q/y(0); lm/y(0); k*y(0)/v(0); k*beta/(c*y(0))",
        "c*q",
    ),
    "hiv_with_latent_cells": Published(
        "Bellu, Saccomani, Audoly, D'Angiò, DAISY ..., Computer Methods and Programs in Biomedicine 88, 2007",
        "x1' = -b*x1*x4 - d*x1 + s; x2' = b*q1*x1*x4 - k1*x2 - w1*x2; x3' = b*q2*x1*x4 + k1*x2 - w2*x3;"
        "x4' = -c*x4 + k2*x3",
        "x1; x4",
        "b d s q1 q2 k1 k2 w1 w2 c",
        "k1 w1 k2 q1 q2 x2(0) x3(0)",
        "k2*q2; k1 + w1; c*w2*(w1 + k1); (q1*k1*x4(0) - k2*x3(0)*q2 - w2*q2*x4(0))/(q2*x4(0))",
        "k1*w1; q1*q2",
    ),
    "reaction_network": Published(
        "Conradi and Shiu, Dynamics of post-translational modification systems, Biophysical Journal 114, 2018",
        "x1' = -k1*x1*x2 + k2*x4 + k4*x6; x2' = -k1*x1*x2 + k2*x4 + k3*x4; x3' = k3*x4 + k5*x6 - k6*x3*x5;"
        "x4' = k1*x1*x2 - k2*x4 - k3*x4; x5' = k4*x6 + k5*x6 - k6*x3*x5; x6' = -k4*x6 - k5*x6 + k6*x3*x5",
        "x3; x2",
        "k1 k2 k3 k4 k5 k6",
    ),
    "sliqr": Published(
        "Dankwa, Brouwer, Donahue, Structural identifiability of compartmental models ..., PLOS Comp. Biology, 2022",
        "S' = -b*J*S*M - u*S*M; L' = b*J*S*M - a*L; J' = a*L - g*J + s*Q; Q' = (1 - e)*g*J - s*Q",
        "J*M",
        "b a g s e M",
        inputs="u",
    ),
    "akt": Published(
        "Fujita and others, Decoupling of receptor and downstream signals in the Akt pathway ..., 2010",
        "R' = -n1*R + k12*C + n1*P - C*k11; P' = 0; pR' = C*k9 - pR*k4 + X*k22 + X*k3 - A*pR*k21;"
        "X' = A*pR*k21 - X*k3 - X*k22; A' = pA*k7 + X*k22 - A*pR*k21;"
        "pA' = Z*k52 - pA*k7 + Z*k6 + X*k3 - B*pA*k51; B' = Z*k52 + pB*k8 - B*pA*k51;"
        "Z' = B*pA*k51 - Z*k6 - Z*k52; pB' = Z*k6 - pB*k8; C' = C*k11 - C*k9 - C*k12",
        "a1*(pR + X); a2*(pA + Z); a3*pB",
        "n1 k11 k12 k21 k22 k3 k4 k51 k52 k6 k7 k8 k9 a1 a2 a3",
        "n1 k11 k12 k21 k51 k9 a1 a2 a3 R(0) P(0) pR(0) X(0) A(0) pA(0) B(0) Z(0) pB(0) C(0)",
        "k21*pB(0); k21*A(0); pB(0)*k51; pB(0)*a1; pB(0)*a2; pB(0)*a3; k9*k21*C(0); k11 - k9 - k12",
        "k11 - k9; a1*a2",
    ),
    "lecourtier": Published(
        "Lecourtier, Lamnabhi-Lagarrigue, Walter, Volterra and generating power series approaches ..., 1987",
        "x1' = -p1*x1 + p2*u; x2' = -p3*x2 + p4*u; x3' = -(p1 + p3)*x3 + (p4*x1 + p2*x2)*u",
        "x3",
        "p1 p2 p3 p4",
        "p2 p4 x1(0) x2(0)",
        "p2*p4; x1(0)*x2(0); p2*x2(0) + p4*x1(0)",
        "p2/p4",
        inputs="u",
    ),
    "bilirubin": Published(
        "Meshkat, Kuo, DiStefano, On finding and using identifiable parameter combinations ..., PLOS ONE 9, 2014",
        "x1' = -(k21 + k31 + k41 + k01)*x1 + k12*x2 + k13*x3 + k14*x4 + u; x2' = k21*x1 - k12*x2;"
        "x3' = k31*x1 - k13*x3; x4' = k41*x1 - k14*x4",
        "x1",
        "k01 k12 k13 k14 k21 k31 k41",
        inputs="u",
    ),
    "biohydrogenation": Published(
        "Moate, Boston, Jenkins, Lean, Kinetics of ruminal lipolysis ..., Journal of Dairy Science 91, 2008",
        "x4' = -k5*x4/(k6 + x4); x5' = k5*x4/(k6 + x4) - k7*x5/(k8 + x5 + x6);"
        "x6' = k7*x5/(k8 + x5 + x6) - k9*x6*(k10 - x6)/k10; x7' = k9*x6*(k10 - x6)/k10",
        "x4; x5",
        "k5 k6 k7 k8 k9 k10",
        "x7(0)",
    ),
    "lipolysis": Published(
        "Moate, Boston, Jenkins, Lean, Kinetics of ruminal lipolysis ..., Journal of Dairy Science 91, 2008",
        "x1' = -x1*x5/(k2 + x1); x2' = 2*x1*x5/((k2 + x1)*3) - k4*x2; x3' = k4*x2/2 - k4*x3;"
        "x4' = x1*x5/(3*(k2 + x1)) + k4*x2/2 + k4*x3; x5' = -k3*x5",
        "x1; x2 + x3; x4",
        "k2 k3 k4",
    ),
    "treatment": Published(
        "Tuncer and Le, Structural and practical identifiability analysis of outbreak models, 2018",
        "S' = -b*S*J/N - d*b*S*T/N; J' = b*S*J/N + d*b*S*T/N - (a + g)*J; T' = g*J - nu*T; N' = 0",
        "T; N",
        "b d a g nu",
        "b d a g S(0) J(0)",
        "g*S(0); b*S(0); nu + d*g; a + g; g*J(0) + g*T(0) + a*T(0)",
        "a*g; b*g",
    ),
    "crauste": Published(
        "Crauste and others, Identification of nascent memory CD8 T cells ..., Cell Systems 4, 2017",
        "N' = -N*mN - N*P*dNE; E' = N*P*dNE - E**2*mEE - E*dEL + E*P*rE; S' = S*dEL - S*dLM - S**2*mLL - E*S*mLE;"
        "M' = S*dLM - mM*M; P' = P**2*rP - P*mP - E*P*mPE - S*P*mPL",
        "N; E + S; M",
        "mN dNE mEE dEL rE dLM mLL mLE mM rP mP mPE mPL",
        "dNE rE rP P(0)",
        "P(0)*rE; dNE*P(0); rP*P(0)",
        "dNE*rE",
    ),
    "seir_quarantine": Published(
        "Zha and others, Research about the optimal strategies for prevention and control of varicella ..., 2020",
        "S' = -beta*S*I; E' = beta*S*I - v*E; I' = v*E - psi*I - (1 - psi)*ga*I;"
        "R' = ga*Q + (1 - psi)*ga*I; Q' = -ga*Q + psi*I",
        "Q",
        "beta v psi ga",
        "R(0)",
    ),
    "seir_cumulative": Published(
        "Roosa and Chowell, Assessing parameter identifiability in compartmental dynamic models ..., model 1, 2019",
        "S' = -b*S*J/N; E' = b*S*J/N - nu*E; J' = nu*E - a*J; C' = nu*E; N' = 0",
        "C; N",
        "b nu a",
    ),
    "seir_infected": Published(
        "Sauer and others, Identifiability of infection model parameters early in an epidemic, eq. 2.1, 2021",
        "S' = -beta*J*S/N; E' = beta*J*S/N - alpha*E; J' = alpha*E - lam*J; N' = 0",
        "J; N",
        "beta alpha lam",
    ),
    "seir_prevalence": Published(
        "Massonis, Banga, Villaverde, Structural identifiability ... of compartmental models of COVID-19, ID 34, 2021",
        "A' = 0; S' = A - r*beta*S*I/N - mu*S; E' = r*beta*S*I/N - eps*E - mu*E; I' = eps*E - ga*I - mu*I",
        "K*I; A; N",
        "r beta mu eps ga K N",
        "r beta",
        "r*beta",
        "r/beta",
    ),
    "sirs_forced": Published(
        "Capistrán, Moreles, Lara, Parameter estimation of some epidemic models, 2009",
        "s' = mu - mu*s - b0*(1 + b1*x1)*i*s + g*r; i' = b0*(1 + b1*x1)*i*s - (nu + mu)*i; r' = nu*i - (mu + g)*r;"
        "x1' = -M*x2; x2' = M*x1",
        "i; r",
        "mu b0 b1 g nu M",
        "b1 x1(0) x2(0)",
        "b1*x1(0); x2(0)/x1(0)",
    ),
    "transfection": Published(
        "Leonhardt and others, Single-cell mRNA transfection studies, 2014; the variant of four states",
        "m' = -d1*m - d2*m*z; G' = kTL*m - b*G; z' = d3*c - d2*m*z; c' = -d3*c + d2*m*z",
        "G",
        "d1 d2 d3 kTL b",
        "d2 kTL m(0) z(0) c(0)",
        "d2*c(0); z(0)*d2; d2*m(0); kTL*c(0)",
        "d2*kTL",
    ),
    "pitavastatin": Published(
        "Grandjean, Chappell, Yates, Evans, Structural identifiability analyses ... hepatic uptake, 2014",
        "x1' = k3*x3 - r3*x1 - k1*x1*(T0 - x2) + r1*x2; x2' = k1*x1*(T0 - x2) - (r1 + k2)*x2;"
        "x3' = r3*x1 - (k3 + k4)*x3 + k2*x2",
        "k*(x2 + x3)",
        "k k1 k2 k3 k4 r1 r3 T0",
        "k k1 T0 x1(0) x2(0) x3(0)",
        "x3(0)*k1; k1*x1(0); k*x3(0); T0*k1",
        "k*k1",
    ),
    "reactor": Published(
        "Kumar and Daoutidis, Control of nonlinear differential algebraic equation systems, eq. 7.1, 1999",
        "Ca' = u*(Ca0 - Ca)/V - k0*A*Ca; Cb' = -u*Cb/V + k0*A*Ca;"
        "T' = u*(Ta - T)/V - (k0*A*Ca*H + Q*(J - T)/V)/(ro*cp); J' = w*(Th - J)/Vh - Q/(rh*ch)*(J - T)/Vh;"
        "A' = En*A/(R*T**2)*(u*(Ta - T)/V - (k0*A*Ca*H + Q*(J - T)/V)/(ro*cp))",
        "Cb; T",
        "Ca0 V k0 Ta H Q ro cp Th Vh rh ch En R",
        "k0 H Q ro cp rh ch En R A(0)",
        "k0*A(0); En/R; Q/H; ro*cp/H; rh*ch/H",
        "ro/cp; k0*Q",
        inputs="u w",
    ),
    "antibodies": Published(
        "Chappell, Godfrey, Vajda, Global identifiability of the parameters of nonlinear systems ..., 1990",
        "q1' = k4*q3 - (k3 + k7)*q1 + u;"
        "q3' = k3*q1 - k4*q3 - k5*q3*(R*V3 - q35) + k6*q35 - k5*q3*(5*V36/V3)*(S*V36 - q36) + k6*q36;"
        "q35' = k5*q3*(R*V3 - q35) - k6*q35; q36' = k5*q3*(5*V36/V3)*(S*V36 - q36) - k6*q36; q7' = k7*q1",
        "q7",
        "k3 k4 k5 k6 k7 R V3 V36 S",
        "R V3 V36 S",
        "V36/V3; R*V3; S*V3 + 25*V36*R",
        "R*S",
        inputs="u",
    ),
}

LINES = [
    "x1' = -vm*x1/(km + x1) - p1*x1 + u",
    *(f"x{k}' = p{k - 1}*x{k - 1} - p{k}*x{k}" for k in range(2, 21)),
]
MODELS["twenty_states"] = Published(
    "Saccomani, Audoly, Bellu, D'Angiò, Examples of testing global identifiability ... with DAISY, section 6, 2010",
    "; ".join(LINES),
    "; ".join(f"x{k}" for k in range(1, 21)),
    " ".join(["vm", "km", *(f"p{k}" for k in range(1, 21))]),
    inputs="u",
)

FIXED = {"a1": "0.5", "a2": "0.2", "a3": "1", "c5a": "0.0001", "c6a": "2e-5", "c1": "5e-7", "c3": "0.0004"}
FIXED |= {"c4": "0.5", "kv": "5", "e1a": "0.0005"}
NFKB = """
    x1' = kp - kd*x1 - k1*x1*u;
    x2' = -k3*x2 - kd*x2 - {a2}*x2*x10 + t1*x4 - {a3}*x2*x13 + t2*x5 + (k1*x1 - k2*x2*x8)*u;
    x3' = k3*x2 - kd*x3 + k2*x2*x8*u; x4' = {a2}*x2*x10 - t1*x4; x5' = {a3}*x2*x13 - t2*x5;
    x6' = {c6a}*x13 - {a1}*x6*x10 + t2*x5 - i1*x6; x7' = i1*{kv}*x6 - {a1}*x11*x7; x8' = {c4}*x9 - c5*x8;
    x9' = -{c1}*x7 - {c3}*x9;
    x10' = -{a2}*x2*x10 - {a1}*x10*x6 + c4a*x12 - {c5a}*x10 - i1a*x10 + {e1a}*x11;
    x11' = -{a1}*x11*x7 + i1a*{kv}*x10 - {e1a}*{kv}*x11; x12' = {c1}*x7 - c3a*x12;
    x13' = {a1}*x10*x6 - {c6a}*x13 - {a3}*x2*x13 + e2a*x14; x14' = {a1}*x11*x7 - e2a*{kv}*x14;
    x15' = {c1}*x7 - {c3}*x15
"""
MODELS["nfkb"] = Published(
    "Lipniacki, Paszek, Brasier, Luxon, Kimmel, Mathematical model of NF-kB regulatory module, 2004",
    NFKB.format(**FIXED).replace("\n", " "),
    "x7; x10 + x13; x9; x1 + x2 + x3; x2; x12",
    "kp kd k1 k2 k3 t1 t2 i1 c5 c4a i1a c3a e2a",
    "x15(0)",
    inputs="u",
)


TWO_STATES = "https://doi.org/10.1016/j.automatica.2008.03.019"

RECURSIONS = {
    "one": ("a = (b + c)*before(a) + 1", "a", "b c", "b c", "b + c"),
    "product": ("x1 = a*before(x1)*before(x2); x2 = b*before(x1)", "x2", "a b", "b x1", "a; b*x1"),
    TWO_STATES + ", example 1": (
        "x1 = p*before(x1) + before(x2); x2 = (1 - q)*before(x1) + before(x2)**2 + before(u)", "x1", "p q", "", "p; q",
    ),
    TWO_STATES + ", example 2": (
        "x1 = p*before(x1)**2 + q*before(x2) + before(u); x2 = r*before(x1)", "x1", "p q r", "q r x2", "p; q*r; q*x2",
    ),
    TWO_STATES + ", example 2, both seen": (
        "x1 = p*before(x1)**2 + q*before(x2) + before(u); x2 = r*before(x1)", "x1; x2", "p q r", "", "p; q; r",
    ),
}  # fmt: skip
"""Published equations from time to time, what is observed, parameters, what is not identifiable, what is determined."""


@pytest.mark.parametrize("name", RECURSIONS)
def test_recursions(name):
    """Equations from time to time have the published verdicts; the first values are observed, too, as there."""
    equations, observed, parameters, moving, determined = RECURSIONS[name]
    states = [line.split("=")[0].strip() for line in equations.split(";")]
    # what is observed at a time is that of the time before, so that the first values are among it
    seen = [f"seen_{each} = before({each})" for each in observed.split("; ")]
    columns = "u" if "before(u)" in equations else ()
    model = nn.Dynamics(
        [*equations.split("; "), *seen],
        dict.fromkeys([*states, *columns], 0.7),
        dict.fromkeys(parameters.split(), 0.4),
        columns=columns,
        observed=[each.split(" =")[0] for each in seen],
        times=12,
    )
    result = nn.identifiability(model, unknown_initial=states, samples=1)
    short = {name.replace("before(", "").replace(")(0)", "").replace("(0)", "") for name in result.not_identifiable}
    assert short == {*moving.split()}
    for formula in determined.split("; "):
        for state in states:
            formula = formula.replace(state, f"{state}(0)")
        assert result.determines(formula), formula


def with_known_firsts(name, equations, observed, parameters, known):
    """The result for equations in which all first values are parameters, some of them known."""
    states = [line.split("'")[0].strip() for line in equations.split(";")]
    firsts = {state: f"{state}_0" for state in states}
    model = nn.Dynamics(
        equations, firsts, dict.fromkeys([*parameters.split(), *firsts.values()], 1), observed=observed, times=20,
        name=name,
    )  # fmt: skip
    return nn.identifiability(model, known=[firsts[state] for state in known.split()])


def test_known_first_values():
    """Known first values, at random points, help as they do in the package's tests of such values."""
    prey = "x1' = a*x1 - b*x1*x2; x2' = -c*x2 + d*x1*x2"
    assert with_known_firsts("prey", prey, "x1", "a b c d", "x2").is_identifiable
    result = with_known_firsts("linear", "x1' = a + x2 + x3; x2' = b**2 + c; x3' = -c", "x1", "a b c", "x2 x3")
    assert result.not_identifiable == ("c",)
    quotient = with_known_firsts("quotient", "x1' = a*x1; x2' = x1 + 1/x1", "x2", "a", "x1")
    assert quotient.is_identifiable
    goodwin = MODELS["goodwin"]
    result = with_known_firsts("goodwin", goodwin.equations, goodwin.observed, goodwin.parameters, "x2 x3")
    assert result.is_identifiable


@pytest.mark.parametrize("name", MODELS)
def test_verdicts(name):
    """The unknowns that are not identifiable, and what is determined of them, are the published ones."""
    published = MODELS[name]
    begin = time.perf_counter()
    result = nn.identifiability(published.model(name), unknown_initial=True, samples=1)
    assert time.perf_counter() - begin < 20
    assert {*result.not_identifiable} == {*published.not_identifiable.split()}
    assert result.is_identifiable == (not published.not_identifiable)
    for formula in filter(None, published.determined.split("; ")):
        assert result.determines(formula), formula
    for formula in filter(None, published.undetermined.split("; ")):
        assert not result.determines(formula), formula


@pytest.mark.parametrize("name", [name for name in MODELS if MODELS[name].not_identifiable])
def test_combinations(name):
    """Combinations are determined, and there are as many as the rank says; unknowns of a group alone are not."""
    result = nn.identifiability(MODELS[name].model(name), unknown_initial=True, samples=1)
    assert result.is_complete
    assert result.rank == len(result.identifiable) + len(result.combinations)
    assert all(map(result.determines, result.combinations))
    assert not any(map(result.determines, result.not_identifiable))


@pytest.mark.parametrize(
    "name", ["siwr", "pharm", "goodwin", "hiv", "lecourtier", "crauste", "reactor", "mapk_sums_seen", "nfkb"]
)
def test_both_kinds_of_numbers(name, monkeypatch):
    """With many digits in place of residues, rational models have the same verdicts and combinations."""
    model = MODELS[name].model(name)
    exact = nn.identifiability(model, unknown_initial=True, samples=1)
    monkeypatch.setattr("nncodegen.structural.interface.Residues", lambda prime: Digits(100))
    rounded = nn.identifiability(model, unknown_initial=True, samples=1)
    assert rounded.verdicts == exact.verdicts
    assert rounded.rank == exact.rank


def test_known_parameters_help():
    """The two compartments are identifiable with one of the rates known, or with the first value that is not seen."""
    model = MODELS["two_compartments"].model("two_compartments")
    for known in ("a01", "a21", "a12"):
        assert nn.identifiability(model, unknown_initial=True, known=known).is_identifiable
    for first, missing in ("x0", 0), ("x1", 1):
        assert nn.identifiability(model, unknown_initial=[first]).missing == missing
    assert nn.identifiability(model).is_identifiable
