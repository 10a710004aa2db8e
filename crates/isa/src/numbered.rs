//! One macro for every enum with fixed numbers and a spelling.

/// Declares an enum whose variants have a number and a word: number and word to variant and back, and the list of all.
macro_rules! numbered {
    ($(#[$m:meta])* pub enum $name:ident: u16 { $($(#[$vm:meta])* $v:ident = $code:literal => $word:literal,)* }) => {
        $(#[$m])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u16)]
        pub enum $name { $($(#[$vm])* $v = $code,)* }

        impl $name {
            /// All of them, ascending by number.
            pub const ALL: &'static [$name] = &[$($name::$v,)*];
            /// Their spellings, in the order of [`Self::ALL`].
            pub const WORDS: &'static [&'static str] = &[$($word,)*];
            /// The fixed number.
            pub const fn code(self) -> u16 { self as u16 }
            /// The spelling in assembly text.
            pub const fn name(self) -> &'static str { match self { $($name::$v => $word,)* } }
            /// The one with this number.
            pub const fn from_code(code: u16) -> Option<$name> {
                match code { $($code => Some($name::$v),)* _ => None }
            }
            /// The one spelled so.
            pub fn from_name(word: &str) -> Option<$name> {
                match word { $($word => Some($name::$v),)* _ => None }
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result { f.write_str(self.name()) }
        }
    };
}
pub(crate) use numbered;
