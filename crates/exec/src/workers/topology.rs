//! The machine's memory nodes: which processors are near which memory, which threads run where, and who works on what.
//!
//! Memory is placed on the node of the processor that touches it first. So whoever fills a matrix part by part on threads of the
//! right nodes, and later divides work on it in the same way, reads near memory. Where there is one node nothing is divided and no
//! thread is held anywhere.

use super::queue::Queue;
use crate::launch::Launch;
use std::cell::Cell;
use std::ops::Range;
use std::path::Path;

/// The processors of each memory node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    nodes: Vec<Vec<usize>>,
}

thread_local! {
    /// The node that this thread is held on; `None`: on none.
    static NODE: Cell<Option<usize>> = const { Cell::new(None) };
}

impl Topology {
    /// Nodes with these processors; nodes without any are left out.
    ///
    /// ```
    /// use phalanx_exec::workers::Topology;
    /// let two = Topology::of(vec![vec![0, 1, 2], vec![3]]);
    /// assert_eq!((two.nodes(), two.parts(8, 4)), (2, vec![0..6, 6..8]));
    /// ```
    pub fn of(nodes: Vec<Vec<usize>>) -> Topology {
        Topology { nodes: nodes.into_iter().filter(|n| !n.is_empty()).collect() }
    }

    /// This machine's, as Linux tells it; one node without known processors elsewhere.
    pub fn read() -> Topology {
        Topology::read_from(Path::new("/sys/devices/system/node"))
    }

    /// As a folder like Linux's `/sys/devices/system/node` tells it: `node0/cpulist` and so on.
    pub fn read_from(folder: &Path) -> Topology {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let number = |name: &str| name.strip_prefix("node")?.parse::<usize>().ok();
        let mut nodes: Vec<(usize, Vec<usize>)> = entries
            .filter_map(|e| {
                let n = number(e.file_name().to_str()?)?;
                Some((n, list(&std::fs::read_to_string(e.path().join("cpulist")).ok()?)?))
            })
            .collect();
        nodes.sort();
        Topology::of(nodes.into_iter().map(|(_, processors)| processors).collect())
    }

    /// How many nodes there are, at least 1.
    pub fn nodes(&self) -> usize {
        self.nodes.len().max(1)
    }

    /// The node of thread `i` of `threads`: in proportion to the nodes' processors, ascending.
    pub fn node_of_thread(&self, i: usize, threads: usize) -> usize {
        let all: usize = self.nodes.iter().map(Vec::len).sum();
        let mut at = i * all / threads.max(1);
        for (node, processors) in self.nodes.iter().enumerate() {
            if at < processors.len() {
                return node;
            }
            at -= processors.len();
        }
        self.nodes() - 1
    }

    /// The part of each node of `count` things, in proportion to its threads of `threads`.
    pub fn parts(&self, count: usize, threads: usize) -> Vec<Range<usize>> {
        let threads = threads.max(1);
        let mut before = 0;
        (0..self.nodes())
            .map(|node| {
                let own = (0..threads).filter(|i| self.node_of_thread(*i, threads) == node).count();
                let part = count * before / threads..count * (before + own) / threads;
                before += own;
                part
            })
            .collect()
    }

    /// Holds the calling thread on the processors of a node until the result is dropped. Where the system refuses, or there is one
    /// node, the thread stays where it may be: only slower.
    pub fn hold(&self, node: usize) -> Held {
        let outer = NODE.replace(Some(node));
        let processors = self.nodes.get(node).filter(|_| self.nodes.len() > 1);
        Held {
            outer,
            before: processors.and_then(|p| system::hold(p)),
            _this_thread: std::marker::PhantomData,
        }
    }

    /// A launch's blocks, divided over nodes.
    pub(crate) fn queues(&self, launch: &Launch<'_>) -> NodeQueues {
        NodeQueues::new(self, launch.workers.threads(), launch.blocks(), launch.grid[0].into())
    }

    /// The node that the calling thread works for: the one that it is held on, else the one that it is on at the moment.
    pub fn here(&self) -> usize {
        NODE.get().unwrap_or_else(|| {
            let processor = system::processor();
            self.nodes.iter().position(|n| processor.is_some_and(|p| n.contains(&p))).unwrap_or(0)
        })
    }
}

/// Numbers as Linux lists them: `0-3,8`.
fn list(text: &str) -> Option<Vec<usize>> {
    let mut all = Vec::new();
    for part in text.trim().split(',').filter(|p| !p.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        // More processors than any machine has: not such a list.
        if last < first || last - first > 1 << 16 {
            return None;
        }
        all.extend(first..=last);
    }
    Some(all)
}

/// A thread held on a node ([`Topology::hold`]).
#[derive(Debug)]
pub struct Held {
    outer: Option<usize>,
    before: Option<system::Processors>,
    // Letting go is for the thread that was held.
    _this_thread: std::marker::PhantomData<*const ()>,
}

impl Drop for Held {
    fn drop(&mut self) {
        NODE.set(self.outer);
        if let Some(before) = &self.before {
            system::back(before);
        }
    }
}

#[cfg(all(target_os = "linux", not(miri)))]
mod system {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

    /// Where a thread may run.
    pub(super) type Processors = CpuSet;

