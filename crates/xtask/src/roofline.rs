//! `cargo xtask roofline RECORD.jsonl OUT.svg`: the products of a record of `phalanx bench matmul --json`, as a roofline chart.
//!
//! Across: multiply-accumulates for each byte of weights read; up: multiply-accumulates a second; both logarithmic. The roofs are
//! those that were measured with the points: the most arithmetic that any row's limit allows, and the bandwidth behind the limits
//! of rows that read most.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;

struct Point {
    format: String,
    threads: u32,
    columns: f64,
    /// Multiply-accumulates for a byte.
    intensity: f64,
    /// GMAC/s.
    ours: f64,
    limit: f64,
}

/// Bits of a weight in its packed form, scales included.
fn bits(format: &str) -> Option<f64> {
    Some(match format {
        "i2_s" | "tl1" | "tl2" => 2.0,
        "t3" => 1.6,
        "tq2_0" | "tq1_0" => 2.0 + 16.0 / 256.0,
        "i8" => 8.0,
        "q8_0" => 8.5,
        "q4_0" => 4.5,
        "f32" => 32.0,
        "f16" | "bf16" => 16.0,
        _ => return None,
    })
}

/// A row of a record, where it is of a product.
fn point(row: &Value) -> Option<Point> {
    let case: Vec<&str> = row.get("case")?.as_str()?.split(' ').collect();
    let [format, shape, columns, threads, ref rest @ ..] = case[..] else { return None };
    if rest.first() == Some(&"to") {
        return None;
    }
    shape.split_once('x')?;
    let columns: f64 = columns.strip_prefix('x')?.parse().ok()?;
    let number = |key: &str| row.get(key)?.as_f64();
    Some(Point {
        format: format.into(),
        threads: threads.strip_suffix('t')?.parse().ok()?,
        columns,
        intensity: columns * 8.0 / bits(format)?,
        ours: number("ours")?,
        limit: number("limit")?,
    })
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 440.0;
const MARGIN: f64 = 56.0;
const COLOURS: [&str; 9] =
    ["#1b6ca8", "#5aa9e6", "#0b3c5d", "#d1495b", "#edae49", "#b56576", "#2e7d32", "#81b29a", "#6d597a"];

/// The chart of one number of threads.
pub fn chart(record: &str, threads: u32) -> Result<String> {
    let rows: Vec<Value> = record
        .lines()
        .filter(|l| !l.trim().is_empty())
        .map(|l| serde_json::from_str(l).with_context(|| format!("not a row: {l}")))
        .collect::<Result<_>>()?;
    let machine = rows.iter().find_map(|r| r.get("machine")?.as_str()).unwrap_or("").to_string();
    let points: Vec<Point> = rows.iter().filter_map(point).filter(|p| p.threads == threads).collect();
    ensure!(!points.is_empty(), "the record has no product with {threads} threads and a limit");
    let range = |of: fn(&Point) -> f64| {
        let all = points.iter().map(of).filter(|v| *v > 0.0);
        all.fold((f64::INFINITY, 0.0f64), |(low, high), v| (low.min(v), high.max(v)))
    };
    let ((x0, x1), (y0, _), (_, y1)) = (range(|p| p.intensity), range(|p| p.ours), range(|p| p.limit));
    let (x0, x1) = ((x0 / 1.5).log10(), (x1 * 1.5).log10());
    let (y0, y1) = ((y0 / 1.5).log10(), (y1 * 1.6).log10());
    let across = |v: f64| MARGIN + (v.log10() - x0) / (x1 - x0) * (WIDTH - 2.0 * MARGIN);
    let up = |v: f64| HEIGHT - MARGIN - (v.log10() - y0) / (y1 - y0) * (HEIGHT - 2.0 * MARGIN);
    let mut o = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
         <text x=\"{MARGIN}\" y=\"20\" font-size=\"14\">Products with packed weights, {threads} thread(s): {machine}</text>\n"
    );
    for power in x0.ceil() as i32..=x1.floor() as i32 {
        let v = 10f64.powi(power);
        let x = across(v);
        let _ = writeln!(
            o,
            "<line x1=\"{x:.1}\" y1=\"{MARGIN}\" x2=\"{x:.1}\" y2=\"{:.1}\" stroke=\"#ddd\"/><text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{v}</text>",
            HEIGHT - MARGIN,
            HEIGHT - MARGIN + 16.0
        );
    }
    for power in y0.ceil() as i32..=y1.floor() as i32 {
        let v = 10f64.powi(power);
        let y = up(v);
        let _ = writeln!(
            o,
            "<line x1=\"{MARGIN}\" y1=\"{y:.1}\" x2=\"{:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{v}</text>",
            WIDTH - MARGIN,
            MARGIN - 6.0,
            y + 4.0
        );
    }
    let _ = writeln!(
        o,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">multiply-accumulates for a byte of weights</text>\n\
         <text x=\"{MARGIN}\" y=\"{:.1}\">GMAC/s; short bars: the limit measured beside each point</text>",
        WIDTH / 2.0,
        HEIGHT - 14.0,
        MARGIN - 10.0
    );
    let mut formats: BTreeMap<&str, usize> = BTreeMap::new();
    for p in &points {
        let next = formats.len();
        let colour = COLOURS[*formats.entry(&p.format).or_insert(next) % COLOURS.len()];
        let (x, y, roof) = (across(p.intensity), up(p.ours), up(p.limit));
        let _ = writeln!(
            o,
            "<line x1=\"{:.1}\" y1=\"{roof:.1}\" x2=\"{:.1}\" y2=\"{roof:.1}\" stroke=\"{colour}\"/>\
             <line x1=\"{x:.1}\" y1=\"{roof:.1}\" x2=\"{x:.1}\" y2=\"{y:.1}\" stroke=\"{colour}\" stroke-opacity=\"0.25\"/>\
             <circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"><title>{} x{}: {:.0} of {:.0} GMAC/s</title></circle>",
            x - 5.0,
            x + 5.0,
            p.format,
            p.columns,
            p.ours,
            p.limit
        );
    }
    for (format, i) in formats {
        let y = MARGIN + 16.0 + 16.0 * i as f64;
        let colour = COLOURS[i % COLOURS.len()];
        let _ = writeln!(
            o,
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\" fill=\"{colour}\"/><text x=\"{:.1}\" y=\"{y:.1}\">{format}</text>",
            MARGIN + 14.0,
            y - 4.0,
            MARGIN + 24.0
        );
    }
    o += "</svg>\n";
    Ok(o)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_become_points() {
        let record = "{\"case\":\"i2_s 2560x2560 x1 1t avx2\",\"ours\":80.0,\"limit\":100.0,\"machine\":\"M\"}\n\
             {\"case\":\"f32 2560x2560 x512 1t avx2\",\"ours\":50.0,\"limit\":60.0,\"machine\":\"M\"}\n\
             {\"case\":\"f32 2560x2560 x512 2t to 1t avx2\",\"ours\":90.0,\"limit\":100.0,\"machine\":\"M\"}\n\
             {\"case\":\"saxpy\",\"ours\":1.0,\"limit\":null,\"machine\":\"M\"}\n";
        let svg = chart(record, 1).unwrap();
        assert_eq!(svg.matches("<title>").count(), 2);
        assert!(svg.contains("i2_s x1: 80 of 100 GMAC/s") && svg.contains(": M</text>"));
        assert!(chart(record, 2).is_err() && chart("{", 1).is_err());
    }
}
