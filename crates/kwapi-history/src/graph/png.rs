//! SVG to PNG, with the one font the program carries.

use std::sync::{Arc, LazyLock};

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};

/// Inter Regular, a subset (SIL Open Font License, `font/LICENSE.txt`): a PNG looks the same on every machine. What it
/// lacks, such as emoji, is left out of a PNG; the SVG has it.
const FONT: &[u8] = include_bytes!("font/inter-regular-subset.otf");
const FONT_FAMILY: &str = "Inter";

/// The largest scale a PNG is drawn at: more would only cost memory.
pub const PNG_SCALE_MAX: u8 = 4;

static FONTS: LazyLock<Arc<fontdb::Database>> = LazyLock::new(|| {
    let mut fonts = fontdb::Database::new();
    fonts.load_font_data(FONT.to_vec());
    fonts.set_sans_serif_family(FONT_FAMILY);
    Arc::new(fonts)
});

/// The drawing could not be rasterised.
#[derive(Debug, thiserror::Error)]
pub enum PngError {
    /// It is not the SVG this crate draws.
    #[error("not a drawing")]
    Drawing(#[from] resvg::usvg::Error),
    /// There is no memory for its pixels, or they cannot be encoded.
    #[error("cannot be encoded: {0}")]
    Encoding(String),
}

/// Rasterises a drawing with a theme of its own at `scale` times its size, from 1 to [`PNG_SCALE_MAX`].
///
/// # Errors
/// When `svg` is no drawing of this crate.
pub fn png(svg: &str, scale: u8) -> Result<Vec<u8>, PngError> {
    let options =
        Options { fontdb: Arc::clone(&FONTS), font_family: FONT_FAMILY.to_owned(), ..Options::default() };
    let tree = Tree::from_str(svg, &options)?;
    let scale = f32::from(scale.clamp(1, PNG_SCALE_MAX));
    let size = tree.size().to_int_size().scale_by(scale);
    let pixels = size.and_then(|size| Pixmap::new(size.width(), size.height()));
    let mut pixels = pixels.ok_or_else(|| PngError::Encoding("too large".to_owned()))?;
    resvg::render(&tree, Transform::from_scale(scale, scale), &mut pixels.as_mut());
    pixels.encode_png().map_err(|error| PngError::Encoding(error.to_string()))
}
