/** Job that runs a folder's models in transformers.js. Its process must not load another ONNX Runtime. */
import { link, mkdir, readdir, realpath, symlink, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { encodeToBytes, errorMessage, Miss, open } from "#ir";
import { openFeatureExtractor } from "../../../data/sound/features.ts";
import { speechNoise } from "../../../data/sound/speech-noise.ts";
import { readUtterances } from "../../../data/sources/utterances.ts";
import type { JobContext } from "../../../runtime/job/job.ts";
import type { LoaderOutputs, LoaderRun, ModuleDtypes } from "../../folder/loader-check.ts";
import { weightFilesOf } from "../../folder/model-files.ts";

export interface LoaderInput {
  readonly library: string;
  readonly folder: string;
  /** Number of external data files of each ONNX file. */
  readonly chunks?: Readonly<Record<string, number>>;
  readonly dtypes: ModuleDtypes;
  readonly texts: readonly string[];
  /** Path of the user's WAV files. */
  readonly sounds?: string | undefined;
  /** For each input, tokens that are fed instead of the generated ones (teacher forcing). */
  readonly forcedTokens: readonly (readonly number[])[] | undefined;
  /** Whether the model is large. Its weights then have only one copy in memory. */
  readonly isLarge: boolean;
  /** Whether the files are the originals. */
  readonly areOriginals?: boolean;
}

interface TransformersLibrary {
  readonly env: object;
  readonly AutoConfig: Pretrained<{ readonly architectures?: unknown; readonly model_type?: unknown }>;
  readonly AutoModel: ModelClass & { readonly MODEL_CLASS_MAPPINGS: readonly ReadonlyMap<string, unknown>[] };
  readonly AutoTokenizer: Pretrained<(text: string, options: object) => Feeds>;
  readonly AutoImageProcessor: Pretrained<(image: object) => Promise<Feeds>>;
  readonly AutoFeatureExtractor: Pretrained<(sound: Float32Array) => Promise<Feeds>>;
  readonly RawImage: new (pixels: Uint8ClampedArray, width: number, height: number, channels: number) => object;
  readonly Tensor: new () => Tensor;
  readonly LogitsProcessor: new () => object;
  readonly LogitsProcessorList: new () => { push(processor: object): void };
  readonly PreTrainedModel: ModelClass;
}

interface Pretrained<T> {
  from_pretrained(name: string, options?: object): Promise<T>;
}

type ModelClass = Pretrained<Model> & (new () => object);

interface Model {
  (feeds: Feeds): Promise<Feeds>;
  readonly can_generate: boolean;
  readonly sessions: Readonly<Record<string, Session | undefined>>;
  generate(options: object): Promise<unknown>;
  dispose(): Promise<unknown>;
}

interface Session {
  readonly inputNames: readonly string[];
  run(...parameters: readonly unknown[]): Promise<unknown>;
}

interface Tensor {
  readonly type: string;
  readonly data: Float32Array;
  to(type: "float32"): Tensor;
}

type Feeds = Readonly<Record<string, unknown>>;

/** Minimum bytes of a weight that stays in its file. */
const minMappedBytes = 2 ** 16;
/** Maximum number of sounds, and their form if no file states it. */
const [maxSounds, defaultSound] = [4, { rate: 16_000, maxSeconds: 30 }];
/** Maximum number of tokens of a text (`maxTokens`), and of generated tokens (`maxNewTokens`). */
const [maxTokens, maxNewTokens] = [48, 16];
/** Maximum number of compared values of an output. */
const maxValues = 2 ** 18;
const silentLogLevel = 50;

export default async function loaderJob(
  input: LoaderInput,
  { temporary }: Partial<Pick<JobContext, "temporary">> = {},
): Promise<LoaderRun> {
  const library: TransformersLibrary = await import(input.library);
  Object.assign(library.env, { allowRemoteModels: false, logLevel: silentLogLevel });
  // transformers.js could look up a relative name on the Hub, but not an absolute path.
  const givenFolder = resolve(input.folder);
  const folder =
    input.isLarge && input.areOriginals === true && temporary !== undefined
      ? await mapWeights(givenFolder, Object.keys(input.dtypes), temporary)
      : givenFolder;
  let stage: "class" | "load" | "prepare" | "run" = "class";
  try {
    const modelClass = classOf(library, await library.AutoConfig.from_pretrained(folder));
    if (typeof modelClass === "string") return { failed: stage, reason: `it has no class for ${modelClass}` };
    stage = "load";
    const model = await modelClass.from_pretrained(folder, {
      dtype: input.dtypes,
      device: "cpu",
      ...(input.chunks === undefined ? {} : { use_external_data_format: input.chunks }),
      // Prepacking would copy all weights into the order of the kernels.
      ...(input.isLarge ? { session_options: { extra: { session: { disable_prepacking: "1" } } } } : {}),
    });
    stage = "prepare";
    const feeds = await prepareFeeds(library, folder, model, input);
    if (typeof feeds === "string") return { failed: "feed", reason: feeds };
    stage = "run";
    const sessionsRun = watchRuns(model);
    const answers: LoaderOutputs[] = [];
    for (const [index, feed] of feeds.entries())
      answers.push(
        model.can_generate
          ? await generate(library, model, feed, input.forcedTokens?.[index] ?? [])
          : { outputs: valuesOf(library, await model(feed)), tokens: [] },
      );
    await model.dispose();
    return { answers, sessions: Object.keys(model.sessions), ran: [...sessionsRun] };
  } catch (error) {
    return { failed: stage, reason: errorMessage(error) };
  }
}

/** Makes a folder whose models refer to weights in the given files, so that the runtime maps them; or returns the given folder. */
async function mapWeights(folder: string, bases: readonly string[], temporary: string): Promise<string> {
  const mapped = join(temporary, "mapped");
  await mkdir(join(mapped, "onnx"), { recursive: true });
  for (const name of await readdir(folder)) if (name !== "onnx") await symlink(join(folder, name), join(mapped, name));
  for (const base of bases) {
    const file = `${base}.onnx`;
    const location = `${file}_data`;
    const model = await open(join(folder, "onnx", file));
    if ([...weightFilesOf(model)].some((name) => name !== file)) return folder;
    const bytes = await encodeToBytes(model, {
      place: (_, { stored, bytes: length }) =>
        stored === undefined || length < minMappedBytes ? undefined : { location, offset: stored.start, length },
    });
    await writeFile(join(mapped, "onnx", file), bytes);
    const isLinked = await link(await realpath(join(folder, "onnx", file)), join(mapped, "onnx", location)).then(
      () => true,
      (error: NodeJS.ErrnoException) => {
        if (unlinkable.includes(error.code)) return false;
        throw error;
      },
    );
    if (!isLinked) return folder;
  }
  return mapped;
}

/** Codes of errors for files that cannot be linked. */
const unlinkable: readonly unknown[] = ["EXDEV", "EPERM", "EACCES", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK"];

/** Returns the class that config.json names, or the generic class. Returns the name of a missing class as text. */
function classOf(
  library: TransformersLibrary,
  { architectures, model_type: kind }: Awaited<ReturnType<TransformersLibrary["AutoConfig"]["from_pretrained"]>>,
): ModelClass | string {
  const [name]: readonly unknown[] = Array.isArray(architectures) ? architectures : [];
  const namedClass: unknown = typeof name === "string" ? Reflect.get(library, name) : undefined;
  if (isModelClass(library, namedClass)) return namedClass;
  if (typeof kind === "string" && library.AutoModel.MODEL_CLASS_MAPPINGS.some((kinds) => kinds.has(kind)))
    return library.AutoModel;
  return typeof name === "string" ? name : `models of type ${JSON.stringify(kind ?? "")}`;
}

function isModelClass({ PreTrainedModel }: TransformersLibrary, value: unknown): value is ModelClass {
  return typeof value === "function" && value.prototype instanceof PreTrainedModel;
}

function watchRuns({ sessions }: Model): ReadonlySet<string> {
  const sessionsRun = new Set<string>();
  for (const [name, session] of Object.entries(sessions)) {
    if (session === undefined) continue;
    const run = session.run.bind(session);
    session.run = (...feeds) => {
      sessionsRun.add(name);
      return run(...feeds);
    };
  }
  return sessionsRun;
}

/** Returns inputs made from texts, sounds, noise or an image, or the reason why the model has other inputs. */
async function prepareFeeds(
  library: TransformersLibrary,
  folder: string,
  model: Model,
  { texts, sounds }: LoaderInput,
): Promise<Feeds[] | string> {
  const { sessions } = model;
  const [first] = Object.values(sessions);
  const inputNames = (sessions.model ?? sessions.embed_tokens ?? first)?.inputNames ?? [];
  let media: Feeds[] = [];
  if (inputNames.includes("pixel_values")) {
    const side = 224;
    const pixels = Uint8ClampedArray.from({ length: side * side * 3 }, (_, index) => (index * 7919) % 256);
    const processor = await library.AutoImageProcessor.from_pretrained(folder);
    media.push(await processor(new library.RawImage(pixels, side, side, 3)));
  }
  if (inputNames.includes("input_values") || inputNames.includes("input_features")) {
    const extractor = await openFeatureExtractor(folder);
    const { rate, maxSeconds } = extractor === undefined || extractor instanceof Miss ? defaultSound : extractor;
    const utterances = sounds === undefined ? [] : await readUtterances(sounds, { rate, maxSeconds, count: maxSounds });
    const waves = utterances.length > 0 ? utterances.map(({ samples }) => samples) : [speechNoise(rate, 0)];
    const extract = await library.AutoFeatureExtractor.from_pretrained(folder);
    const [image] = media;
    media = await Promise.all(waves.map(async (wave) => ({ ...image, ...(await extract(wave)) })));
  }
  if (!inputNames.includes("input_ids"))
    return media.length === 0 ? `nothing here fits its inputs (${inputNames.join(", ")})` : media;
  const tokenizer = await library.AutoTokenizer.from_pretrained(folder);
  return texts.map((text, index) => ({
    ...tokenizer(text, { truncation: true, max_length: maxTokens }),
    ...media[index % media.length],
  }));
}

/** Generates tokens greedily, or feeds the `forced` ones. */
async function generate(
  library: TransformersLibrary,
  model: Model,
  feeds: Feeds,
  forced: readonly number[],
): Promise<LoaderOutputs> {
  const tokens: number[] = [];
  let scores = new Float32Array();
  class Recorder extends library.LogitsProcessor {
    _call(_: unknown, logits: Tensor): Tensor {
      const { data } = logits;
      if (tokens.length === 0) scores = data.slice(-maxValues);
      const forcedToken = forced[tokens.length];
      tokens.push(data.reduce((best, value, index) => (value > (data[best] ?? 0) ? index : best), 0));
      if (forcedToken !== undefined) data[forcedToken] = Number.POSITIVE_INFINITY;
      return logits;
    }
  }
  const recorders = new library.LogitsProcessorList();
  recorders.push(new Recorder());
  const greedyOptions = { max_new_tokens: maxNewTokens, do_sample: false, num_beams: 1, eos_token_id: null };
  await model.generate({ ...feeds, ...greedyOptions, logits_processor: recorders });
  return { outputs: { logits: scores }, tokens };
}

function valuesOf(library: TransformersLibrary, feeds: Feeds): LoaderOutputs["outputs"] {
  const outputs: Record<string, Float32Array> = {};
  for (const [name, value] of Object.entries(feeds)) {
    if (!(value instanceof library.Tensor) || !/^float(16|32)$/.test(value.type) || name.startsWith("present"))
      continue;
    outputs[name] = value.to("float32").data.slice(-maxValues);
  }
  return outputs;
}
