/** Networks of real size, with the commands that compress them and the usual recipe in Python for each format. */

export interface RealNetwork {
  readonly title: string;
  /** Sentences for the page: the source of the network, and the measures. */
  readonly source: string;
  readonly measured: string;
  readonly kind: "sentences" | "text" | "speech" | "images" | "lines" | "chunks";
  /** Data of the shared folder for the measurement. */
  readonly data: string;
  /** Paths of its models in its folder, without ".onnx". */
  readonly files: readonly string[];
  /** Data that the commands of a single model read, as the page names it, and words about it. `bench/peers/real_data.py` writes lines and sound. */
  readonly given?: { readonly name: string; readonly words: readonly string[] };
  /** Quality of brotli: 11, or 9 for large files. */
  readonly brotli: 9 | 11;
  /** Runs of models that are timed. `count` runs make one unit of the speed. */
  readonly runs: readonly { readonly file: string; readonly words: readonly string[]; readonly count: number }[];
  readonly speed: string;
  readonly change: { readonly title: string; readonly unit: "points" | "percent" | "share" };
  readonly same?: string;
  /** Sentences about causes of differences to the recipes. */
  readonly causes?: string;
  readonly rows: readonly RealRow[];
}

export interface RealRow {
  readonly name: string;
  readonly tool: "Pith" | "onnxruntime" | "onnxconverter-common";
  /** Words of a command of Pith whose result the next one takes. */
  readonly first?: readonly string[];
  /** Words of a command of Pith after the model, or the recipe of bench/peers/real_recipe.py. */
  readonly words: readonly string[];
  /** Suffix of Pith's files. */
  readonly suffix?: string;
  /** Name of the recipe for the same format. */
  readonly recipe?: string;
}

const recipes = {
  dynamic: { name: "quantize_dynamic", tool: "onnxruntime", words: ["dynamic"] },
  static: { name: "quantize_static", tool: "onnxruntime", words: ["static"] },
  nbits: { name: "MatMulNBitsQuantizer", tool: "onnxruntime", words: ["nbits"] },
  float16: { name: "float16", tool: "onnxconverter-common", words: ["float16"] },
  nbitsFloat16: { name: "MatMulNBitsQuantizer, float16", tool: "onnxconverter-common", words: ["nbits-float16"] },
} as const satisfies Readonly<Record<string, RealRow>>;
const pith = (dtype: string, suffix: string, { name }: RealRow): RealRow => ({
  ...{ name: dtype, tool: "Pith", suffix, recipe: name },
  words: ["quantize", "--dtype", dtype],
});
const scheme = (name: string, words: readonly string[], recipe?: RealRow): RealRow => ({
  ...{ name, tool: "Pith", words: ["quantize", "--scheme", ...words] },
  ...(recipe === undefined ? {} : { recipe: recipe.name }),
});
const transformers: readonly RealRow[] = [
  ...[pith("q8", "_quantized", recipes.dynamic), recipes.dynamic],
  ...[pith("q4", "_q4", recipes.nbits), recipes.nbits],
  ...[pith("q4f16", "_q4f16", recipes.nbitsFloat16), recipes.nbitsFloat16],
  ...[pith("fp16", "_fp16", recipes.float16), recipes.float16],
];

const rate = ["--set", "sr=16000"];

