//! A mapped model file.

use crate::gguf::{Gguf, Tensor};
use crate::layout::{self, Evidence};
use crate::map::Mapped;
use crate::{Shape, WeightsError};
use phalanx_formats::{Format, Layout, Matrix};
use phalanx_kernels::{PackedFormat, PackedWeights};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of a tensor that are brought in at once.
const PART: usize = 8 << 20;

/// A GGUF file, mapped.
#[derive(Debug)]
pub struct ModelFile {
    path: PathBuf,
    map: Mapped,
    gguf: Gguf,
    /// Scales that stand in tensors of their own, by the index of the tensor that they scale.
    scales: Vec<Option<Vec<f32>>>,
}

impl ModelFile {
    /// Maps a file and checks its header.
    ///
    /// # Errors
    /// The file cannot be mapped or is no GGUF file; all with the file's name.
    pub fn open(path: impl AsRef<Path>) -> Result<ModelFile, WeightsError> {
        let path = path.as_ref();
        ModelFile::of(path, || Mapped::open(path))
    }

    /// A file that is in memory already; messages call it `name`.
    ///
    /// # Errors
    /// The bytes are no GGUF file.
    ///
    /// ```
    /// let wrong = phalanx_weights::ModelFile::from_bytes("model.gguf", b"no model");
    /// assert!(wrong.unwrap_err().to_string().starts_with("model.gguf: "));
    /// ```
    pub fn from_bytes(
        name: &str,
        bytes: impl AsRef<[u8]> + Send + Sync + 'static,
    ) -> Result<ModelFile, WeightsError> {
        ModelFile::of(name.as_ref(), || Ok(Mapped::Memory(Box::new(bytes))))
    }

    fn of(
        path: &Path,
        map: impl FnOnce() -> Result<Mapped, WeightsError>,
    ) -> Result<ModelFile, WeightsError> {
        let open = || {
            let map = map()?;
            let gguf = Gguf::parse(map.bytes())?;
            let mut file = ModelFile { path: path.into(), map, gguf, scales: Vec::new() };
            file.scales = file.gguf.tensors.iter().map(|t| file.scales_of(t)).collect::<Result<_, _>>()?;
            Ok(file)
        };
        open().map_err(|e: WeightsError| e.in_file(path))
    }

    /// The header.
    pub fn gguf(&self) -> &Gguf {
        &self.gguf
    }

    /// Bytes of the file.
    pub fn size(&self) -> usize {
        self.map.bytes().len()
    }

    /// The model's sizes, checked against its tensors.
    ///
    /// # Errors
    /// Keys or tensors that are missing or do not fit each other.
    pub fn shape(&self) -> Result<Shape, WeightsError> {
        let shape = Shape::of(&self.gguf);
        shape.and_then(|s| s.check(&self.gguf).map(|()| s)).map_err(|e| e.in_file(&self.path))
    }

    fn named(&self, name: &str) -> Result<(usize, &Tensor), WeightsError> {
        let missing = || WeightsError::tensor(name, "the file has no such tensor").in_file(&self.path);
        let at = self.gguf.tensors.iter().position(|t| t.name == name);
        at.map(|at| (at, &self.gguf.tensors[at])).ok_or_else(missing)
    }

    /// Scales of a tensor that stand in `NAME_scale`, as some writers of TL1, TL2 and I8 put them.
    fn scales_of(&self, tensor: &Tensor) -> Result<Option<Vec<f32>>, WeightsError> {
        let own = matches!(tensor.kind.map(|k| k.name), Some("I2_S" | "TL1" | "TL2" | "I8"));
        let Some(t) = self.gguf.tensor(&format!("{}_scale", tensor.name)).filter(|_| own) else {
            return Ok(None);
        };
        if t.kind.map(|k| k.name) != Some("F32") {
            return Err(WeightsError::tensor(&t.name, "scales must be F32"));
        }
        let bytes = &self.map.bytes()[t.range.clone()];
        // Four bytes each: chunks of four.
        Ok(Some(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()))
    }

