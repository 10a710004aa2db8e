//! The class numbering, its graph, the mirror and the unity set.

use crate::CLASSES;

/// The largest number of neighbours a class has.
pub const MAX_NEIGHBOURS: usize = 6;

/// The unity set, ascending. The two are mirrors of each other; class 0 is not among them.
pub const UNITY: [u8; 2] = [1, 4];

/// The label of a class, one field per coordinate.
///
/// The fields are open so that a label can be written as a literal; [`class_of`] checks their ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Components {
    /// 0 or 1; weight 48 in the class number.
    pub e1: u8,
    /// 0 or 1; weight 24.
    pub e2: u8,
    /// 0 or 1; weight 12.
    pub e3: u8,
    /// -1, 0 or 1; weight 1, after adding 1.
    pub d45: i8,
    /// 0 or 1; weight 6.
    pub e6: u8,
    /// 0 or 1; weight 3. The coordinate that the mirror flips and that no edge changes.
    pub e7: u8,
}

/// The numbering itself, the one place where it is written: `c = 3q + t`.
const fn join(q: u8, t: u8) -> u8 {
    3 * q + t
}

/// The inverse of [`join`]: `(q, t)`.
const fn split(class: u8) -> (u8, u8) {
    (class / 3, class % 3)
}

/// The bits of `q`, from the coordinates: the other half of the numbering.
const fn pack_q(e1: u8, e2: u8, e3: u8, e6: u8, e7: u8) -> u8 {
    E1 * e1 + E2 * e2 + E3 * e3 + E6 * e6 + E7 * e7
}

const E1: u8 = 16;
const E2: u8 = 8;
const E3: u8 = 4;
const E6: u8 = 2;
const E7: u8 = 1;

/// Bits of `q` that an edge flips, heaviest first: the order the ascending neighbour list is built from.
const EDGE_BITS: [u8; 4] = [E1, E2, E3, E6];

/// The class of a byte. Total: every byte has one.
///
/// Bits 0, 1, 2, 3 and 4 are `e1, e2, e3, e6, e7`; bits 5 and 6, as a number mod 3, are `t`; bit 7 is ignored.
/// A class with `t = 0` is hit by 4 bytes, any other class by 2.
#[inline]
#[must_use]
pub const fn classify(byte: u8) -> u8 {
    CLASS_OF_BYTE[byte as usize]
}

static CLASS_OF_BYTE: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        let q = pack_q(b & 1, (b >> 1) & 1, (b >> 2) & 1, (b >> 3) & 1, (b >> 4) & 1);
        table[byte] = join(q, ((b >> 5) & 3) % 3);
        byte += 1;
    }
    table
};

/// The class a lane has unless the host sets one: its linear block index mod 96.
#[inline]
#[must_use]
pub const fn class_of_block(linear_block: u64) -> u8 {
    // The remainder is below 96, so it fits u8.
    (linear_block % CLASSES as u64) as u8
}

/// The label of a class, or `None` if `class >= 96`. The inverse of [`class_of`].
#[inline]
#[must_use]
pub const fn components(class: u8) -> Option<Components> {
    if class >= CLASSES {
        return None;
    }
    let (q, t) = split(class);
    Some(Components {
        e1: (q / E1) & 1,
        e2: (q / E2) & 1,
        e3: (q / E3) & 1,
        d45: t as i8 - 1,
        e6: (q / E6) & 1,
        e7: (q / E7) & 1,
    })
}

/// The class with this label, or `None` if a coordinate is out of range. The inverse of [`components`].
#[inline]
#[must_use]
pub const fn class_of(label: Components) -> Option<u8> {
    let Components { e1, e2, e3, d45, e6, e7 } = label;
    if e1 > 1 || e2 > 1 || e3 > 1 || e6 > 1 || e7 > 1 || d45 < -1 || d45 > 1 {
        return None;
    }
    Some(join(pack_q(e1, e2, e3, e6, e7), (d45 + 1) as u8))
}

/// The mirror of a class, its label with `e7` flipped, or `None` if `class >= 96`.
///
/// An involution without fixed points and an automorphism of the neighbour graph. The mirror of a class is
/// never its neighbour: it lies in the other component.
#[inline]
#[must_use]
pub const fn mirror(class: u8) -> Option<u8> {
    if class >= CLASSES {
        return None;
    }
    let (q, t) = split(class);
    Some(join(q ^ E7, t))
}