export const realNetworks = {
  "all-minilm-l6-v2": {
    title: "all-MiniLM-L6-v2",
    source: "Sentence vectors, 22 million weights. `bench/peers/real_models.py` makes it.",
    measured:
      "Rank correlation with the scores of 750 pairs of STS-B (validation), its change, and the mean cosine of 1,500 sentences with float32's vectors. The speed is that of a sentence of 32 tokens.",
    kind: "sentences",
    data: "data/text/stsb-en-dev.csv",
    files: ["onnx/model"],
    brotli: 9,
    runs: [{ file: "onnx/model", words: ["--dim", "batch_size=1,sequence_length=32"], count: 1 }],
    speed: "sentences",
    change: { title: "rank correlation", unit: "points" },
    same: "cosine",
    causes:
      "Causes: quantize_dynamic has one scale for a tensor, and outliers set it. Few of its values occur often, so it compresses better, with 2.4 × the error. Pith has a scale for each output. `--no-per-channel` makes a file like that of quantize_dynamic: 14.2 MB after brotli, with a cosine of 0.962 and a change of −0.3 (−0.8 … +0.1). Timed in turns with each other, q8 and quantize_dynamic differ by at most 4 % in WebAssembly, and q8 is 1.05 to 1.1 × as fast in Node. So the rows above do not show which one is faster in a page (`bench/logs/real.md`).",
    rows: transformers,
  },
  "efficientnet-lite0": {
    title: "EfficientNet-Lite0",
    source: "Classifier of 1,000 classes, 4.7 million weights. `bench/peers/real_models.py` makes it.",
    measured:
      "Accuracy on 400 images of ImageNet, its change, and equal predictions. The same 100 other images calibrate both tools. The speed is that of one image.",
    kind: "images",
    data: "data/images/imagenet",
    files: ["model"],
    given: { name: "imagenet/", words: [] },
    brotli: 11,
    runs: [{ file: "model", words: [], count: 1 }],
    speed: "images",
    change: { title: "accuracy", unit: "points" },
    same: "same class",
    rows: [
      ...[scheme("int8", ["static"], recipes.static), recipes.static],
      ...[scheme("float16", ["float16"], recipes.float16), recipes.float16],
      scheme("int8, rdoq", ["static", "--rounder", "rdoq"]),
    ],
  },
  "whisper-tiny.en": {
    title: "Whisper tiny.en",
    source: "Speech recognition, 38 million weights. `bench/peers/real_models.py` makes it.",
    measured:
      "Words that differ from float32's transcript of 60 s of speech (111 words). The speed is seconds of speech: a run of the encoder and 60 of the decoder for 30 s.",
    kind: "speech",
    data: "data/audio/silero_test.wav",
    files: ["onnx/encoder_model", "onnx/decoder_model_merged"],
    brotli: 9,
    runs: [
      { file: "onnx/encoder_model", words: ["--dim", "batch_size=1"], count: 1 / 30 },
      {
        file: "onnx/decoder_model_merged",
        words: [
          ...["--set", "use_cache_branch=true"],
          ...["--dim", "batch_size=1,decoder_sequence_length=1,past_decoder_sequence_length=32"],
          ...["--dim", "encoder_sequence_length=1500"],
        ],
        count: 2,
      },
    ],
    speed: "seconds of speech",
    change: { title: "other words", unit: "share" },
    rows: transformers,
  },
  "smollm2-135m": {
    title: "SmolLM2-135M",
    source:
      "Language model, 135 million weights. `bench/peers/real_models.py` makes it from a GGUF file of 4 to 6 bits.",
    measured:
      "Perplexity of 1,024 tokens of WikiText-2 (validation), its change, and how often the most likely token is float32's. The speed is that of one token after 64.",
    kind: "text",
    data: "data/text/wikitext2-valid.txt",
    files: ["onnx/model"],
    brotli: 9,
    runs: [
      { file: "onnx/model", words: ["--dim", "batch_size=1,sequence_length=1,past_sequence_length=64"], count: 1 },
    ],
    speed: "tokens",
    change: { title: "perplexity", unit: "percent" },
    same: "same token",
    causes:
      "Causes: ONNX Runtime has no kernels for 4-bit blocks in WebAssembly, so each run converts all of them to float32. MatMulNBitsQuantizer leaves the table of tokens in float32, which saves this time and takes 83 MB. In a page, `q4` is for WebGPU ([quantization](quantization.md#blocks-in-webassembly)).",
    rows: transformers,
  },
  "ppocr-v4-rec": {
    title: "PP-OCRv4, recognizer",
    source:
      "Reads lines of Chinese and English text, 2.7 million weights. The PyPI package rapidocr_onnxruntime has it.",
    measured:
      "Characters read right, without spaces, in 500 drawn lines of English text (8 fonts, noise, several contrasts), and lines with the same text as float32's. 300 other lines calibrate both tools. The speed is that of a line of 48 × 320 pixels.",
    kind: "lines",
    data: "data/text/wikitext2-valid.txt",
    files: ["model"],
    given: { name: "lines.npz", words: [] },
    brotli: 11,
    runs: [{ file: "model", words: ["--dim", "?x.2=48,p2o.DynamicDimension.1=320"], count: 1 }],
    speed: "lines",
    change: { title: "characters", unit: "points" },
    same: "same text",
    causes:
      "Causes: Pith compares the most likely character of each of 40 steps of a line, blanks included. Most steps that differ do not change the text. The search for layers in higher precision takes minutes and does not reach 1 point, so the default goal rejects int8. `--max-drop 5%` writes it. The file has operator set 12. The recipe for it is written in operator set 13, because scales per channel need that: with one scale for a tensor no line was read.",
    rows: [
      ...[scheme("int8", ["static"], recipes.static), recipes.static],
      ...[scheme("dynamic", ["dynamic"], recipes.dynamic), recipes.dynamic],
      ...[scheme("float16", ["float16"], recipes.float16), recipes.float16],
      scheme("int8 within 5 points", ["static", "--max-drop", "5%"], recipes.static),
      scheme("dynamic within 5 points", ["dynamic", "--max-drop", "5%"], recipes.dynamic),
    ],
  },
  "silero-vad": {
    title: "Silero VAD",
    source: "Finds speech in sound, 545,000 weights for two sample rates. The PyPI package silero_vad has it.",
    measured:
      "Chunks of 32 ms in which the decision at 0.5 differs from float32's: 40 s of speech, alone and with noise at 10 and 0 dB, then 10 s of silence and of noise. Beside it the mean difference of the probability. The first 20 s of the recording calibrate both tools. The speed is that of a chunk.",
    kind: "chunks",
    data: "data/audio/silero_test.wav",
    files: ["model"],
    given: { name: "speech.wav", words: ["--preprocess", "frame=512 context=64 rate=16000"] },
    brotli: 11,
    runs: [{ file: "model", words: [...rate, "--dim", "?input.1=576"], count: 1 }],
    speed: "chunks",
    change: { title: "other decisions", unit: "share" },
    same: "difference",
    causes:
      "Causes: the network is inside an If for two sample rates. Static quantization of either tool enters no If, so Pith writes nothing, and quantize_static changes no weight. After `pith simplify --set sr=16000` Pith's static int8 loses 3.5 % of the variance of the outputs, and is rejected. quantize_dynamic rounds every tensor with one scale, also the Fourier transform and its input. The file compresses better, and 16.6 % of the decisions change. Integer arithmetic of layers as small as these costs more time than it saves.",
    rows: [
      ...[scheme("int8", ["static", ...rate], recipes.static), recipes.static],
      ...[scheme("dynamic", ["dynamic", ...rate], recipes.dynamic), recipes.dynamic],
      ...[scheme("float16", ["float16", ...rate], recipes.float16), recipes.float16],
      { ...scheme("float16, one rate", ["float16"], recipes.float16), first: ["simplify", ...rate] },
      { ...scheme("int8 weights, one rate", ["weights"], recipes.dynamic), first: ["simplify", ...rate] },
    ],
  },
} as const satisfies Readonly<Record<string, RealNetwork>>;

