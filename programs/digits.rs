//! The trained ternary network that reads handwritten digits, and the held-out images, as the bytes of `.npy` files.
//!
//! Layers 64 -> 128 -> 128 -> 10; see `digits/README.md` for the exact formula, the training and where the images come from.

/// One layer: weights, and what turns its integer sums into numbers. All are whole `.npy` files.
#[derive(Clone, Copy, Debug)]
pub struct Layer {
    /// i8 `[outputs, inputs]`, each -1, 0 or 1.
    pub weights: &'static [u8],
    /// f32 `[outputs]`.
    pub scale: &'static [u8],
    /// f32 `[outputs]`.
    pub bias: &'static [u8],
    /// f32 `[1]`: one over the int8 step of the layer's output; the last layer has none.
    pub inv_step: Option<&'static [u8]>,
}

/// The three layers.
pub static LAYERS: [Layer; 3] = [
    Layer {
        weights: include_bytes!("digits/w1.npy"),
        scale: include_bytes!("digits/scale1.npy"),
        bias: include_bytes!("digits/bias1.npy"),
        inv_step: Some(include_bytes!("digits/inv_s1.npy")),
    },
    Layer {
        weights: include_bytes!("digits/w2.npy"),
        scale: include_bytes!("digits/scale2.npy"),
        bias: include_bytes!("digits/bias2.npy"),
        inv_step: Some(include_bytes!("digits/inv_s2.npy")),
    },
    Layer {
        weights: include_bytes!("digits/w3.npy"),
        scale: include_bytes!("digits/scale3.npy"),
        bias: include_bytes!("digits/bias3.npy"),
        inv_step: None,
    },
];

/// u8 `[360, 64]`: held-out images, 8 rows of 8 pixels, 0 (paper) to 16 (ink).
pub static IMAGES: &[u8] = include_bytes!("digits/images.npy");
/// u8 `[360]`: what the writer meant.
pub static LABELS: &[u8] = include_bytes!("digits/labels.npy");
/// f32 `[360, 10]`: the logits that the programs reproduce bit for bit.
pub static LOGITS: &[u8] = include_bytes!("digits/numpy_logits.npy");
