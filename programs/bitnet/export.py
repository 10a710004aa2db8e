"""The trained model in Hugging Face's packed form: config.json, model.safetensors, tokenizer.json.

Ternary matrices are packed as transformers packs them: four bands of rows in the bit pairs of a byte, code = weight + 1, and
`weight_scale` beside them, which the product is multiplied by ("autobitlinear"); scales stay f32. The embedding, which is the
head too, is rounded to f16.
"""

import json

import torch
from safetensors.torch import save_file

import model

LAYER = {
    "q": "self_attn.q_proj",
    "k": "self_attn.k_proj",
    "v": "self_attn.v_proj",
    "o": "self_attn.o_proj",
    "gate": "mlp.gate_proj",
    "up": "mlp.up_proj",
    "down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "attn_sub_norm": "self_attn.attn_sub_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_sub_norm": "mlp.ffn_sub_norm",
}


def pack(codes):
    """Rows r, r + n/4, r + n/2, r + 3n/4 share byte row r, lowest bits first."""
    bands = (codes + 1).to(torch.uint8).chunk(4, 0)
    return bands[0] | bands[1] << 2 | bands[2] << 4 | bands[3] << 6


@torch.no_grad()
def write(run, folder):
    if run.twin:
        raise SystemExit("the twin in f32 is a measure, not a model to ship")
    folder.mkdir(parents=True, exist_ok=True)
    net, shape = run.net, run.shape
    tensors = {
        "model.embed_tokens.weight": net.embed.half(),
        "model.norm.weight": net.norm.clone(),
    }
    for i, block in enumerate(net.blocks):
        at = f"model.layers.{i}."
        for name, w in block.w.items():
            codes, scale = model.weight_codes(w)
            tensors[f"{at}{LAYER[name]}.weight"] = pack(codes).contiguous()
            tensors[f"{at}{LAYER[name]}.weight_scale"] = scale.reshape(1)
        for name, w in block.norm.items():
            tensors[f"{at}{LAYER[name]}.weight"] = w.clone()
    save_file(tensors, folder / "model.safetensors")
    config = {
        "_name_or_path": "phalanx-shakespeare",
        "architectures": ["BitNetForCausalLM"],
        "vocab_size": shape.vocab,
        "hidden_size": shape.width,
        "intermediate_size": shape.ffn,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "max_position_embeddings": shape.context,
        "hidden_act": "relu2",
        "rms_norm_eps": model.EPS,
        "rope_theta": shape.theta,
        "tie_word_embeddings": True,
        "bos_token_id": 0,
        "quantization_config": {"quant_method": "bitnet", "linear_class": "autobitlinear", "quantization_mode": "offline"},
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    run.tokeniser.save(str(folder / "tokenizer.json"))
