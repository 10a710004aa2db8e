//! The properties the class mathematics promises, each checked over its whole range.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use phalanx_atlas::*;

fn classes() -> std::ops::Range<u8> {
    0..CLASSES
}

fn around(class: u8) -> Vec<u8> {
    neighbours(class).expect("class in range").to_vec()
}

/// Steps from `start` to every class that can be reached.
fn distances(start: u8) -> BTreeMap<u8, u32> {
    let mut found = BTreeMap::from([(start, 0)]);
    let mut queue = VecDeque::from([start]);
    while let Some(class) = queue.pop_front() {
        for next in around(class) {
            if !found.contains_key(&next) {
                found.insert(next, found[&class] + 1);
                queue.push_back(next);
            }
        }
    }
    found
}

#[test]
fn classify_matches_the_published_values() {
    let expected = [
        (0x00, 0),
        (0x01, 48),
        (0x20, 1),
        (0x30, 4),
        (0x40, 2),
        (0x60, 0),
        (0x80, 0),
        (0x2A, 31),
        (0xFF, 93),
    ];
    for (byte, class) in expected {
        assert_eq!(classify(byte), class, "class of byte {byte:#04x}");
    }
}

/// The sum with explicit weights, which the crate never writes in this form.
#[test]
fn classify_follows_the_weights_and_ignores_bit_7() {
    for byte in 0..=255_u8 {
        let bit = |i: u32| u32::from(byte >> i & 1);
        let t = match (bit(6), bit(5)) {
            (0, 1) => 1,
            (1, 0) => 2,
            _ => 0,
        };
        let sum = 48 * bit(0) + 24 * bit(1) + 12 * bit(2) + 6 * bit(3) + 3 * bit(4) + t;
        assert_eq!(u32::from(classify(byte)), sum, "byte {byte:#04x}");
        assert_eq!(classify(byte), classify(byte ^ 0x80), "bit 7 of byte {byte:#04x}");
    }
}

#[test]
fn fibres_have_four_bytes_where_t_is_zero_and_two_elsewhere() {
    let mut fibre = [0_u32; CLASSES as usize];
    for byte in 0..=255 {
        fibre[usize::from(classify(byte))] += 1;
    }
    for class in classes() {
        let expected = if class % 3 == 0 { 4 } else { 2 };
        assert_eq!(fibre[usize::from(class)], expected, "fibre of class {class}");
    }
    assert_eq!(fibre.iter().filter(|&&n| n == 4).count(), 32);
    assert_eq!(fibre.iter().filter(|&&n| n == 2).count(), 64);
}

#[test]
fn lanes_without_a_class_take_it_from_their_block() {
    for block in 0..1000 {
        assert_eq!(u64::from(class_of_block(block)), block % 96);
    }
    // 2^64 = 96 * k + 64, so the last index leaves the remainder 63.
    assert_eq!(class_of_block(u64::MAX), 63);
}

#[test]
fn components_and_class_are_inverse() {
    let mut seen = BTreeSet::new();
    for class in classes() {
        let label = components(class).expect("class in range");
        let weighted = 48 * label.e1 + 24 * label.e2 + 12 * label.e3 + 6 * label.e6 + 3 * label.e7;
        assert_eq!(i16::from(weighted) + i16::from(label.d45) + 1, i16::from(class));
        assert_eq!(class_of(label), Some(class));
        seen.insert((label.e1, label.e2, label.e3, label.d45, label.e6, label.e7));
    }
    assert_eq!(seen.len(), 96, "labels are distinct");
}

#[test]
fn labels_out_of_range_have_no_class() {
    let good = components(0).expect("class in range");
    let bad = [
        Components { e1: 2, ..good },
        Components { e2: 2, ..good },
        Components { e3: 255, ..good },
        Components { e6: 2, ..good },
        Components { e7: 2, ..good },
        Components { d45: 2, ..good },
        Components { d45: -2, ..good },
        Components { d45: i8::MAX, ..good },
        Components { d45: i8::MIN, ..good },
    ];
    for label in bad {
        assert_eq!(class_of(label), None, "{label:?}");
    }
}

