//! Many threads at once: none waits for ever, none sees half of a launch.

use crate::{cpu, kernel};
use phalanx::{Buffer, Cpu, Kernel};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

/// Fails, instead of hanging, where `work` does not end. (The limit is far above what any machine needs.)
fn must_end(work: impl FnOnce() + Send + 'static) {
    let (done, wait) = mpsc::channel();
    let worker = std::thread::spawn(move || {
        work();
        let _ = done.send(());
    });
    match wait.recv_timeout(Duration::from_secs(120)) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("a deadlock"),
        _ => worker.join().expect("the work itself failed"),
    }
}

const N: usize = 3000;

fn accumulate(k: &Kernel, x: &Buffer<u32>, y: &Buffer<u32>) {
    k.launch_declared().arg("x", x).arg("y", y).run().unwrap();
}

#[test]
fn launches_on_shared_buffers_in_every_order() {
    must_end(|| {
        let cpu = cpu();
        let k = kernel(&cpu, "accumulate");
        let buffers: Vec<_> = (0..3).map(|i| cpu.buffer(&vec![i as u32; N]).unwrap()).collect();
        let stop = AtomicBool::new(false);
        std::thread::scope(|s| {
            // Readers beside waiting writers: what they see is the work of whole launches, equal in all elements.
            let reader = s.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    for b in &buffers {
                        let seen = b.read().unwrap();
                        assert!(seen.iter().all(|v| *v == seen[0]), "half of a launch");
                    }
                }
            });
            let writers: Vec<_> = (0..6)
                .map(|t: usize| {
                    let (k, buffers) = (&k, &buffers);
                    s.spawn(move || {
                        for round in 0..15 {
                            let (from, to) = ((t + round) % 3, (t + round + 1 + t % 2) % 3);
                            accumulate(k, &buffers[from], &buffers[to]);
                        }
                    })
                })
                .collect();
            for w in writers {
                w.join().unwrap();
            }
            stop.store(true, Ordering::Relaxed);
            reader.join().unwrap();
        });
        for b in &buffers {
            let values = b.read().unwrap();
            assert!(values.iter().all(|v| *v == values[0]));
        }
    });
}

#[test]
fn no_update_is_lost_between_threads() {
    must_end(|| {
        let cpu = cpu();
        let bump = kernel(&cpu, "bump");
        let x = cpu.zeros::<u32>(N).unwrap();
        std::thread::scope(|s| {
            for _ in 0..8 {
                s.spawn(|| {
                    let bound = bump.launch_declared().arg("x", &x).arg("by", 1u32).bind().unwrap();
                    for _ in 0..10 {
                        bound.run().unwrap();
                    }
                });
            }
        });
        assert_eq!(x.read().unwrap(), [80; N]);
    });
}

/// Tasks that launch on the same buffers, split by `rayon::join` so that waiting threads steal other such tasks.
#[cfg(feature = "parallel")]
fn launch_from_tasks(cpu: &Cpu) {
    fn split(depth: u32, k: &Kernel, bump: &Kernel, a: &Buffer<u32>, b: &Buffer<u32>) {
        if depth == 0 {
            accumulate(k, a, b);
            bump.launch_declared().arg("x", a).arg("by", 1u32).run().unwrap();
            return;
        }
        rayon::join(|| split(depth - 1, k, bump, a, b), || split(depth - 1, k, bump, b, a));
    }
    let (k, bump) = (kernel(cpu, "accumulate"), kernel(cpu, "bump"));
    let (a, b) = (cpu.zeros::<u32>(N).unwrap(), cpu.zeros::<u32>(N).unwrap());
    split(5, &k, &bump, &a, &b);
    for buffer in [&a, &b] {
        let values = buffer.read().unwrap();
        assert!(values[0] > 0 && values.iter().all(|v| *v == values[0]));
    }
}

#[cfg(feature = "parallel")]
#[test]
fn launches_from_tasks_of_the_global_pool() {
    must_end(|| rayon::join(|| launch_from_tasks(&cpu()), || launch_from_tasks(&cpu())).0);
}

#[cfg(feature = "parallel")]
#[test]
fn launches_from_tasks_of_the_pool_that_serves_them() {
    must_end(|| {
        let pool = std::sync::Arc::new(rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap());
        let workers = phalanx::exec::workers::Rayon(std::sync::Arc::clone(&pool));
        let cpu = Cpu::builder().workers(std::sync::Arc::new(workers)).build().unwrap();
        assert_eq!(cpu.threads(), 3);
        launch_from_tasks(&cpu);
        pool.install(|| launch_from_tasks(&cpu));
    });
}

#[test]
fn neither_threads_nor_executor_change_the_result() {
    let run = |cpu: Cpu| {
        let x = cpu.buffer(&(0..5000).map(|i| i as f32 * 0.37).collect::<Vec<_>>()).unwrap();
        let y = cpu.zeros::<f32>(5000).unwrap();
        kernel(&cpu, "scale").launch_declared().arg("x", &x).arg("y", &y).arg("by", 1.7f32).run().unwrap();
        y.read().unwrap()
    };
    let one = run(Cpu::builder().threads(1).build().unwrap());
    for n in [0, 2, 5] {
        for executor in phalanx::EXECUTORS {
            let cpu = Cpu::builder().threads(n).executor(*executor).build().unwrap();
            assert_eq!(run(cpu), one, "{n} threads, {executor}");
        }
    }
}

#[test]
fn handles_go_anywhere() {
    fn check<T: Send + Sync + 'static>() {}
    check::<Cpu>();
    check::<phalanx::Program>();
    check::<Kernel>();
    check::<Buffer<f32>>();
    check::<phalanx::BoundLaunch>();
    check::<phalanx::Sequence>();
    check::<phalanx::LoadError>();
    check::<phalanx::Error>();
}
