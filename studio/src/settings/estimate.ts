/**
 * Estimates from shapes how large each layer will be, so that the picture follows a slider without running anything.
 *
 * Bytes of a layer: parameters · kept share · bits / 8, plus scales, plus what is not its weight (bias). Kept share of pruning the share f: (1 − f · cuttable
 * outputs / outputs) · (1 − f · cuttable inputs / inputs), where f · cuttable is rounded to blocks of channels.
 */
import type { Inspection } from "pith";
import type { DownloadRates, DtypeView, Settings } from "../backend/backend.ts";
import { findPreset, initialSettings } from "./presets.ts";

type Layer = Inspection["layers"][number];

export interface SizedLayer {
  readonly name: string;
  readonly weight: string;
  readonly bytes: number;
  readonly format: Format;
  /** Bytes of scales and biases, of an estimate. */
  readonly floatBytes?: number;
}

export type Format = "float32" | "float16" | "int8" | "low-bit" | "other";

export interface Sizes {
  readonly total: number;
  readonly layers: readonly SizedLayer[];
}

/** Bytes that quantization adds per layer: nodes, names, zero points. Means over the networks of the test data. */
const addedBytes = { static: 800, weights: 250, none: 0 };
const bytesPerFloat = 4;
/** Weights of a row that share a scale below 8 bits. */
const block = 32;

/** Returns the bytes by layer of a model as it is. The rest, such as nodes and names, is the last entry. */
export function measuredSizes({ layers, bytes }: Inspection): Sizes {
  const sized = layers.map((layer) => ({ ...layer, format: formatOf(layer) }));
  return withRest(sized, bytes - sized.reduce((sum, layer) => sum + layer.bytes, 0), 0);
}

/** Returns undefined for a search, which can give any file. */
export function estimateSizes(inspection: Inspection, settings: Settings): Sizes | undefined {
  if (settings.preset === "search") return undefined;
  const { isRecovered } = findPreset(settings);
  const [form, bits] =
    settings.dtype !== undefined
      ? formOfDtype(settings.dtype)
      : [isRecovered === true ? settings.storage : settings.preset, settings.amount];
  const factorized = lowRankShares(inspection.layers, settings);
  let added = 0;
  const layers = inspection.layers.map((layer) => {
    const isFloat = layer.weight.startsWith("float32");
    if (!isFloat || layer.parameters === 0) return { ...layer, format: formatOf(layer) };
    const kept =
      settings.preset === "channels"
        ? keptShare(layer, inspection.layers, settings.amount)
        : (factorized.get(layer) ?? 1);
    const parameters = layer.parameters * kept;
    const rest = Math.max(0, layer.bytes - bytesPerFloat * layer.parameters);
    // A layer of low rank is two layers.
    const layerCount = (factorized.get(layer) ?? 1) < 1 ? 2 : 1;
    const storedAs = (format: Format, codeBits: number, floatBytes: number) => ({
      ...layer,
      format,
      floatBytes,
      bytes: (parameters * codeBits) / 8 + floatBytes,
    });
    switch (form) {
      case "static":
        added += layerCount * addedBytes.static;
        return storedAs("int8", 8, 5 * layer.outputs + rest);
      case "download":
      case "weights":
        added += addedBytes.weights;
        return storedAs("int8", 8, bytesPerFloat * layer.outputs + rest);
      case "bits": {
        added += addedBytes.weights;
        const scales = hasBlocks(layer, bits) ? parameters / block : layer.outputs;
        return storedAs("low-bit", storedBits(layer, bits), bytesPerFloat * Math.max(layer.outputs, scales) + rest);
      }
      case "float16":
        return { ...layer, bytes: layer.bytes / 2, format: "float16" as const };
      default:
        return { ...layer, bytes: bytesPerFloat * parameters + rest, format: "float32" as const };
    }
  });
  const layerBytes = inspection.layers.reduce((sum, layer) => sum + layer.bytes, 0);
  const otherBytes = inspection.bytes - layerBytes;
  const otherFloats = Math.min(otherBytes, Math.max(0, bytesPerFloat * inspection.parameters - layerBytes));
  return withRest(layers, otherBytes + added, otherFloats);
}

const isProduct = ({ weight }: Pick<Layer, "weight">): boolean => /\[\d+, \d+\]$/.test(weight);

/** Products and tables with 2 or 4 bits have a scale for each block, other layers one for each output. */
const hasBlocks = (layer: Pick<Layer, "weight">, bits: number): boolean =>
  (bits === 2 || bits === 4) && isProduct(layer);

/** Returns the bits that a weight takes in the file. Only blocks have a type of 2 bits. */
const storedBits = (layer: Pick<Layer, "weight">, bits: number): number =>
  bits > 4 ? 8 : bits === 2 && hasBlocks(layer, bits) ? 2 : 4;

/** Shares of bytes that remain after brotli: of floats, and of nodes and names. Means over the networks of the test data. */
const compressedShares = { float32: 0.92, float16: 0.9, scales: 0.9, nodes: 0.25 };