/// Whether a class belongs to [`UNITY`], or `None` if `class >= 96`.
#[inline]
#[must_use]
pub const fn is_unity(class: u8) -> Option<bool> {
    if class >= CLASSES {
        return None;
    }
    Some(class == UNITY[0] || class == UNITY[1])
}

/// The neighbours of one class, ascending. Dereferences to a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbours {
    list: [u8; MAX_NEIGHBOURS],
    len: u8,
}

impl Neighbours {
    /// The neighbours as a slice of 5 or 6 classes, ascending.
    #[inline]
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        // `len <= MAX_NEIGHBOURS` by construction; `get` keeps even a mistake there from panicking.
        self.list.get(..self.len as usize).unwrap_or(&self.list)
    }

    /// Adds a class behind the ones already there. Only the table below calls this, at compile time, where
    /// one too many would be a build error.
    const fn push(mut self, class: u8) -> Self {
        self.list[self.len as usize] = class;
        self.len += 1;
        self
    }

    /// The neighbours of `class`, from the definition: flip one edge bit of `q`, or step `t` inside `0..=2`.
    ///
    /// Flipping a set bit goes down by three times its weight and flipping a clear one goes up by as much.
    /// So the ascending order is: set bits from the heaviest, the steps of `t`, clear bits from the lightest.
    const fn of(class: u8) -> Self {
        let (q, t) = split(class);
        let mut found = Neighbours { list: [0; MAX_NEIGHBOURS], len: 0 };
        let mut i = 0;
        while i < EDGE_BITS.len() {
            if q & EDGE_BITS[i] != 0 {
                found = found.push(join(q ^ EDGE_BITS[i], t));
            }
            i += 1;
        }
        if t > 0 {
            found = found.push(join(q, t - 1));
        }
        if t < 2 {
            found = found.push(join(q, t + 1));
        }
        while i > 0 {
            i -= 1;
            if q & EDGE_BITS[i] == 0 {
                found = found.push(join(q ^ EDGE_BITS[i], t));
            }
        }
        found
    }
}

impl core::ops::Deref for Neighbours {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl<'a> IntoIterator for &'a Neighbours {
    type Item = &'a u8;
    type IntoIter = core::slice::Iter<'a, u8>;

    fn into_iter(self) -> Self::IntoIter {
        self.as_slice().iter()
    }
}

static NEIGHBOURS: [Neighbours; CLASSES as usize] = {
    let mut table = [Neighbours { list: [0; MAX_NEIGHBOURS], len: 0 }; CLASSES as usize];
    let mut class = 0;
    while class < CLASSES {
        table[class as usize] = Neighbours::of(class);
        class += 1;
    }
    table
};

/// The neighbours of a class in ascending order, or `None` if `class >= 96`.
#[inline]
#[must_use]
pub fn neighbours(class: u8) -> Option<Neighbours> {
    NEIGHBOURS.get(class as usize).copied()
}

/// The number of neighbours of a class: 6 if `d45 = 0`, else 5. `None` if `class >= 96`.
#[inline]
#[must_use]
pub const fn neighbour_count(class: u8) -> Option<u8> {
    if class >= CLASSES {
        return None;
    }
    Some(if class % 3 == 1 { 6 } else { 5 })
}

/// The neighbour number `index`, counted from 0 in ascending order.
///
/// `None` if `class >= 96` or `index >= neighbour_count(class)`; the caller traps on either.
#[inline]
#[must_use]
pub fn neighbour(class: u8, index: u8) -> Option<u8> {
    NEIGHBOURS.get(class as usize)?.as_slice().get(index as usize).copied()
}

/// Whether two classes are neighbours, or `None` if either is 96 or more. A class is not its own neighbour.
#[inline]
#[must_use]
pub const fn is_neighbour(a: u8, b: u8) -> Option<bool> {
    if a >= CLASSES || b >= CLASSES {
        return None;
    }
    let ((qa, ta), (qb, tb)) = (split(a), split(b));
    let flipped = qa ^ qb;
    let one_bit = ta == tb && flipped & E7 == 0 && flipped.is_power_of_two();
    let one_step = flipped == 0 && ta.abs_diff(tb) == 1;
    Some(one_bit || one_step)
}
