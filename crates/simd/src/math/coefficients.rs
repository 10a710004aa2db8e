//! Constants of the math module. Written by `tools/derive_coefficients.py`; change that, not this.
//!
//! Each error is log2 of the polynomial's error relative to the function's result, rounded coefficients included.
#![allow(clippy::approx_constant, reason = "the parts of a split constant belong together")]

/// `p` of `exp(r) = 1 + (r + r^2 p(r))`, |r| <= ln(2)/2. Weighted error 2^-28.2.
pub(crate) const EXP_F32: [f32; 5] = [0.49999994, 0.16666517, 0.041668102, 0.0083692, 0.0013839069];

/// `p` of `exp(r) = 1 + (r + r^2 p(r))`, |r| <= ln(2)/2. Weighted error 2^-57.4.
pub(crate) const EXP_F64: [f64; 10] = [
    0.5000000000000011,
    0.16666666666666438,
    0.041666666666525784,
    0.008333333333473733,
    0.0013888888944868917,
    0.00019841269559929683,
    2.480149166216959e-05,
    2.7557533209000682e-06,
    2.76308307885212e-07,
    2.5018140135507435e-08,
];

/// `q` of `2^r = 1 + (r LN2_F32_HI + r q(r))`, |r| <= 1/2. Weighted error 2^-26.2.
pub(crate) const EXP2_F32: [f32; 6] =
    [1.1258352e-07, 0.24022652, 0.05550226, 0.009617968, 0.0013427497, 0.00015484878];

/// `q` of `2^r = 1 + r q(r)`, |r| <= 1/2. Weighted error 2^-57.4.
pub(crate) const EXP2_F64: [f64; 12] = [
    0.6931471805599453,
    0.24022650695910072,
    0.0555041086648226,
    0.009618129107628527,
    0.0013333558146249428,
    0.00015403530393293005,
    1.5252733955162755e-05,
    1.3215486864935078e-06,
    1.0178018942479995e-07,
    7.05487842403892e-09,
    4.4606641189758384e-10,
    2.5753310703236554e-11,
];

/// `q` of `2^r = 1 + r q(r)`, |r| <= 1/2, for the f32 power. Weighted error 2^-45.9.
pub(crate) const POW_EXP2: [f64; 9] = [
    0.6931471805598853,
    0.24022650695722553,
    0.05550410866841702,
    0.009618129181242432,
    0.0013333557624990555,
    0.00015403440815786793,
    1.5252990239228292e-05,
    1.3258352784346841e-06,
    1.0148320511693769e-07,
];

/// `P` of `log(1+f) = f + f^2 (-1/2 + f P(f))`, 1+f in [sqrt(1/2), sqrt(2)]. Weighted error 2^-28.9.
pub(crate) const LOG_F32: [f32; 9] = [
    0.33333313,
    -0.2500003,
    0.20002048,
    -0.16667588,
    0.14220548,
    -0.12411285,
    0.118913986,
    -0.11639028,
    0.06673482,
];

/// `R` of `2 atanh(s) = 2s + s z R(z)`, z = s^2, s = f/(2+f). Weighted error 2^-59.0.
pub(crate) const LOG_F64: [f64; 7] = [
    0.666666666666667,
    0.3999999999976332,
    0.28571428675523103,
    0.22222204695734263,
    0.1818327414048352,
    0.15320924015522908,
    0.14731575053739204,
];

/// `L` of `log2(m) = s L(z)`, z = s^2, s = (m-1)/(m+1), for the f32 power. Weighted error 2^-56.0.
pub(crate) const POW_LOG2: [f64; 8] = [
    2.8853900817779268,
    0.9617966939261163,
    0.5770780162757316,
    0.4121986002269515,
    0.3205971258648595,
    0.2624050794468696,
    0.21915495560912004,
    0.23081088148207649,
];

/// `T` of `atanh(s) = s (1 + z/3 + z^2 T(z))`, z = s^2, for the f64 power. Weighted error 2^-73.5.
pub(crate) const POW_LOG_TAIL: [f64; 8] = [
    0.1999999999999999,
    0.1428571428572192,
    0.11111111108894803,
    0.090909094220148,
    0.07692279212319485,
    0.06668132350084349,
    0.05837887829473152,
    0.059909015057186946,
];

