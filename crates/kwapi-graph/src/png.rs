//! SVG to PNG, with the one font the program carries.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use resvg::tiny_skia::{Pixmap, PremultipliedColorU8, Transform};
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
    #[error("invalid SVG")]
    Drawing(#[from] resvg::usvg::Error),
    /// There is no memory for its pixels, or they cannot be encoded.
    #[error("encoding failed: {0}")]
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
    encode(&pixels).map_err(|error| PngError::Encoding(error.to_string()))
}

/// Flat areas and sharp edges, opaque all over: without filters and with a palette where the colours fit one, that is
/// less than half of what the usual choices for photographs make of it.
fn encode(pixels: &Pixmap) -> Result<Vec<u8>, png::EncodingError> {
    let mut colours = Palette::default();
    let indices: Option<Vec<u8>> = pixels.pixels().iter().map(|pixel| colours.index(rgb(*pixel))).collect();
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, pixels.width(), pixels.height());
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_filter(png::Filter::NoFilter);
    let data = if let Some(indices) = indices {
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_palette(colours.list.into_flattened());
        indices
    } else {
        encoder.set_color(png::ColorType::Rgb);
        pixels.pixels().iter().flat_map(|pixel| rgb(*pixel)).collect()
    };
    encoder.write_header()?.write_image_data(&data)?;
    Ok(bytes)
}

fn rgb(pixel: PremultipliedColorU8) -> [u8; 3] {
    [pixel.red(), pixel.green(), pixel.blue()]
}

/// The colours of a picture, as long as a byte can number them.
#[derive(Default)]
struct Palette {
    list: Vec<[u8; 3]>,
    numbers: HashMap<[u8; 3], u8>,
    /// Most pixels are as their neighbours.
    latest: Option<([u8; 3], u8)>,
}

impl Palette {
    fn index(&mut self, colour: [u8; 3]) -> Option<u8> {
        if let Some((latest, number)) = self.latest
            && latest == colour
        {
            return Some(number);
        }
        let number = if let Some(number) = self.numbers.get(&colour) {
            *number
        } else {
            let number = u8::try_from(self.list.len()).ok()?;
            self.list.push(colour);
            self.numbers.insert(colour, number);
            number
        };
        self.latest = Some((colour, number));
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture of `colours` colours comes back from its encoding as it was.
    #[track_caller]
    fn check(colours: usize) {
        let mut pixels = Pixmap::new(40, 30).unwrap();
        for (number, pixel) in pixels.pixels_mut().iter_mut().enumerate() {
            let [red, green, ..] = (number % colours).to_le_bytes();
            *pixel = PremultipliedColorU8::from_rgba(red, green, 7, 255).unwrap();
        }
        let decoded = Pixmap::decode_png(&encode(&pixels).unwrap()).unwrap();
        assert!(decoded.pixels() == pixels.pixels(), "{colours} colours");
    }

    #[test]
    fn with_few_colours_and_many_a_picture_stays_as_it_was() {
        check(1);
        check(256);
        check(257);
    }
}