#[test]
fn mirror_is_an_involution_without_fixed_points() {
    for (a, b) in [(0, 3), (1, 4), (2, 5), (6, 9), (92, 95)] {
        assert_eq!(mirror(a), Some(b));
        assert_eq!(mirror(b), Some(a));
    }
    let mut pairs = BTreeSet::new();
    for class in classes() {
        let other = mirror(class).expect("class in range");
        assert_ne!(other, class);
        assert_eq!(mirror(other), Some(class));
        assert_eq!(other, if (class / 3) % 2 == 0 { class + 3 } else { class - 3 });
        assert_eq!(is_neighbour(class, other), Some(false));
        pairs.insert((class.min(other), class.max(other)));
    }
    assert_eq!(pairs.len(), 48);
}

#[test]
fn mirror_is_an_automorphism_of_the_graph() {
    for a in classes() {
        for b in classes() {
            let (ma, mb) = (mirror(a).expect("in range"), mirror(b).expect("in range"));
            assert_eq!(is_neighbour(a, b), is_neighbour(ma, mb), "{a} {b}");
        }
    }
}

#[test]
fn neighbours_match_the_published_values() {
    assert_eq!(around(0), [1, 6, 12, 24, 48]);
    assert_eq!(around(1), [0, 2, 7, 13, 25, 49]);
    assert_eq!(around(4), [3, 5, 10, 16, 28, 52]);
    assert_eq!(around(95), [47, 71, 83, 89, 94]);
}

/// Two labels are neighbours when they differ in one coordinate other than e7, and in `d45` by one.
#[test]
fn neighbours_are_the_labels_one_step_away() {
    for a in classes() {
        let la = components(a).expect("in range");
        let expected: Vec<u8> = classes()
            .filter(|&b| {
                let lb = components(b).expect("in range");
                let flips = [(la.e1, lb.e1), (la.e2, lb.e2), (la.e3, lb.e3), (la.e6, lb.e6)];
                let steps =
                    flips.iter().filter(|(x, y)| x != y).count() as u32 + u32::from(la.d45.abs_diff(lb.d45));
                la.e7 == lb.e7 && steps == 1
            })
            .collect();
        assert_eq!(around(a), expected, "neighbours of {a}, ascending");
        assert_eq!(neighbour_count(a), Some(expected.len() as u8));
        for (i, &b) in expected.iter().enumerate() {
            assert_eq!(neighbour(a, i as u8), Some(b));
        }
        assert_eq!(neighbour(a, expected.len() as u8), None);
        assert_eq!(neighbour(a, 255), None);
        for b in classes() {
            assert_eq!(is_neighbour(a, b), Some(expected.contains(&b)), "{a} {b}");
        }
    }
}

#[test]
fn the_graph_has_256_symmetric_edges_and_no_loops() {
    let mut ends = 0;
    for a in classes() {
        let list = neighbours(a).expect("in range");
        assert!(list.windows(2).all(|w| w[0] < w[1]), "ascending and distinct: {list:?}");
        for &b in &list {
            assert_ne!(a, b);
            assert!(around(b).contains(&a), "{a} -> {b} but not back");
            ends += 1;
        }
    }
    assert_eq!(ends, 2 * 256);
    assert_eq!(classes().filter(|&c| neighbour_count(c) == Some(6)).count(), 32);
    assert_eq!(classes().filter(|&c| neighbour_count(c) == Some(5)).count(), 64);
}

#[test]
fn the_graph_has_two_components_swapped_by_the_mirror_with_diameter_six() {
    let first: BTreeSet<u8> = distances(0).into_keys().collect();
    let second: BTreeSet<u8> = distances(3).into_keys().collect();
    assert_eq!((first.len(), second.len()), (48, 48));
    assert!(first.is_disjoint(&second));
    let mirrored: BTreeSet<u8> = first.iter().map(|&c| mirror(c).expect("in range")).collect();
    assert_eq!(mirrored, second);

    let eccentricity = |class| distances(class).into_values().max().expect("at least the start");
    assert_eq!(first.iter().map(|&c| eccentricity(c)).max(), Some(6));
    assert_eq!(second.iter().map(|&c| eccentricity(c)).max(), Some(6));
}

#[test]
fn the_graph_is_bipartite() {
    let sides: Vec<_> = [distances(0), distances(3)].into_iter().flatten().collect();
    let side: BTreeMap<u8, u32> = sides.into_iter().map(|(class, steps)| (class, steps % 2)).collect();
    assert_eq!(side.len(), 96);
    for a in classes() {
        for b in around(a) {
            assert_ne!(side[&a], side[&b], "{a} {b}");
        }
    }
}

