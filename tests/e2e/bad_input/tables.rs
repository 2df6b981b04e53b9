//! Cost tables that cannot be solved.

use crate::support::{Ddpm, scratch, write_npy};

#[test]
fn tables_that_cannot_be_solved() {
    let folder = scratch();
    let file = folder.path().join("c.npy");
    let solve = |shape: &[usize], values: &[f64], flags: &str| {
        write_npy(&file, shape, values);
        Ddpm::new("solve").arg(&file).words(flags)
    };
    let good = [9.0, 9.0, 9.0, 1.0, 9.0, 9.0, 5.0, 1.0, 9.0];
    solve(&[3, 3], &good, "").run().succeeds();
    let with = |at: usize, value: f64| {
        let mut costs = good;
        costs[at] = value;
        costs
    };
    solve(&[3, 3], &with(7, f64::NAN), "").fails(3, &["c.npy", "t=2", "s=1", "NaN"]);
    solve(&[3, 3], &with(6, f64::NEG_INFINITY), "").fails(3, &["c.npy", "t=2", "s=0", "-inf"]);
    // Where s >= t anything goes.
    solve(&[3, 3], &with(8, f64::NAN), "").run().succeeds();
    solve(&[3, 3], &with(1, f64::NEG_INFINITY), "")
        .run()
        .succeeds();
    solve(&[3, 2], &good[..6], "").fails(3, &["c.npy", "square", "3x2"]);
    solve(&[9], &good, "").fails(3, &["c.npy", "1 dimension"]);
    solve(&[1, 1], &[0.0], "").fails(3, &["c.npy", "T"]);
    solve(&[3, 3], &good, "--budgets 3").fails(3, &["--budgets", "K=3", "1 to 2"]);
    solve(&[3, 3], &good, "--budgets 1,two").fails(3, &["--budgets", "two"]);
    solve(&[3, 3], &with(6, f64::INFINITY), "--budgets 1")
        .fails(3, &["c.npy", "T=2 is unreachable", "K=1"]);
    // Without a budget that is asked for too.
    for flags in ["", "--json", "--budgets all"] {
        let nothing = solve(&[4, 4], &[f64::INFINITY; 16], flags);
        nothing.fails(3, &["c.npy", "T=3 is unreachable from 0", "+inf"]);
    }
    let repeated = solve(&[3, 3], &good, "--budgets 2,1,2").run().succeeds();
    let steps = |line: &&str| line.trim_start().starts_with("2 ");
    assert_eq!(repeated.stdout().lines().filter(steps).count(), 1);
    solve(&[4, 4], &[f64::INFINITY; 16], "--budgets 2").fails(3, &["T=3 is unreachable", "K=2"]);
}

#[test]
fn files_that_are_no_tables() {
    let folder = scratch();
    let file = folder.path().join("c.npy");
    std::fs::write(&file, "1,2,3").unwrap();
    Ddpm::new("solve")
        .arg(&file)
        .fails(3, &["c.npy", "expected a .npy file"]);
    write_npy(&file, &[3, 3], &[0.0; 9]);
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() - 8]).unwrap();
    Ddpm::new("solve").arg(&file).fails(3, &["c.npy"]);
    let text = String::from_utf8_lossy(&whole).replace("<f8", "<i8");
    std::fs::write(
        &file,
        text.as_bytes()
            .iter()
            .take(whole.len())
            .copied()
            .collect::<Vec<u8>>(),
    )
    .unwrap();
    Ddpm::new("solve").arg(&file).fails(3, &["c.npy"]);
    Ddpm::new("solve")
        .arg(folder.path().join("absent.npy"))
        .fails(3, &["absent.npy", "no such file"]);
}

/// Headers that would make a trusting reader allocate, or recurse, as much as they declare.
#[test]
fn hostile_tables() {
    let folder = scratch();
    let file = folder.path().join("c.npy");
    let solve = |header: &str, named: &[&str]| {
        let mut bytes = b"\x93NUMPY\x02\x00".to_vec();
        bytes.extend(u32::try_from(header.len()).unwrap().to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend([0; 72]);
        std::fs::write(&file, bytes).unwrap();
        Ddpm::new("solve")
            .arg(&file)
            .fails(3, &[&["c.npy", "expected a .npy file"], named].concat());
    };
    let shape =
        |shape: &str| format!("{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}\n");
    solve(
        &shape("(1000000, 1000000)"),
        &["ends too early", "1000000, 1000000"],
    );
    solve(&shape("(4294967296, 4294967296)"), &["no memory holds"]);
    solve(&shape("(0, 18446744073709551615)"), &["no memory holds"]);
    solve(&shape("(-3, 3)"), &["no list of sizes"]);
    solve(&shape("(3, 4)"), &["ends too early", "96 bytes"]);
    // Types that are read as nothing are named as such.
    solve(
        &shape("(3, 3)").replace("<f8", "|O"),
        &["elements of type", "|O"],
    );
    let structure = shape("(3, 3)").replace("'<f8'", "[('a', '<f4'), ('b', '<i2', (2,))]");
    solve(&structure, &["elements of type", "'b'"]);
    solve(&format!("{{'descr': {}", "(".repeat(60_000)), &["nesting"]);
    std::fs::write(&file, b"\x93NUMPY\x02\x00\xff\xff\xff\xff{").unwrap();
    Ddpm::new("solve").arg(&file).fails(3, &["c.npy", "64 KiB"]);
}
