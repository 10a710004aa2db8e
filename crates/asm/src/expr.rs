//! Constant expressions, and expressions of launch sizes.

use crate::codes;
use crate::lex::{T, clip};
use crate::number::{NumberError, Value, float_value, literal, range};
use crate::parse::{Const, Failed, Meaning, Names, Parser, Res};
use crate::report::alternatives;
use phalanx_isa::{Expr, ExprOp, Param, ParamKind, Span, Type};
use std::borrow::Cow;

/// How deep parentheses may nest.
const NESTING: u32 = 32;
/// How deep the codec lets a launch expression nest.
const EXPR_DEPTH: u32 = 16;

/// Where the names of an expression are looked up.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'s, 'a> {
    /// Constants, innermost first.
    pub names: [&'s Names<'a>; 3],
    /// Set for launch sizes: the parameters that may stand in them.
    pub params: Option<&'s [Param]>,
}

impl<'s, 'a> Scope<'s, 'a> {
    pub(crate) fn get(&self, name: &str) -> Option<crate::parse::Symbol<'a>> {
        self.names.iter().find_map(|n| n.get(name)).copied()
    }
}

/// A value, or the launch-time expression with its depth.
enum Part<'a> {
    Now(Const<'a>),
    Launch(Expr, u32),
}

#[derive(Clone, Copy, PartialEq)]
enum BinOp {
    Shl,
    Shr,
    Add,
    Sub,
    Mul,
    Div,
    Rem,
    Ceil,
    Min,
    Max,
}

impl BinOp {
    fn launch(self) -> Option<ExprOp> {
        Some(match self {
            BinOp::Add => ExprOp::Add,
            BinOp::Sub => ExprOp::Sub,
            BinOp::Mul => ExprOp::Mul,
            BinOp::Div => ExprOp::Div,
            BinOp::Ceil => ExprOp::CeilDiv,
            BinOp::Min => ExprOp::Min,
            BinOp::Max => ExprOp::Max,
            BinOp::Shl | BinOp::Shr | BinOp::Rem => return None,
        })
    }
}

/// Operators by binding strength, weakest first.
const LEVELS: u32 = 3;

fn operator(t: T, level: u32) -> Option<BinOp> {
    Some(match (t, level) {
        (T::Shl, 0) => BinOp::Shl,
        (T::Shr, 0) => BinOp::Shr,
        (T::P(b'+'), 1) => BinOp::Add,
        (T::P(b'-'), 1) => BinOp::Sub,
        (T::P(b'*'), 2) => BinOp::Mul,
        (T::P(b'/'), 2) => BinOp::Div,
        (T::P(b'%'), 2) => BinOp::Rem,
        _ => return None,
    })
}