#[test]
fn unity_is_one_and_four() {
    for class in classes() {
        assert_eq!(is_unity(class), Some(class == 1 || class == 4));
        assert_eq!(is_unity(class), Some(UNITY.contains(&class)));
    }
    assert_eq!(mirror(UNITY[0]), Some(UNITY[1]));
}

#[test]
fn classes_out_of_range_are_refused_everywhere() {
    for class in CLASSES..=255 {
        assert_eq!(components(class), None);
        assert_eq!(mirror(class), None);
        assert_eq!(is_unity(class), None);
        assert_eq!(neighbours(class), None);
        assert_eq!(neighbour_count(class), None);
        assert_eq!(neighbour(class, 0), None);
        assert_eq!(is_neighbour(class, 0), None);
        assert_eq!(is_neighbour(0, class), None);
        assert_eq!(phi_address(class, 0, 0), None);
    }
}

#[test]
fn advance_adds_modulo_768() {
    assert_eq!(advance(0, 0), Some(0));
    assert_eq!(advance(767, 1), Some(0));
    assert_eq!(advance(767, 767), Some(766));
    assert_eq!(advance(5, 768), Some(5));
    for phase in 0..PHASES {
        for delta in (0..=u16::MAX).step_by(97).chain([u16::MAX]) {
            let expected = (u32::from(phase) + u32::from(delta)) % 768;
            assert_eq!(advance(phase, delta).map(u32::from), Some(expected));
        }
    }
    for phase in [768, 769, u16::MAX] {
        assert_eq!(advance(phase, 0), None);
        assert_eq!(Phase::new(phase), None);
    }
}

#[test]
fn windows_hold_exactly_the_phases_counted_from_their_beginning() {
    for begin in (0..PHASES).step_by(31).chain([767]) {
        for span in [0, 1, 2, 100, 400, 767, 768, 769, u16::MAX] {
            let members: BTreeSet<u16> =
                (0..span).map(|i| ((u32::from(begin) + u32::from(i)) % 768) as u16).collect();
            for phase in 0..PHASES {
                assert_eq!(
                    phase_window(phase, begin, span),
                    Some(members.contains(&phase)),
                    "{phase} in {begin}+{span}"
                );
            }
        }
    }
    assert_eq!(phase_window(5, 5, 0), Some(false), "span 0 is empty");
    assert_eq!(phase_window(4, 5, 768), Some(true), "span 768 is the whole circle");
    assert_eq!(phase_window(2, 760, 16), Some(true), "a window wraps");
    assert_eq!(phase_window(768, 0, 1), None);
    assert_eq!(phase_window(0, 768, 1), None);
    assert_eq!(phase_window(0, u16::MAX, u16::MAX), None);
}

#[test]
fn lanes_start_at_the_launch_phase_plus_the_block() {
    let launch = Phase::new(700).expect("in range");
    assert_eq!(launch_phase(launch, 0).get(), 700);
    assert_eq!(launch_phase(launch, 68).get(), 0);
    assert_eq!(launch_phase(launch, 768).get(), 700);
    // 2^64 = 768 * k + 256, so the last index leaves the remainder 255.
    assert_eq!(launch_phase(launch, u64::MAX).get(), (700 + 255) % 768);
}

#[test]
fn phi_is_a_bijection_onto_its_range() {
    let mut next = 0;
    for class in classes() {
        for page in 0..PAGES {
            for byte in 0..=255 {
                assert_eq!(phi_address(class, page, byte), Some(next));
                assert_eq!(phi_parts(next), Some(PhiParts { class, page, byte }));
                next += 1;
            }
        }
    }
    assert_eq!(next, PHI_SIZE);
    assert_eq!(phi_parts(PHI_SIZE), None);
    assert_eq!(phi_parts(u32::MAX), None);
    assert_eq!(phi_address(0, PAGES, 0), None);
    assert_eq!(phi_address(95, 255, 255), None);
    assert_eq!(phi_address(96, 0, 0), None);
}

#[test]
fn lane_conventions_always_give_a_valid_page_and_byte() {
    for (lane, page, byte) in [(0, 0, 0), (47, 47, 47), (48, 0, 48), (256, 16, 0), (u32::MAX, 15, 255)] {
        assert_eq!((page_of_lane(lane), byte_of_lane(lane)), (page, byte), "lane {lane}");
        assert!(phi_address(95, page_of_lane(lane), byte_of_lane(lane)).is_some());
    }
}
