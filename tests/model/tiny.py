"""Writes a tiny random model in GGUF: real enough for a server to load, and it knows nothing.

Every byte and every printable character is a token of its own, so a grammar can make it say any text.
"""

import sys

import gguf
import numpy

CONTEXT, WIDTH, BLOCKS, INNER, HEADS = 16384, 64, 2, 128, 4


def tokens():
    names = [b"<unk>", b"<s>", b"</s>"]
    kinds = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL]
    names += [f"<0x{byte:02X}>".encode() for byte in range(256)]
    kinds += [gguf.TokenType.BYTE] * 256
    plain = ["\u2581"] + [chr(code) for code in range(33, 127)]
    names += [text.encode() for text in plain]
    kinds += [gguf.TokenType.NORMAL] * len(plain)
    scores = [0.0] * 259 + [-float(rank) for rank in range(len(plain))]
    return names, kinds, scores


def describe(writer):
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(BLOCKS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    names, kinds, scores = tokens()
    writer.add_vocab_size(len(names))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(names)
    writer.add_token_scores(scores)
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_chat_template("{% for message in messages %}{{ message['content'] }}{% endfor %}")
    return len(names)


def fill(writer, vocabulary):
    random = numpy.random.default_rng(7)

    def tensor(name, *shape):
        writer.add_tensor(name, random.normal(0, 0.05, shape).astype(numpy.float32))

    def ones(name):
        writer.add_tensor(name, numpy.ones(WIDTH, dtype=numpy.float32))

    tensor("token_embd.weight", vocabulary, WIDTH)
    ones("output_norm.weight")
    tensor("output.weight", vocabulary, WIDTH)
    for block in range(BLOCKS):
        ones(f"blk.{block}.attn_norm.weight")
        ones(f"blk.{block}.ffn_norm.weight")
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            tensor(f"blk.{block}.{part}.weight", WIDTH, WIDTH)
        tensor(f"blk.{block}.ffn_gate.weight", INNER, WIDTH)
        tensor(f"blk.{block}.ffn_up.weight", INNER, WIDTH)
        tensor(f"blk.{block}.ffn_down.weight", WIDTH, INNER)


def main(path):
    writer = gguf.GGUFWriter(path, "llama")
    fill(writer, describe(writer))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main(sys.argv[1])
