/** Common preprocessings of images, and text that describes them: "imagenet", or "scale=1 mean=123,117,104 std=1 channels=BGR". */
import { dataError, isObject, nearest, optionError, type PithError, type PlainObject } from "#ir";
import type { Extent, Geometry } from "./geometry.ts";

/** Preprocessing of images: resize, center crop, then x = (byte · scale − mean) / std. */
export interface Preprocessing extends Geometry {
  readonly name: string;
  readonly scale: number;
  /** Mean per stored channel (red, green, blue), or one value for all channels, after scaling. */
  readonly mean: readonly number[];
  /** Standard deviation per stored channel, or one value for all channels. */
  readonly std: readonly number[];
  readonly channels: "RGB" | "BGR";
  /** Layout of the input, needed if its shape is ambiguous. */
  readonly layout?: "NCHW" | "NHWC";
}

/** Returns the maximum difference between white and black over all channels, in model values. */
export function contrastOf({ scale, std }: Preprocessing): number {
  return Math.max(...std.map((deviation) => Math.abs((255 * scale) / deviation)));
}

export function rangeOf({ scale, mean, std }: Preprocessing): { readonly low: number; readonly high: number } {
  const channels = Math.max(mean.length, std.length);
  const bounds = Array.from({ length: channels }, (_, channel) =>
    [0, 255 * scale].map((value) => (value - (mean[channel] ?? mean[0] ?? 0)) / (std[channel] ?? std[0] ?? 1)),
  ).flat();
  return { low: Math.min(...bounds), high: Math.max(...bounds) };
}

/** Returns whether a mean is implausible: not 0, and at most 1/255 of the value of white or at least all of it. */
export function hasOddMean({ scale, mean }: Preprocessing): boolean {
  const shares = mean.map((value) => value / (255 * scale));
  return shares.some((share) => share !== 0 && (share <= 1 / 255 || share >= 1));
}

const unitScale = { scale: 1 / 255, mean: [0], std: [1], channels: "RGB" } as const;

export const presets = {
  unit: { ...unitScale, name: "unit" },
  raw: { ...unitScale, name: "raw", scale: 1 },
  /** −1 … 1, as in TensorFlow. */
  symmetric: { ...unitScale, name: "symmetric", mean: [0.5], std: [0.5] },
  /** ImageNet statistics, as in PyTorch. */
  imagenet: { ...unitScale, name: "imagenet", mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] },
  cifar10: { ...unitScale, name: "cifar10", mean: [0.4914, 0.4822, 0.4465], std: [0.2471, 0.2435, 0.2616] },
  mnist: { ...unitScale, name: "mnist", mean: [0.1307], std: [0.3081] },
  /** ImageNet's mean is subtracted from the bytes, in BGR order. */
  caffe: { name: "caffe", scale: 1, mean: [123, 117, 104], std: [1], channels: "BGR" },
} as const satisfies Readonly<Record<string, Preprocessing>>;

/** Returns the presets to try, most likely first. */
export function candidatePreprocessings(channels: number): readonly Preprocessing[] {
  const { unit, raw, symmetric, imagenet, cifar10, mnist, caffe } = presets;
  return channels === 3 ? [imagenet, cifar10, unit, symmetric, raw, caffe] : [unit, mnist, raw, symmetric];
}

/**
 * Parses the name of a preset ("imagenet"), settings that change it ("unit" by default), or both: `cifar10 channels=BGR`. Settings are
 * `scale=1 mean=123,117,104 std=1 channels=BGR layout=NHWC resize=256 crop=224 filter=bicubic`; `resize=240x320` is height × width.
 * @throws PithError E_OPTION that names the unknown word.
 */
export function parsePreprocessing(text: string): Preprocessing {
  const words = text.split(/\s+/).filter((word) => word !== "");
  let result: Preprocessing = presets.unit;
  words.forEach((word, index) => {
    const [key = "", value] = word.split("=", 2);
    if (value === undefined) {
      if (index > 0 || !isPreset(key)) throw unknownWordError(word);
      result = presets[key];
    } else result = { ...result, ...parseSetting(key, value, word) };
  });
  checkPreprocessing(result);
  return words.length === 1 && words[0] === result.name ? result : { ...result, name: words.join(" ") || result.name };
}

