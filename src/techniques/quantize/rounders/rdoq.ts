/**
 * Rate–distortion optimized quantization: quantized values that need few bits after gzip or brotli. For a layer with weights W,
 * Gram matrix H of its inputs and quantized values Q, it lowers
 *
 *     J = e + λ · bits(Q),     e = Σ rows (Δ Q − W) H (Δ Q − W)ᵀ,     bits(Q) = −Σ log₂ (share of the value in Q)
 *
 * by error compensation (GPTQ) and coordinate descent, whose choices include the code length. At high rate, the error per weight is
 * e = h Δ²/12, and a bit changes it by −2 ln 2 · e. If this change is −λ, the step size is
 *
 *     Δ = √(λ / (c h)),     c = ln 2 / 6,     h = det(H)^(1/D), the geometric mean of 1 / U²ⱼⱼ (see `shared/optimal-brain-surgeon.ts`)
 */
import { roundHalfEven } from "#ir";
import { type Matrix, matrix } from "../../../core/math/matrix.ts";
import { dot } from "../../../core/math/vector.ts";
import { type RowReads, rowReads } from "../../calibrate/column-statistics.ts";
import { type Gram, roundedGramMatrices } from "../../calibrate/gram.ts";
import type { Grid, LayerContext, ScaledGrid, SlicedWeight, Solver } from "../../calibrate/solver.ts";
import { type ScaleAndZeroPoint, smallestScale } from "../../shared/affine-codes.ts";
import { centerOf, mapWeight, nearestCode, nearestCodes, roundingErrors } from "../grid.ts";
import { type ChooseCode, type Correction, createCorrection, curvaturesOf, roundWithCompensation } from "./gptq.ts";

/** Each round uses the code lengths of the round before. */
const rounds = 3;
const descents = 3;
/** Added to the diagonal of a group's Gram matrix: shares of the group's mean diagonal, and of the mean over all groups. */
const [groupDamping, damping] = [0.01, 0.001];
/** Assumed number of occurrences of a value that does not occur, so that its code length is finite. */
const unseenCount = 0.1;

/** The constant c of the step size. */
const stepConstant = Math.LN2 / 6;

/** Returns λ of a layer in units of its error e. @param energyOf returns the energy of its outputs, the trace of W H Wᵀ. @param count number of its weights. */
type LambdaOf = (layer: string, energyOf: () => Promise<number>, count: number) => number | Promise<number>;

/** Returns the λ at which rounding `count` weights adds `error`: de/dbits = −2 ln 2 · e. */
export const lambdaFor = (error: number, count: number): number => (2 * Math.LN2 * error) / count;

type Evidence = Gram | RowReads | undefined;

/** @param onLayer receives the error e of each rounded layer. For a shared weight, e is a sum over layers that read it. */
export function rdoqBy(lambdaOf: LambdaOf, onLayer?: (layer: string, error: number) => void) {
  const lambdaFrom = async (
    { matrices }: SlicedWeight,
    errorModel: ErrorModel,
    context: LayerContext,
  ): Promise<number> =>
    lambdaOf(
      context.layer.name,
      () => errorOf(matrices, errorModel, context),
      matrices.reduce((sum, { data }) => sum + data.length, 0),
    );
  return {
    id: "rdoq",
    summary: "rate–distortion optimized: int8 values that gzip and brotli shorten (needs samples)",
    evidence: { ...roundedGramMatrices, ofTables: rowReads },
    of: "original",
    blind: true,
    scalesText: "scales by rate and distortion",
    async scales(weight, grid, context) {
      const errorModel = await errorModelOf(weight, context);
      const lambda = await lambdaFrom(weight, errorModel, context);
      const steps = errorModel.curvatures.map((groupCurvatures) => stepFor(lambda, geometricMean(groupCurvatures)));
      return computeScales(weight, grid, (group, row) => {
        const reads = errorModel.rows?.[row];
        return reads === undefined ? (steps[group] ?? 0) : stepFor(lambda, reads);
      });
    },
    async codes(weight, grid, context) {
      const errorModel = await errorModelOf(weight, context);
      const codes = await roundWeight(weight, grid, errorModel, await lambdaFrom(weight, errorModel, context), context);
      onLayer?.(context.layer.name, await errorOf(roundingErrors(weight, grid, codes), errorModel, context));
      return codes;
    },
  } satisfies Solver<Evidence>;
}

