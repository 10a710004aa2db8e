//! Native opcodes: the operands an executor resolves, the check of output boxes between blocks, and the call of the body.

use crate::check;
use crate::launch::{Launch, Slot};
use crate::trap::{LaneTrap, TrapDetail};
use parking_lot::Mutex;
use phalanx_isa::TrapKind;

/// The resolved operands of `matmul.t2.i8`, all uniform.
#[derive(Clone, Debug)]
pub struct MatmulT2 {
    /// Output: parameter, which buffer of an array, first element.
    pub y: (u16, u64, u64),
    /// Packed weights parameter.
    pub w: u16,
    /// Input: as `y`.
    pub x: (u16, u64, u64),
    /// Rows of x and y.
    pub m: u32,
    /// First weight row.
    pub n0: u32,
    /// Number of weight rows: columns of y.
    pub nn: u32,
    /// Elements from a row of y to the next.
    pub ldy: u32,
    /// Elements from a row of x to the next.
    pub ldx: u32,
}

/// Where a native operation stands, for traps.
#[derive(Clone, Copy, Debug)]
pub struct Site {
    /// Function.
    pub func: u16,
    /// Instruction.
    pub inst: u32,
    /// Linear block.
    pub block: u64,
}

impl Site {
    fn trap(self, kind: TrapKind, text: String) -> LaneTrap {
        let Site { func, inst, block } = self;
        LaneTrap { kind, func, inst, block, lane: 0, detail: TrapDetail::Text(text) }
    }
}

#[derive(Clone, Copy, Debug)]
struct Box2 {
    site: Site,
    param: u16,
    which: u64,
    first: u64,
    rows: u64,
    stride: u64,
    width: u64,
}

impl Box2 {
    fn end(&self) -> u64 {
        self.first + (self.rows - 1) * self.stride + self.width
    }
    /// Whether an element belongs to both.
    fn overlaps(&self, o: &Box2) -> bool {
        if (self.param, self.which) != (o.param, o.which) || self.first >= o.end() || o.first >= self.end() {
            return false;
        }
        let row = |b: &Box2, r: u64| (b.first + r * b.stride, b.first + r * b.stride + b.width);
        // Rows ascend in both: walk them like a merge.
        let (mut i, mut j) = (0, 0);
        while i < self.rows && j < o.rows {
            let (a, b) = (row(self, i), row(o, j));
            if a.0 < b.1 && b.0 < a.1 {
                return true;
            }
            if a.1 <= b.0 { i += 1 } else { j += 1 }
        }
        false
    }
}

/// The output boxes that blocks wrote in a launch. Two blocks whose boxes overlap trap: checked at the end of the launch, in
/// block order, so that the report does not depend on the schedule. (The bodies store through atomics until then, so an
/// overlap is a wrong program and no undefined behaviour.)
#[derive(Default)]
pub struct Claims(Mutex<Vec<Box2>>);

impl Claims {
    /// Finds the lowest block whose box overlaps one of a lower block.
    ///
    /// # Errors
    /// A trap `overlap` at that block.
    pub fn check(&self) -> Result<(), LaneTrap> {
        let mut boxes = self.0.lock();
        if boxes.len() < 2 {
            return Ok(());
        }
        // Sweep by first element: only boxes that reach past the next one's start are compared.
        boxes.sort_by_key(|b| (b.param, b.which, b.first));
        let mut found: Option<(Site, Site)> = None;
        for (i, a) in boxes.iter().enumerate() {
            for b in boxes[i + 1..]
                .iter()
                .take_while(|b| (b.param, b.which) == (a.param, a.which) && b.first < a.end())
            {
                if a.site.block != b.site.block && a.overlaps(b) {
                    let pair = if a.site.block < b.site.block { (a.site, b.site) } else { (b.site, a.site) };
                    if found.is_none_or(|f| (pair.1.block, pair.0.block) < (f.1.block, f.0.block)) {
                        found = Some(pair);
                    }
                }
            }
        }
        match found {
            None => Ok(()),
            Some((low, high)) => {
                Err(high.trap(TrapKind::Overlap, format!("block {} wrote there too", low.block)))
            }
        }
    }
}

/// Runs `matmul.t2.i8` for one block.
///
/// # Errors
/// `shape` or `out_of_bounds`, with what does not fit.
pub fn matmul_t2(launch: &Launch<'_>, op: &MatmulT2, site: Site) -> Result<(), LaneTrap> {
    let (m, n0, nn) = (u64::from(op.m), u64::from(op.n0), u64::from(op.nn));
    let (ldy, ldx) = (u64::from(op.ldy), u64::from(op.ldx));
    let Some(Slot::Packed(w)) = launch.slots.get(op.w as usize) else {
        return Err(site.trap(TrapKind::Shape, "the weights are not packed".into()));
    };
    let k = w.k() as u64;
    if m == 0 || nn == 0 {
        return Ok(());
    }
    if n0 + nn > w.n() as u64 {
        let text = format!("weight rows {n0}..{} of {}", n0 + nn, w.n());
        return Err(site.trap(TrapKind::Shape, text));
    }
    if (ldy < nn || ldx < k) && m > 1 {
        let text = format!("row strides {ldy} and {ldx} are below the widths {nn} and {k}");
        return Err(site.trap(TrapKind::Shape, text));
    }
    let find = |(param, which, first): (u16, u64, u64), stride: u64, width: u64, name: &str| {
        let view = launch.view(param, which);
        let view =
            view.ok_or_else(|| site.trap(TrapKind::OutOfBounds, format!("buffer {which} of `{name}`")))?;
        let end = (m - 1).checked_mul(stride).and_then(|e| e.checked_add(width)?.checked_add(first));
        match end {
            Some(end) if end <= view.len() => Ok(view),
            _ => {
                let text =
                    format!("`{name}`: {m} rows of {width} at {first}, stride {stride}, of {}", view.len());
                Err(site.trap(TrapKind::OutOfBounds, text))
            }
        }
    };
    let y = find(op.y, ldy, nn, "y")?;
    let x = find(op.x, ldx, k, "x")?;
    let claim = Box2 { site, param: op.y.0, which: op.y.1, first: op.y.2, rows: m, stride: ldy, width: nn };
    launch.claims.0.lock().push(claim);
    if let Some(check) = launch.check {
        let at = check::Site { func: site.func, inst: site.inst };
        let seen = |(param, which, first), stride, width, class| {
            check.native(check::Box2 {
                site: at,
                block: site.block,
                class,
                param,
                which,
                first,
                rows: m,
                stride,
                width,
            });
        };
        seen(op.x, ldx, k, check::Class::Read);
        seen(op.y, ldy, nn, check::Class::Write);
    }
    let mut row = vec![0i8; k as usize];
    let mut sums = vec![0i32; nn as usize];
    for r in 0..m {
        for (i, v) in row.iter_mut().enumerate() {
            *v = x.load(op.x.2 + r * ldx + i as u64).unwrap_or(0) as i8;
        }
        phalanx_kernels::ternary_rows(w, &row, n0 as usize, &mut sums);
        for (c, sum) in sums.iter().enumerate() {
            // In range: checked above.
            let _ = y.store(op.y.2 + r * ldy + c as u64, u64::from(*sum as u32));
        }
    }
    Ok(())
}
