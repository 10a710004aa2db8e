//! quick
use phalanx_exec::lanes::Lanes;
use phalanx_exec::launch::Bound;
use phalanx_exec::workers::*;
use phalanx_exec::*;
use phalanx_isa::Type;
use phalanx_simd::tier::Tier;
use std::time::Instant;
fn main() {
    let mandel="kernel m(out y: u32[], w: u32, h: u32) { let px,py,n,at: u32; let cx,cy,x,y2,x2,t,r2,xy: f32; let p,q: pred
  mad.u32 px, %block.x, %block_dim.x, %lane.x
  mov.u32 py, %block.y
  set.ge.u32 p, px, w
@p exit
  cvt.rn.f32.u32 cx, px
  mul.f32 cx, cx, 0.00292968
  sub.f32 cx, cx, 2.2
  cvt.rn.f32.u32 cy, py
  mul.f32 cy, cy, 0.00292968
  sub.f32 cy, cy, 1.5
  mov.f32 x, 0
  mov.f32 t, 0
  mov.u32 n, 0
top:
  mul.f32 x2, x, x
  mul.f32 y2, t, t
  add.f32 r2, x2, y2
  set.gt.f32 q, r2, 4.0
@q bra done
  mul.f32 xy, x, t
  sub.f32 x, x2, y2
  add.f32 x, x, cx
  fma.f32 t, xy, 2.0, cy
  add.u32 n, n, 1
  set.lt.u32 q, n, 256
@q bra top
done:
  mad.u32 at, py, w, px
  st.u32 y[at], n
  exit
 }";
    let empty = "kernel e() { exit\n }";
    let mut chain = String::from(
        "kernel c(out y: f32[], n: u32) { let a,b: f32; let i: u32\n cvt.rn.f32.u32 a, %lane.x\n mov.f32 b, 0.5\n add.f32 b, b, a\n mov.u32 i, n\ntop:\n",
    );
    for _ in 0..100 {
        chain += "mul.f32 a, a, b\nadd.f32 a, a, b\n";
    }
    chain += "loop.u32 i, top\n st.f32 y[%lane.x], a\n exit\n }";
    let prog = |t: &str| {
        phalanx_verify::verify(phalanx_asm::assemble("x", t).unwrap().module)
            .map_err(|e| format!("{:?}", e.errors))
            .unwrap()
    };
    let opts = RunOptions::default();
    let th = Threads::new(2);
    let run = |name: &str,
               p: &phalanx_verify::Verified,
               args: Vec<ArgValue>,
               c: LaunchConfig,
               w: &dyn Workers,
               ex: &dyn Executor,
               reps: usize| {
        let b = Bound::new(0, p, 0, args, Some(c)).unwrap();
        let k = ex.prepare(p, 0).unwrap();
        b.run(&*k, w, &opts).unwrap();
        let mut best = f64::MAX;
        for _ in 0..reps {
            let t = Instant::now();
            b.run(&*k, w, &opts).unwrap();
            best = best.min(t.elapsed().as_secs_f64());
        }
        println!("{name}: {:.2} us", best * 1e6);
        best
    };
    let y = Buffer::zeroed(0, 4 << 20).unwrap();
    let sc = |v: u32| ArgValue::Scalar(Type::U32, v.into());
    let m = prog(mandel);
    let e = prog(empty);
    let ch = prog(&chain);
    for tier in Tier::available() {
        let l = Lanes::new(tier).unwrap();
        println!("== {tier}");
        let a = run(
            "mandel 1024^2 1t",
            &m,
            vec![ArgValue::Buffer(y.view(Type::U32)), sc(1024), sc(1024)],
            LaunchConfig::new([8, 1024, 1], [128, 1, 1]),
            &Sequential,
            &l,
            5,
        );
        let b = run(
            "mandel 1024^2 2t",
            &m,
            vec![ArgValue::Buffer(y.view(Type::U32)), sc(1024), sc(1024)],
            LaunchConfig::new([8, 1024, 1], [128, 1, 1]),
            &th,
            &l,
            5,
        );
        println!("  speedup {:.2}", a / b);
        run("empty 64x64", &e, vec![], LaunchConfig::new([64, 1, 1], [64, 1, 1]), &th, &l, 2000);
        let c = run(
            "chain 256 lanes",
            &ch,
            vec![ArgValue::Buffer(y.view(Type::F32)), sc(100)],
            LaunchConfig::new([1, 1, 1], [256, 1, 1]),
            &Sequential,
            &l,
            20,
        );
        println!("  {:.1} ns/op on 256 lanes", c * 1e9 / 20000.0);
    }
    // native
    let t = Instant::now();
    let mut out = vec![0u32; 1 << 20];
    for py in 0..1024u32 {
        for px in 0..1024u32 {
            let cx = px as f32 * 0.00292968 - 2.2;
            let cy = py as f32 * 0.00292968 - 1.5;
            let (mut x, mut yy, mut n) = (0f32, 0f32, 0u32);
            loop {
                let x2 = x * x;
                let y2 = yy * yy;
                if x2 + y2 > 4.0 {
                    break;
                }
                let xy = x * yy;
                x = x2 - y2 + cx;
                yy = xy.mul_add(2.0, cy);
                n += 1;
                if n >= 256 {
                    break;
                }
            }
            out[(py * 1024 + px) as usize] = n;
        }
    }
    println!(
        "native scalar rust {:.1} ms sum {}",
        t.elapsed().as_secs_f64() * 1e3,
        out.iter().map(|v| *v as u64).sum::<u64>()
    );
    let mut bytes = vec![0u8; 4 << 20];
    y.read(0, &mut bytes).unwrap();
}