    /// Holds the calling thread on processors. Where it might run before; `None`: the system refused.
    pub(super) fn hold(processors: &[usize]) -> Option<Processors> {
        let before = sched_getaffinity(None).ok()?;
        let mut set = CpuSet::new();
        // Those that it may run on anyway: a container may have fewer than the machine.
        let usable = processors.iter().filter(|p| **p < CpuSet::MAX_CPU && before.is_set(**p));
        usable.for_each(|p| set.set(*p));
        (set.count() > 0 && sched_setaffinity(None, &set).is_ok()).then_some(before)
    }
    pub(super) fn back(before: &Processors) {
        let _ = sched_setaffinity(None, before);
    }
    /// The processor that the calling thread is on.
    pub(super) fn processor() -> Option<usize> {
        Some(sched_getcpu())
    }
}
#[cfg(not(all(target_os = "linux", not(miri))))]
mod system {
    /// Nothing is held here.
    #[derive(Debug)]
    pub(super) struct Processors;
    pub(super) fn hold(_: &[usize]) -> Option<Processors> {
        None
    }
    pub(super) fn back(_: &Processors) {}
    pub(super) fn processor() -> Option<usize> {
        None
    }
}

/// The blocks of a grid, divided along x over nodes: threads of a node take its part, ascending, and when that is done, help others.
pub(crate) struct NodeQueues {
    /// The x of each node's blocks, and their numbers: x first.
    parts: Vec<(Range<u64>, Queue)>,
    /// Blocks along x.
    across: u64,
}

impl NodeQueues {
    /// For a grid of `blocks` blocks, `across` of them along x, and so many threads.
    pub(crate) fn new(topology: &Topology, threads: usize, blocks: u64, across: u64) -> NodeQueues {
        let across = across.max(1);
        let parts = topology.parts(across as usize, threads).into_iter().map(|x| {
            let x = x.start as u64..x.end as u64;
            let count = (x.end - x.start) * (blocks / across);
            let each = count / (threads as u64 * 16);
            (x, Queue::new(count, each.clamp(1, 1 << 16)))
        });
        NodeQueues { parts: parts.collect(), across }
    }

    /// The next blocks for a thread of a node, as linear numbers; `None`: all are handed out.
    pub(crate) fn take(&self, node: usize) -> Option<impl Iterator<Item = u64>> {
        let n = self.parts.len();
        let part = (0..n).map(|i| &self.parts[(node + i) % n]);
        let (x, piece) = { part }.find_map(|(x, queue)| Some((x, queue.take()?)))?;
        let (width, first, across) = (x.end - x.start, x.start, self.across);
        Some(piece.map(move |place| place / width * across + first + place % width))
    }
}

#[cfg(all(test, not(phalanx_models)))]
mod tests {
    use super::*;

    fn two() -> Topology {
        Topology::of(vec![vec![0, 1, 2], vec![], vec![3]])
    }

    #[test]
    fn threads_and_work_follow_the_processors() {
        let nodes =
            |t: &Topology, threads| (0..threads).map(|i| t.node_of_thread(i, threads)).collect::<Vec<_>>();
        assert_eq!(nodes(&two(), 4), [0, 0, 0, 1]);
        assert_eq!(nodes(&two(), 8), [0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(nodes(&two(), 1), [0]);
        let even = Topology::of(vec![vec![0], vec![1]]);
        assert_eq!((nodes(&even, 2), nodes(&even, 3)), (vec![0, 1], vec![0, 0, 1]));
        assert_eq!(even.parts(5, 2), [0..2, 2..5]);
        assert_eq!(two().parts(8, 1), [0..8, 8..8]);
        let none = Topology::of(Vec::new());
        assert_eq!((none.nodes(), nodes(&none, 3)), (1, vec![0; 3]));
        assert_eq!(none.parts(7, 3).first(), Some(&(0..7)));
    }

    #[test]
    fn a_folder_is_read() {
        let folder = std::env::temp_dir().join(format!("phalanx-nodes-{}", std::process::id()));
        for (name, text) in [("node1", "3\n"), ("node0", "0-1,2\n"), ("node2", "\n"), ("has_cpu", "0-2\n")] {
            std::fs::create_dir_all(folder.join(name)).unwrap();
            std::fs::write(folder.join(name).join("cpulist"), text).unwrap();
        }
        assert_eq!(Topology::read_from(&folder), two());
        std::fs::write(folder.join("node1/cpulist"), "3-1").unwrap();
        assert_eq!(Topology::read_from(&folder).nodes(), 1);
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(Topology::read_from(&folder).nodes(), 1);
        assert!(Topology::read().nodes() >= 1);
        assert_eq!(list("0-99999999"), None);
    }

    #[test]
    fn every_block_goes_to_its_node_and_what_is_left_to_others() {
        // A grid of 5 by 3; node 0 has three of the four threads.
        let queues = NodeQueues::new(&two(), 4, 15, 5);
        let take = |node| queues.take(node).map(|b| b.collect::<Vec<u64>>());
        assert_eq!(take(1), Some(vec![3]));
        assert_eq!(take(0), Some(vec![0]));
        assert_eq!(take(1), Some(vec![4]));
        let own: Vec<u64> = (0..4).flat_map(|_| take(1).unwrap()).collect();
        assert_eq!(own, [8, 9, 13, 14]);
        // Node 1 has nothing left and helps.
        assert_eq!(take(1), Some(vec![1]));
        let mut rest: Vec<u64> = std::iter::from_fn(|| take(0)).flatten().collect();
        rest.sort_unstable();
        assert_eq!(rest, [2, 5, 6, 7, 10, 11, 12]);
        assert_eq!((take(0), take(1)), (None, None));
    }

    #[test]
    fn a_thread_is_held_and_let_go() {
        let here = Topology::of(vec![vec![0], vec![1]]);
        let free = here.here();
        {
            let _outer = here.hold(1);
            assert_eq!(here.here(), 1);
            {
                let _inner = here.hold(0);
                assert_eq!(here.here(), 0);
            }
            assert_eq!(here.here(), 1);
        }
        assert!(free < 2 && here.here() < 2);
        // Processors that no machine has: the thread stays where it may be.
        drop(Topology::of(vec![vec![1 << 20], vec![1 << 21]]).hold(0));
    }
}
