#!/usr/bin/env python3
"""Derives every constant of `src/math/coefficients.rs` and prints that file.

    python3 crates/simd/tools/derive_coefficients.py > crates/simd/src/math/coefficients.rs && cargo fmt -p phalanx-simd

Needs mpmath only. Each polynomial is a weighted minimax fit (Remez exchange, 50 digits). Coefficients are rounded to the target
format from the lowest power upwards, and after each rounding the remaining ones are fitted again, so that the rounding
of a large coefficient is absorbed by the smaller ones that follow it. The error printed beside an array is that of the
rounded polynomial, as log2 of the weighted error (that is, relative to the function's result).
"""
import struct

from mpmath import mp, mpf

mp.dps = 50


def to_f32(v):
    """Nearest single to `v` (mpmath rounds once, to 24 bits; no denormal appears here)."""
    with mp.workprec(24):
        return mpf(+v)


def to_f64(v):
    with mp.workprec(53):
        return mpf(+v)


def literal(v, fmt):
    """Shortest decimal that reads back as `v` in the format."""
    d = float(v)
    if fmt == "f64":
        return repr(d)
    for digits in range(1, 18):
        s = "%.*e" % (digits - 1, d)
        if struct.unpack("<f", struct.pack("<f", float(s)))[0] == d:
            return repr(float(s))
    raise AssertionError(v)


def remez(f, powers, a, b, w):
    """Minimax coefficients of sum c_k x^powers[k] for f on [a, b] under weight w; returns (coefficients, error)."""
    n = len(powers)
    grid = [a + (b - a) * (1 - mp.cos(mp.pi * i / 400)) / 2 for i in range(401)]
    if powers[0] > 0:
        grid = [x for x in grid if abs(x) > mpf(10) ** -6]
    fw = [(x, f(x), w(x)) for x in grid]
    m = len(fw)
    idx = [round((1 - mp.cos(mp.pi * i / n)) / 2 * (m - 1)) for i in range(n + 1)]
    best = None
    for _ in range(40):
        A = mp.matrix(n + 1, n + 1)
        y = mp.matrix(n + 1, 1)
        for row, i in enumerate(idx):
            x, fx, wx = fw[i]
            for k, p in enumerate(powers):
                A[row, k] = x**p * wx
            A[row, n] = (-1) ** row
            y[row] = fx * wx
        c = mp.lu_solve(A, y)
        err = [(fx - sum(c[k] * x**p for k, p in enumerate(powers))) * wx for x, fx, wx in fw]
        peak = max(abs(e) for e in err)
        coefs = [c[k] for k in range(n)]
        if best is None or peak < best[1]:
            best = (coefs, peak)
        if peak <= abs(c[n]) * mpf("1.01"):
            break
        # One extremum per run of equal sign, then the best alternating window of n + 1.
        ext = []
        for i, e in enumerate(err):
            if ext and (err[ext[-1]] > 0) == (e > 0):
                if abs(e) > abs(err[ext[-1]]):
                    ext[-1] = i
            else:
                ext.append(i)
        if len(ext) < n + 1:
            break
        while len(ext) > n + 1:
            ext.pop(0 if abs(err[ext[0]]) < abs(err[ext[-1]]) else -1)
        idx = ext
    return best


def fit(f, powers, a, b, w, fmt):
    """`remez`, then rounding from the lowest power upwards with a new fit of the rest after each.

    Without its lowest powers the basis is no Chebyshev system on an interval around 0, and the exchange may end early; so
    plain rounding of the first fit competes, and the better of the two is returned.
    """
    rnd = to_f32 if fmt == "f32" else to_f64
    a, b = mpf(a), mpf(b)
    plain, refitted = None, []
    for k in range(len(powers)):
        g = lambda x: f(x) - sum(c * x**p for c, p in zip(refitted, powers))
        c, _ = remez(g, powers[k:], a, b, w)
        plain = plain or [rnd(v) for v in c]
        refitted.append(rnd(c[0]))
    points = [a + (b - a) * i / 1000 for i in range(1001)]
    points = [(x, f(x), w(x)) for x in points if x != 0 or powers[0] == 0]

    def peak(cs):
        return max(abs(wx * (fx - sum(c * x**p for c, p in zip(cs, powers)))) for x, fx, wx in points)

    error, best = min((peak(cs), i) for i, cs in enumerate((plain, refitted)))
    return (plain, refitted)[best], mp.log(error, 2)


