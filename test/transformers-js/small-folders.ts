/** Folders of small models with the inputs and outputs that transformers.js feeds and reads, weights at random. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseModel } from "../../src/core/graph/text.ts";
import { save } from "../../src/core/onnx/index.ts";

const width = 64;
const vocabulary = 96;
/** Input texts for the models. */
export const texts = ["w7 w30 w2", "w90", "w11 w12 w13 w14 w50 w51 w77", "w3 w3 w41 w66"];

const square = (name: string, seed: number) => `  ${name}: float32[${width}, ${width}] = random(seed ${seed})`;

/** softmax(q · kᵀ + mask) · v, of one head: `v` has positions along axis 2. */
const attention = (name: string, [q, k, v]: readonly [string, string, string], mask: string | undefined) => [
  `${name}q4 = Unsqueeze(${q}, one)`,
  `${name}kt = Transpose(${k}) {perm=[0, 1, 3, 2]}`,
  `${name}scores = MatMul(${name}q4, ${name}kt)`,
  mask === undefined ? `${name}masked = Identity(${name}scores)` : `${name}masked = Add(${name}scores, ${mask})`,
  `${name}p = Softmax(${name}masked) {axis=-1}`,
  `${name}c4 = MatMul(${name}p, ${v})`,
  `${name}c = Squeeze(${name}c4, one)`,
];

/** 0 where a mask has 1, −1e9 where it has 0. */
const hiding = (mask: string, hidden: string) => [
  `${mask}.float = Cast(${mask}) {to=1}`,
  `${mask}.off = Sub(plain, ${mask}.float)`,
  `${hidden} = Mul(${mask}.off, far)`,
];
const constants = `  one: int64[1] = [1]
  both: int64[2] = [1, 2]
  plain: float32[1] = [1]
  far: float32[1] = [-1000000000]`;

const lines = (texts: readonly string[], indent = "  ") => texts.map((text) => `${indent}${text}\n`).join("");

const encoder = `opset 17
graph (input_ids: int64[batch_size, s], attention_mask: int64[batch_size, s]) -> (last_hidden_state: float32[batch_size, s, ${width}]) {
  table: float32[${vocabulary}, ${width}] = random(seed 1, from -1.5 to 1.5)
${["q", "k", "v"].map((name, at) => square(`${name}.weight`, 2 + at)).join("\n")}
${constants}
${lines([
  "h = Gather(table, input_ids)",
  "q = MatMul(h, q.weight)",
  "k3 = MatMul(h, k.weight)",
  "v3 = MatMul(h, v.weight)",
  "k = Unsqueeze(k3, one)",
  "v = Unsqueeze(v3, one)",
  ...hiding("attention_mask", "hidden"),
  "mask = Unsqueeze(hidden, both)",
  ...attention("self.", ["q", "k", "v"], "mask"),
  "last_hidden_state = Add(h, self.c)",
])}}`;

const caches = ["decoder.key", "decoder.value", "encoder.key", "encoder.value"];
const cacheOf = (name: string, length: string) => `${name}: float32[batch_size, 1, ${length}, ${width}]`;

