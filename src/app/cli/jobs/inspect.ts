import { allLayers, infer, learnedTensors } from "#analysis";
import { type Model, throwIfAborted } from "#ir";
import { createEngine } from "../../../core/engine/index.ts";
import { engineMultiply } from "../../../core/engine/multiply.ts";
import { fromDense, type Matrix, type Multiply } from "../../../core/math/matrix.ts";
import { energyShares, rankForEnergy } from "../../../core/math/rank.ts";
import { storeWeights } from "../../../rewrite/clean-up/store-constants.ts";
import { readStoredValue, zeroShare } from "../../../rewrite/edit/stored.ts";
import type { JobContext } from "../../../runtime/job/job.ts";
import type { Explanation } from "../../../search/sensitivity/explain.ts";
import { inspect } from "../../report/inspect/inspect.ts";
import { fileBytes, filesOfModel } from "../files/files.ts";
import { contextOf, openModel } from "../job-parts/open-model.ts";
import { type InspectOutput, shownEnergies, type WeightNumbers } from "../print/inspection.ts";

/** Maximum size of a square matrix to decompose. A larger one takes more than about ten seconds. */
const maxDecomposed = 2048;

export interface InspectInput {
  readonly model: string;
  readonly weights: boolean;
  /** If given, this layer is explained instead of the model. */
  readonly layer: string | undefined;
  readonly channel: number | undefined;
  readonly seed: number;
}

export default async function inspectJob(
  input: InspectInput,
  context: JobContext,
): Promise<InspectOutput | Explanation> {
  const { model: path, layer, channel } = input;
  const model = await openModel(path, context);
  if (layer !== undefined) {
    // Most inspections do not need the techniques, which take time to load.
    const { explain } = await import("../../../search/sensitivity/explain.ts");
    return explain(model, layer, channel, contextOf(createEngine(), input, context));
  }
  const bytes = await fileBytes(filesOfModel(model, path));
  const description = { file: path, ...(await inspect(model)), bytes };
  if (!input.weights) return { description, weights: undefined, zeros: undefined };
  storeWeights(model);
  const weights = await measureWeights(model, context);
  return { description, weights, zeros: await zeroShare((await learnedTensors(model, infer(model))).keys()) };
}

async function measureWeights(model: Model, context: JobContext): Promise<readonly WeightNumbers[]> {
  const layers = allLayers(model, infer(model));
  const engine = createEngine();
  context.stage("weights");
  const products = engineMultiply(engine);
  const rows: WeightNumbers[] = [];
  for (const [index, { name, effective, role }] of layers.entries()) {
    throwIfAborted(context.signal);
    context.progress(index, layers.length);
    // Packed blocks contain quantized values instead of weights.
    if (role.packed !== undefined) continue;
    const matrix = fromDense(await readStoredValue(model, effective, engine));
    rows.push({ name, ...measureRange(matrix.data), ranks: await ranksOf(matrix, products.multiply) });
  }
  context.progress(layers.length, layers.length);
  await products.release();
  return rows;
}

function measureRange(numbers: Float64Array): Pick<WeightNumbers, "zeros" | "least" | "greatest"> {
  let [zeros, least, greatest] = [0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of numbers) {
    if (value === 0) zeros++;
    if (!(value >= least)) least = value;
    if (!(value <= greatest)) greatest = value;
  }
  return { zeros: numbers.length === 0 ? 0 : zeros / numbers.length, least, greatest };
}

async function ranksOf(matrix: Matrix, multiply: Multiply): Promise<WeightNumbers["ranks"]> {
  const total = Math.min(matrix.rows, matrix.columns);
  if (total === 0 || total > maxDecomposed || !matrix.data.every(Number.isFinite)) return undefined;
  const shares = await energyShares(matrix, multiply);
  return { of: total, holding: shownEnergies.map((energy) => rankForEnergy(shares, energy)) };
}
