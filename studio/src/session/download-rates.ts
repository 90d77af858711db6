/** Estimates how many bits a weight takes in a download, from the entropy of a sample of the quantized weights. Brotli comes close to it. */
import { inspect, type Model, simplify, type Tensor } from "pith";
import type { DownloadRates } from "../backend/backend.ts";

/** Number of weights that are read. */
const sampledWeights = 2 ** 18;
/** Tensors with fewer weights are rarely quantized. */
const minWeights = 256;
const lowBits = [2, 3, 4, 5, 6] as const;
/** Weights that share a scale with 2 and 4 bits. */
const block = 32;

export async function measureDownloadRates(model: Model): Promise<DownloadRates> {
  const simplified = model.clone();
  await simplify(simplified);
  return { simplified: await inspect(simplified), ...(await ratesOf(model)) };
}

async function ratesOf({ graph }: Model): Promise<Omit<DownloadRates, "simplified">> {
  const tensors = [...new Set(Array.from(graph.values(), ({ tensor }) => tensor))].filter(
    (tensor) => tensor?.type === "float32" && tensor.dims.length > 1 && tensor.bytes / 4 >= minWeights,
  ) as Tensor[];
  const total = tensors.reduce((sum, { bytes }) => sum + bytes / 4, 0);
  const means = { int8: new Mean(), blocks: lowBits.map(() => new Mean()), rows: lowBits.map(() => new Mean()) };
  for (const tensor of tensors) {
    const weights = tensor.bytes / 4;
    const rowLength = tensor.dims.slice(1).reduce((product, size) => product * size, 1);
    const rows = await readRows(tensor, rowLength, Math.ceil((sampledWeights * weights) / total / rowLength));
    means.int8.add(entropyOfCodes(rows, rowLength, 127, 127), weights);
    for (const [index, bits] of lowBits.entries()) {
      const limit = 2 ** (bits - 1) - 1;
      const hasBlocks = tensor.dims.length === 2 && (bits === 2 || bits === 4);
      if (hasBlocks) means.blocks[index]?.add(entropyOfCodes(rows, block, limit + 1, limit), weights);
      else means.rows[index]?.add(entropyOfCodes(rows, rowLength, bits === 2 ? 1.5 : limit, limit), weights);
    }
  }
  const byBits = (list: readonly Mean[]): Readonly<Record<number, number>> =>
    Object.fromEntries(lowBits.map((bits, index) => [bits, list[index]?.value ?? bits]));
  return { int8: means.int8.value ?? 8, blocks: byBits(means.blocks), rows: byBits(means.rows) };
}

/** A weighted mean; its value is undefined if nothing was added. */
class Mean {
  #sum = 0;
  #weight = 0;

  add(value: number, weight: number): void {
    this.#sum += value * weight;
    this.#weight += weight;
  }

  get value(): number | undefined {
    return this.#weight === 0 ? undefined : this.#sum / this.#weight;
  }
}

/** Reads rows from the middle of a tensor, or all if there are fewer. */
async function readRows(tensor: Tensor, rowLength: number, count: number): Promise<Float32Array> {
  const { stored, bytes } = tensor;
  const size = Math.min(bytes, 4 * rowLength * count);
  if (stored === undefined) {
    const { data } = await tensor.read();
    return data instanceof Float32Array ? data.subarray(0, size / 4) : new Float32Array();
  }
  const start = stored.start + 4 * rowLength * Math.floor((bytes - size) / 2 / (4 * rowLength));
  const content = Uint8Array.from(await stored.source.read(start, start + size));
  return new Float32Array(content.buffer);
}

/**
 * Returns bits per weight: the entropy of the weights after rounding.
 * @param scaled number of weights that share a scale.
 * @param steps from 0 to the largest weight.
 * @param limit largest code.
 */
function entropyOfCodes(weights: Float32Array, scaled: number, steps: number, limit: number): number {
  const zero = Math.ceil(steps);
  const counts = new Float64Array(2 * zero + 1);
  for (let start = 0; start < weights.length; start += scaled) {
    const row = weights.subarray(start, start + scaled);
    const largest = row.reduce((max, weight) => Math.max(max, Math.abs(weight)), 0) || 1;
    for (const weight of row) {
      const code = zero + Math.min(limit, Math.round((steps * weight) / largest));
      counts[code] = (counts[code] ?? 0) + 1;
    }
  }
  return counts.reduce((sum, count) => {
    const share = count / weights.length;
    return count === 0 ? sum : sum - share * Math.log2(share);
  }, 0);
}
