//! What a caller claims of a launch, to have it fail where it is not so.

use super::accumulator::{ClassSums, Sums};
use phalanx_atlas::{CLASSES, PAGE_BYTES, PAGES, Phase, PhaseWindow, is_neighbour, mirror, phi_parts};

/// Claims of a launch; the default claims nothing. A launch that breaks one traps (`claim`): `neighbours_only`, `boundary` and
/// `phase` at the instruction of the lane that does, in the order of all traps; `neutral` and `mirror_safe` when all blocks have
/// ended without a trap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaunchClaims {
    /// What is added to a class and to its mirror is the same, in both forms: mirroring every class changes nothing.
    pub mirror_safe: bool,
    /// What is added adds up to zero over all classes, in both forms.
    pub neutral: bool,
    /// A lane adds only to its own class (`cls.get`) and that class's neighbours.
    pub neighbours_only: bool,
    /// Boundary addresses (`phi.addr`) lie in this window.
    pub boundary: Option<BoundaryWindow>,
    /// The phase of every lane stays in this window, from the phase that its block starts with.
    pub phase: Option<PhaseWindow>,
}

/// Some pages by some bytes of every class's part of the boundary; both wrap, as on a torus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoundaryWindow {
    /// First page.
    pub page: u8,
    /// How many pages; 48 or more are all.
    pub pages: u8,
    /// First byte.
    pub byte: u8,
    /// How many bytes; 256 or more are all.
    pub bytes: u16,
}

impl BoundaryWindow {
    /// Whether a boundary address lies inside.
    pub fn contains(&self, address: u32) -> bool {
        phi_parts(address).is_some_and(|at| {
            let pages = u32::from(PAGES);
            let page = (u32::from(at.page) + pages - u32::from(self.page) % pages) % pages;
            let byte = (u32::from(at.byte) + PAGE_BYTES - u32::from(self.byte)) % PAGE_BYTES;
            page < u32::from(self.pages) && byte < u32::from(self.bytes)
        })
    }
}

impl LaunchClaims {
    /// These claims and one more, in words: `mirror`, `neutral`, `neighbours`, `phase=BEGIN,SPAN` or
    /// `boundary=PAGE,PAGES,BYTE,BYTES`.
    ///
    /// # Errors
    /// What may be written instead.
    pub fn with(self, text: &str) -> Result<LaunchClaims, String> {
        let (name, numbers) = text.split_once('=').unwrap_or((text, ""));
        let numbers: Result<Vec<u16>, _> =
            numbers.split(',').filter(|n| !n.is_empty()).map(str::parse).collect();
        let numbers = numbers.map_err(|e| format!("claim `{text}`: {e}"))?;
        let byte = |n: u16| u8::try_from(n).map_err(|_| format!("claim `{text}`: {n} is too large"));
        match (name, &numbers[..]) {
            ("mirror", []) => Ok(LaunchClaims { mirror_safe: true, ..self }),
            ("neutral", []) => Ok(LaunchClaims { neutral: true, ..self }),
            ("neighbours", []) => Ok(LaunchClaims { neighbours_only: true, ..self }),
            ("phase", [begin, span]) => {
                let begin =
                    Phase::new(*begin).ok_or_else(|| format!("claim `{text}`: phases are 0 to 767"))?;
                Ok(LaunchClaims { phase: Some(PhaseWindow { begin, span: *span }), ..self })
            }
            ("boundary", [page, pages, first, bytes]) => {
                let (page, pages, byte) = (byte(*page)?, byte(*pages)?, byte(*first)?);
                Ok(LaunchClaims {
                    boundary: Some(BoundaryWindow { page, pages, byte, bytes: *bytes }),
                    ..self
                })
            }
            _ => Err(format!(
                "`{text}` is no claim: write mirror, neutral, neighbours, phase=BEGIN,SPAN or \
                 boundary=PAGE,PAGES,BYTE,BYTES"
            )),
        }
    }

    /// Looks at a lane's phase.
    ///
    /// # Errors
    /// The broken claim, in words.
    pub fn check_phase(&self, phase: u32) -> Result<(), String> {
        let Some(w) = self.phase else { return Ok(()) };
        let begin = w.begin.get();
        let inside = (phase + 768 - u32::from(begin)) % 768 < u32::from(w.span);
        if inside { Ok(()) } else { Err(format!("phase {phase} is outside {} phases from {begin}", w.span)) }
    }

