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
    solve(&[3, 3], &good, "--budgets 3").fails(3, &["--budgets", "K=3", "T=2"]);
    solve(&[3, 3], &good, "--budgets 1,two").fails(3, &["--budgets", "two"]);
    solve(&[3, 3], &with(6, f64::INFINITY), "--budgets 1")
        .fails(3, &["c.npy", "T=2 is unreachable", "K=1"]);
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