export type RealName = keyof typeof realNetworks;
export const realNames = Object.keys(realNetworks) as readonly RealName[];
/** Networks in the table of README and on the landing page. */
export const bestKnown = [
  "all-minilm-l6-v2",
  "efficientnet-lite0",
  "whisper-tiny.en",
  "smollm2-135m",
] as const satisfies readonly RealName[];

interface Interval {
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

/** Result of a row: of float32, or of a command. Parts without a value failed: their reasons are in `failed`. */
export interface RealResult {
  readonly name: string;
  readonly tool?: RealRow["tool"];
  readonly date: string;
  /** Load of the machine at the start and at the end. */
  readonly load: { readonly start: number; readonly end: number };
  readonly command?: string;
  /** Seconds of processor time, and peak memory in bytes, of all processes of the command. */
  readonly making?: { readonly processor: number; readonly memory: number };
  readonly bytes?: number;
  readonly brotli?: number;
  readonly outcome?: {
    readonly value: number;
    readonly count: number;
    readonly change: Interval;
    readonly same?: Interval;
  };
  readonly node?: RealSpeed & { readonly memory: number };
  readonly wasm?: RealSpeed;
  readonly failed: Readonly<Partial<Record<"making" | "outcome" | "node" | "wasm", string>>>;
}

export interface RealSpeed {
  /** Units a second. */
  readonly speed: number;
  /** How many times as fast as float32 in the same run. */
  readonly factor: number;
  /** The 10th and 90th percentile of the factor over the rounds. */
  readonly low?: number;
  readonly high?: number;
}

export interface RealResults {
  readonly machine: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly networks: Readonly<Partial<Record<RealName, readonly RealResult[]>>>;
}

export const resultFile = "bench/logs/real-models.generated.json";
