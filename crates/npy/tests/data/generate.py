"""Writes the .npy files of this folder with real numpy.

    pip install numpy==2.4.6
    python generate.py

The tests know the contents of each; they need neither Python nor numpy.
"""

import io
import pathlib
import warnings

import numpy as np
from numpy.lib import format as npy

HERE = pathlib.Path(__file__).parent


def save(name, array, version=None):
    with open(HERE / f"{name}.npy", "wb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        npy.write_array(file, array, version=version)


# One file per element type, shape (2, 3): the ends of the range and what lies around zero.
for bits in (8, 16, 32, 64):
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    save(f"int{bits}", np.array([low, -1, 0, 1, 2, high], f"int{bits}").reshape(2, 3))
    save(f"uint{bits}", np.array([0, 1, 2, 3, high, 2**bits - 1], f"uint{bits}").reshape(2, 3))
for bits in (16, 32, 64):
    values = np.array([0.0, -0.0, 1.5, -2.0, np.inf, 0.0], f"float{bits}")
    values[5] = np.finfo(values.dtype).smallest_subnormal
    save(f"float{bits}", values.reshape(2, 3))
save("bool", np.array([True, False, False, True, True, False]).reshape(2, 3))

# Shapes.
save("scalar", np.array(42, "int32"))
save("vector", np.arange(5, dtype="uint8"))
save("empty", np.zeros((0, 3), "float32"))
save("empty_inside", np.zeros((2, 0, 3), "float64"))

# Big-endian.
for code in ("i2", "u4", "f4", "f8"):
    save(f"big_{code}", np.arange(6).astype(f">{code}").reshape(2, 3))

# Fortran order, alone and with big-endian elements.
save("fortran_2d", np.asfortranarray(np.arange(6, dtype="int16").reshape(2, 3)))
save("fortran_3d", np.asfortranarray(np.arange(24, dtype="float32").reshape(2, 3, 4)))
save("fortran_4d", np.asfortranarray(np.arange(48, dtype="uint8").reshape(2, 3, 1, 8)))
save("fortran_big", np.asfortranarray(np.arange(24).astype(">u8").reshape(4, 3, 2)))

# Format versions.
for major in (1, 2, 3):
    save(f"version_{major}", np.arange(6, dtype="int32").reshape(2, 3), (major, 0))

# Not supported: to be refused with a remedy.
save("refused_complex", np.zeros(2, "complex64"))
save("refused_text", np.array(["a", "bc"]))
save("refused_void", np.zeros(2, "V2"))
save("refused_record", np.zeros(2, [("x", "f4"), ("y", "i2")]))
save("refused_date", np.zeros(2, "datetime64[s]"))

# Every padding there is: one more dimension of length 1 makes the header 3 bytes longer, and 3 is coprime to
# 64. All files follow one another in one file, rank 0 first.
with open(HERE / "ranks_0_to_64.bin", "wb") as file:
    for rank in range(65):
        part = io.BytesIO()
        np.save(part, np.full((1,) * rank, rank, "int8"))
        file.write(part.getvalue())

# First dimensions of every number of digits, all empty, so that the growth space shows.
with open(HERE / "digits_1_to_18.bin", "wb") as file:
    for digits in range(1, 19):
        part = io.BytesIO()
        np.save(part, np.zeros((10 ** (digits - 1), 0), "int8"))
        file.write(part.getvalue())