/** Default distortion (measured in bench/logs/download.md). */
export const defaultDistortion = 0.0025;

/** Without a measured sensitivity, every layer has the same relative error. */
export const rdoq = rdoqBy(async (_, energyOf, count) => lambdaFor(defaultDistortion * (await energyOf()), count));

const stepFor = (lambda: number, curvature: number): number => Math.sqrt(lambda / (stepConstant * curvature));

const geometricMean = (numbers: Float64Array): number =>
  Math.exp(numbers.reduce((sum, value) => sum + Math.log(value), 0) / numbers.length);

/** How errors of a weight's values change the layer's error. */
interface ErrorModel {
  /** Damped Gram matrices; undefined for a table, and without observed inputs. */
  readonly gram: Gram | undefined;
  /** Number of reads of each row of a table. Inputs of a table are one-hot, so H is the diagonal matrix of these counts. */
  readonly rows?: Float64Array;
  readonly correction: Correction | undefined;
  /** 1 / U²ⱼⱼ of each group's columns (U: `InverseHessian.upper`). */
  readonly curvatures: readonly Float64Array[];
}

const errorModels = new WeakMap<Gram, ErrorModel>();

/** Returns the number of reads of each row, plus 1 and a tenth of the mean: rows that no sample reads also have a weight. */
function readsOfRows({ reads }: RowReads, count: number): Float64Array {
  const rows = new Float64Array(count);
  let total = 0;
  for (const [index, readCount] of reads) {
    const row = index < 0 ? index + count : index;
    rows[row] = (rows[row] ?? 0) + readCount;
    total += readCount;
  }
  return rows.map((readCount) => readCount + 1 + total / count / 10);
}

async function errorModelOf({ matrices }: SlicedWeight, context: LayerContext<Evidence>): Promise<ErrorModel> {
  const { evidence } = context;
  if (evidence === undefined || "reads" in evidence) {
    const curvatures = matrices.map(({ columns }) => new Float64Array(columns).fill(1));
    const model = { gram: undefined, correction: undefined, curvatures };
    return evidence === undefined ? model : { ...model, rows: readsOfRows(evidence, matrices[0]?.rows ?? 0) };
  }
  const cachedModel = errorModels.get(evidence);
  if (cachedModel !== undefined) return cachedModel;
  const means = evidence.groups.map(({ rows, data }) => {
    let sum = 0;
    for (let index = 0; index < data.length; index += rows + 1) sum += data[index] ?? 0;
    return sum / rows;
  });
  const mean = means.reduce((sum, value) => sum + value, 0) / means.length;
  const groups = evidence.groups.map(({ rows, data }, group) => {
    // A group whose inputs are all 0 also gets a nonzero diagonal, so that its values are not lost.
    const diagonalShift = groupDamping * (means[group] ?? 0) + damping * mean || 1;
    return matrix(
      rows,
      rows,
      data.map((value, index) => (index % (rows + 1) === 0 ? value + diagonalShift : value)),
    );
  });
  const gram = { ...evidence, groups };
  const correction = await createCorrection(context, gram, 0);
  const model = { gram, correction, curvatures: correction.inverses.map(curvaturesOf) };
  errorModels.set(evidence, model);
  return model;
}

/** Returns the error e of the layer's outputs: the sum over rows of weight · E H Eᵀ. The weight of a row is 1 unless `rows` has others. */
async function errorOf(
  errors: readonly Matrix[],
  { gram, rows }: Pick<ErrorModel, "gram" | "rows">,
  { multiply }: Pick<LayerContext, "multiply">,
): Promise<number> {
  let sum = 0;
  for (const [group, error] of errors.entries()) {
    const h = gram?.groups[group];
    const product = h === undefined ? error : await multiply(error, h);
    for (let row = 0; row < error.rows; row++) {
      const start = row * error.columns;
      sum += (rows?.[row] ?? 1) * dot(error.data, start, product.data, start, error.columns);
    }
  }
  return sum;
}