def emit_array(name, doc, result, fmt):
    coefs, err = result
    print(f"/// {doc} Weighted error 2^{float(err):.1f}.")
    print(f"pub(crate) const {name}: [{fmt}; {len(coefs)}] = [")
    for c in coefs:
        print(f"    {literal(c, fmt)},")
    print("];")
    print()


def emit_parts(name, doc, value, fmt, bits=None):
    """`value` as an unevaluated sum of parts, each rounded to `bits` (default: the format's precision)."""
    rnd = to_f32 if fmt == "f32" else to_f64
    bits = bits or []
    i = 0
    for suffix in ("HI", "LO", "LO2")[: max(2, len(bits))]:
        if i < len(bits) and bits[i]:
            with mp.workprec(bits[i]):
                part = mpf(+value)
        else:
            part = rnd(value)
        what = {"HI": "leading part", "LO": "the rest of the leading part", "LO2": "the rest of both parts"}[suffix]
        print(f"/// {doc}, {what}.")
        print(f"pub(crate) const {name}_{suffix}: {fmt} = {literal(part, fmt)};")
        value = value - part
        i += 1
    print()


def series(f, taylor, x, eps=mpf(10) ** -8):
    """`f(x)`, from `taylor(x)` near 0 where the closed form cancels."""
    return taylor(x) if abs(x) < eps else f(x)


