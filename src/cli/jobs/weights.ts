/** Job of `pith inspect --weights`: reads every layer's numbers. */
import { infer } from "../../analysis/infer.ts";
import { allLayers } from "../../analysis/layers.ts";
import { createEngine } from "../../engine/index.ts";
import { engineMultiply } from "../../engine/multiply.ts";
import { stopIfAsked } from "../../errors.ts";
import type { JobContext } from "../../job/job.ts";
import { energyShares, fromDense, type Matrix, type Multiply, rankForEnergy } from "../../math/index.ts";
import { open } from "../../onnx/index.ts";
import { storeWeights } from "../../passes/store-constants.ts";
import { readStoredValue } from "../../passes/stored.ts";

/** The energies of a square matrix of this size take some ten seconds. */
const largestDecomposed = 2048;

/** Shares of the sum of squared singular values whose ranks are shown. */
export const energies = [0.9, 0.95, 0.99] as const;

export interface WeightNumbers {
  readonly name: string;
  readonly zeros: number;
  readonly least: number;
  readonly greatest: number;
  /**
   * How many singular values hold each of `energies` of the weight, its first axis the rows, and how many there are;
   * undefined where the matrix is too large to decompose while someone waits.
   */
  readonly ranks: { readonly of: number; readonly holding: readonly number[] } | undefined;
}

export default async function weightsJob(
  input: { readonly model: string },
  context: JobContext,
): Promise<readonly WeightNumbers[]> {
  const model = await open(input.model);
  storeWeights(model);
  const found = allLayers(model, infer(model));
  const engine = createEngine();
  context.stage("weights");
  const products = engineMultiply(engine);
  const rows: WeightNumbers[] = [];
  for (const [index, { name, effective, role }] of found.entries()) {
    stopIfAsked(context.signal);
    context.progress(index, found.length);
    // Codes that are packed in blocks are not numbers.
    if (role.packed !== undefined) continue;
    const matrix = fromDense(await readStoredValue(model, effective, engine));
    rows.push({ name, ...range(matrix.data), ranks: await ranksOf(matrix, products.multiply) });
  }
  context.progress(found.length, found.length);
  await products.release();
  return rows;
}

function range(numbers: Float64Array): Pick<WeightNumbers, "zeros" | "least" | "greatest"> {
  let [zeros, least, greatest] = [0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of numbers) {
    if (value === 0) zeros++;
    if (!(value >= least)) least = value;
    if (!(value <= greatest)) greatest = value;
  }
  return { zeros: numbers.length === 0 ? 0 : zeros / numbers.length, least, greatest };
}

async function ranksOf(matrix: Matrix, multiply: Multiply): Promise<WeightNumbers["ranks"]> {
  const of = Math.min(matrix.rows, matrix.columns);
  if (of === 0 || of > largestDecomposed || !matrix.data.every(Number.isFinite)) return undefined;
  const shares = await energyShares(matrix, multiply);
  return { of, holding: energies.map((energy) => rankForEnergy(shares, energy)) };
}
