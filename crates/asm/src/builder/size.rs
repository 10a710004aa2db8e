//! Launch sizes.

use phalanx_isa::{Expr, ExprOp};
use std::ops::{Add, Div, Mul, Sub};

/// A size that is computed at launch from parameters: unsigned 64-bit; overflow refuses the launch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Size(pub(crate) Expr);

impl Size {
    fn bin(self, op: ExprOp, b: impl Into<Size>) -> Size {
        Size(Expr::Bin(op, Box::new(self.0), Box::new(b.into().0)))
    }
    /// `self / b`, rounded up.
    pub fn ceil_div(self, b: impl Into<Size>) -> Size {
        self.bin(ExprOp::CeilDiv, b)
    }
    /// The smaller.
    pub fn min(self, b: impl Into<Size>) -> Size {
        self.bin(ExprOp::Min, b)
    }
    /// The larger.
    pub fn max(self, b: impl Into<Size>) -> Size {
        self.bin(ExprOp::Max, b)
    }
}

impl From<u64> for Size {
    fn from(n: u64) -> Self {
        Size(Expr::Const(n))
    }
}

macro_rules! operators {
    ($($op:ident $method:ident)*) => { $(
        impl<B: Into<Size>> $op<B> for Size {
            type Output = Size;
            fn $method(self, b: B) -> Size {
                self.bin(ExprOp::$op, b)
            }
        }
    )* };
}
operators! { Add add Sub sub Mul mul Div div }
