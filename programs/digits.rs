//! The trained ternary network that reads handwritten digits, and the held-out images, as the bytes of `.npy` files.
//!
//! Layers 64 -> 128 -> 128 -> 10, or four convolutions; see `digits/README.md` for the exact formulas, the training and where the
//! images come from.

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

/// One layer of the convolutional network, all whole `.npy` files.
#[derive(Clone, Copy, Debug)]
pub struct ConvLayer {
    /// The convolution, as `phalanx_kernels::conv::ConvShape` reads it.
    pub shape: &'static str,
    /// i8 `[filters, channels, rows, columns]`, each -1, 0 or 1.
    pub weights: &'static [u8],
    /// f32 `[filters]`.
    pub scale: &'static [u8],
    /// `[filters]`: i32, of the last layer f32.
    pub bias: &'static [u8],
}

/// The four convolutions; the last has a logit for each class.
pub static CONV_LAYERS: [ConvLayer; 4] = [
    ConvLayer {
        shape: "8x8 1->32 3x3 p1",
        weights: include_bytes!("digits/conv/w1.npy"),
        scale: include_bytes!("digits/conv/scale1.npy"),
        bias: include_bytes!("digits/conv/bias1.npy"),
    },
    ConvLayer {
        shape: "8x8 32->32 3x3 s2 p1",
        weights: include_bytes!("digits/conv/w2.npy"),
        scale: include_bytes!("digits/conv/scale2.npy"),
        bias: include_bytes!("digits/conv/bias2.npy"),
    },
    ConvLayer {
        shape: "4x4 32->64 3x3 p1",
        weights: include_bytes!("digits/conv/w3.npy"),
        scale: include_bytes!("digits/conv/scale3.npy"),
        bias: include_bytes!("digits/conv/bias3.npy"),
    },
    ConvLayer {
        shape: "4x4 64->10 4x4",
        weights: include_bytes!("digits/conv/w4.npy"),
        scale: include_bytes!("digits/conv/scale4.npy"),
        bias: include_bytes!("digits/conv/bias4.npy"),
    },
];
/// f32 `[360, 10]`: the logits of the convolutional network.
pub static CONV_LOGITS: &[u8] = include_bytes!("digits/conv/numpy_logits.npy");
/// u8 `[360]`: the classes of the convolutional network in PyTorch.
pub static CONV_CLASSES: &[u8] = include_bytes!("digits/conv/torch_classes.npy");
