//! A figure as pixels.

use std::sync::Arc;

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb::Database};

use crate::error::{Error, Located, Result};

/// Pixels per unit of the figure: fine enough for print at its size on a page.
const SCALE: f32 = 2.0;

/// Draws an SVG figure with the fonts of this machine.
///
/// # Errors
/// [`Error::Input`] where there are no fonts: the figure would have no words.
pub(crate) fn png(svg: &str) -> Result<Vec<u8>> {
    let mut fonts = Database::new();
    fonts.load_system_fonts();
    if fonts.is_empty() {
        return Err(Error::flag(
            "--out",
            "a .png figure needs a font, and this machine has none; expected a .svg file, or an installed font",
        ));
    }
    // What `sans-serif` is called differs between machines; any font is better than none.
    let families: Vec<String> = fonts
        .faces()
        .flat_map(|face| face.families.iter().map(|(name, _)| name.clone()))
        .collect();
    let known = ["DejaVu Sans", "Helvetica", "Arial", "Liberation Sans"];
    let family = known
        .iter()
        .find(|name| families.iter().any(|f| f == *name))
        .map_or_else(|| families[0].clone(), |name| (*name).to_owned());
    fonts.set_sans_serif_family(family);
    let options = Options {
        fontdb: Arc::new(fonts),
        ..Options::default()
    };
    let tree = Tree::from_str(svg, &options).or_internal()?;
    let size = tree.size();
    let side = |length: f32| (length * SCALE).ceil() as u32;
    let mut pixels = Pixmap::new(side(size.width()), side(size.height()))
        .ok_or_else(|| Error::Internal("a figure without pixels".to_owned()))?;
    resvg::render(
        &tree,
        Transform::from_scale(SCALE, SCALE),
        &mut pixels.as_mut(),
    );
    pixels.encode_png().or_internal()
}
