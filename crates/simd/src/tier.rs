//! SIMD levels: their names, the CPU features each needs, and detection.

use std::fmt;
use std::str::FromStr;

/// Defines the levels in one place: variant, name on the command line, architecture, features, documentation.
///
/// A row `features: [base features] + [own features]` asks for both lists; the order of rows is ascending preference within an
/// architecture. The lists feed detection and [`Tier::features`] alike, so they cannot drift apart.
macro_rules! tiers {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal, $arch:ident: $features:tt;)+) => {
        /// A SIMD level. The order is ascending: on one machine a later available level is preferred.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Tier {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Tier {
            /// Every level of every architecture, ascending.
            pub const ALL: &'static [Tier] = &[$(Tier::$variant,)+];

            /// The name used on the command line, such as `avx512-vnni`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Tier::$variant => $name,)+
                }
            }

            /// The CPU features the level requires, by the names that `target_feature` takes. A function compiled with exactly
            /// these features may be called where [`Tier::is_available`] is true.
            pub const fn features(self) -> &'static [&'static str] {
                match self {
                    $(Tier::$variant => &$features,)+
                }
            }

            /// Whether this machine has every feature the level requires. Under Miri only the scalar level exists.
            pub fn is_available(self) -> bool {
                match self {
                    $(Tier::$variant => detect!($arch: $features),)+
                }
            }
        }
    };
}

/// Detection of one row: true for `any`, the conjunction of the features on the row's own architecture, false elsewhere.
macro_rules! detect {
    (any: []) => {
        true
    };
    (x86_64: [$($feature:tt),+]) => {{
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        {
            $(std::arch::is_x86_feature_detected!($feature))&&+
        }
        #[cfg(not(all(target_arch = "x86_64", not(miri))))]
        {
            false
        }
    }};
    (aarch64: [$($feature:tt),+]) => {{
        #[cfg(all(target_arch = "aarch64", not(miri)))]
        {
            $(std::arch::is_aarch64_feature_detected!($feature))&&+
        }
        #[cfg(not(all(target_arch = "aarch64", not(miri))))]
        {
            false
        }
    }};
}

tiers! {
    /// Portable code without explicit vectors; available everywhere.
    Scalar = "scalar", any: [];
    /// 256-bit vectors with fused multiply-add.
    Avx2 = "avx2", x86_64: ["avx2", "fma", "f16c", "bmi1", "bmi2", "lzcnt", "popcnt"];
    /// 512-bit vectors with masks.
    Avx512 = "avx512", x86_64: [
        "avx2", "fma", "f16c", "bmi1", "bmi2", "lzcnt", "popcnt", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512cd"
    ];
    /// 512-bit vectors with the 8-bit dot product.
    Avx512Vnni = "avx512-vnni", x86_64: [
        "avx2", "fma", "f16c", "bmi1", "bmi2", "lzcnt", "popcnt", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512cd",
        "avx512vnni"
    ];
    /// 128-bit vectors, the baseline of 64-bit Arm.
    Neon = "neon", aarch64: ["neon"];
    /// Neon with the 8-bit dot product.
    NeonDotprod = "neon-dotprod", aarch64: ["neon", "dotprod"];
    /// Neon with the 8-bit dot product and the 8-bit matrix product.
    NeonI8mm = "neon-i8mm", aarch64: ["neon", "dotprod", "i8mm"];
}

impl Tier {
    /// The levels this machine can run, ascending. The first is always [`Tier::Scalar`].
    pub fn available() -> Vec<Tier> {
        Tier::ALL.iter().copied().filter(|tier| tier.is_available()).collect()
    }

    /// The highest level this machine can run.
    pub fn best() -> Tier {
        Tier::ALL.iter().rev().copied().find(|tier| tier.is_available()).unwrap_or(Tier::Scalar)
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that is no SIMD level. Displays the name and the valid ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownTier {
    name: String,
}

impl fmt::Display for UnknownTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown SIMD level `{}`; valid levels are", self.name.escape_debug())?;
        for (i, tier) in Tier::ALL.iter().enumerate() {
            write!(f, "{} {tier}", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl std::error::Error for UnknownTier {}

impl FromStr for Tier {
    type Err = UnknownTier;

    /// Parses a level's exact name. Whether the machine has the level is a separate question: [`Tier::is_available`].
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Tier::ALL
            .iter()
            .copied()
            .find(|tier| tier.name() == name)
            .ok_or_else(|| UnknownTier { name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_are_distinct() {
        for &tier in Tier::ALL {
            assert_eq!(tier.to_string().parse(), Ok(tier));
        }
        let names: Vec<_> = Tier::ALL.iter().map(|tier| tier.name()).collect();
        assert_eq!(names, ["scalar", "avx2", "avx512", "avx512-vnni", "neon", "neon-dotprod", "neon-i8mm"]);
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_valid_ones() {
        let error = "AVX2".parse::<Tier>().expect_err("names are exact").to_string();
        assert_eq!(
            error,
            "unknown SIMD level `AVX2`; valid levels are scalar, avx2, avx512, avx512-vnni, neon, neon-dotprod, neon-i8mm"
        );
    }

    #[test]
    fn available_levels_ascend_from_scalar_to_the_best() {
        let available = Tier::available();
        assert_eq!(available.first(), Some(&Tier::Scalar));
        assert_eq!(available.last(), Some(&Tier::best()));
        assert!(available.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(available.iter().all(|tier| tier.is_available()));
        if cfg!(all(target_arch = "aarch64", not(miri))) {
            assert!(available.contains(&Tier::Neon), "Neon is the baseline of 64-bit Arm");
        }
        if cfg!(miri) {
            assert_eq!(available, [Tier::Scalar]);
        }
    }

    #[test]
    fn a_higher_level_of_an_architecture_contains_the_lower() {
        for pair in
            [[Tier::Avx2, Tier::Avx512], [Tier::Avx512, Tier::Avx512Vnni], [Tier::Neon, Tier::NeonDotprod]]
        {
            let [low, high] = pair;
            assert!(
                low.features().iter().all(|feature| high.features().contains(feature)),
                "{low} in {high}"
            );
            assert!(low.features().len() < high.features().len());
        }
    }
}