/// `P` of `tanh(x) = x + x^3 P(x^2)`, |x| <= 0.9. Weighted error 2^-29.8.
pub(crate) const TANH_F32: [f32; 7] =
    [-0.33333322, 0.13332981, -0.053929474, 0.021664092, -0.008265454, 0.002583423, -0.00045570778];

/// `P` of `erf(x) = x + x P(x^2)`, |x| <= 1. Weighted error 2^-29.4.
pub(crate) const ERF_F32: [f32; 7] =
    [0.12837917, -0.37612626, 0.11283579, -0.026853347, 0.005187162, -0.00079978525, 7.806898e-05];

/// `P` of `erf(x) = x + x P(x^2)`, |x| <= 1. Weighted error 2^-56.3.
pub(crate) const ERF_F64: [f64; 13] = [
    0.1283791670955126,
    -0.376126389031841,
    0.11283791670971134,
    -0.026866170648045116,
    0.005223977652896496,
    -0.0008548328551252098,
    0.00012055386886318695,
    -1.492690106130904e-05,
    1.6481418007253704e-06,
    -1.6561386519812376e-07,
    1.604472569142791e-08,
    -1.6596979289634896e-09,
    1.458405862320503e-10,
];

/// `Q` of `erf(t) = 1 - exp(Q(t - 1))`, t in [1, 4]. Weighted error 2^-26.7.
pub(crate) const ERFC_F32: [f32; 7] =
    [-1.8496056, -2.6389668, -0.8431176, -0.041503526, 0.009895476, -0.0018293791, 0.00018637528];

/// `Q` of `erf(t) = 1 - exp(Q(t - 1))`, t in [1, 6]. Weighted error 2^-58.7.
pub(crate) const ERFC_F64: [f64; 19] = [
    -1.8496055099332482,
    -2.6389675142347944,
    -0.8431072563583526,
    -0.04156109804851961,
    0.010033825446435423,
    -0.001977903029874528,
    0.00023732440697548559,
    2.627237089014908e-05,
    -2.7147926849357286e-05,
    9.592349237746304e-06,
    -2.041667966396868e-06,
    1.281237450202964e-07,
    1.0650766277441502e-07,
    -5.606700430392093e-08,
    1.6230602711587347e-08,
    -3.1689284073053478e-09,
    4.152844459929726e-10,
    -3.3153284224398706e-11,
    1.2196233729777956e-12,
];

/// `S` of `sin(r) = r + r^3 S(r^2)`, |r| <= pi/4. Weighted error 2^-37.5.
pub(crate) const SIN_F32: [f64; 4] =
    [-0.16666666640777061, 0.008333329302381546, -0.00019839311462085512, 2.718113864805033e-06];

/// `C` of `cos(r) = 1 - r^2/2 + r^4 C(r^2)`, |r| <= pi/4. Weighted error 2^-42.9.
pub(crate) const COS_F32: [f64; 4] =
    [0.041666666619461064, -0.0013888883497390487, 2.479945941847722e-05, -2.7205691336022277e-07];

/// `S` of `sin(r) = r + r^3 S(r^2)`, |r| <= pi/4. Weighted error 2^-57.9.
pub(crate) const SIN_F64: [f64; 6] = [
    -0.1666666666666663,
    0.00833333333332184,
    -0.0001984126982935852,
    2.755731353849561e-06,
    -2.5050734382768685e-08,
    1.5895432672601697e-10,
];

/// `C` of `cos(r) = 1 - r^2/2 + r^4 C(r^2)`, |r| <= pi/4. Weighted error 2^-63.9.
pub(crate) const COS_F64: [f64; 6] = [
    0.041666666666666595,
    -0.0013888888888873338,
    2.48015872889975e-05,
    -2.7557314215309616e-07,
    2.087570511691162e-09,
    -1.1358732880538534e-11,
];

/// ln(2), leading part.
pub(crate) const LN2_F32_HI: f32 = 0.6931472;
/// ln(2), the rest of the leading part.
pub(crate) const LN2_F32_LO: f32 = -1.9046542e-09;

