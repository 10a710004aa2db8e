//! Neighbours merged, the best pair first, until none is left: the core of both kinds of tokeniser.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A piece of text and its token, where it is one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// The token.
    pub token: Option<u32>,
}

struct Node {
    piece: Piece,
    prev: Option<usize>,
    next: Option<usize>,
    /// Changes whenever the piece does: what the heap says of an older one no longer holds.
    age: u32,
    gone: bool,
}

/// Merges neighbouring pieces. `pair` gives the rank (the least is merged first, of equals the leftmost) and token of what two
/// neighbours become, where they become one.
pub(crate) fn merge(pieces: Vec<Piece>, pair: impl Fn(&Piece, &Piece) -> Option<(u64, u32)>) -> Vec<Piece> {
    let count = pieces.len();
    let mut nodes: Vec<Node> = pieces
        .into_iter()
        .enumerate()
        .map(|(i, piece)| Node {
            piece,
            prev: i.checked_sub(1),
            next: (i + 1 < count).then_some(i + 1),
            age: 0,
            gone: false,
        })
        .collect();
    // Rank, left, ages of left and right when it was found, right, token.
    let mut heap = BinaryHeap::new();
    let offer = |heap: &mut BinaryHeap<_>, nodes: &[Node], left: usize| {
        if let Some(right) = nodes[left].next
            && let Some((rank, token)) = pair(&nodes[left].piece, &nodes[right].piece)
        {
            heap.push(Reverse((rank, left, nodes[left].age, nodes[right].age, right, token)));
        }
    };
    for left in 0..count {
        offer(&mut heap, &nodes, left);
    }
    while let Some(Reverse((_, left, left_age, right_age, right, token))) = heap.pop() {
        let holds = |at: usize, age: u32| !nodes[at].gone && nodes[at].age == age;
        if !holds(left, left_age) || !holds(right, right_age) || nodes[left].next != Some(right) {
            continue;
        }
        let after = nodes[right].next;
        nodes[right].gone = true;
        let end = nodes[right].piece.end;
        let node = &mut nodes[left];
        node.piece = Piece { end, token: Some(token), ..node.piece };
        node.age += 1;
        node.next = after;
        let before = node.prev;
        if let Some(after) = after {
            nodes[after].prev = Some(left);
        }
        offer(&mut heap, &nodes, left);
        if let Some(before) = before {
            offer(&mut heap, &nodes, before);
        }
    }
    nodes.into_iter().filter(|n| !n.gone).map(|n| n.piece).collect()
}