/** Estimates the size after brotli. @param original that of the original, if it is known. Returns undefined if no formula holds. */
export function estimateDownload(
  inspection: Inspection,
  settings: Settings,
  rates: DownloadRates,
  original: number | undefined,
): number | undefined {
  const sizes = settings.preset === "download" ? undefined : estimateSizes(rates.simplified, settings);
  if (sizes === undefined) return undefined;
  const layerBytes = inspection.layers.reduce((sum, { bytes }) => sum + bytes, 0);
  const float32 =
    original === undefined
      ? compressedShares.float32
      : (original - compressedShares.nodes * (inspection.bytes - layerBytes)) / (layerBytes || 1);
  const bits = settings.dtype?.bits ?? settings.amount;
  const isInteger = (findPreset(settings).isRecovered === true ? settings.storage : settings.preset) === "static";
  const shareOf = (layer: SizedLayer): number => {
    switch (layer.format) {
      case "float32":
        return Math.min(1, Math.max(0.05, float32));
      case "float16":
        return compressedShares.float16;
      case "int8":
        // Integer products use 7 of the 8 bits, because sums of 8 bits overflow on some processors.
        return (rates.int8 - (isInteger && isProduct(layer) ? 1 : 0)) / 8;
      case "low-bit":
        return ((hasBlocks(layer, bits) ? rates.blocks[bits] : rates.rows[bits]) ?? bits) / storedBits(layer, bits);
      case "other":
        return compressedShares.nodes;
    }
  };
  return sizes.layers.reduce(
    (sum, { floatBytes = 0, ...layer }) =>
      sum + (layer.bytes - floatBytes) * shareOf(layer) + floatBytes * compressedShares.scales,
    0,
  );
}

/** A power of the error that a download follows. Mean over the networks of the test data, where it is 0.15 to 0.21. */
const errorPower = -0.18;

/** Estimates the size after brotli of the preset "smallest download". @param initial the size at the initial error. */
export const estimateSmallest = ({ amount }: Settings, initial: number): number =>
  initial * (amount / initialSettings("download").amount) ** errorPower;

/** Returns the preset whose sizes a dtype has, and its bits. */
const formOfDtype = ({ bits }: DtypeView): readonly [form: "bits" | "float16" | "weights", bits: number] => [
  bits === 16 ? "float16" : bits < 8 ? "bits" : "weights",
  bits,
];

/** Returns the share of a layer that pruning keeps. Its inputs are the channels of the layer before it, or several positions of each. */
function keptShare(layer: Layer, layers: readonly Layer[], amount: number): number {
  const { cuttable, outputs, cuttableInputs, inputs } = layer;
  const before = layers.slice(0, layers.indexOf(layer)).findLast((other) => inputs % other.outputs === 0);
  return keptChannels(cuttable, outputs, amount) * keptChannels(cuttableInputs, inputs, amount, before?.outputs);
}

/** Pruning keeps blocks of 16, 8 or 4 channels, by the number of channels. */
function keptChannels(cuttable: number, size: number, amount: number, channels = size): number {
  const block = [16, 8, 4].find((width) => channels >= 4 * width) ?? 1;
  const share = cuttable / (size || 1);
  // A block is removed if more than half of its channels are within the amount.
  const blocks = Math.ceil(Math.round(amount * share * channels) / block - 0.5);
  return 1 - (block * Math.max(0, blocks)) / (channels || 1);
}

/**
 * Returns the share of its weights that each layer with a rank that saves bytes keeps. While the wanted share of all weights is exceeded, the layer
 * with the most weights gets the next lower rank.
 */
function lowRankShares(layers: readonly Layer[], { preset, amount }: Settings): ReadonlyMap<Layer, number> {
  const changed = preset === "low-rank" ? layers.filter(({ payingRank = 0 }) => payingRank > 0) : [];
  const total = layers.reduce((sum, { parameters }) => sum + parameters, 0);
  const choices = changed.map((layer) => {
    const shares = rankShares(layer);
    return { layer, shares, index: shares.length - 1 };
  });
  const weightsOf = ({ layer, shares, index }: (typeof choices)[number]): number =>
    layer.parameters * (shares[index] ?? 1);
  for (let excess = total * (1 - amount); excess > 0; ) {
    let largest: (typeof choices)[number] | undefined;
    for (const choice of choices)
      if (choice.index > 0 && (largest === undefined || weightsOf(choice) > weightsOf(largest))) largest = choice;
    if (largest === undefined) break;
    excess -= weightsOf(largest);
    largest.index--;
    excess += weightsOf(largest);
  }
  return new Map(choices.map(({ layer, shares, index }) => [layer, shares[index] ?? 1]));
}

/** Returns the shares of its weights that a layer can keep, ascending: a multiple of a block of ranks, a lower power of 2, or all weights. */
function rankShares({ payingRank = 0, outputs, inputs }: Layer): readonly number[] {
  const width = Math.min(outputs, inputs);
  const block = width < 16 ? 1 : width < 128 ? 8 : 16;
  const ranks = Array.from({ length: payingRank }, (_, index) => index + 1).filter(
    (rank) => rank % block === 0 || (rank < block && Number.isInteger(Math.log2(rank))),
  );
  return [...ranks.map((rank) => rank / (payingRank + 1)), 1];
}

/** @param floatBytes bytes of the rest that are tensors and not nodes. */
function withRest(layers: readonly SizedLayer[], rest: number, floatBytes: number): Sizes {
  const named = layers.map(({ name, weight, bytes, format, floatBytes = 0 }) => ({
    name,
    weight,
    bytes: Math.round(bytes),
    format,
    floatBytes,
  }));
  const all = [
    ...named,
    {
      name: "graph and other tensors",
      weight: "",
      bytes: Math.max(0, Math.round(rest)),
      format: "other" as const,
      floatBytes: Math.max(0, floatBytes),
    },
  ];
  return { layers: all, total: all.reduce((sum, { bytes }) => sum + bytes, 0) };
}

function formatOf({ weight, bits }: Layer): Format {
  if (bits !== undefined) return bits >= 7 ? "int8" : "low-bit";
  if (weight.startsWith("float32")) return "float32";
  return /^b?float16/.test(weight) ? "float16" : "other";
}