/** Reads the preprocessing of a preprocessor_config.json (transformers). @throws PithError E_DATA if the file is not an object. */
export function parsePreprocessorConfig(config: unknown): Preprocessing {
  if (!isObject(config)) throw dataError("preprocessor_config.json should hold an object.");
  const readNumbers = (key: string, defaultValues: readonly number[]): readonly number[] => {
    const value = config[key];
    if (typeof value === "number") return [value];
    return Array.isArray(value) && value.every((entry) => typeof entry === "number") ? value : defaultValues;
  };
  const rescaleFactor = config.rescale_factor;
  const isRescaled = config.do_rescale !== false;
  const isNormalized = config.do_normalize !== false;
  const result: Preprocessing = {
    name: "preprocessor_config.json",
    scale: !isRescaled ? 1 : typeof rescaleFactor === "number" ? rescaleFactor : 1 / 255,
    mean: isNormalized ? readNumbers("image_mean", [0]) : [0],
    std: isNormalized ? readNumbers("image_std", [1]) : [1],
    channels: config.do_flip_channel_order === true ? "BGR" : "RGB",
    ...declaredGeometry(config),
  };
  checkPreprocessing(result);
  return result;
}

/** Reads resize and crop. A size is a number, { height, width } or { shortest_edge }; filters are Pillow's numbers. */
function declaredGeometry(settings: PlainObject): Geometry {
  const parseSize = (value: unknown): number | Extent | undefined => {
    if (typeof value === "number") return value;
    if (typeof value !== "object" || value === null) return undefined;
    const { shortest_edge: shortEdge, height, width } = value as Readonly<Record<string, unknown>>;
    if (typeof shortEdge === "number") return shortEdge;
    return typeof height === "number" && typeof width === "number" ? { height, width } : undefined;
  };
  const size = settings.do_resize === false ? undefined : parseSize(settings.size);
  const crop = settings.do_center_crop === true ? parseSize(settings.crop_size) : undefined;
  const toExtent = (size: number | Extent): Extent => (typeof size === "number" ? { height: size, width: size } : size);
  // If a crop follows, a number is the length of the short side. Without a crop, it is the length of both sides.
  const resize =
    typeof size === "number" && crop === undefined && typeof settings.size === "number" ? toExtent(size) : size;
  return {
    ...(resize === undefined ? {} : { resize }),
    ...(crop === undefined ? {} : { crop: toExtent(crop) }),
    ...(settings.resample === 3 ? { filter: "bicubic" as const } : {}),
  };
}

function parseSetting(key: string, value: string, word: string): Partial<Preprocessing> {
  if (key === "scale") return { scale: parseFraction(value, word) };
  if (key === "mean") return { mean: value.split(",").map((part) => parseFraction(part, word)) };
  if (key === "std") return { std: value.split(",").map((part) => parseFraction(part, word)) };
  if (key === "channels" && (value === "RGB" || value === "BGR")) return { channels: value };
  if (key === "layout" && (value === "NCHW" || value === "NHWC")) return { layout: value };
  if (key === "resize") return { resize: /^\d+$/.test(value) ? parseSide(value, word) : parseExtent(value, word) };
  if (key === "crop") return { crop: parseExtent(value, word) };
  if (key === "filter" && (value === "bilinear" || value === "bicubic")) return { filter: value };
  throw unknownWordError(word);
}

function parseExtent(text: string, word: string): Extent {
  const [height = "", width = height, ...more] = text.split(/[x×]/);
  if (more.length > 0) throw unknownWordError(word);
  return { height: parseSide(height, word), width: parseSide(width, word) };
}

function parseSide(text: string, word: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < 1 || value > 2 ** 14) throw unknownWordError(word);
  return value;
}

function parseFraction(text: string, word: string): number {
  const [numerator = "", denominator = "1"] = text.split("/", 2);
  const value = Number(numerator) / Number(denominator);
  if (numerator.trim() === "" || denominator.trim() === "" || !Number.isFinite(value)) throw unknownWordError(word);
  return value;
}

function checkPreprocessing({ name, std, scale }: Preprocessing): void {
  if (scale !== 0 && Number.isFinite(scale) && std.every((value) => value > 0 && Number.isFinite(value))) return;
  throw optionError(`Preprocessing "${name}": the scale must not be 0 and every std must be greater than 0.`);
}

function isPreset(name: string): name is keyof typeof presets {
  return Object.hasOwn(presets, name);
}

function unknownWordError(word: string): PithError {
  const suggestion = isPreset(word) ? "the preset before the settings" : nearest(word, Object.keys(presets));
  return optionError(`Preprocessing: "${word}" is not understood.`, {
    hint: `${suggestion === undefined ? "" : `Did you mean ${suggestion}? `}Presets: ${Object.keys(presets).join(", ")}. Settings: scale=1/255 mean=0.5,0.5,0.5 std=0.5 channels=RGB|BGR layout=NCHW|NHWC resize=256 crop=224 filter=bilinear|bicubic.`,
  });
}
