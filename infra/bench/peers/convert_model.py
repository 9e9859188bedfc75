"""Writes a model in the formats in which peers are fastest: `convert_model.py MODEL.gguf --to q4_0|bf16|huggingface --out PATH`.

MODEL is a GGUF file of the llama family. Its weights are dequantised and, for q4_0, quantised again: the answers get worse, the
work stays the same, which is all that a benchmark needs. `huggingface` writes a folder with bf16 safetensors, as vLLM reads it.
Needs the package gguf that infra/tools.toml pins; `install.py` puts it where this script looks.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from install import gguf_folder  # noqa: E402

sys.path.insert(0, str(gguf_folder()))

import gguf  # noqa: E402
import numpy as np  # noqa: E402

CONTROL_TOKEN = 3
LAYER_TENSORS = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
OTHER_TENSORS = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}


def as_float(tensor: gguf.ReaderTensor) -> np.ndarray:
    """The weights in f32, as [rows, columns] or [columns]."""
    values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
    return np.asarray(values, dtype=np.float32).reshape([int(size) for size in reversed(tensor.shape)])


def value_of(reader: gguf.GGUFReader, key: str):
    field = reader.fields.get(key)
    return None if field is None else field.contents()


def write_gguf(reader: gguf.GGUFReader, target: gguf.GGMLQuantizationType, out: Path) -> None:
    """Matrices in the target type; vectors and, for q4_0, the table of embeddings stay as they are."""
    writer = gguf.GGUFWriter(out, value_of(reader, "general.architecture"))
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name in ("general.architecture", "general.file_type"):
            continue
        kind = field.types[0]
        writer.add_key_value(name, field.contents(), kind, sub_type=field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None)
    kinds = {gguf.GGMLQuantizationType.Q4_0: gguf.LlamaFileType.MOSTLY_Q4_0, gguf.GGMLQuantizationType.BF16: gguf.LlamaFileType.MOSTLY_BF16}
    writer.add_file_type(kinds[target])
    for tensor in reader.tensors:
        is_matrix = len(tensor.shape) > 1
        is_kept = not is_matrix or (target == gguf.GGMLQuantizationType.Q4_0 and tensor.name == "token_embd.weight")
        if is_kept:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
        else:
            writer.add_tensor(tensor.name, gguf.quants.quantize(as_float(tensor), target), raw_dtype=target)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def huggingface_name(name: str) -> str:
    parts = name.removesuffix(".weight").split(".")
    if parts[0] == "blk":
        return f"model.layers.{parts[1]}.{LAYER_TENSORS['.'.join(parts[2:])]}.weight"
    return f"{OTHER_TENSORS['.'.join(parts)]}.weight"


def halves(weights: np.ndarray, num_heads: int) -> np.ndarray:
    """The rows of each head as Hugging Face rotates them, the two halves apart; llama.cpp keeps each pair together."""
    rows, columns = weights.shape
    return weights.reshape(num_heads, rows // num_heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def bf16_bytes(values: np.ndarray) -> bytes:
    """Rounded to nearest, ties to even."""
    bits = np.ascontiguousarray(values).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16).tobytes()


def write_safetensors(tensors: dict[str, np.ndarray], out: Path) -> None:
    header, offset = {}, 0
    for name, values in tensors.items():
        header[name] = {"dtype": "BF16", "shape": list(values.shape), "data_offsets": [offset, offset + values.size * 2]}
        offset += values.size * 2
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with out.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for values in tensors.values():
            file.write(bf16_bytes(values))


def write_tokenizer(reader: gguf.GGUFReader, out: Path) -> None:
    """Enough to decode ids exactly; benchmarks send ids, so how text is split into words does not matter."""
    tokens = value_of(reader, "tokenizer.ggml.tokens")
    kinds = value_of(reader, "tokenizer.ggml.token_type")
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    added = [
        {"id": index, "content": token, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
        for index, (token, kind) in enumerate(zip(tokens, kinds))
        if kind == CONTROL_TOKEN
    ]
    model = {
        "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
        "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
        "vocab": {token: index for index, token in enumerate(tokens)},
        "merges": value_of(reader, "tokenizer.ggml.merges"),
    }
    document = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
        "pre_tokenizer": byte_level, "post_processor": None, "decoder": byte_level, "model": model,
    }
    (out / "tokenizer.json").write_text(json.dumps(document, ensure_ascii=False))
    end = tokens[value_of(reader, "tokenizer.ggml.eos_token_id")]
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": end, "bos_token": end, "clean_up_tokenization_spaces": False}
    (out / "tokenizer_config.json").write_text(json.dumps(settings))


def write_huggingface(reader: gguf.GGUFReader, out: Path) -> None:
    num_heads = value_of(reader, "llama.attention.head_count")
    num_kv_heads = value_of(reader, "llama.attention.head_count_kv")
    tensors = {}
    for tensor in reader.tensors:
        values = as_float(tensor)
        if tensor.name.endswith("attn_q.weight"):
            values = halves(values, num_heads)
        elif tensor.name.endswith("attn_k.weight"):
            values = halves(values, num_kv_heads)
        tensors[huggingface_name(tensor.name)] = values
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": value_of(reader, "llama.embedding_length"),
        "intermediate_size": value_of(reader, "llama.feed_forward_length"),
        "num_hidden_layers": value_of(reader, "llama.block_count"),
        "num_attention_heads": num_heads,
        "num_key_value_heads": num_kv_heads,
        "max_position_embeddings": value_of(reader, "llama.context_length"),
        "rms_norm_eps": value_of(reader, "llama.attention.layer_norm_rms_epsilon"),
        "rope_theta": value_of(reader, "llama.rope.freq_base"),
        "vocab_size": len(value_of(reader, "tokenizer.ggml.tokens")),
        "tie_word_embeddings": "lm_head.weight" not in tensors,
        "bos_token_id": value_of(reader, "tokenizer.ggml.bos_token_id"),
        "eos_token_id": value_of(reader, "tokenizer.ggml.eos_token_id"),
        "torch_dtype": "bfloat16",
    }
    out.mkdir(parents=True)
    (out / "config.json").write_text(json.dumps(config, indent=2))
    write_tokenizer(reader, out)
    write_safetensors(tensors, out / "model.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--to", choices=("q4_0", "bf16", "huggingface"), required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    if arguments.out.exists():
        return
    reader = gguf.GGUFReader(arguments.model)
    if value_of(reader, "general.architecture") != "llama":
        sys.exit(f"error: {arguments.model} is not of the llama family")
    unfinished = arguments.out.with_name(arguments.out.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.unlink(missing_ok=True)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    if arguments.to == "huggingface":
        write_huggingface(reader, unfinished)
    else:
        write_gguf(reader, gguf.GGMLQuantizationType[arguments.to.upper()], unfinished)
    unfinished.rename(arguments.out)


if __name__ == "__main__":
    main()
