//! Dominator trees by the algorithm of Lengauer and Tarjan, in the version with simple path compression: O(m log n), whatever
//! the graph looks like, which matters because graphs come from strangers.

/// A dominator tree over nodes `0..n`. Nodes that the root does not reach have the root as parent, depth 0 and size 0.
pub(crate) struct Tree {
    /// Immediate dominator; the root's is itself.
    pub idom: Vec<u32>,
    /// Distance from the root.
    pub depth: Vec<u32>,
    /// Position in a preorder of the tree.
    pub pos: Vec<u32>,
    /// Nodes of the subtree; `pos..pos + size` are its members.
    pub size: Vec<u32>,
}

const NONE: u32 = u32::MAX;

/// The dominator tree of the graph that `edges` lists.
pub(crate) fn tree(n: usize, root: u32, edges: impl Fn(u32, &mut dyn FnMut(u32))) -> Tree {
    // Depth-first numbering. `order[i]` is the node with number i, `number` the reverse.
    let mut number = vec![NONE; n];
    let mut order = Vec::with_capacity(n);
    let mut parent = vec![NONE; n];
    let mut stack = vec![(root, NONE)];
    let mut preds: Vec<(u32, u32)> = Vec::new();
    while let Some((v, from)) = stack.pop() {
        if number[v as usize] != NONE {
            continue;
        }
        number[v as usize] = order.len() as u32;
        parent[order.len()] = from;
        let me = order.len() as u32;
        order.push(v);
        edges(v, &mut |w| {
            preds.push((w, me));
            stack.push((w, me));
        });
    }
    let count = order.len();
    // Predecessors by number, as one list with starts.
    let mut start = vec![0usize; count + 1];
    preds.iter().for_each(|(w, _)| start[number[*w as usize] as usize + 1] += 1);
    (0..count).for_each(|i| start[i + 1] += start[i]);
    let mut fill = start.clone();
    let mut list = vec![0u32; preds.len()];
    for (w, v) in preds {
        let at = &mut fill[number[w as usize] as usize];
        list[*at] = v;
        *at += 1;
    }

    // From here on nodes are their numbers.
    let mut semi: Vec<u32> = (0..count as u32).collect();
    let mut label = semi.clone();
    let mut ancestor = vec![NONE; count];
    let mut idom = vec![0u32; count];
    let mut bucket_head = vec![NONE; count];
    let mut bucket_next = vec![NONE; count];
    let mut path = Vec::new();
    let mut eval = |v: u32, ancestor: &mut [u32], label: &mut [u32], semi: &[u32]| -> u32 {
        if ancestor[v as usize] == NONE {
            return v;
        }
        let mut x = v;
        while ancestor[ancestor[x as usize] as usize] != NONE {
            path.push(x);
            x = ancestor[x as usize];
        }
        while let Some(y) = path.pop() {
            let a = ancestor[y as usize];
            if semi[label[a as usize] as usize] < semi[label[y as usize] as usize] {
                label[y as usize] = label[a as usize];
            }
            ancestor[y as usize] = ancestor[a as usize];
        }
        label[v as usize]
    };
    for w in (1..count as u32).rev() {
        for v in &list[start[w as usize]..start[w as usize + 1]] {
            let u = eval(*v, &mut ancestor, &mut label, &semi);
            semi[w as usize] = semi[w as usize].min(semi[u as usize]);
        }
        let s = semi[w as usize] as usize;
        bucket_next[w as usize] = bucket_head[s];
        bucket_head[s] = w;
        let p = parent[w as usize];
        ancestor[w as usize] = p;
        let mut v = std::mem::replace(&mut bucket_head[p as usize], NONE);
        while v != NONE {
            let u = eval(v, &mut ancestor, &mut label, &semi);
            idom[v as usize] = if semi[u as usize] < semi[v as usize] { u } else { p };
            v = bucket_next[v as usize];
        }
    }
    let mut depth = vec![0u32; count];
    let mut size = vec![1u32; count];
    for w in 1..count {
        if idom[w] != semi[w] {
            idom[w] = idom[idom[w] as usize];
        }
        depth[w] = depth[idom[w] as usize] + 1;
    }
    for w in (1..count).rev() {
        size[idom[w] as usize] += size[w];
    }
    let mut pos = vec![0u32; count];
    let mut next = vec![1u32; count];
    for w in 1..count {
        let up = idom[w] as usize;
        pos[w] = next[up];
        next[up] += size[w];
        next[w] = pos[w] + 1;
    }
    let mut out = Tree { idom: vec![root; n], depth: vec![0; n], pos: vec![0; n], size: vec![0; n] };
    for (i, v) in order.iter().enumerate() {
        let v = *v as usize;
        out.idom[v] = order[idom[i] as usize];
        (out.depth[v], out.pos[v], out.size[v]) = (depth[i], pos[i], size[i]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Dominators by definition: a dominates b when b cannot be reached without a.
    fn slow(n: usize, root: u32, succs: &[Vec<u32>]) -> Vec<u32> {
        let reach = |without: u32| {
            let mut seen = vec![false; n];
            let mut stack = if without == root { vec![] } else { vec![root] };
            while let Some(v) = stack.pop() {
                if v != without && !std::mem::replace(&mut seen[v as usize], true) {
                    stack.extend(&succs[v as usize]);
                }
            }
            seen
        };
        let all = reach(NONE);
        let cut: Vec<Vec<bool>> = (0..n as u32).map(reach).collect();
        (0..n)
            .map(|b| {
                let dominators: Vec<usize> =
                    (0..n).filter(|a| *a != b && all[*a] && all[b] && !cut[*a][b]).collect();
                // The immediate one is dominated by all others.
                let near = dominators.iter().find(|a| dominators.iter().all(|o| o == *a || !cut[*o][**a]));
                near.map_or(root, |a| *a as u32)
            })
            .collect()
    }

    #[test]
    fn agrees_with_the_definition_on_random_graphs() {
        let mut seed = 7u64;
        let mut random = |n: usize| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 33) as usize % n
        };
        for round in 0..400 {
            let n = 1 + round % 14;
            let mut succs = vec![Vec::new(); n];
            for _ in 0..random(3 * n) {
                succs[random(n)].push(random(n) as u32);
            }
            let t = tree(n, 0, |v, f| succs[v as usize].iter().for_each(|s| f(*s)));
            assert_eq!(t.idom, slow(n, 0, &succs), "{succs:?}");
        }
    }

    #[test]
    fn a_long_ladder_takes_no_long_time() {
        let n = 200_000u32;
        let t = tree(n as usize, 0, |v, f| {
            if v + 1 < n {
                f(v + 1);
            }
            f(v / 2);
        });
        assert_eq!(t.idom[n as usize - 1], n - 2);
        assert_eq!(t.depth[n as usize - 1], n - 1);
    }
}
