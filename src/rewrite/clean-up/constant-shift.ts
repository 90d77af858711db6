/** Computes the shift of a layer's output that constant inputs cause, and adds it to a bias. */
import { biasedOutput } from "../../core/analysis/biased.ts";
import type { Inference } from "../../core/analysis/infer.ts";
import { layerAt } from "../../core/analysis/layers.ts";
import { requireProduct } from "../../core/analysis/weight.ts";
import type { Engine } from "../../core/engine/index.ts";
import { Miss, PithError } from "../../core/errors.ts";
import { emitInto } from "../../core/graph/emit.ts";
import { extract } from "../../core/graph/extract.ts";
import { describe, type Node, type Value } from "../../core/graph/graph.ts";
import type { Model } from "../../core/graph/model.ts";
import { isUsed } from "../../core/graph/remove-unused.ts";
import { replaceUses } from "../../core/graph/replace.ts";
import { toFloat64 } from "../../core/tensor/convert.ts";
import { float32 } from "../../core/tensor/dense.ts";
import { alongAxis } from "../../core/tensor/dims.ts";
import type { Dense } from "../../core/tensor/types.ts";

export interface Shift {
  readonly node: Node;
  readonly vector: Dense<"float32">;
}

/** Returns the shift of a layer's output by constants in its input; undefined if all constants are 0. */
export async function shiftOf(
  model: Model,
  inference: Inference,
  node: Node,
  data: Value,
  dims: readonly number[],
  constants: Float64Array,
  engine: Engine,
): Promise<Shift | Miss | undefined> {
  if (constants.every((number) => number === 0)) return undefined;
  const layer = layerAt(node, inference);
  const [output] = node.outputs;
  const at = describe(node);
  if (
    layer instanceof Miss ||
    output === undefined ||
    node.inputs[layer.role.data] !== data ||
    layer.role.outTaps !== undefined
  )
    return new Miss("they are constant, not 0, and no layer reads them", at);
  const refusal = requireProduct(layer);
  if (refusal !== undefined) return new Miss(refusal.reason, at);
  if (node.inputs.some((input) => input !== undefined && input !== data && inference.operand(input)?.stored !== true))
    return new Miss("its weight or its bias is computed", at);
  const feeds = [constants, new Float64Array(constants.length)].map((numbers) => [float32(dims, numbers)]);
  const [[withConstants] = [], [withZeros] = []] = await runPart(model, [output], [data], feeds, engine);
  if (withConstants === undefined || withZeros === undefined)
    return new Miss("ONNX Runtime cannot compute their values", at);
  const [shiftedNumbers, baseNumbers] = [toFloat64(withConstants), toFloat64(withZeros)];
  const rank = withConstants.dims.length;
  const axis = layer.role.outputAxis < 0 ? layer.role.outputAxis + rank : layer.role.outputAxis;
  const { count, inner } = alongAxis(withConstants.dims, axis);
  const vector = new Float64Array(count);
  const largest = shiftedNumbers.reduce(
    (magnitude, number, index) => Math.max(magnitude, Math.abs(number), Math.abs(baseNumbers[index] ?? 0)),
    0,
  );
  for (const [index, number] of shiftedNumbers.entries()) {
    const channel = Math.floor(index / inner) % count;
    const shift = number - (baseNumbers[index] ?? 0);
    if (index % (count * inner) === channel * inner && index < count * inner) vector[channel] = shift;
    // The comparison is negated so that NaN is rejected.
    if (!(Math.abs(shift - (vector[channel] ?? 0)) <= 1e-6 * largest))
      return new Miss(
        "they are constant, not 0, but zero padding or an earlier layer makes the sum vary by position",
        at,
      );
  }
  return { node, vector: float32([count, ...new Array<number>(rank - 1 - axis).fill(1)], vector) };
}

/** Runs a part of the model for several feeds of `inputs`; returns an empty list if the runtime cannot run the part. */
export async function runPart(
  model: Model,
  outputs: readonly Value[],
  inputs: readonly Value[],
  feeds: readonly (readonly Dense[])[],
  engine: Engine,
): Promise<readonly (readonly (Dense | undefined)[])[]> {
  const part = extract(model, outputs, inputs);
  try {
    const session = await engine.load(part, { optimize: false });
    try {
      const results: (readonly (Dense | undefined)[])[] = [];
      for (const tensors of feeds) {
        const namedFeeds = part.graph.inputs.flatMap(({ name }, index) => {
          const dense = tensors[index];
          return dense === undefined ? [] : [[name, dense] as const];
        });
        const outputTensors = await session.run(Object.fromEntries(namedFeeds));
        results.push(part.graph.outputs.map(({ name }) => outputTensors[name]));
      }
      return results;
    } finally {
      await session.release();
    }
  } catch (error) {
    if (error instanceof PithError && (error.code === "E_ENGINE" || error.code === "E_UNSUPPORTED")) return [];
    throw error;
  }
}

/** Adds the shift to a following bias sum, or as a new sum that `fuseAffine` folds into a bias. */
export async function addShift(model: Model, inference: Inference, { node, vector }: Shift): Promise<void> {
  const layer = layerAt(node, inference);
  const sum = layer instanceof Miss ? undefined : biasedOutput(layer, inference)?.sum;
  const oldVector = await sum?.vector.tensor?.read();
  if (sum !== undefined && oldVector?.type === "float32" && sum.vector.role === undefined) {
    const sums = oldVector.data.map((number, index) => number + (vector.data[index] ?? 0));
    const emit = emitInto(model, { before: sum.node });
    model.graph.setInput(sum.node, sum.input, emit.constant(float32(oldVector.dims, sums), sum.vector.name));
    if (!isUsed(sum.vector)) model.graph.removeValue(sum.vector);
    return;
  }
  const [output] = node.outputs;
  if (output === undefined) return;
  const nodes = [...model.graph.nodes()];
  const emit = emitInto(model, { before: nodes[nodes.indexOf(node) + 1], by: "drop-dead-channels" });
  const result = emit.Add([output, emit.constant(vector, `${output.name}.shift`)]);
  result.type = output.type;
  replaceUses(output, result, result.producer);
}
