//! Timesteps as the user counts them.

/// Which timesteps are read and printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Indices {
    /// t in 0..=T, 0 is the clean image: ours.
    Nodes,
    /// 0..T-1 as improved-diffusion and diffusers count; the clean image is -1 and is not listed
    /// in paths.
    ZeroBased,
}

impl Indices {
    /// From the flag `--zero-based`.
    pub(crate) fn from_flag(zero_based: bool) -> Self {
        if zero_based {
            Self::ZeroBased
        } else {
            Self::Nodes
        }
    }

    /// One timestep.
    pub(crate) fn show(self, t: usize) -> i64 {
        let t = i64::try_from(t).unwrap_or(i64::MAX);
        match self {
            Self::Nodes => t,
            Self::ZeroBased => t - 1,
        }
    }

    /// A path whose nodes begin with the clean image.
    pub(crate) fn show_path(self, nodes: &[usize]) -> Vec<usize> {
        match self {
            Self::Nodes => nodes.to_vec(),
            Self::ZeroBased => nodes.iter().filter(|&&t| t > 0).map(|t| t - 1).collect(),
        }
    }
}

/// Numbers on one line.
pub(crate) fn join(numbers: &[usize], between: &str) -> String {
    let texts: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    texts.join(between)
}

/// A path on one line; the middle of a long one is left out.
pub(crate) fn shorten(path: &[usize]) -> String {
    const HEAD: usize = 16;
    const TAIL: usize = 4;
    if path.len() <= HEAD + TAIL + 1 {
        return join(path, ",");
    }
    let (head, tail) = (&path[..HEAD], &path[path.len() - TAIL..]);
    format!("{},..,{}", join(head, ","), join(tail, ","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_based_paths_have_no_clean_node() {
        assert_eq!(Indices::Nodes.show_path(&[0, 1, 1000]), [0, 1, 1000]);
        assert_eq!(Indices::ZeroBased.show_path(&[0, 1, 1000]), [0, 999]);
        assert_eq!(Indices::ZeroBased.show(0), -1);
    }

    #[test]
    fn long_paths_lose_their_middle() {
        let path: Vec<usize> = (0..=100).collect();
        assert_eq!(
            shorten(&path),
            "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,..,97,98,99,100"
        );
        assert_eq!(
            shorten(&path[..21]),
            "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20"
        );
    }
}
