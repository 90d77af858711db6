/** Adds the inputs of saturating operators (Sigmoid, Softmax) as outputs. Outputs near 0 or 1 hide differences of two models. */
import { contentProducers, convertsQuantization, type Inference, infer } from "#analysis";
import { emitInto, isFloat, type Model, type Node, type Value } from "#ir";

export interface SaturatingModels {
  readonly inferred: Model;
  readonly original: Model;
  readonly other: Model;
  readonly outputs: ReadonlySet<string>;
  /** Added output → the output that is computed from it. */
  readonly saturatedOutputs: ReadonlyMap<string, string>;
}

/** @param outputNames outputs to examine (default: all). */
export function addSaturatingInputs(original: Model, other: Model, outputNames?: readonly string[]): SaturatingModels {
  const copies = { original: original.clone(), other: other.clone() };
  const outputs = outputNames ?? original.graph.outputs.map(({ name }) => name);
  const inputs = [...saturatingInputs(copies.original)].filter(([output]) => outputs.includes(output));
  const inferred = copies.original;
  if (inputs.length === 0) return { original, other, inferred, outputs: new Set(), saturatedOutputs: new Map() };
  const otherInputs = saturatingInputs(copies.other);
  const saturatedOutputs = new Map<string, string>();
  const addOutput = (model: Model, { input, moves }: SaturatingInput, output: string): void => {
    const value = moves.reduce((moved, node) => repeatMove(model, node, moved), input);
    const copy = emitInto(model).named(`${output} before saturation`).Identity([value]);
    copy.type ??= value.type;
    model.graph.addOutput(copy);
    saturatedOutputs.set(copy.name, output);
  };
  for (const [output, saturated] of inputs) {
    const counterpart = otherInputs.get(output);
    if (counterpart === undefined || counterpart.input.type?.type !== saturated.input.type?.type) continue;
    addOutput(copies.original, saturated, output);
    addOutput(copies.other, counterpart, output);
  }
  return { ...copies, inferred, outputs: new Set(inputs.map(([output]) => output)), saturatedOutputs };
}

/** The input of a saturating operator, and the nodes after it that only move elements (Transpose, Slice), in order. */
interface SaturatingInput {
  readonly input: Value;
  readonly moves: readonly Node[];
}

/** Both models then have the elements in the same order. */
function repeatMove({ graph }: Model, { op, domain, inputs, attributes, outputs }: Node, value: Value): Value {
  const copy = graph.addNode({ op, domain, inputs: [value, ...inputs.slice(1)], attributes });
  const [output] = copy.outputs;
  if (output === undefined) return value;
  const type = value.type?.type;
  output.type = type && { type, dims: outputs[0]?.type?.dims };
  return output;
}

function saturatingInputs(model: Model): ReadonlyMap<string, SaturatingInput> {
  const inference = infer(model);
  return new Map(
    model.graph.outputs.flatMap((output) => {
      const { input, moves = [] } = findSaturating(output, inference) ?? {};
      return input?.type === undefined || !isFloat(input.type.type) ? [] : [[output.name, { input, moves }]];
    }),
  );
}

function findSaturating(output: Value, inference: Inference) {
  const moves: Node[] = [];
  for (const { node, bound } of contentProducers(output, inference)) {
    if (bound.saturates() !== undefined) return { input: node.inputs[0], moves };
    // Casts and dequantization are not repeated on the operator's input, which has another type.
    if (bound.unchanged() === undefined && !convertsQuantization(node, inference)) moves.unshift(node);
  }
  return undefined;
}
