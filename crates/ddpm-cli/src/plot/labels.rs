//! Where the names of curves stand: beside their ends, none on another.

/// The distance of two lines of words.
pub(super) const LINE: f64 = 16.0;
/// A name that stands farther from its curve is no longer seen as the curve's.
const FAR: f64 = 84.0;

/// Heights of labels near the heights that they belong to, at least [`LINE`] apart, between `top` and `bottom`; `None` where they do not
/// fit so.
///
/// The heights are those of least squares: labels that would touch form a block about the mean of their curves.
pub(super) fn spread(wanted: &[f64], top: f64, bottom: f64) -> Option<Vec<f64>> {
    let room = bottom - top - LINE * wanted.len().saturating_sub(1) as f64;
    if room < 0.0 {
        return None;
    }
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|&a, &b| wanted[a].total_cmp(&wanted[b]));
    // Without the distances that all need, heights have only to ascend: blocks of (sum, count).
    let mut blocks: Vec<(f64, f64)> = Vec::new();
    for (row, &i) in order.iter().enumerate() {
        blocks.push((wanted[i] - LINE * row as f64, 1.0));
        while let [.., (a, n), (b, m)] = blocks[..]
            && a / n > b / m
        {
            blocks.pop();
            let last = blocks.len() - 1;
            blocks[last] = (a + b, n + m);
        }
    }
    let ascending = blocks
        .iter()
        .flat_map(|&(sum, count)| std::iter::repeat_n(sum / count, count as usize));
    let mut places = vec![0.0; wanted.len()];
    for ((row, &i), height) in order.iter().enumerate().zip(ascending) {
        places[i] = height.clamp(top, top + room) + LINE * row as f64;
    }
    let near = |(a, b): (&f64, &f64)| (a - b).abs() <= FAR;
    places.iter().zip(wanted).all(near).then_some(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_keep_their_distance_and_their_order() {
        assert_eq!(spread(&[50.0], 0.0, 100.0), Some(vec![50.0]));
        assert_eq!(spread(&[50.0, 10.0], 0.0, 100.0), Some(vec![50.0, 10.0]));
        // A block about the mean of three.
        assert_eq!(
            spread(&[50.0, 51.0, 49.0], 0.0, 100.0),
            Some(vec![50.0, 66.0, 34.0])
        );
        // Pushed up from the end of the axis.
        assert_eq!(spread(&[99.0, 100.0], 0.0, 100.0), Some(vec![84.0, 100.0]));
        assert_eq!(spread(&[0.0; 9], 0.0, 100.0), None, "too many");
        assert_eq!(spread(&[0.0; 9], 0.0, 900.0), None, "too far");
        assert_eq!(spread(&[], 0.0, 100.0), Some(Vec::new()));
    }
}
