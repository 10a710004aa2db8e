"""Rivals of `phalanx bench matmul` that come as Python packages: ggml, ONNX Runtime, OpenVINO; of `bench model`: llama.cpp; of `bench
conv`: the latter two.

`phalanx bench matmul --against NAME` starts this program as `rival.py NAME`, writes requests to its standard input, one JSON
object a line, and reads one answer a line. While it waits for a line it uses no processor, so that the two sides can be timed in
turn. Requests:

    {"case": {"format", "n", "k", "m", "threads", "copies", "dir"}}   ->  {"ok": "what will run"} or {"refused": "why"}
    {"run": R}                                                       ->  {"seconds": of R products together}
    {"answer": "FILE"}                                               ->  {"ok": ""}; FILE gets the result, f32[m][n]

`dir` holds x.f32 [m][k] and the weights: w.i8 [n][k] with w.scale f32 (one for ternary, n for int8), w.blocks (the ggml blocks
of tq2_0, tq1_0, q8_0, q4_0) or w.f32 [n][k]. A convolution's case has {"conv": "i8", "t2" or "f32", "images", "rows", "cols", "in",
"out", "kernel", "stride", "pad", "dilation", "groups", "threads", "dir"} and w.f32 in the order OIHW; x.f32 and bias.f32, or x.u8,
scale.f32 and bias.i32 (the output is round((sum + bias) * scale), 0 to 255); images and the answer have channels innermost. `copies` equal matrices are used in turn, so that together they are as large as the
case wants. README.md beside this file says how to install what is needed.
"""

import ctypes
import json
import sys
import time
from pathlib import Path

import numpy as np


class Refused(Exception):
    """This rival has no such product."""


def weights(case, dtype="f32"):
    """The matrix as f32 [n][k] from whatever `dir` holds of it."""
    d, n, k = Path(case["dir"]), case["n"], case["k"]
    if (d / "w.f32").exists():
        return np.fromfile(d / "w.f32", np.float32).reshape(n, k)
    w = np.fromfile(d / "w.i8", np.int8).reshape(n, k).astype(np.float32)
    return w * np.fromfile(d / "w.scale", np.float32).reshape(-1, 1)


def activations(case):
    return np.fromfile(Path(case["dir"]) / "x.f32", np.float32).reshape(case["m"], case["k"])


