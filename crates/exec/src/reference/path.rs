//! Which lanes are together: the way that a lane has taken through the open regions of a function.
//!
//! Lanes that a branch separates come together again where all ways from it to the function's end meet: at the immediate
//! post-dominator of its block. So two lanes at one instruction are at the same dynamic instance exactly where they have gone
//! the same way since the start of every region that is still open. A region belongs to a post-dominator R: it opens where a
//! lane leaves a block whose immediate post-dominator is R, and closes on arrival at R. R post-dominates everything in its
//! region, so regions nest along the post-dominator tree, and there are never more of them than the tree is deep. (The
//! innermost region of a loop that runs on is that of the loop's exit, or of the function's end where it has none, so every
//! round counts.)
//!
//! The way inside a region can be as long as the program runs; kept is a 128-bit fingerprint of it.

/// The open regions of one activation of a function, outermost first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(Vec<Region>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Region {
    /// Block at which it closes; `None`: the end of the function.
    until: Option<u32>,
    way: u128,
}

impl Path {
    /// The lane goes from the end of a block, whose immediate post-dominator is `until`, to block `to`.
    pub fn pass(&mut self, from: u32, until: Option<u32>, to: u32) {
        if self.0.last().is_none_or(|r| r.until != until) {
            self.0.push(Region { until, way: 0 });
        }
        if let Some(region) = self.0.last_mut() {
            // For one way so far, different edges give different results; for one edge, different ways do.
            let edge = u128::from(from) << 32 | u128::from(to);
            let mixed = (region.way ^ (edge + 1)).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
            region.way = mixed ^ mixed >> 67;
        }
        while self.0.last().is_some_and(|r| r.until == Some(to)) {
            self.0.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_meet_at_the_post_dominator_and_not_before() {
        // 0 -> 1 or 2, both -> 3.
        let (mut a, mut b) = (Path::default(), Path::default());
        a.pass(0, Some(3), 1);
        b.pass(0, Some(3), 2);
        assert_ne!(a, b);
        a.pass(1, Some(3), 3);
        b.pass(2, Some(3), 3);
        assert_eq!(a, b);
        assert_eq!(a, Path::default());
    }

    #[test]
    fn rounds_of_a_loop_differ_and_take_no_memory() {
        // 1 -> 1 or 2; 2 is its post-dominator.
        let (mut a, mut b) = (Path::default(), Path::default());
        for _ in 0..1000 {
            a.pass(1, Some(2), 1);
            assert_ne!(a, b);
            b.pass(1, Some(2), 1);
            assert_eq!(a, b);
        }
        assert_eq!(a.0.len(), 1);
        a.pass(1, Some(2), 2);
        assert_eq!(a, Path::default());
    }

    #[test]
    fn what_leads_to_the_end_only_stays_apart() {
        let (mut a, mut b) = (Path::default(), Path::default());
        a.pass(0, None, 1);
        b.pass(0, None, 2);
        a.pass(1, Some(3), 3);
        b.pass(2, Some(3), 3);
        assert_ne!(a, b);
    }
}
