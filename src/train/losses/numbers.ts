/** Losses of numbers against numbers: a function of the error, as a mean over all entries. */
import { PithError } from "../../errors.ts";
import type { Emit } from "../../graph/emit.ts";
import type { Value } from "../../graph/graph.ts";
import { float32, int64 } from "../../tensor/dense.ts";
import { elementCount, fixedDims } from "../../tensor/dims.ts";
import { asRows, inFloat32, type Loss, type LossOptions, outputOf, scalar, scaledSum, targetLike } from "../loss.ts";

/** factor · mean of what `entries` makes of the error e = output - target. */
function ofErrors(name: string, options: LossOptions, entries: (emit: Emit, error: Value) => Value, factor = 1): Loss {
  return {
    name,
    build(scope) {
      const { emit } = scope;
      const output = inFloat32(emit, outputOf(scope, options.output));
      const target = targetLike(scope, output, options.label ?? "label");
      const count = elementCount(fixedDims(output.type?.dims) ?? []);
      const each = entries(emit, emit.Sub([output, target.value]));
      return { value: scaledSum(emit, each, factor / count), feeds: target.feeds };
    },
  };
}

/**
 * Mean squared error: mean of e².
 * @example
 * await train(net, { data, loss: meanSquaredError({ label: "price" }) });
 */
export function meanSquaredError(options: LossOptions = {}): Loss {
  return ofErrors("mse", options, (emit, error) => emit.Mul([error, error]));
}

/**
 * Mean absolute error: mean of |e|; its derivative at 0 is 0.
 * @example
 * await train(net, { data, loss: meanAbsoluteError() });
 */
export function meanAbsoluteError(options: LossOptions = {}): Loss {
  return ofErrors("mae", options, (emit, error) => emit.Abs([error]));
}

export interface HuberOptions extends LossOptions {
  /** Where the square ends and the straight line begins (default 1). */
  readonly delta?: number | undefined;
}

/**
 * Huber's loss (1964): mean of e²/2 where |e| < δ, δ(|e| - δ/2) beyond.
 * @throws PithError E_OPTION for a δ that is not above 0.
 * @example
 * await train(net, { data, loss: huber({ delta: 0.5 }) });
 */
export function huber({ delta = 1, ...options }: HuberOptions = {}): Loss {
  if (!(delta > 0)) throw new PithError("E_OPTION", `Huber's delta must be above 0, got ${delta}.`);
  // With c = e cut off at ±δ: c·(e - c/2) is both branches.
  return ofErrors("huber", options, (emit, error) => {
    const cut = emit.Clip([error, scalar(emit, -delta), scalar(emit, delta)]);
    return emit.Mul([cut, emit.Sub([error, emit.Mul([cut, scalar(emit, 0.5)])])]);
  });
}

/** A vector shorter than this has no direction. */
const shortest = 1e-8;

function directions(emit: Emit, rows: Value): Value {
  const axis = emit.constant(int64([1], [-1]));
  const length = emit.Sqrt([emit.ReduceSum([emit.Mul([rows, rows]), axis], { keepdims: 1 })]);
  return emit.Div([rows, emit.Max([length, scalar(emit, shortest)])]);
}

/**
 * 1 - cos of the angle between output and target, as a mean over rows.
 * @example
 * await train(student, { data, loss: cosineDistance({ output: "embedding", label: "teacher" }) });
 */
export function cosineDistance(options: LossOptions = {}): Loss {
  return {
    name: "cosine",
    build(scope) {
      const { emit } = scope;
      const { rows, count } = asRows(emit, outputOf(scope, options.output));
      const target = targetLike(scope, rows, options.label ?? "label");
      const cosines = emit.Mul([directions(emit, rows), directions(emit, target.value)]);
      const mean = scaledSum(emit, cosines, 1 / count);
      return { value: emit.Sub([scalar(emit, 1), mean]), feeds: target.feeds };
    },
  };
}

export interface InfoNceOptions extends LossOptions {
  /** Cosines are divided by it (default 0.07): smaller looks at the nearest rows only. */
  readonly temperature?: number | undefined;
}

/**
 * InfoNCE (van den Oord et al. 2018), symmetric as in CLIP (Radford et al. 2021): row i of the output belongs to row i of the target, and to
 * no other of the batch; cross-entropy of the cosines, by rows and by columns, halved.
 * @throws PithError E_OPTION for a temperature that is not above 0.
 * @example
 * await train(net, { data, loss: infoNce({ output: "image_embedding", label: "text_embedding" }) });
 */
export function infoNce({ temperature = 0.07, ...options }: InfoNceOptions = {}): Loss {
  if (!(temperature > 0)) throw new PithError("E_OPTION", `The temperature must be above 0, got ${temperature}.`);
  return {
    name: "info-nce",
    build(scope) {
      const { emit } = scope;
      const { rows, count } = asRows(emit, outputOf(scope, options.output));
      const target = targetLike(scope, rows, options.label ?? "label");
      const others = emit.Transpose([directions(emit, target.value)], { perm: [1, 0] });
      const cosines = emit.MatMul([directions(emit, rows), others]);
      const logits = emit.Div([cosines, scalar(emit, temperature)]);
      const own = emit.constant(float32([count, count], identity(count)));
      const logs = emit.Add([emit.LogSoftmax([logits], { axis: 1 }), emit.LogSoftmax([logits], { axis: 0 })]);
      return { value: scaledSum(emit, emit.Mul([own, logs]), -1 / (2 * count)), feeds: target.feeds };
    },
  };
}

function identity(size: number): Float32Array {
  const matrix = new Float32Array(size * size);
  for (let at = 0; at < size; at++) matrix[at * size + at] = 1;
  return matrix;
}