impl<'a> Parser<'a> {
    /// A constant expression.
    pub(crate) fn constant(&mut self, scope: Scope<'_, 'a>) -> Res<Const<'a>> {
        match self.level(Scope { params: None, ..scope }, 0, 0)? {
            Part::Now(c) => Ok(c),
            // Without parameters every part is a value.
            Part::Launch(..) => Err(Failed),
        }
    }
    /// A product: what a displacement is a sum of.
    pub(crate) fn product(&mut self, scope: Scope<'_, 'a>) -> Res<Const<'a>> {
        match self.level(Scope { params: None, ..scope }, 2, 0)? {
            Part::Now(c) => Ok(c),
            Part::Launch(..) => Err(Failed),
        }
    }
    /// A constant that must be an integer.
    pub(crate) fn integer(&mut self, scope: Scope<'_, 'a>) -> Res<i128> {
        let from = self.at;
        let value = self.constant(scope)?.value;
        let span = self.since(from);
        self.as_integer(value, span)
    }
    pub(crate) fn as_integer(&mut self, value: Value<'_>, span: Span) -> Res<i128> {
        match value.as_int() {
            Some(v) => Ok(v),
            None => {
                let big = matches!(value, Value::Text { int: true, .. });
                let (code, what) = match big {
                    true => (codes::OUT_OF_RANGE, "the number is too large"),
                    false => (codes::WRONG_NUMBER, "a whole number is needed here"),
                };
                self.report(code, span, what).label("not a whole number of 128 bits");
                Err(Failed)
            }
        }
    }
    /// The value of an expression that was written for a type, or an error.
    pub(crate) fn bits_of(&mut self, value: Value<'a>, ty: Type, span: Span) -> Res<u64> {
        let error = match value.bits(ty) {
            Ok(bits) => return Ok(bits),
            Err(e) => e,
        };
        match error {
            NumberError::Range => {
                let (low, high) = range(ty);
                let mut help = format!("{ty} holds {low} to {high}");
                if let (Value::Int(v), true) = (value, ty.is_int()) {
                    let wrapped = v - (1i128 << ty.bits());
                    // A bit pattern written for a signed type.
                    if v > 0 && ty.class() == phalanx_isa::Class::Sint && v < 1i128 << ty.bits() {
                        help = format!("{help}; the same bits are {wrapped}");
                    }
                } else if ty.is_float() {
                    help.push_str("; infinity is written `inf` or `-inf`");
                }
                self.report(codes::OUT_OF_RANGE, span, format!("the number does not fit {ty}"))
                    .label("out of range")
                    .help(help)
            }
            NumberError::NotInteger => self
                .report(codes::WRONG_NUMBER, span, format!("{ty} holds no fractions"))
                .label(format!("expected a whole number for {ty}")),
            NumberError::BitsWidth(digits) => self
                .report(
                    codes::WRONG_NUMBER,
                    span,
                    format!("raw bits of {ty} have {digits} hexadecimal digits"),
                )
                .label("other width")
                .help(format!("write `0f` and {digits} digits")),
            NumberError::BitsForInteger => self
                .report(codes::WRONG_NUMBER, span, format!("raw float bits cannot be {ty}"))
                .label("for floats only")
                .help("write the number, or its bits after `0x`"),
        };
        Err(Failed)
    }

    /// A launch size: parameters, `len(x)`, constants.
    pub(crate) fn launch_expr(&mut self, scope: Scope<'_, 'a>) -> Res<Expr> {
        let from = self.at;
        match self.level(scope, 0, 0)? {
            Part::Launch(e, depth) if depth <= EXPR_DEPTH => Ok(e),
            _ => {
                let span = self.since(from);
                self.report(codes::LIMIT, span, format!("a size nests more than {EXPR_DEPTH} operations"))
                    .help("compute it on the host and pass it as a parameter");
                Err(Failed)
            }
        }
    }

    /// Operators of one binding strength and above.
    fn level(&mut self, scope: Scope<'_, 'a>, level: u32, nesting: u32) -> Res<Part<'a>> {
        if level == LEVELS {
            return self.unary(scope, nesting);
        }
        let from = self.at;
        let mut left = self.level(scope, level + 1, nesting)?;
        while let Some(op) = operator(self.peek(), level) {
            self.at += 1;
            let right = self.level(scope, level + 1, nesting)?;
            let span = self.since(from);
            left = self.combine(op, left, right, span)?;
        }
        Ok(left)
    }

    fn unary(&mut self, scope: Scope<'_, 'a>, nesting: u32) -> Res<Part<'a>> {
        let from = self.at;
        let mut negate = false;
        loop {
            match self.peek() {
                T::P(b'-') => negate = !negate,
                T::P(b'+') => {}
                _ => break,
            }
            self.at += 1;
        }
        let part = self.primary(scope, nesting)?;
        if !negate {
            return Ok(part);
        }
        let span = self.since(from);
        let value = match part {
            Part::Now(c) => match c.value {
                Value::Int(0) => Value::NegZero,
                Value::NegZero => Value::Int(0),
                Value::Int(v) => Value::Int(-v),
                Value::Float(f) => Value::Float(-f),
                Value::Text { neg, text, int } => Value::Text { neg: !neg, text, int },
                Value::Bits { .. } => {
                    self.report(codes::BAD_CONST, span, "raw bits have no sign to change")
                        .help("write the bits of the negative number");
                    return Err(Failed);
                }
            },
            Part::Launch(..) => {
                self.report(codes::BAD_CONST, span, "a size cannot be negative");
                return Err(Failed);
            }
        };
        Ok(Part::Now(Const { value, ty: None }))
    }

    fn primary(&mut self, scope: Scope<'_, 'a>, nesting: u32) -> Res<Part<'a>> {
        let tok = match self.peek() {
            T::Num | T::Word | T::Quoted => self.toks[self.at],
            T::P(b'(') => {
                self.nested(nesting)?;
                self.at += 1;
                let inner = self.level(scope, 0, nesting + 1)?;
                self.need(T::P(b')'), "`)`")?;
                return Ok(inner);
            }
            _ => return Err(self.expected("a number, a constant or `(`")),
        };
        let text = self.slice(&tok);
        self.at += 1;
        if tok.kind == T::Num {
            return self.leaf(scope, Const { value: literal(text), ty: None }, tok.span());
        }
        if tok.kind == T::Word {
            let op = match text {
                "inf" => {
                    return self.leaf(
                        scope,
                        Const { value: Value::Float(f64::INFINITY), ty: None },
                        tok.span(),
                    );
                }
                "nan" => {
                    return self.leaf(scope, Const { value: Value::Float(f64::NAN), ty: None }, tok.span());
                }
                "ceil" => Some(BinOp::Ceil),
                "min" => Some(BinOp::Min),
                "max" => Some(BinOp::Max),
                _ => None,
            };
            if let (Some(op), T::P(b'(')) = (op, self.peek()) {
                self.nested(nesting)?;
                self.at += 1;
                let a = self.level(scope, 0, nesting + 1)?;
                self.need(T::P(b','), "`,` and a second number")?;
                let b = self.level(scope, 0, nesting + 1)?;
                self.need(T::P(b')'), "`)`")?;
                let span = Span { len: tok.len, ..tok.span() };
                return self.combine(op, a, b, span);
            }
            if text == "len" && self.peek() == T::P(b'(') {
                return self.length(scope);
            }
        }
        let name = self.name_text(&tok);
        if let Some(params) = scope.params
            && let Some(i) = params.iter().position(|p| p.name == *name)
        {
            return self.size_param(&params[i], i as u16, tok.span());
        }
        match scope.get(&name).map(|s| (s.meaning, s.span)) {
            Some((Meaning::Const(c), _)) => self.leaf(scope, c, tok.span()),
            Some((Meaning::Poison, _)) => Err(Failed),
            Some((_, declared)) => {
                self.report(codes::BAD_CONST, tok.span(), format!("`{}` is not a constant", clip(&name)))
                    .label("a constant is needed here")
                    .also(declared, "declared here");
                Err(Failed)
            }
            None => {
                let what = if scope.params.is_some() { "parameter or constant" } else { "constant" };
                Err(self.unknown_const(what, &name, tok.span(), scope))
            }
        }
    }

    fn unknown_const(&mut self, what: &str, name: &str, span: Span, scope: Scope<'_, 'a>) -> Failed {
        let params = scope.params.unwrap_or_default().iter().map(|p| &*p.name);
        let consts = scope.names.iter().flat_map(|n| n.iter());
        let consts =
            consts.filter(|(_, s)| matches!(s.meaning, Meaning::Const(_))).map(|(k, _): (&Cow<str>, _)| &**k);
        let near = crate::report::closest(name, params.chain(consts)).map(str::to_string);
        self.report(codes::UNKNOWN_NAME, span, format!("no {what} is called `{}`", clip(name)))
            .label("not declared")
            .maybe_help(near.map(|n| format!("did you mean `{n}`?")));
        Failed
    }

    fn nested(&mut self, nesting: u32) -> Res<()> {
        if nesting < NESTING {
            return Ok(());
        }
        let span = self.here();
        self.report(codes::LIMIT, span, format!("parentheses nest more than {NESTING} deep"));
        Err(Failed)
    }

    /// A number on its own: in launch sizes it becomes part of the expression.
    fn leaf(&mut self, scope: Scope<'_, 'a>, c: Const<'a>, span: Span) -> Res<Part<'a>> {
        if scope.params.is_none() {
            return Ok(Part::Now(c));
        }
        let v = self.as_integer(c.value, span)?;
        match u64::try_from(v) {
            Ok(v) => Ok(Part::Launch(Expr::Const(v), 0)),
            Err(_) => {
                self.report(codes::OUT_OF_RANGE, span, "a size is 0 to 2^64 - 1").label("out of range");
                Err(Failed)
            }
        }
    }

    fn size_param(&mut self, param: &Param, number: u16, span: Span) -> Res<Part<'a>> {
        match &param.kind {
            ParamKind::Scalar(t) if t.is_int() => Ok(Part::Launch(Expr::Param(number), 0)),
            ParamKind::Scalar(t) => {
                self.report(
                    codes::WRONG_NUMBER,
                    span,
                    format!("`{}` is {t}: sizes are made of integers", param.name),
                );
                Err(Failed)
            }
            _ => {
                self.report(codes::BAD_CONST, span, format!("`{}` is not a number", clip(&param.name)))
                    .help(format!("its number of elements is `len({})`", param.name));
                Err(Failed)
            }
        }
    }

    /// `len(x)`, after the word.
    fn length(&mut self, scope: Scope<'_, 'a>) -> Res<Part<'a>> {
        self.at += 1;
        let (name, tok) = self.used_name("a buffer")?;
        let Some(params) = scope.params else {
            self.report(codes::BAD_CONST, tok.span(), "`len` is known at launch, not here")
                .help("in a kernel, write an instruction such as `len.u32 n, x`");
            return Err(Failed);
        };
        let Some(i) = params.iter().position(|p| p.name == *name) else {
            return Err(self.unknown_const("parameter", &name, tok.span(), scope));
        };
        if !matches!(params[i].kind, ParamKind::Buffer { .. }) {
            self.report(codes::BAD_CONST, tok.span(), format!("`{}` is not a buffer", clip(&name)));
            return Err(Failed);
        }
        self.need(T::P(b')'), "`)`")?;
        Ok(Part::Launch(Expr::Len(i as u16), 0))
    }

    fn combine(&mut self, op: BinOp, a: Part<'a>, b: Part<'a>, span: Span) -> Res<Part<'a>> {
        match (a, b) {
            (Part::Now(a), Part::Now(b)) => {
                let value = self.compute(op, a.value, b.value, span)?;
                Ok(Part::Now(Const { value, ty: None }))
            }
            (Part::Launch(a, da), Part::Launch(b, db)) => {
                if let Some(op) = op.launch() {
                    let depth = da.max(db).saturating_add(1);
                    if depth > EXPR_DEPTH {
                        self.report(
                            codes::LIMIT,
                            span,
                            format!("a size nests more than {EXPR_DEPTH} operations"),
                        )
                        .help("compute it on the host and pass it as a parameter");
                        return Err(Failed);
                    }
                    return Ok(Part::Launch(Expr::Bin(op, Box::new(a), Box::new(b)), depth));
                }
                // These operators are for constants only.
                if let (Expr::Const(a), Expr::Const(b)) = (&a, &b) {
                    let v = self.compute(op, Value::Int((*a).into()), Value::Int((*b).into()), span)?;
                    if let Some(v) = v.as_int().and_then(|v| u64::try_from(v).ok()) {
                        return Ok(Part::Launch(Expr::Const(v), 0));
                    }
                }
                let ops = alternatives(&["+", "-", "*", "/", "ceil", "min", "max"]);
                self.report(codes::BAD_CONST, span, "a launch cannot compute this")
                    .help(format!("sizes of parameters are combined with {ops}"));
                Err(Failed)
            }
            _ => Err(Failed),
        }
    }

    /// One operation on constants.
    fn compute(&mut self, op: BinOp, a: Value<'a>, b: Value<'a>, span: Span) -> Res<Value<'a>> {
        if let (Some(x), Some(y)) = (a.as_int(), b.as_int()) {
            let shift = u32::try_from(y).ok().filter(|s| *s < 128);
            let v = match op {
                BinOp::Add => x.checked_add(y),
                BinOp::Sub => x.checked_sub(y),
                BinOp::Mul => x.checked_mul(y),
                BinOp::Div => x.checked_div(y),
                BinOp::Rem => x.checked_rem(y),
                BinOp::Min => Some(x.min(y)),
                BinOp::Max => Some(x.max(y)),
                BinOp::Shr => shift.map(|s| x >> s),
                BinOp::Shl => shift.and_then(|s| x.checked_mul(1i128.checked_shl(s)?)),
                // Round up: one more than the truncated quotient where something is left over and the signs agree.
                BinOp::Ceil => x.checked_div(y).and_then(|q| {
                    let up = x % y != 0 && (x < 0) == (y < 0);
                    q.checked_add(i128::from(up))
                }),
            };
            let Some(v) = v else {
                let zero = y == 0 && matches!(op, BinOp::Div | BinOp::Rem | BinOp::Ceil);
                let what = if zero { "division by zero" } else { "the result does not fit 128 bits" };
                self.report(codes::BAD_CONST, span, what);
                return Err(Failed);
            };
            return Ok(Value::Int(v));
        }
        let (Some(x), Some(y)) = (a.as_f64(), b.as_f64()) else {
            self.report(codes::BAD_CONST, span, "raw bits have no value to compute with");
            return Err(Failed);
        };
        let v = match op {
            BinOp::Add => x + y,
            BinOp::Sub => x - y,
            BinOp::Mul => x * y,
            BinOp::Div => x / y,
            BinOp::Min => x.min(y),
            BinOp::Max => x.max(y),
            BinOp::Rem | BinOp::Shl | BinOp::Shr | BinOp::Ceil => {
                self.report(codes::WRONG_NUMBER, span, "this needs whole numbers on both sides");
                return Err(Failed);
            }
        };
        if !v.is_finite() && x.is_finite() && y.is_finite() {
            self.report(codes::BAD_CONST, span, "the result is not a finite number");
            return Err(Failed);
        }
        Ok(Value::Float(v))
    }

    /// `const NAME = ...` or `const NAME: TYPE = ...`, after the word. Gives the name even where the value is wrong, so that
    /// uses of it are not errors too.
    pub(crate) fn const_decl(&mut self, scope: Scope<'_, 'a>) -> Res<(Cow<'a, str>, Span, Meaning<'a>)> {
        let (name, span) = self.new_name("a name for the constant")?;
        let meaning = match self.const_value(scope) {
            Ok(c) => Meaning::Const(c),
            Err(Failed) => Meaning::Poison,
        };
        Ok((name, span, meaning))
    }

    fn const_value(&mut self, scope: Scope<'_, 'a>) -> Res<Const<'a>> {
        let ty = if self.eat(T::P(b':')) { Some(self.ty()?) } else { None };
        self.need(T::P(b'='), "`=` and a value")?;
        let from = self.at;
        let c = self.constant(scope)?;
        self.done()?;
        let Some(ty) = ty else { return Ok(Const { ty: None, ..c }) };
        let span = self.since(from);
        self.fits_const(c, ty, span)?;
        let bits = self.bits_of(c.value, ty, span)?;
        // Fixed to its type here: later uses see the rounded value.
        let value = match c.value {
            Value::Bits { .. } => c.value,
            _ if ty.is_float() => Value::Float(float_value(bits, ty)),
            v => v,
        };
        Ok(Const { value, ty: Some(ty) })
    }

    /// A typed constant stands only where its type does.
    pub(crate) fn fits_const(&mut self, c: Const<'_>, ty: Type, span: Span) -> Res<()> {
        match c.ty {
            Some(t) if t != ty => {
                self.report(codes::CONST_TYPE, span, format!("the constant is {t}, but {ty} is needed"))
                    .label(format!("a constant of type {t}"))
                    .help("declare the constant without a type to use it with every type it fits");
                Err(Failed)
            }
            _ => Ok(()),
        }
    }
}
