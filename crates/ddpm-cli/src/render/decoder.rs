//! How a number is marked whose decoder is not the one of its table.

/// What the mark means.
pub(crate) const NOTE_ON_ONE_STEP: &str = "* scored with the marginal decoder: K=1 has no second step for the respaced one; not comparable with K>1.";

/// What follows a number that was scored with the decoder asked for, or was not.
pub(crate) fn mark_of_decoder(as_asked: bool) -> &'static str {
    if as_asked { "" } else { "*" }
}