    /// Looks at a boundary address.
    ///
    /// # Errors
    /// The broken claim, in words.
    pub fn check_boundary(&self, address: u32) -> Result<(), String> {
        match (self.boundary, phi_parts(address)) {
            (Some(w), Some(at)) if !w.contains(address) => Err(format!(
                "page {}, byte {} is outside {} pages from {} by {} bytes from {}",
                at.page, at.byte, w.pages, w.page, w.bytes, w.byte
            )),
            _ => Ok(()),
        }
    }

    /// Looks at a class that a lane of class `own` adds to.
    ///
    /// # Errors
    /// The broken claim, in words.
    pub fn check_target(&self, own: u8, class: u8) -> Result<(), String> {
        if !self.neighbours_only || own == class || is_neighbour(own, class) == Some(true) {
            return Ok(());
        }
        Err(format!("class {class} is neither the lane's class {own} nor a neighbour of it"))
    }

    /// Looks at what a launch added.
    ///
    /// # Errors
    /// The broken claim, in words.
    pub(super) fn check_sums(&self, sums: &Sums) -> Result<(), String> {
        if self.neutral && !is_neutral(sums) {
            return Err("neutral, but what it added does not add up to zero over the classes".into());
        }
        match self.mirror_safe.then(|| unlike_mirror(sums)).flatten() {
            Some(c) => Err(format!(
                "mirror-safe, but it added to class {c} not what it added to its mirror {}",
                mirror(c).unwrap_or(c)
            )),
            None => Ok(()),
        }
    }
}

/// Whether the sums of all classes together are zero in both forms.
pub(super) fn is_neutral(sums: &Sums) -> bool {
    let all = sums.over_classes();
    all.float.is_none_or(|s| s.is_zero()) && all.ratio.is_none_or(|s| s.is_zero())
}

/// The lowest class whose sums are not those of its mirror.
pub(super) fn unlike_mirror(sums: &Sums) -> Option<u8> {
    let nothing = ClassSums::default();
    (0..CLASSES).find(|c| {
        let Some(m) = mirror(*c).filter(|m| m > c) else { return false };
        let (a, b) = (sums.class(*c).unwrap_or(&nothing), sums.class(m).unwrap_or(&nothing));
        let zero = Default::default();
        let floats = a.float.as_ref().unwrap_or(&zero).same(b.float.as_ref().unwrap_or(&zero));
        let mut difference = a.ratio.clone().unwrap_or_default();
        b.ratio.iter().for_each(|r| difference.subtract(r));
        !(floats && difference.is_zero())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use phalanx_atlas::phi_address;

    #[test]
    fn windows_wrap() {
        let w = BoundaryWindow { page: 47, pages: 2, byte: 250, bytes: 10 };
        let at = |class, page, byte| w.contains(phi_address(class, page, byte).unwrap());
        assert!(at(0, 47, 250) && at(95, 0, 3) && at(7, 47, 255));
        assert!(!at(0, 1, 250) && !at(0, 46, 250) && !at(0, 47, 4) && !at(0, 0, 249));
        assert!(!w.contains(1_179_648));
        let all = BoundaryWindow { page: 5, pages: 48, byte: 9, bytes: 256 };
        assert!((0..1_179_648).all(|a| all.contains(a)));
        let phase = Some(PhaseWindow { begin: Phase::new(760).unwrap(), span: 16 });
        let claims = LaunchClaims { phase, ..LaunchClaims::default() };
        assert!(claims.check_phase(760).is_ok() && claims.check_phase(7).is_ok());
        assert!(claims.check_phase(8).is_err() && claims.check_phase(759).is_err());
    }

    #[test]
    fn claims_in_words() {
        let all = ["mirror", "neutral", "neighbours", "phase=760,16", "boundary=47,2,250,10"];
        let claims = all.iter().try_fold(LaunchClaims::default(), |c, text| c.with(text)).unwrap();
        assert!(claims.mirror_safe && claims.neutral && claims.neighbours_only);
        assert_eq!(claims.boundary, Some(BoundaryWindow { page: 47, pages: 2, byte: 250, bytes: 10 }));
        assert_eq!(claims.phase.map(|w| (w.begin.get(), w.span)), Some((760, 16)));
        for wrong in
            ["", "mirrored", "neutral=1", "phase=768,1", "phase=1", "boundary=1,2,256,3", "phase=x,1"]
        {
            assert!(claims.with(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn targets_are_the_own_class_and_its_neighbours() {
        let claims = LaunchClaims { neighbours_only: true, ..LaunchClaims::default() };
        let allowed: Vec<u8> = (0..96).filter(|c| claims.check_target(4, *c).is_ok()).collect();
        assert_eq!(allowed, [3, 4, 5, 10, 16, 28, 52]);
        assert!(LaunchClaims::default().check_target(4, 90).is_ok());
    }
}
