//! Which memory node has which rows of a model's matrices and which heads of its cache, where there are several nodes.
//!
//! Work is divided along weight rows and along heads, and each node's threads take their part of it (`Topology::parts`). So the same
//! parts of weights and cache are filled for the first time by threads on that node, which places them there.

use crate::graph::{Block, Graph, Matrix};
use phalanx::exec::workers::{Held, Topology};
use phalanx::kernels::Plan;
use phalanx::product::padded;
use std::ops::Range;

/// The rows of each matrix of a graph that each node's threads read when a token is decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    topology: Topology,
    threads: usize,
    /// For each of [`Graph::matrices`], for each node.
    rows: Vec<Vec<Range<usize>>>,
}

impl Placement {
    /// For these nodes and so many threads on them.
    pub fn new(graph: &Graph, topology: &Topology, threads: usize) -> Placement {
        let mut rows = Vec::new();
        for Block { q, k, v, o, gate, up, down, .. } in &graph.blocks {
            // In the order of `Graph::matrices`; what is multiplied together is divided together.
            for together in [&[q, k, v][..], &[o], &[gate, up], &[down]] {
                rows.extend(divide(together, topology, threads));
            }
        }
        rows.extend(divide(&[&graph.head], topology, threads));
        Placement { topology: topology.clone(), threads, rows }
    }

    /// The rows of matrix `i` of [`Graph::matrices`], for each node.
    pub fn rows(&self, i: usize) -> &[Range<usize>] {
        &self.rows[i]
    }

    /// The heads of the cache, for each node.
    pub fn heads(&self, kv_heads: usize) -> Vec<Range<usize>> {
        self.topology.parts(kv_heads, self.threads)
    }

    /// What moves the calling thread to the node of each row of matrix `i` as it comes, and back when it is dropped.
    pub(crate) fn filler(&self, i: usize) -> impl FnMut(usize) + 'static {
        let (topology, parts) = (self.topology.clone(), self.rows[i].clone());
        let mut now: Option<(usize, Held)> = None;
        move |row| {
            let node = parts.iter().position(|p| p.contains(&row)).unwrap_or(0);
            if now.as_ref().is_none_or(|(n, _)| *n != node) {
                // Back first: a node's processors are among those that the thread had before it was held.
                now = None;
                now = Some((node, topology.hold(node)));
            }
        }
    }

    /// The nodes.
    pub(crate) fn topology(&self) -> &Topology {
        &self.topology
    }
}

/// The rows of matrices that are multiplied together, for each node.
fn divide(together: &[&Matrix], topology: &Topology, threads: usize) -> Vec<Vec<Range<usize>>> {
    let all = together.iter().map(|m| if together.len() > 1 { padded(m.n) } else { m.n }).sum();
    let plan = Plan::choose(together[0].format, 1, all, threads);
    let blocks = topology.parts(all.div_ceil(plan.tile_n), threads);
    let mut first = 0;
    let of_one = |m: &&Matrix| {
        let rows = |b: &Range<usize>| {
            let at = |block: usize| (block * plan.tile_n).saturating_sub(first).min(m.n);
            at(b.start)..at(b.end)
        };
        let parts = blocks.iter().map(rows).collect();
        first += padded(m.n);
        parts
    };
    together.iter().map(of_one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ModelFile, Options, named_shape, random_file};
    use phalanx_formats::{Format, Layout};

    #[test]
    fn every_row_is_on_one_node_as_the_products_divide_it() {
        let shape = named_shape("tiny").unwrap();
        let file = random_file(&shape, Format::I2S(Layout::X86), Format::Q8_0, 1).unwrap();
        let graph = Graph::of(&ModelFile::from_bytes("tiny", file).unwrap(), &Options::default()).unwrap();
        let two = Topology::of(vec![vec![0], vec![1]]);
        let placed = Placement::new(&graph, &two, 2);
        // Queries, keys and values are 256, 128 and 128 rows, divided in the middle of all; the others alone.
        let rows: Vec<&[Range<usize>]> = (0..7).map(|i| placed.rows(i)).collect();
        assert_eq!(rows[0], [0..256, 256..256]);
        assert_eq!((rows[1], rows[2]), (&[0..0, 0..128][..], &[0..0, 0..128][..]));
        assert_eq!(rows[3], [0..128, 128..256]);
        assert_eq!((rows[4], rows[5]), (&[0..256, 256..256][..], &[0..0, 0..256][..]));
        assert_eq!(rows[6], [0..128, 128..256]);
        // 96 tokens: two stripes of 64.
        assert_eq!(placed.rows(14), [0..64, 64..96]);
        assert_eq!(placed.heads(2), [0..1, 1..2]);
        for uneven in [Topology::of(vec![vec![0, 1, 2], vec![3]]), Topology::of(vec![vec![0]])] {
            for threads in [1, 2, 3, 4, 7] {
                let placed = Placement::new(&graph, &uneven, threads);
                for (i, m) in graph.matrices().enumerate() {
                    let rows: Vec<usize> = placed.rows(i).iter().cloned().flatten().collect();
                    assert_eq!(rows, (0..m.n).collect::<Vec<_>>(), "{threads} threads, {}", m.name);
                }
            }
        }
    }

    #[test]
    fn a_filler_stands_on_the_node_of_its_row() {
        let shape = named_shape("tiny").unwrap();
        let file = random_file(&shape, Format::I2S(Layout::X86), Format::Q8_0, 1).unwrap();
        let graph = Graph::of(&ModelFile::from_bytes("tiny", file).unwrap(), &Options::default()).unwrap();
        let two = Topology::of(vec![vec![0], vec![1]]);
        let placed = Placement::new(&graph, &two, 2);
        let mut fill = placed.filler(3);
        for (row, node) in [(0, 0), (127, 0), (128, 1), (255, 1), (5, 0)] {
            fill(row);
            assert_eq!(two.here(), node, "row {row}");
        }
    }
}