    /// A tensor as a matrix of rows; `layout` is that of I2_S.
    ///
    /// # Errors
    /// No such tensor, an element type that is not read, or too few bytes for it.
    pub fn matrix(&self, name: &str, layout: Layout) -> Result<Matrix<'_>, WeightsError> {
        let (at, tensor) = self.named(name)?;
        self.view(at, tensor, layout).map_err(|e| e.in_file(&self.path))
    }

    fn view(&self, at: usize, tensor: &Tensor, layout: Layout) -> Result<Matrix<'_>, WeightsError> {
        let (n, k) = (tensor.n(), tensor.k());
        let format = tensor.kind.and_then(|kind| kind.format(layout, n, k)).ok_or_else(|| {
            let kind = tensor.kind.map_or_else(|| format!("number {}", tensor.id), |k| k.name.into());
            WeightsError::tensor(&tensor.name, format!("elements of type {kind} are not read"))
        })?;
        let bytes = match format {
            // The scale and padding are no part of the range, and may be missing where the scale stands elsewhere.
            Format::I2S(_) | Format::Tl1(_) | Format::Tl2(_) => &self.map.bytes()[tensor.range.start..],
            _ => &self.map.bytes()[tensor.range.clone()],
        };
        Matrix::new(format, n, k, bytes, self.scales[at].as_deref())
            .map_err(|error| WeightsError::Format { name: tensor.name.clone(), error })
    }

    /// The bytes of a tensor as they lie in the file.
    ///
    /// # Errors
    /// No such tensor.
    pub fn bytes(&self, name: &str) -> Result<&[u8], WeightsError> {
        self.named(name).map(|(_, t)| &self.map.bytes()[t.range.clone()])
    }

    /// The bytes of row `row` of a tensor with rows of `to.len()` bytes, as they lie in the file; a mapping is left alone.
    ///
    /// # Errors
    /// No such tensor or row; a file that cannot be read.
    pub fn read_row(&self, name: &str, row: usize, to: &mut [u8]) -> Result<(), WeightsError> {
        let (_, t) = self.named(name)?;
        let from = row.checked_mul(to.len()).filter(|from| from + to.len() <= t.range.len());
        let from = from.ok_or_else(|| WeightsError::tensor(name, format!("it has no row {row}")));
        from.and_then(|from| self.map.read(t.range.start + from, to)).map_err(|e| e.in_file(&self.path))
    }

    /// A tensor of any format as f32.
    ///
    /// # Errors
    /// As [`ModelFile::matrix`].
    pub fn values(&self, name: &str) -> Result<Vec<f32>, WeightsError> {
        let matrix = self.matrix(name, Layout::default())?;
        let mut out = vec![0.0; matrix.n() * matrix.k()];
        for (row, out) in out.chunks_exact_mut(matrix.k().max(1)).enumerate() {
            matrix.values(row, out);
        }
        Ok(out)
    }

    /// The layout of the file's I2_S tensors and what it was concluded from.
    ///
    /// # Errors
    /// A key that names no layout, or tensors that cannot be read.
    pub fn i2s_layout(&self) -> Result<(Layout, Evidence), WeightsError> {
        layout::detect(self).map_err(|e| e.in_file(&self.path))
    }

    /// Packs a tensor for the products and gives its pages back to the system.
    ///
    /// # Errors
    /// As [`ModelFile::matrix`]; a layout that does not hold such a matrix, codes that the file's format does not have, no memory.
    pub fn pack(&self, name: &str, layout: Layout, to: PackedFormat) -> Result<PackedWeights, WeightsError> {
        self.pack_watched(name, layout, to, &mut |_| {})
    }

    /// [`ModelFile::pack`], where `watch` hears of each row before the calling thread fills its place: memory that is filled for the
    /// first time belongs to the node of who fills it.
    fn pack_watched(
        &self,
        name: &str,
        layout: Layout,
        to: PackedFormat,
        watch: &mut dyn FnMut(usize),
    ) -> Result<PackedWeights, WeightsError> {
        let matrix = self.matrix(name, layout)?;
        let range = self.named(name)?.1.range.clone();
        // Pages come in and go again part by part, so that a large matrix is never there twice. Where a format's rows are not in
        // the order of its bytes, some come in a second time.
        let parts = range.len().div_ceil(PART).max(1);
        let rows = matrix.n().div_ceil(parts).max(1);
        let part = |i: usize| {
            let at = |i: usize| range.start + (range.len() / parts).saturating_mul(i).min(range.len());
            at(i)..if i + 1 >= parts { range.end } else { at(i + 1) }
        };
        let packed = matrix.pack_watched(to, &mut |row| {
            watch(row);
            if row % rows == 0 {
                self.map.populate(part(row / rows));
                if row > 0 {
                    self.map.release(part(row / rows - 1));
                }
            }
        });
        self.release(name);
        packed.map_err(|error| WeightsError::Pack { name: name.into(), error }.in_file(&self.path))
    }

    /// Packs several tensors on several threads, the largest first, so that none is left with a large one at the end. Results are
    /// in the order of `wanted`. `watch(i)` makes what hears of each row of number `i` before it is packed, on the thread that packs it.
    ///
    /// # Errors
    /// The first of `wanted` that cannot be packed, as [`ModelFile::pack`].
    pub fn pack_all(
        &self,
        wanted: &[(&str, PackedFormat)],
        layout: Layout,
        threads: usize,
        watch: &(dyn Fn(usize) -> Box<dyn FnMut(usize)> + Sync),
    ) -> Result<Vec<PackedWeights>, WeightsError> {
        let size = |i: &usize| self.gguf.tensor(wanted[*i].0).map_or(0, |t| t.range.len());
        let mut order: Vec<usize> = (0..wanted.len()).collect();
        order.sort_by_key(|i| std::cmp::Reverse(size(i)));
        let next = AtomicUsize::new(0);
        let work = || {
            let mut done = Vec::new();
            while let Some(i) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                let (name, to) = wanted[*i];
                done.push((*i, self.pack_watched(name, layout, to, &mut *watch(*i))));
            }
            done
        };
        let mut all: Vec<(usize, Result<_, _>)> = std::thread::scope(|s| {
            let others: Vec<_> = (1..threads.min(wanted.len())).map(|_| s.spawn(work)).collect();
            let own = work();
            // A thread that panicked passes its panic on.
            let join = |t: std::thread::ScopedJoinHandle<'_, _>| {
                t.join().unwrap_or_else(|p| std::panic::resume_unwind(p))
            };
            others.into_iter().flat_map(join).chain(own).collect()
        });
        all.sort_by_key(|(i, _)| *i);
        all.into_iter().map(|(_, packed)| packed).collect()
    }

    /// Brings a tensor's pages in at once; nothing where there is no such tensor.
    pub fn populate(&self, name: &str) {
        if let Ok((_, t)) = self.named(name) {
            self.map.populate(t.range.clone());
        }
    }

    /// Gives a tensor's pages back to the system; nothing where there is no such tensor.
    pub fn release(&self, name: &str) {
        if let Ok((_, t)) = self.named(name) {
            self.map.release(t.range.clone());
        }
    }
}