/// ln(2), leading part.
pub(crate) const LN2_F64_HI: f64 = 0.6931471805599453;
/// ln(2), the rest of the leading part.
pub(crate) const LN2_F64_LO: f64 = 2.3190468138462996e-17;

/// 1/ln(2), leading part.
pub(crate) const LOG2_E_F32_HI: f32 = 1.442695;
/// 1/ln(2), the rest of the leading part.
pub(crate) const LOG2_E_F32_LO: f32 = 1.925963e-08;

/// 1/ln(2), leading part.
pub(crate) const LOG2_E_F64_HI: f64 = 1.4426950408889634;
/// 1/ln(2), the rest of the leading part.
pub(crate) const LOG2_E_F64_LO: f64 = 2.0355273740931033e-17;

/// 1/ln(10), leading part.
pub(crate) const LOG10_E_F32_HI: f32 = 0.4342945;
/// 1/ln(10), the rest of the leading part.
pub(crate) const LOG10_E_F32_LO: f32 = -1.010305e-08;

/// 1/ln(10), leading part.
pub(crate) const LOG10_E_F64_HI: f64 = 0.4342944819032518;
/// 1/ln(10), the rest of the leading part.
pub(crate) const LOG10_E_F64_LO: f64 = 1.098319650216765e-17;

/// log10(2), short enough that a product with an exponent is exact, leading part.
pub(crate) const LOG10_2_F32_HI: f32 = 0.3010254;
/// log10(2), short enough that a product with an exponent is exact, the rest of the leading part.
pub(crate) const LOG10_2_F32_LO: f32 = 4.605039e-06;

/// log10(2), short enough that a product with an exponent is exact, leading part.
pub(crate) const LOG10_2_F64_HI: f64 = 0.3010299956640665;
/// log10(2), short enough that a product with an exponent is exact, the rest of the leading part.
pub(crate) const LOG10_2_F64_LO: f64 = -8.532344317057107e-14;

/// ln(2), short enough that a product with an exponent is exact, leading part.
pub(crate) const LN2_SHORT_F64_HI: f64 = 0.6931471805601177;
/// ln(2), short enough that a product with an exponent is exact, the rest of the leading part.
pub(crate) const LN2_SHORT_F64_LO: f64 = -1.7239444525614835e-13;

/// pi/2, leading part.
pub(crate) const PI_2_F64_HI: f64 = 1.5707963267948966;
/// pi/2, the rest of the leading part.
pub(crate) const PI_2_F64_LO: f64 = 6.123233995736766e-17;
/// pi/2, the rest of both parts.
pub(crate) const PI_2_F64_LO2: f64 = -1.4973849048591698e-33;

/// 1/3, leading part.
pub(crate) const THIRD_F64_HI: f64 = 0.3333333333333333;
/// 1/3, the rest of the leading part.
pub(crate) const THIRD_F64_LO: f64 = 1.850371707708594e-17;

/// 2/pi, rounded once.
pub(crate) const TWO_OVER_PI_F64: f64 = 0.6366197723675814;

/// The first 1344 bits of 2/pi, most significant word first, after one word of zeros.
pub(crate) const TWO_OVER_PI: [u64; 22] = [
    0,
    0xa2f9836e4e441529,
    0xfc2757d1f534ddc0,
    0xdb6295993c439041,
    0xfe5163abdebbc561,
    0xb7246e3a424dd2e0,
    0x06492eea09d1921c,
    0xfe1deb1cb129a73e,
    0xe88235f52ebb4484,
    0xe99c7026b45f7e41,
    0x3991d639835339f4,
    0x9c845f8bbdf9283b,
    0x1ff897ffde05980f,
    0xef2f118b5a0a6d1f,
    0x6d367ecf27cb09b7,
    0x4f463f669e5fea2d,
    0x7527bac7ebe5f17b,
    0x3d0739f78a5292ea,
    0x6bfb5fb11f8d5d08,
    0x56033046fc7b6bab,
    0xf0cfbc209af4361d,
    0xa9e391615ee61b08,
];