class Convolution:
    """What a case gives, as numpy arrays; rivals take channels outermost."""

    def __init__(self, case):
        d = Path(case["dir"])
        self.float = case["conv"] == "f32"
        shape = (case["images"], case["rows"], case["cols"], case["in"])
        x = np.fromfile(d / ("x.f32" if self.float else "x.u8"), np.float32 if self.float else np.uint8)
        self.x = np.ascontiguousarray(x.reshape(shape).transpose(0, 3, 1, 2))
        w = np.fromfile(d / "w.f32", np.float32)
        w = w.reshape(case["out"], case["in"] // case["groups"], *case["kernel"])
        self.w = w if self.float else w.astype(np.int8)
        self.bias = np.fromfile(d / ("bias.f32" if self.float else "bias.i32"), np.float32 if self.float else np.int32)
        self.scale = None if self.float else np.fromfile(d / "scale.f32", np.float32)
        top, bottom, left, right = case["pad"]
        self.begin, self.end = [top, left], [bottom, right]


class Ggml:
    """ggml's own mul_mat, called in the libraries that llama-cpp-python builds. A graph holds one product for each copy, so that
    what a call costs is shared out over many."""

    TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q8_0": 8, "bf16": 30, "tq1_0": 34, "tq2_0": 35}

    def __init__(self):
        import importlib.util

        lib = Path(importlib.util.find_spec("llama_cpp").origin).parent / "lib"
        mode = ctypes.RTLD_GLOBAL
        self.base = ctypes.CDLL(str(lib / "libggml-base.so"), mode)
        self.cpu = ctypes.CDLL(str(lib / "libggml-cpu.so"), mode)
        pointer, i64 = ctypes.c_void_p, ctypes.c_int64

        class Init(ctypes.Structure):
            _fields_ = [("size", ctypes.c_size_t), ("buffer", pointer), ("no_alloc", ctypes.c_bool)]

        class Plan(ctypes.Structure):
            _fields_ = [("work_size", ctypes.c_size_t), ("work", pointer), ("threads", ctypes.c_int), ("rest", ctypes.c_byte * 256)]

        self.Init, self.Plan = Init, Plan
        for f, result, args in [
            (self.base.ggml_init, pointer, [Init]),
            (self.base.ggml_free, None, [pointer]),
            (self.base.ggml_new_tensor_2d, pointer, [pointer, ctypes.c_int, i64, i64]),
            (self.base.ggml_mul_mat, pointer, [pointer] * 3),
            (self.base.ggml_new_graph, pointer, [pointer]),
            (self.base.ggml_build_forward_expand, None, [pointer] * 2),
            (self.base.ggml_get_data, pointer, [pointer]),
            (self.base.ggml_nbytes, ctypes.c_size_t, [pointer]),
            (self.base.ggml_quantize_chunk, ctypes.c_size_t, [ctypes.c_int, pointer, pointer, i64, i64, i64, pointer]),
            (self.cpu.ggml_graph_plan, Plan, [pointer, ctypes.c_int, pointer]),
            (self.cpu.ggml_graph_compute, ctypes.c_int, [pointer, ctypes.POINTER(Plan)]),
        ]:
            f.restype, f.argtypes = result, args
        self.ctx = None

    def case(self, case):
        if "conv" in case:
            raise Refused("no quantised convolution")
        kind = {"ternary": "tq2_0"}.get(case["format"], case["format"])
        if kind not in self.TYPES:
            raise Refused(f"ggml has no {kind}")
        kind, n, k, m = self.TYPES[kind], case["n"], case["k"], case["m"]
        if k % (256 if kind >= 34 else 32):
            raise Refused(f"its blocks do not divide {k} columns")
        if self.ctx:
            self.base.ggml_free(self.ctx)
        nodes = case["copies"] if case["copies"] > 1 else 8
        blocks = Path(case["dir"]) / "w.blocks"
        if blocks.exists():
            packed = np.fromfile(blocks, np.uint8)
        else:
            w = np.ascontiguousarray(weights(case))
            if kind == 0:
                packed = w.view(np.uint8).ravel()
            else:
                packed = np.empty(n * k * 4, np.uint8)
                used = self.base.ggml_quantize_chunk(kind, w.ctypes.data, packed.ctypes.data, 0, n, k, None)
                packed = packed[:used]
        size = packed.nbytes * case["copies"] + m * (k + n * nodes) * 4 + (64 << 20)
        self.ctx = self.base.ggml_init(self.Init(size, None, False))
        x = self.base.ggml_new_tensor_2d(self.ctx, 0, k, m)
        data = np.ascontiguousarray(activations(case))
        ctypes.memmove(self.base.ggml_get_data(x), data.ctypes.data, data.nbytes)
        self.graph = self.base.ggml_new_graph(self.ctx)
        copies = []
        for _ in range(case["copies"]):
            w = self.base.ggml_new_tensor_2d(self.ctx, kind, k, n)
            assert self.base.ggml_nbytes(w) == packed.nbytes, "another size of the packed matrix"
            ctypes.memmove(self.base.ggml_get_data(w), packed.ctypes.data, packed.nbytes)
            copies.append(w)
        for i in range(nodes):
            self.y = self.base.ggml_mul_mat(self.ctx, copies[i % len(copies)], x)
            self.base.ggml_build_forward_expand(self.graph, self.y)
        self.nodes, self.shape = nodes, (m, n)
        self.plan = self.cpu.ggml_graph_plan(self.graph, case["threads"], None)
        self.work = np.empty(self.plan.work_size + 64, np.uint8)
        self.plan.work = self.work.ctypes.data
        return f"mul_mat, {nodes} products a graph"

    def run(self, r):
        for _ in range(-(-r // self.nodes)):
            assert self.cpu.ggml_graph_compute(self.graph, ctypes.byref(self.plan)) == 0
        return -(-r // self.nodes) * self.nodes

    def answer(self):
        y = (ctypes.c_float * (self.shape[0] * self.shape[1])).from_address(self.base.ggml_get_data(self.y))
        return np.frombuffer(y, np.float32)


class OnnxRuntime:
    """MatMulNBits with 2 bits for ternary weights, 4 for none, MatMulInteger for int8, MatMul for f32."""

    def case(self, case):
        import onnx
        import onnxruntime as ort
        from onnx import TensorProto, helper, numpy_helper

        self.conv = "conv" in case
        if self.conv:
            return self.convolution(case)
        n, k, m, copies = case["n"], case["k"], case["m"], case["copies"]
        nodes, constants = [], []
        count = copies if copies > 1 else 4
        x = activations(case)
        self.scale = None
        if case["format"] == "ternary":
            block = 128
            if k % block:
                raise Refused(f"its blocks of {block} do not divide {k} columns")
            w = np.fromfile(Path(case["dir"]) / "w.i8", np.int8).reshape(n, k // block, block // 4, 4)
            scale = np.fromfile(Path(case["dir"]) / "w.scale", np.float32)[0]
            code = (w + 2).astype(np.uint8)
            packed = (code[..., 0] | code[..., 1] << 2 | code[..., 2] << 4 | code[..., 3] << 6).astype(np.uint8)
            scales = np.full(n * (k // block), scale, np.float32)
            for i in range(copies):
                # Each with its rows elsewhere, the last as they are: equal constants would be kept once, and read from the caches.
                turned = np.roll(packed, copies - 1 - i, axis=0)
                constants += [numpy_helper.from_array(turned, f"w{i}"), numpy_helper.from_array(scales, f"s{i}")]
            for i in range(count):
                c = i % copies
                attrs = dict(K=k, N=n, bits=2, block_size=block, accuracy_level=4, domain="com.microsoft")
                nodes.append(helper.make_node("MatMulNBits", ["x", f"w{c}", f"s{c}"], [f"y{i}"], **attrs))
            kind, what = TensorProto.FLOAT, "MatMulNBits, 2 bits, int8 arithmetic"
        elif case["format"] == "i8":
            w = np.fromfile(Path(case["dir"]) / "w.i8", np.int8).reshape(n, k)
            self.scale = np.fromfile(Path(case["dir"]) / "w.scale", np.float32)
            # Symmetric per row, as ours; the product itself is of integers, scaled in `answer`.
            self.inv = 127.0 / np.maximum(np.abs(x).max(1), 1e-5)
            x = (np.clip(np.rint(x * self.inv[:, None]), -128, 127) + 128).astype(np.uint8)
            for i in range(copies):
                turned = np.roll(w, copies - 1 - i, axis=0)  # as above
                constants.append(numpy_helper.from_array(np.ascontiguousarray(turned.T), f"w{i}"))
            constants.append(numpy_helper.from_array(np.array(128, np.uint8), "zero"))
            for i in range(count):
                nodes.append(helper.make_node("MatMulInteger", ["x", f"w{i % copies}", "zero"], [f"y{i}"]))
            kind, what = TensorProto.UINT8, "MatMulInteger"
        elif case["format"] == "f32":
            w = weights(case)
            for i in range(copies):
                turned = np.roll(w, copies - 1 - i, axis=0)  # as above
                constants.append(numpy_helper.from_array(np.ascontiguousarray(turned.T), f"w{i}"))
            for i in range(count):
                nodes.append(helper.make_node("MatMul", ["x", f"w{i % copies}"], [f"y{i}"]))
            kind, what = TensorProto.FLOAT, "MatMul"
        else:
            raise Refused(f"no {case['format']} here")
        out = TensorProto.INT32 if kind == TensorProto.UINT8 else TensorProto.FLOAT
        ins = [helper.make_tensor_value_info("x", kind, [m, k])]
        outs = [helper.make_tensor_value_info(f"y{i}", out, [m, n]) for i in range(count)]
        graph = helper.make_graph(nodes, "g", ins, outs, constants)
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
        options = ort.SessionOptions()
        options.intra_op_num_threads = case["threads"]
        options.add_session_config_entry("session.intra_op.allow_spinning", "1")
        options.add_session_config_entry("session.force_spinning_stop", "1")
        try:
            path = Path(case["dir"]) / "model.onnx"
            onnx.save(model, path, save_as_external_data=True, location="model.data", convert_attribute=False)
            self.session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as e:  # whatever it does not implement it says here
            raise Refused(str(e).splitlines()[0]) from e
        self.binding = self.session.io_binding()
        self.x = ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(x))
        self.binding.bind_ortvalue_input("x", self.x)
        shape_type = np.int32 if out == TensorProto.INT32 else np.float32
        self.ys = [ort.OrtValue.ortvalue_from_numpy(np.zeros((m, n), shape_type)) for _ in range(count)]
        for i, y in enumerate(self.ys):
            self.binding.bind_ortvalue_output(f"y{i}", y)
        self.count = count
        return what

    def convolution(self, case):
        import onnx
        import onnxruntime as ort
        from onnx import TensorProto, helper, numpy_helper

        c = Convolution(case)
        how = dict(
            pads=c.begin + c.end, strides=case["stride"], dilations=case["dilation"], group=case["groups"],
            kernel_shape=case["kernel"],
        )
        constants = [numpy_helper.from_array(c.w, "w"), numpy_helper.from_array(c.bias, "b")]
        if c.float:
            nodes = [helper.make_node("Conv", ["x", "w", "b"], ["z"], **how), helper.make_node("Relu", ["z"], ["y"])]
            kind = TensorProto.FLOAT
        else:
            ones = {"one": np.float32(1), "zero": np.uint8(0), "wz": np.zeros(case["out"], np.int8), "ws": c.scale}
            constants += [numpy_helper.from_array(np.asarray(v), name) for name, v in ones.items()]
            operands = ["x", "one", "zero", "w", "ws", "wz", "one", "zero", "b"]
            nodes = [helper.make_node("QLinearConv", operands, ["y"], **how)]
            kind = TensorProto.UINT8
        ins = [helper.make_tensor_value_info("x", kind, list(c.x.shape))]
        outs = [helper.make_tensor_value_info("y", kind, None)]
        graph = helper.make_graph(nodes, "g", ins, outs, constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
        options = ort.SessionOptions()
        options.intra_op_num_threads = case["threads"]
        options.add_session_config_entry("session.intra_op.allow_spinning", "1")
        options.add_session_config_entry("session.force_spinning_stop", "1")
        self.session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        y = self.session.run(None, {"x": c.x})[0]
        self.binding = self.session.io_binding()
        self.x, self.ys = ort.OrtValue.ortvalue_from_numpy(c.x), [ort.OrtValue.ortvalue_from_numpy(y)]
        self.binding.bind_ortvalue_input("x", self.x)
        self.binding.bind_ortvalue_output("y", self.ys[0])
        self.count, self.scale = 1, None
        return "Conv and Relu" if c.float else "QLinearConv"

    def run(self, r):
        for _ in range(-(-r // self.count)):
            self.session.run_with_iobinding(self.binding)
        return -(-r // self.count) * self.count

    def answer(self):
        if self.conv:
            return self.ys[0].numpy().transpose(0, 2, 3, 1)
        y = self.ys[-1].numpy().astype(np.float32)
        return y if self.scale is None else y / self.inv.astype(np.float32)[:, None] * self.scale


class OpenVino:
    """A MatMul with compressed constants (int8 per row, f16, bf16) or f32 ones, as its own tools write such models."""

    def case(self, case):
        import openvino as ov
        from openvino import opset13 as op

        self.conv = "conv" in case
        if self.conv:
            return self.convolution(case)
        m, k = case["m"], case["k"]
        copies = case["copies"]
        count = copies if copies > 1 else 4
        x = op.parameter([m, k], ov.Type.f32, "x")
        outs = []
        for i in range(count):
            if case["format"] in ("i8", "ternary"):
                w = np.fromfile(Path(case["dir"]) / "w.i8", np.int8).reshape(case["n"], k)
                scale = np.fromfile(Path(case["dir"]) / "w.scale", np.float32)
                scale = np.broadcast_to(scale, (case["n"],)).reshape(-1, 1)
                kind = ov.Type.i8
                if case["format"] == "ternary":
                    kind = ov.Type.i4  # its narrowest signed type; 2 bits more than needed
                    packed = (w[:, 0::2] & 15 | (w[:, 1::2] & 15) << 4).astype(np.uint8)
                    c = op.constant(ov.Tensor(packed, ov.Shape([case["n"], k]), kind))
                else:
                    c = op.constant(w.copy())
                c = op.multiply(op.convert(c, ov.Type.f32), op.constant(np.ascontiguousarray(scale)))
                what = f"MatMul of {kind.get_type_name()} constants"
            elif case["format"] in ("f32", "f16", "bf16"):
                w = weights(case)
                c = op.constant(w.copy())
                if case["format"] != "f32":
                    to = ov.Type.f16 if case["format"] == "f16" else ov.Type.bf16
                    c = op.convert(op.constant(w, dtype=to), ov.Type.f32)
                what = f"MatMul of {case['format']} constants"
            else:
                raise Refused(f"no {case['format']} here")
            outs.append(op.matmul(x, c, False, True))
        config = {
            "INFERENCE_NUM_THREADS": case["threads"],
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": "32" if case["format"] in ("i8", "ternary") else "0",
        }
        try:
            compiled = ov.Core().compile_model(ov.Model(outs, [x]), "CPU", config)
        except Exception as e:  # as above
            raise Refused(str(e).splitlines()[0]) from e
        self.request = compiled.create_infer_request()
        self.request.set_input_tensor(ov.Tensor(np.ascontiguousarray(activations(case))))
        self.count = count
        return what

    def convolution(self, case):
        import openvino as ov
        from openvino import opset13 as op

        c = Convolution(case)
        x = op.parameter(list(c.x.shape), ov.Type.f32 if c.float else ov.Type.u8, "x")
        data, w, bias = x, op.constant(c.w), c.bias
        if not c.float:
            # Both with a scale, which is how its passes know that they are quantised.
            data = op.multiply(op.convert(x, ov.Type.f32), op.constant(np.float32(1 / 64)))
            w = op.multiply(op.convert(w, ov.Type.f32), op.constant(c.scale.reshape(-1, 1, 1, 1) * np.float32(64)))
            bias = bias.astype(np.float32) * c.scale
        how = (case["stride"], c.begin, c.end, case["dilation"])
        if case["groups"] > 1:
            shape = [case["groups"], case["out"] // case["groups"], *c.w.shape[1:]]
            w = op.reshape(w, op.constant(np.array(shape, np.int64)), False)
            y = op.group_convolution(data, w, *how)
        else:
            y = op.convolution(data, w, *how)
        y = op.relu(op.add(y, op.constant(bias.reshape(1, -1, 1, 1))))
        if not c.float:
            low, high = op.constant(np.float32(0)), op.constant(np.float32(255))
            y = op.convert(op.fake_quantize(y, low, high, low, high, 256), ov.Type.u8)
        config = {
            "INFERENCE_NUM_THREADS": case["threads"],
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
        }
        compiled = ov.Core().compile_model(ov.Model([y], [x]), "CPU", config)
        kinds = [n.get_rt_info() for n in compiled.get_runtime_model().get_ops()]
        what = [str(k["primitiveType"].astype(str)) for k in kinds if "Convolution" in str(k["layerType"].astype(str))]
        self.request = compiled.create_infer_request()
        self.request.set_input_tensor(ov.Tensor(c.x))
        self.count = 1
        return " ".join(what) or "convolution"

    def run(self, r):
        for _ in range(-(-r // self.count)):
            self.request.infer()
        return -(-r // self.count) * self.count

    def answer(self):
        if self.conv:
            return self.request.get_output_tensor(0).data.transpose(0, 2, 3, 1)
        return self.request.get_output_tensor(self.count - 1).data


class Llama:
    """llama.cpp with a whole model. A case names the model's file, the tokens of a prompt that a run evaluates (`prompt`), or else
    the tokens that are there (`depth`) before a run decodes as many as it is asked for, one after the other."""

    def __init__(self):
        import llama_cpp as api

        self.api, self.path, self.model, self.ctx = api, None, None, None
        # It reports on stderr what it loads; only warnings are of interest here.
        self.quiet = api.llama_log_callback(lambda level, text, _: level >= 3 and sys.stderr.write(text.decode()) and None)
        api.llama_log_set(self.quiet, ctypes.c_void_p(0))
        api.llama_backend_init()

    def case(self, case):
        if "model" not in case:
            raise Refused("it is a rival of whole models")
        api = self.api
        if self.path != case["model"]:
            self.path = case["model"]
            self.model = api.llama_model_load_from_file(self.path.encode(), api.llama_model_default_params())
            if not self.model:
                raise Refused(f"llama.cpp does not load {self.path}")
        if self.ctx:
            api.llama_free(self.ctx)
        params = api.llama_context_default_params()
        params.n_ctx = max(case["context"], 64)
        params.n_batch = params.n_ubatch = 512
        params.n_threads = params.n_threads_batch = case["threads"]
        self.ctx = api.llama_init_from_model(self.model, params)
        self.memory = api.llama_get_memory(self.ctx)
        self.vocab = api.llama_vocab_n_tokens(api.llama_model_get_vocab(self.model))
        self.prompt, self.depth = case["prompt"], case["depth"]
        self.feed(range(self.depth))
        return f"llama.cpp, {self.vocab} tokens, {case['threads']} threads"

    def feed(self, positions):
        """Tokens at these positions, in batches as large as may be."""
        ids = [(i * 7919 + 13) % self.vocab for i in positions]
        for at in range(0, len(ids), 512):
            part = ids[at : at + 512]
            array = (self.api.llama_token * len(part))(*part)
            if self.api.llama_decode(self.ctx, self.api.llama_batch_get_one(array, len(part))):
                raise Refused("llama_decode failed")

    def run(self, r):
        self.api.llama_memory_seq_rm(self.memory, 0, self.depth, -1)
        for i in range(r):
            if self.prompt:
                self.api.llama_memory_seq_rm(self.memory, 0, 0, -1)
                self.feed(range(self.prompt))
            else:
                self.feed([self.depth + i])
        return r

    def answer(self):
        raise Refused("other quantisation of activations: its answers are not compared")


RIVALS = {"ggml": Ggml, "llama": Llama, "onnxruntime": OnnxRuntime, "openvino": OpenVino}


def serve(rival):
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if "case" in request:
                reply = {"ok": rival.case(request["case"])}
            elif "run" in request:
                begin = time.perf_counter()
                done = rival.run(request["run"])
                reply = {"seconds": (time.perf_counter() - begin) / done * request["run"]}
            else:
                np.ascontiguousarray(rival.answer(), np.float32).tofile(request["answer"])
                reply = {"ok": ""}
        except Refused as e:
            reply = {"refused": str(e)}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    serve(RIVALS[sys.argv[1]]())