def main():
    print("//! Constants of the math module. Written by `tools/derive_coefficients.py`; change that, not this.")
    print("//!")
    print("//! Each error is log2 of the polynomial's error relative to the function's result, rounded coefficients included.")
    print("#![allow(clippy::approx_constant, reason = \"the parts of a split constant belong together\")]")
    print()
    half_ln2 = mp.log(2) / 2 * mpf("1.0001")
    mp.dps = 60
    ln2, pi = mp.log(2), mp.pi
    one = mpf(1)

    # exp(r) = 1 + (r + r^2 p(r))
    def p_exp(r):
        return series(lambda r: (mp.exp(r) - 1 - r) / r**2, lambda r: one / 2 + r / 6 + r * r / 24, r)

    w_exp = lambda r: r**2 * mp.exp(-r)
    emit_array("EXP_F32", "`p` of `exp(r) = 1 + (r + r^2 p(r))`, |r| <= ln(2)/2.",
               fit(p_exp, [0, 1, 2, 3, 4], -half_ln2, half_ln2, w_exp, "f32"), "f32")
    emit_array("EXP_F64", "`p` of `exp(r) = 1 + (r + r^2 p(r))`, |r| <= ln(2)/2.",
               fit(p_exp, list(range(10)), -half_ln2, half_ln2, w_exp, "f64"), "f64")

    # 2^r = 1 + r q(r)
    def q_exp2(r):
        return series(lambda r: (mp.power(2, r) - 1) / r, lambda r: ln2 + ln2**2 * r / 2 + ln2**3 * r**2 / 6, r)

    w_exp2 = lambda r: abs(r) * mp.power(2, -r)
    h = mpf("0.5001")
    ln2_single = to_f32(ln2)
    emit_array("EXP2_F32", "`q` of `2^r = 1 + (r LN2_F32_HI + r q(r))`, |r| <= 1/2.",
               fit(lambda r: q_exp2(r) - ln2_single, list(range(6)), -h, h, w_exp2, "f32"), "f32")
    emit_array("EXP2_F64", "`q` of `2^r = 1 + r q(r)`, |r| <= 1/2.",
               fit(q_exp2, list(range(12)), -h, h, w_exp2, "f64"), "f64")
    emit_array("POW_EXP2", "`q` of `2^r = 1 + r q(r)`, |r| <= 1/2, for the f32 power.",
               fit(q_exp2, list(range(9)), -h, h, w_exp2, "f64"), "f64")

    # log(1 + f) = f + f^2 (-1/2 + f P(f))
    def p_log(f):
        return series(lambda f: (mp.log(1 + f) - f + f * f / 2) / f**3, lambda f: one / 3 - f / 4 + f * f / 5, f)

    a, b = mp.sqrt(one / 2) - 1, mp.sqrt(2) - 1
    w_log = lambda f: abs(f**3 / mp.log(1 + f)) if f != 0 else mpf(0)
    emit_array("LOG_F32", "`P` of `log(1+f) = f + f^2 (-1/2 + f P(f))`, 1+f in [sqrt(1/2), sqrt(2)].",
               fit(p_log, list(range(9)), a * mpf("1.0001"), b * mpf("1.0001"), w_log, "f32"), "f32")

    # With s = f/(2+f): log(1+f) = 2 atanh(s) = f - f^2/2 + s (f^2/2 + z R(z)), z = s^2, where z R(z) = 2 (atanh(s)/s - 1).
    zmax = ((mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)) ** 2 * mpf("1.0001")

    def atanh_over(z, skip):
        """(atanh(s)/s - first `skip` terms) / z^skip, z = s^2."""
        if z < mpf(10) ** -8:
            return sum(z**k / (2 * (k + skip) + 1) for k in range(6))
        s = mp.sqrt(z)
        return (mp.atanh(s) / s - sum(z**k / (2 * k + 1) for k in range(skip))) / z**skip

    emit_array("LOG_F64", "`R` of `2 atanh(s) = 2s + s z R(z)`, z = s^2, s = f/(2+f).",
               fit(lambda z: 2 * atanh_over(z, 1), list(range(7)), 0, zmax, lambda z: z / 2, "f64"), "f64")
    emit_array("POW_LOG2", "`L` of `log2(m) = s L(z)`, z = s^2, s = (m-1)/(m+1), for the f32 power.",
               fit(lambda z: 2 * atanh_over(z, 0) / ln2, list(range(8)), 0, zmax, lambda z: ln2 / 2, "f64"), "f64")
    emit_array("POW_LOG_TAIL", "`T` of `atanh(s) = s (1 + z/3 + z^2 T(z))`, z = s^2, for the f64 power.",
               fit(lambda z: atanh_over(z, 2), list(range(8)), 0, zmax, lambda z: z * z, "f64"), "f64")

    # tanh(x) = x + x^3 P(x^2)
    def p_tanh(z):
        if z < mpf(10) ** -8:
            return -one / 3 + 2 * z / 15 - 17 * z * z / 315
        x = mp.sqrt(z)
        return (mp.tanh(x) - x) / (x * z)

    def w_tanh(z):
        x = mp.sqrt(z)
        return x * z / mp.tanh(x) if z else mpf(0)

    emit_array("TANH_F32", "`P` of `tanh(x) = x + x^3 P(x^2)`, |x| <= 0.9.",
               fit(p_tanh, list(range(7)), 0, mpf("0.8101"), w_tanh, "f32"), "f32")

    # erf(x) = x + x P(x^2) near 0, 1 - exp(Q(|x| - c)) beyond
    def p_erf(z):
        k = 2 / mp.sqrt(pi)
        if z < mpf(10) ** -12:
            return k * (1 - z / 3) - 1
        x = mp.sqrt(z)
        return mp.erf(x) / x - 1

    def w_erf(z):
        x = mp.sqrt(z)
        return x / mp.erf(x) if z else mp.sqrt(pi) / 2

    emit_array("ERF_F32", "`P` of `erf(x) = x + x P(x^2)`, |x| <= 1.",
               fit(p_erf, list(range(7)), 0, one * mpf("1.0001"), w_erf, "f32"), "f32")
    emit_array("ERF_F64", "`P` of `erf(x) = x + x P(x^2)`, |x| <= 1.",
               fit(p_erf, list(range(13)), 0, one * mpf("1.0001"), w_erf, "f64"), "f64")

    def q_erfc(c):
        return lambda u: mp.log(mp.erfc(u + c))

    def w_erfc(c):
        return lambda u: mp.erfc(u + c) / mp.erf(u + c)

    emit_array("ERFC_F32", "`Q` of `erf(t) = 1 - exp(Q(t - 1))`, t in [1, 4].",
               fit(q_erfc(one), list(range(7)), mpf("-0.0001"), mpf(3), w_erfc(one), "f32"), "f32")
    emit_array("ERFC_F64", "`Q` of `erf(t) = 1 - exp(Q(t - 1))`, t in [1, 6].",
               fit(q_erfc(one), list(range(19)), mpf("-0.0001"), mpf(5), w_erfc(one), "f64"), "f64")

    # sin r = r + r^3 S(r^2), cos r = 1 - r^2/2 + r^4 C(r^2)
    def p_sin(z):
        if z < mpf(10) ** -8:
            return -one / 6 + z / 120 - z * z / 5040
        x = mp.sqrt(z)
        return (mp.sin(x) - x) / (x * z)

    def p_cos(z):
        if z < mpf(10) ** -8:
            return one / 24 - z / 720 + z * z / 40320
        return (mp.cos(mp.sqrt(z)) - 1 + z / 2) / (z * z)

    q = (pi / 4 * mpf("1.0001")) ** 2
    w_sin = lambda z: mp.sqrt(z) * z / mp.sin(mp.sqrt(z)) if z else mpf(0)
    w_cos = lambda z: z * z / mp.cos(mp.sqrt(z))
    for fmt, ns, nc in (("F32", 4, 4), ("F64", 6, 6)):
        emit_array(f"SIN_{fmt}", "`S` of `sin(r) = r + r^3 S(r^2)`, |r| <= pi/4.",
                   fit(p_sin, list(range(ns)), 0, q, w_sin, "f64"), "f64")
        emit_array(f"COS_{fmt}", "`C` of `cos(r) = 1 - r^2/2 + r^4 C(r^2)`, |r| <= pi/4.",
                   fit(p_cos, list(range(nc)), 0, q, w_cos, "f64"), "f64")

    emit_parts("LN2_F32", "ln(2)", ln2, "f32")
    emit_parts("LN2_F64", "ln(2)", ln2, "f64")
    emit_parts("LOG2_E_F32", "1/ln(2)", 1 / ln2, "f32")
    emit_parts("LOG2_E_F64", "1/ln(2)", 1 / ln2, "f64")
    emit_parts("LOG10_E_F32", "1/ln(10)", 1 / mp.log(10), "f32")
    emit_parts("LOG10_E_F64", "1/ln(10)", 1 / mp.log(10), "f64")
    # Products with an exponent (at most 11 bits with the sign aside) are exact in the leading part.
    emit_parts("LOG10_2_F32", "log10(2), short enough that a product with an exponent is exact", mp.log10(2), "f32", [15])
    emit_parts("LOG10_2_F64", "log10(2), short enough that a product with an exponent is exact", mp.log10(2), "f64", [41])
    emit_parts("LN2_SHORT_F64", "ln(2), short enough that a product with an exponent is exact", ln2, "f64", [41])
    emit_parts("PI_2_F64", "pi/2", pi / 2, "f64", [0, 0, 0])
    emit_parts("THIRD_F64", "1/3", one / 3, "f64")
    print("/// 2/pi, rounded once.")
    print(f"pub(crate) const TWO_OVER_PI_F64: f64 = {literal(to_f64(2 / pi), 'f64')};")
    print()
    mp.prec = 1600
    words = 21
    bits = int(mp.floor(2 / mp.pi * mpf(2) ** (64 * words)))
    print("/// The first 1344 bits of 2/pi, most significant word first, after one word of zeros.")
    print(f"pub(crate) const TWO_OVER_PI: [u64; {words + 1}] = [")
    print("    0,")
    for i in range(words):
        print(f"    0x{bits >> (64 * (words - 1 - i)) & (2**64 - 1):016x},")
    print("];")


main()
