//! The colours of stacked probes: one hue ramp, as the original had, in OKLCH so that equal steps look equal.
//!
//! Source: Björn Ottosson, *A perceptual color space for image processing*, 2020-12-23 (the `OKLab` matrices).

use std::fmt::Write;

/// The hue of a graph unless configured: a calm blue.
pub const HUE_DEFAULT: f64 = 245.0;

/// How far the hue turns over the ramp, in degrees: enough to help the lightness, too little to leave the family.
const HUE_TURN: f64 = 70.0;
/// From the darkest to the lightest step; both stand out from the light and from the dark page.
const LIGHTNESS: (f64, f64) = (0.46, 0.86);

/// The colour of band `index` of `count`, as `#rrggbb`.
pub fn colour(index: usize, count: usize, hue: f64) -> String {
    let place = if count > 1 { index.min(count - 1) as f64 / (count - 1) as f64 } else { 0.35 };
    let lightness = LIGHTNESS.0 + (LIGHTNESS.1 - LIGHTNESS.0) * place;
    let chroma = 0.135 - 0.05 * place;
    let hue = if hue.is_finite() { hue } else { HUE_DEFAULT };
    let angle = (hue + 25.0 - HUE_TURN * place).to_radians();
    let mut text = String::from("#");
    for channel in oklab_to_srgb(lightness, chroma * angle.cos(), chroma * angle.sin()) {
        _ = write!(text, "{channel:02x}");
    }
    text
}

/// How many colours distinguish probes and groups.
const IDENTITIES: u64 = 12;

/// The colour of a probe or group by its id, 1 to 12 (`kw-c1` to `kw-c12` of a page): the same wherever it stands, and of twelve
/// neighbours that are numbered no two have the same.
pub fn identity(id: &str) -> usize {
    let stem = id.trim_end_matches(|c: char| c.is_ascii_digit());
    let number = id.get(stem.len()..).unwrap_or_default().bytes();
    let number = number.fold(0, |number, digit| (number * 10 + u64::from(digit - b'0')) % IDENTITIES);
    // FNV-1a, 64 bits (draft-eastlake-fnv, section 2).
    let hash = stem.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    usize::try_from((hash % IDENTITIES + number) % IDENTITIES).unwrap_or(0) + 1
}

#[expect(clippy::many_single_char_names, reason = "the names of the source")]
fn oklab_to_srgb(lightness: f64, a: f64, b: f64) -> [u8; 3] {
    let l = (lightness + 0.396_337_777_4 * a + 0.215_803_757_3 * b).powi(3);
    let m = (lightness - 0.105_561_345_8 * a - 0.063_854_172_8 * b).powi(3);
    let s = (lightness - 0.089_484_177_5 * a - 1.291_485_548 * b).powi(3);
    [
        4.076_741_662_1 * l - 3.307_711_591_3 * m + 0.230_969_929_2 * s,
        -1.268_438_004_6 * l + 2.609_757_401_1 * m - 0.341_319_396_5 * s,
        -0.004_196_086_3 * l - 0.703_418_614_7 * m + 1.707_614_701 * s,
    ]
    .map(gamma)
}

/// Linear light to an sRGB byte (IEC 61966-2-1).
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=255 just before")]
fn gamma(linear: f64) -> u8 {
    let linear = linear.clamp(0.0, 1.0);
    let encoded = if linear <= 0.003_130_8 { linear * 12.92 } else { 1.055 * linear.powf(1.0 / 2.4) - 0.055 };
    (encoded * 255.0).round().clamp(0.0, 255.0) as u8
}
