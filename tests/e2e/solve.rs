//! `ddpm solve` against an enumeration of all paths.

use serde_json::{Value, json};

use crate::support::{Ddpm, assert_close, numbers, scratch, write_npy};

/// A table of pseudo-random costs in [0, 1), with rubbish where s >= t.
fn table(nodes: usize, seed: u64) -> Vec<f64> {
    let mut state = seed;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    (0..nodes * nodes)
        .map(|i| {
            if i % nodes < i / nodes {
                next()
            } else {
                f64::NAN
            }
        })
        .collect()
}

/// The cheapest path of each number of steps, by trying all subsets of the inner nodes.
fn brute_force(costs: &[f64], last: usize) -> Vec<(f64, Vec<usize>)> {
    let mut best = vec![(f64::INFINITY, Vec::new()); last + 1];
    for subset in 0..1u32 << (last - 1) {
        let mut path = vec![0];
        path.extend((1..last).filter(|t| subset >> (t - 1) & 1 == 1));
        path.push(last);
        let cost: f64 = path
            .windows(2)
            .map(|p| costs[p[1] * (last + 1) + p[0]])
            .sum();
        let slot = &mut best[path.len() - 1];
        if cost < slot.0 {
            *slot = (cost, path);
        }
    }
    best.split_off(1)
}

#[test]
fn equals_brute_force() {
    let folder = scratch();
    for (last, seed) in [(1, 1), (2, 2), (5, 3), (9, 4)] {
        let costs = table(last + 1, seed);
        let file = folder.path().join(format!("{last}.npy"));
        write_npy(&file, &[last + 1, last + 1], &costs);
        let found = Ddpm::new("solve").arg(&file).words("--budgets all").json();
        let expected = brute_force(&costs, last);
        assert_eq!(found["T"], last);
        let values: Vec<f64> = expected.iter().map(|(cost, _)| *cost).collect();
        assert_close("costs", &numbers(&found["costs"]), &values, 1e-12);
        for (i, (_, path)) in expected.iter().enumerate() {
            assert_eq!(found["budgets"][i]["steps"], i + 1);
            assert_eq!(found["budgets"][i]["path"], json!(path));
            assert_eq!(found["budgets"][i]["cost"], found["costs"][i]);
        }
    }
}

#[test]
fn missing_edges_make_budgets_impossible() {
    // Only the steps 0 -> 1 -> 2 -> 3 exist.
    let folder = scratch();
    let file = folder.path().join("chain.npy");
    let mut costs = vec![f64::INFINITY; 16];
    for t in 1..4 {
        costs[t * 4 + t - 1] = t as f64;
    }
    write_npy(&file, &[4, 4], &costs);
    let found = Ddpm::new("solve").arg(&file).json();
    assert_eq!(found["costs"], json!([null, null, 6.0]));
    assert_eq!(
        found["budgets"],
        json!([{"steps": 3, "cost": 6.0, "path": [0, 1, 2, 3]}])
    );
    let zero_based = Ddpm::new("solve")
        .arg(&file)
        .words("--budgets 3 --zero-based")
        .json();
    assert_eq!(zero_based["budgets"][0]["path"], json!([0, 1, 2]));
}

#[test]
fn every_method_gives_the_same_answer() {
    // Squared step lengths are Monge.
    let folder = scratch();
    let file = folder.path().join("squares.npy");
    let nodes = 41;
    let costs: Vec<f64> = (0..nodes * nodes)
        .map(|i| {
            let step = (i / nodes) as f64 - (i % nodes) as f64;
            step * step
        })
        .collect();
    write_npy(&file, &[nodes, nodes], &costs);
    let solve = |method: &str| -> Value {
        let mut found = Ddpm::new("solve")
            .arg(&file)
            .words("--budgets 4,8 --method")
            .arg(method)
            .json();
        found.as_object_mut().unwrap().remove("method");
        found
    };
    let blocked = solve("blocked");
    assert_eq!(
        blocked["budgets"][0],
        json!({"steps": 4, "cost": 400.0, "path": [0, 10, 20, 30, 40]})
    );
    assert_eq!(blocked, solve("monge"));
    assert_eq!(blocked, solve("auto"));
}

/// A flag that would change nothing is refused, not passed over.
#[test]
fn the_chain_is_for_exports_alone() {
    let folder = scratch();
    let file = folder.path().join("t.npy");
    write_npy(&file, &[2, 2], &[0.0, 0.0, 1.0, 0.0]);
    for flags in [
        "--noise-schedule linear",
        "--alpha-bar a.csv",
        "--process flow",
        "--train-steps 9",
        "--zero-terminal-snr",
    ] {
        let flag = flags.split(' ').next().unwrap();
        let solve = Ddpm::new("solve").arg(&file).words(flags);
        solve.fails(2, &[flag, "--export FORMAT"]);
    }
    // No more do formats that need no chain pass over half of one.
    for flags in ["--train-steps 1", "--zero-terminal-snr"] {
        let solve = Ddpm::new("solve").arg(&file).words("--export csv");
        solve.words(flags).fails(2, &["--noise-schedule"]);
    }
}

#[test]
fn single_precision_is_read() {
    let folder = scratch();
    let file = folder.path().join("f32.npy");
    write_npy(&file, &[2, 2], &[0.0, 0.0, 1.5, 0.0]);
    let mut bytes = std::fs::read(&file).unwrap();
    let at = bytes.windows(3).position(|w| w == b"<f8").unwrap();
    bytes[at + 2] = b'4';
    bytes.truncate(bytes.len() - 32);
    for value in [0.0f32, 0.0, 1.5, 0.0] {
        bytes.extend(value.to_le_bytes());
    }
    std::fs::write(&file, bytes).unwrap();
    assert_eq!(Ddpm::new("solve").arg(&file).json()["costs"], json!([1.5]));
}

#[test]
fn people_get_a_table() {
    let folder = scratch();
    let file = folder.path().join("t.npy");
    write_npy(
        &file,
        &[3, 3],
        &[0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 5.0, 1.0, 0.0],
    );
    let text = Ddpm::new("solve").arg(&file).run().succeeds().stdout();
    assert!(text.contains("T=2"), "{text}");
    assert!(text.contains("steps         cost  path"), "{text}");
    assert!(text.contains("2.000000000  0,1,2"), "{text}");
}
