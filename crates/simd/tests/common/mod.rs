//! What the tests and the prover share: an independent reference for the `f32` functions, and the error measure.

/// The reference for a function of one `f32`: the platform's double-precision function, or a series of our own for `erf`.
pub fn reference(name: &str) -> fn(f64) -> f64 {
    match name {
        "exp" => f64::exp,
        "exp2" => f64::exp2,
        "log" => f64::ln,
        "log2" => f64::log2,
        "log10" => f64::log10,
        "rsqrt" => |x| 1.0 / x.sqrt(),
        "rcp" => |x| 1.0 / x,
        "sqrt" => f64::sqrt,
        "sin" => f64::sin,
        "cos" => f64::cos,
        "tan" => f64::tan,
        "tanh" => f64::tanh,
        "sigmoid" => |x| 1.0 / (1.0 + (-x).exp()),
        "erf" => erf_series,
        _ => panic!("no reference for {name}"),
    }
}

/// `erf` by `2/sqrt(pi) e^(-x^2) sum (2x^2)^k x / (2k+1)!!`: all terms have one sign, so nothing cancels.
fn erf_series(x: f64) -> f64 {
    if x.abs() >= 6.0 {
        return x.signum();
    }
    let (mut term, mut sum, mut k) = (x, x, 1.0);
    while term.abs() > 1e-18 * sum.abs() {
        k += 2.0;
        term *= 2.0 * x * x / k;
        sum += term;
    }
    std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * sum
}

/// The error of `got` in units in the last place of the true value; infinite where a special value, a sign or the bits of a NaN
/// are wrong.
pub fn ulps_f32(got: f32, want: f64) -> f64 {
    if want.is_nan() {
        return if got.to_bits() == 0x7fc0_0000 { 0.0 } else { f64::INFINITY };
    }
    if got.is_nan() || (got.is_sign_negative() != want.is_sign_negative()) {
        return f64::INFINITY;
    }
    if want == 0.0 || want.is_infinite() {
        return if f64::from(got) == want { 0.0 } else { f64::INFINITY };
    }
    // An infinite result counts as the value one place above the largest finite one.
    let edge = f64::from_bits((1023 + 128) << 52);
    let value = f64::from(got.abs()).min(edge);
    let want = want.abs().min(edge);
    // The exponent field, held to that of the denormals, less 23 binary places.
    let exponent = (want.to_bits() >> 52).clamp(1023 - 126, 1023 + 127);
    (value - want).abs() / f64::from_bits((exponent - 23) << 52)
}