/** One branch goes on from a cache, the other begins; both read the weights of the main graph. */
const mergedDecoder = (hasMask = true) => {
  const branch = (name: string, begins: boolean) => {
    const v = (stem: string) => `${name}.${stem}`;
    const selfAttentionLines = ["key", "value"].flatMap((what) => [
      `${v(`own.${what}3`)} = MatMul(${v("h")}, own.${what}.weight)`,
      `${v(`own.${what}`)} = Unsqueeze(${v(`own.${what}3`)}, one)`,
      `${v(`decoder.${what}`)} = Concat(past_key_values.0.decoder.${what}, ${v(`own.${what}`)}) {axis=2}`,
      ...(begins
        ? [
            `${v(`text.${what}3`)} = MatMul(encoder_hidden_states, text.${what}.weight)`,
            `${v(`encoder.${what}`)} = Unsqueeze(${v(`text.${what}3`)}, one)`,
          ]
        : [`${v(`encoder.${what}`)} = Identity(past_key_values.0.encoder.${what})`]),
    ]);
    const body = [
      `${v("h")} = Gather(table, input_ids)`,
      ...selfAttentionLines,
      `${v("q")} = MatMul(${v("h")}, own.query.weight)`,
      ...attention(v("self."), [v("q"), v("decoder.key"), v("decoder.value")], undefined),
      `${v("h1")} = Add(${v("h")}, ${v("self.c")})`,
      `${v("q1")} = MatMul(${v("h1")}, text.query.weight)`,
      ...attention(v("cross."), [v("q1"), v("encoder.key"), v("encoder.value")], hasMask ? "mask" : undefined),
      `${v("h2")} = Add(${v("h1")}, ${v("cross.c")})`,
      `${v("logits")} = MatMul(${v("h2")}, head.weight)`,
    ];
    return `graph "${name}" () -> (${[v("logits"), ...caches.map(v)].join(", ")}) {\n${lines(body, "    ")}  }`;
  };
  const outputs = caches.map((name) => cacheOf(`present.0.${name}`, `total_${name.split(".")[0]}`)).join(", ");
  const names = ["own.key", "own.value", "own.query", "text.key", "text.value", "text.query"];
  return `opset 17
graph (${hasMask ? "encoder_attention_mask: int64[batch_size, e], " : ""}input_ids: int64[batch_size, s], encoder_hidden_states: float32[batch_size, e, ${width}], ${caches
    .map((name) => cacheOf(`past_key_values.0.${name}`, `past_${name.split(".")[0]}`))
    .join(", ")}, use_cache_branch: bool[1]) -> (logits: float32[batch_size, s, ${vocabulary}], ${outputs}) {
  table: float32[${vocabulary}, ${width}] = random(seed 20, from -1.5 to 1.5)
${names.map((name, at) => square(`${name}.weight`, 21 + at)).join("\n")}
  head.weight: float32[${width}, ${vocabulary}] = random(seed 30)
${constants}
${hasMask ? lines([...hiding("encoder_attention_mask", "hidden"), "mask = Unsqueeze(hidden, both)"]) : ""}  logits, ${caches.map((name) => `present.0.${name}`).join(", ")} = If "merged" (use_cache_branch) {then_branch=${branch("then", false)}, else_branch=${branch("else", true)}}
}`;
};

/** Spectra of a second, ten frames to one position. */
const listener = `opset 17
graph (input_features: float32[batch_size, 80, 100]) -> (last_hidden_state: float32[batch_size, 10, ${width}]) {
  frames.weight: float32[${width}, 80, 10] = random(seed 80, from -0.2 to 0.2)
${square("project.weight", 81)}
${lines([
  "frames = Conv(input_features, frames.weight) {strides=[10]}",
  "turned = Transpose(frames) {perm=[0, 2, 1]}",
  "last_hidden_state = MatMul(turned, project.weight)",
])}}`;

const embedTokens = `opset 17
graph (input_ids: int64[batch_size, s]) -> (inputs_embeds: float32[batch_size, s, ${width}]) {
  table: float32[${vocabulary}, ${width}] = random(seed 40, from -1.5 to 1.5)
  inputs_embeds = Gather(table, input_ids)
}`;

/** Positions of a text from a table, each sees those before it. */
const decoder = `opset 17
graph (inputs_embeds: float32[batch_size, s, ${width}], attention_mask: int64[batch_size, t], position_ids: int64[batch_size, s], ${cacheOf("past_key_values.0.key", "p")}, ${cacheOf("past_key_values.0.value", "p")})
    -> (logits: float32[batch_size, s, ${vocabulary}], ${cacheOf("present.0.key", "t")}, ${cacheOf("present.0.value", "t")}) {
  places: float32[128, ${width}] = random(seed 50, from -1 to 1)
${["q", "k", "v"].map((name, at) => square(`${name}.weight`, 51 + at)).join("\n")}
  head.weight: float32[${width}, ${vocabulary}] = random(seed 60)
${constants}
  none: int64[] = [0]
  step: int64[] = [1]
  last: int64[1] = [-1]
${lines([
  "place = Gather(places, position_ids)",
  "h = Add(inputs_embeds, place)",
  "q = MatMul(h, q.weight)",
  "k3 = MatMul(h, k.weight)",
  "v3 = MatMul(h, v.weight)",
  "k = Unsqueeze(k3, one)",
  "v = Unsqueeze(v3, one)",
  "present.0.key = Concat(past_key_values.0.key, k) {axis=2}",
  "present.0.value = Concat(past_key_values.0.value, v) {axis=2}",
  "sizes = Shape(attention_mask)",
  "total = Gather(sizes, step) {axis=0}",
  "new = Shape(position_ids)",
  "count = Gather(new, step) {axis=0}",
  "past = Sub(total, count)",
  "keys = Range(none, total, step)",
  "queries1 = Range(past, total, step)",
  "queries = Unsqueeze(queries1, last)",
  "later = Greater(keys, queries)",
  "later.float = Cast(later) {to=1}",
  "future = Mul(later.float, far)",
  ...hiding("attention_mask", "hidden"),
  "padded = Unsqueeze(hidden, both)",
  "mask = Min(padded, future)",
  ...attention("self.", ["q", "present.0.key", "present.0.value"], "mask"),
  "h1 = Add(h, self.c)",
  "logits = MatMul(h1, head.weight)",
])}}`;

