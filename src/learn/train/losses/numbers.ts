/** Losses on numbers and vectors. */
import { type Emit, elementCount, fixedDims, optionError, type Value } from "#ir";
import {
  asRows,
  castToFloat32,
  type Loss,
  type LossOptions,
  type LossScope,
  outputOf,
  scaledSum,
  targetLike,
} from "../loss.ts";

export function createTargetLoss(
  name: string,
  options: LossOptions,
  read: (scope: LossScope, output: Value) => { readonly rows: Value; readonly count: number },
  write: (emit: Emit, rows: Value, target: Value, count: number) => Value,
): Loss {
  return {
    name,
    build(scope) {
      const { rows, count } = read(scope, outputOf(scope, options.output));
      const target = targetLike(scope, rows, options.label ?? "label");
      return { value: write(scope.emit, rows, target.value, count), feeds: target.feeds };
    },
  };
}

/** Builds a loss that is the mean of `entries` over all elements. */
const errorLoss = (name: string, options: LossOptions, entries: (emit: Emit, error: Value) => Value): Loss =>
  createTargetLoss(name, options, readElements, (emit, output, target, count) =>
    scaledSum(emit, entries(emit, emit.Sub([output, target])), 1 / count),
  );

export const readElements = ({ emit }: LossScope, output: Value) => ({
  rows: castToFloat32(emit, output),
  count: elementCount(fixedDims(output.type?.dims) ?? []),
});

/**
 * Mean squared error: mean of e².
 * @example
 * await train(net, { data, loss: meanSquaredError({ label: "price" }) });
 */
export function meanSquaredError(options: LossOptions = {}): Loss {
  return errorLoss("mse", options, (emit, error) => emit.Mul([error, error]));
}

/** Mean absolute error: mean of |e|; its derivative at 0 is 0. */
export function meanAbsoluteError(options: LossOptions = {}): Loss {
  return errorLoss("mae", options, (emit, error) => emit.Abs([error]));
}

export interface HuberOptions extends LossOptions {
  /** |e| at which the square turns into a straight line (default 1). */
  readonly delta?: number | undefined;
}

/** Huber's loss (1964): mean of e²/2 where |e| < δ, δ(|e| - δ/2) beyond. @throws PithError E_OPTION for a δ that is not above 0. */
export function huber({ delta = 1, ...options }: HuberOptions = {}): Loss {
  if (!(delta > 0)) throw optionError(`Huber's delta must be above 0, got ${delta}.`);
  return errorLoss("huber", options, (emit, error) => {
    // With c = e clipped to ±δ, c·(e - c/2) covers both branches.
    const clippedError = emit.Clip([error, -delta, delta]);
    return emit.Mul([clippedError, emit.Sub([error, emit.Mul([clippedError, 0.5])])]);
  });
}

/** Squared length at or below which a vector becomes 0, without gradient. */
const minSquaredLength = 1e-16;

/** Scales the vectors along the last axis to length 1. */
export function directions(emit: Emit, vectors: Value): Value {
  const squares = emit.ReduceSum([emit.Mul([vectors, vectors]), [-1]], { keepdims: 1 });
  const nonzeroVectors = emit.Where([emit.Greater([squares, minSquaredLength]), vectors, 0]);
  return emit.Div([nonzeroVectors, emit.Sqrt([emit.Max([squares, minSquaredLength])])]);
}

/** 1 - cos of the angle between output and target, as a mean over rows. */
export function cosineDistance(options: LossOptions = {}): Loss {
  return createTargetLoss(
    "cosine",
    options,
    ({ emit }, output) => asRows(emit, output),
    (emit, rows, target, count) => {
      const cosines = emit.Mul([directions(emit, rows), directions(emit, target)]);
      return emit.Sub([1, scaledSum(emit, cosines, 1 / count)]);
    },
  );
}