/** Returns the scale of each slice: the step size, or a larger scale if the slice's values would exceed the grid. */
function computeScales(
  weight: SlicedWeight,
  grid: Grid,
  stepAt: (group: number, row: number) => number,
): readonly ScaleAndZeroPoint[] {
  const { matrices, slices, numbers, sliceAt } = weight;
  const { low, high } = grid;
  const zeroPoint = centerOf(grid);
  const steps = new Float64Array(slices);
  for (const [group, { rows, columns }] of matrices.entries())
    for (let row = 0; row < (columns === 0 ? 0 : rows); row++) {
      const slice = sliceAt(group, row, 0);
      steps[slice] = Math.max(steps[slice] ?? 0, stepAt(group, row));
    }
  return Array.from(steps, (step, slice) => {
    const largest = numbers(slice).reduce((maximum, value) => Math.max(maximum, Math.abs(value)), 0);
    const scale = Math.max(step, largest / Math.min(high - zeroPoint, zeroPoint - low), smallestScale);
    return { scale: Math.fround(slices === 1 ? scale : shortenScale(scale)), zeroPoint };
  });
}

/** Rounds a scale up to five significant binary digits, because many scales are a large part of a file with values of few bits. */
function shortenScale(scale: number): number {
  const unit = 2 ** (Math.floor(Math.log2(scale)) - 4);
  return Math.ceil(scale / unit) * unit;
}

async function roundWeight(
  weight: SlicedWeight,
  grid: ScaledGrid,
  { gram, correction, rows }: ErrorModel,
  lambda: number,
  context: Pick<LayerContext, "multiply">,
): Promise<readonly Matrix[]> {
  let codes = nearestCodes(weight, grid);
  const createChooser = (): ChooseCode => chooseCheapest(grid, lambda, codeLengths(grid, codes));
  if (gram === undefined || correction === undefined) {
    for (let round = 1; round < rounds; round++) {
      const choose = createChooser();
      codes = mapWeight(weight, (value, slice, row) => choose(slice, value, rows?.[row] ?? 1, undefined));
    }
    return codes;
  }
  const rounding = roundWithCompensation(weight, grid, gram, correction, context);
  ({ codes } = rounding);
  await rounding.columns((slice, value) => nearestCode(grid, slice, value));
  for (let round = 1; round < rounds; round++) await rounding.columns(createChooser());
  for (let pass = 0; pass < descents; pass++) await rounding.descend(createChooser());
  return codes;
}

/** Returns the bits of each value's code from `low` to `high`: −log₂ of its share of all values. */
function codeLengths(
  { low, high }: Pick<ScaledGrid, "low" | "high">,
  codes: readonly { readonly data: Float64Array }[],
): Float64Array {
  const counts = new Float64Array(high - low + 1).fill(unseenCount);
  let total = unseenCount * counts.length;
  for (const { data } of codes) {
    total += data.length;
    for (const code of data) counts[code - low] = (counts[code - low] ?? 0) + 1;
  }
  return counts.map((count) => Math.log2(total / count));
}

/** Returns a function that chooses the cheapest of the nearest value, the next value towards zero, zero, and the current value. */
function chooseCheapest({ scale, zeroPoint, low, high }: ScaledGrid, lambda: number, bits: Float64Array): ChooseCode {
  return (slice, value, curvature, currentCode) => {
    const [step = 1, zero = 0] = [scale[slice], zeroPoint[slice]];
    const costOf = (code: number): number =>
      curvature * (value - (code - zero) * step) ** 2 + lambda * (bits[code - low] ?? 0);
    const nearestValue = Math.min(high, Math.max(low, roundHalfEven(value / step) + zero));
    let best = currentCode ?? nearestValue;
    let minCost = costOf(best);
    for (const code of [nearestValue, nearestValue - Math.sign(nearestValue - zero), zero]) {
      if (code === best) continue;
      const cost = costOf(code);
      if (cost < minCost) [best, minCost] = [code, cost];
    }
    return best;
  };
}