/** Squares of 8 pixels, each one place. */
const vision = `opset 17
graph (pixel_values: float32[batch_size, 3, height, wide]) -> (image_features: float32[batch_size, n, ${width}]) {
  patch.weight: float32[${width}, 3, 8, 8] = random(seed 70)
${square("project.weight", 71)}
  flat: int64[3] = [0, ${width}, -1]
${lines([
  "patches = Conv(pixel_values, patch.weight) {strides=[8, 8]}",
  "rows = Reshape(patches, flat)",
  "turned = Transpose(rows) {perm=[0, 2, 1]}",
  "image_features = MatMul(turned, project.weight)",
])}}`;

async function written(folder: string, models: Readonly<Record<string, string>>, config: object): Promise<void> {
  await mkdir(join(folder, "onnx"), { recursive: true });
  for (const [name, text] of Object.entries(models)) await save(parseModel(text), join(folder, "onnx", `${name}.onnx`));
  const vocab = Object.fromEntries(Array.from({ length: vocabulary }, (_, at) => [at === 0 ? "<pad>" : `w${at}`, at]));
  const files = {
    config: { vocab_size: vocabulary, eos_token_id: null, pad_token_id: 0, ...config },
    generation_config: { pad_token_id: 0 },
    tokenizer: {
      ...{ version: "1.0", added_tokens: [], normalizer: null, post_processor: null, decoder: null },
      pre_tokenizer: { type: "WhitespaceSplit" },
      model: { type: "WordLevel", vocab, unk_token: "w1" },
    },
    tokenizer_config: {
      tokenizer_class: "PreTrainedTokenizer",
      pad_token: "<pad>",
      unk_token: "w1",
      model_max_length: 64,
    },
  };
  for (const [name, content] of Object.entries(files))
    await writeFile(join(folder, `${name}.json`), JSON.stringify(content));
}

/** An encoder and a merged decoder, as T5 is laid out. */
export function textToText(folder: string): Promise<void> {
  return written(
    folder,
    { encoder_model: encoder, decoder_model_merged: mergedDecoder() },
    {
      ...{ model_type: "t5", architectures: ["T5ForConditionalGeneration"], is_encoder_decoder: true },
      ...{ num_layers: 1, num_decoder_layers: 1, num_heads: 1, d_kv: width, d_model: width, decoder_start_token_id: 0 },
    },
  );
}

/** An encoder of spectra and a merged decoder, as Whisper is laid out. Sounds last one second. */
export async function speechToText(folder: string): Promise<void> {
  await written(
    folder,
    { encoder_model: listener, decoder_model_merged: mergedDecoder(false) },
    {
      ...{ model_type: "whisper", architectures: ["WhisperForConditionalGeneration"], is_encoder_decoder: true },
      ...{
        encoder_layers: 1,
        decoder_layers: 1,
        encoder_attention_heads: 1,
        decoder_attention_heads: 1,
        d_model: width,
      },
      ...{ num_mel_bins: 80, decoder_start_token_id: 2, eos_token_id: 3 },
    },
  );
  const sizes = {
    feature_size: 80,
    n_fft: 400,
    hop_length: 160,
    chunk_length: 1,
    n_samples: 16_000,
    nb_max_frames: 100,
  };
  const features = { feature_extractor_type: "WhisperFeatureExtractor", sampling_rate: 16_000, ...sizes };
  const generation = {
    ...{ decoder_start_token_id: 2, eos_token_id: 3, pad_token_id: 3, is_multilingual: false, max_length: 14 },
    ...{ no_timestamps_token_id: 4, suppress_tokens: [0, 1, 2, 4], begin_suppress_tokens: [3] },
  };
  await writeFile(join(folder, "preprocessor_config.json"), JSON.stringify(features));
  await writeFile(join(folder, "generation_config.json"), JSON.stringify(generation));
}

/** A table of tokens, a decoder of what it gives, and a model of images, as LLaVA is laid out. */
export async function imageToText(folder: string): Promise<void> {
  const heads = { num_hidden_layers: 1, num_attention_heads: 1, num_key_value_heads: 1, hidden_size: width };
  await written(
    folder,
    { embed_tokens: embedTokens, decoder_model_merged: decoder, vision_encoder: vision },
    {
      ...{ model_type: "llava", architectures: ["LlavaForConditionalGeneration"], image_token_index: imageToken },
      text_config: { model_type: "llama", ...heads },
    },
  );
  const images = { image_processor_type: "CLIPImageProcessor" };
  await writeFile(join(folder, "preprocessor_config.json"), JSON.stringify(images));
}

/** Stands in a text for a place of an image. */
export const imageToken = 95;
