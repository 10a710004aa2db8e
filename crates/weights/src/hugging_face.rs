//! Hugging Face's folders: config.json, safetensors (one file or several with an index), tokenizer.json.

use crate::WeightsError;
use crate::map::Mapped;
use phalanx_simd::half::{bf16_to_f32, f16_to_f32};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A folder with its tensor files mapped.
pub(crate) struct Folder {
    path: PathBuf,
    files: Vec<Mapped>,
    /// The file of each tensor.
    place: BTreeMap<String, usize>,
}

/// A tensor of a folder.
pub(crate) struct HfTensor<'a> {
    name: String,
    pub shape: Vec<usize>,
    pub dtype: Dtype,
    pub bytes: &'a [u8],
}

impl Folder {
    pub(crate) fn open(path: &Path) -> Result<Folder, WeightsError> {
        let index = path.join("model.safetensors.index.json");
        let names: BTreeSet<String> = if index.exists() {
            let json = read_json(&index)?;
            let map = json.get("weight_map").and_then(Json::as_object);
            let map = map.ok_or_else(|| WeightsError::Convert("no weight_map".into()).in_file(&index))?;
            map.values().filter_map(|v| v.as_str().map(String::from)).collect()
        } else {
            ["model.safetensors".to_string()].into()
        };
        let mut folder = Folder { path: path.into(), files: Vec::new(), place: BTreeMap::new() };
        for name in names {
            // The index is content: it must not lead out of the folder.
            if name.contains(['/', '\\']) {
                return Err(
                    WeightsError::Convert(format!("`{name}` is not a file of the folder")).in_file(&index)
                );
            }
            let at = path.join(&name);
            let file = Mapped::open(&at).map_err(|e| e.in_file(&at))?;
            let tensors = SafeTensors::deserialize(file.bytes())
                .map_err(|e| WeightsError::Convert(format!("not a safetensors file: {e}")).in_file(&at))?;
            folder.place.extend(tensors.names().into_iter().map(|n| (n.to_string(), folder.files.len())));
            folder.files.push(file);
        }
        Ok(folder)
    }

    /// A JSON file of the folder; `None` where there is none.
    pub(crate) fn json(&self, name: &str) -> Result<Option<Json>, WeightsError> {
        let at = self.path.join(name);
        if at.exists() { read_json(&at).map(Some) } else { Ok(None) }
    }

    /// A text file of the folder; `None` where there is none.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.path.join(name)).ok()
    }

    /// All tensors' names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.place.keys().map(String::as_str)
    }

    pub(crate) fn find(&self, name: &str) -> Option<HfTensor<'_>> {
        let bytes = self.files[*self.place.get(name)?].bytes();
        // Checked when the folder was opened; what a change since then breaks is as if it were not there.
        let view = SafeTensors::deserialize(bytes).ok()?.tensor(name).ok()?;
        Some(HfTensor {
            name: name.into(),
            shape: view.shape().to_vec(),
            dtype: view.dtype(),
            bytes: view.data(),
        })
    }

    pub(crate) fn tensor(&self, name: &str) -> Result<HfTensor<'_>, WeightsError> {
        let missing =
            || WeightsError::tensor(name, "the folder's safetensors have no such tensor").in_file(&self.path);
        self.find(name).ok_or_else(missing)
    }
}

fn read_json(path: &Path) -> Result<Json, WeightsError> {
    let text = std::fs::read_to_string(path).map_err(|e| WeightsError::io("read it")(e).in_file(path))?;
    serde_json::from_str(&text).map_err(|e| WeightsError::Convert(format!("not JSON: {e}")).in_file(path))
}

impl HfTensor<'_> {
    /// The values of a tensor of floats.
    pub(crate) fn values(&self) -> Result<Vec<f32>, WeightsError> {
        let halves = |f: fn(u16) -> f32| {
            self.bytes.chunks_exact(2).map(|b| f(u16::from_le_bytes([b[0], b[1]]))).collect()
        };
        Ok(match self.dtype {
            Dtype::F32 => {
                self.bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
            }
            Dtype::F16 => halves(f16_to_f32),
            Dtype::BF16 => halves(bf16_to_f32),
            other => {
                return Err(WeightsError::tensor(
                    &self.name,
                    format!("elements {other:?}; expected F32, F16 or BF16"),
                ));
            }
        })
    }

    /// The only value of a tensor of one.
    pub(crate) fn single(&self) -> Result<f32, WeightsError> {
        match self.values()?[..] {
            [v] if v.is_finite() && v != 0.0 => Ok(v),
            [v] => Err(WeightsError::tensor(&self.name, format!("a scale of {v}"))),
            ref all => Err(WeightsError::tensor(&self.name, format!("{} values; expected one", all.len()))),
        }
    }

    /// Rows and columns.
    pub(crate) fn matrix(&self) -> Result<(usize, usize), WeightsError> {
        match self.shape[..] {
            [n, k] => Ok((n, k)),
            _ => Err(WeightsError::tensor(&self.name, format!("dimensions {:?}; expected two", self.shape))),
        }
    }
}
