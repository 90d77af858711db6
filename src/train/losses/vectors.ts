/** Losses of directions: embeddings against embeddings. */
import { PithError } from "../../errors.ts";
import type { Emit } from "../../graph/emit.ts";
import type { Value } from "../../graph/graph.ts";
import { float32, int64 } from "../../tensor/dense.ts";
import { asRows, type Loss, type LossOptions, outputOf, scalar, scaledSum, targetLike } from "../loss.ts";

/** A vector shorter than this has no direction. */
const shortest = 1e-8;

/** Rows divided by their length. */
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
