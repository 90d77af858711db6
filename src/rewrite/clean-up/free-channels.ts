/**
 * Rewrites a graph so that more channels can be pruned. Exporters read sizes from weights, share equal biases, and transpose between two Reshapes,
 * which couples channels.
 *   b = ConstantOfShape(Shape(fc.weight)[0])   →   b = ConstantOfShape([128])
 */
import { channelGroups, compareFree, countFree, type FreeCounts, type Inference, infer } from "#analysis";
import type { Model, Node, Symbolic, Value } from "#ir";
import { emitInto, isFloat, isSymbolic, nodeText, productParts, removeUnusedEverywhere, snapshot } from "#ir";
import type { Change, Context } from "#pass";
import { parameterRules } from "../../core/ops/rules/index.ts";
import { cleanUpChange, defineCleanUp } from "./clean-up.ts";
import { dropUnused } from "./drop-unused.ts";
import { foldShapes } from "./fold-shapes.ts";
import { fuseNodes } from "./fuse-nodes.ts";
import { removeIdentities } from "./remove-identities.ts";

export async function withFreeChannels(model: Model): Promise<Model> {
  const copy = model.clone();
  await freeChannels(copy, (candidate) => ({ free: countFree(channelGroups(candidate, infer(candidate))) }));
  return copy;
}

/** Rewrites a model in place, as little as needed, so that most channels are free. Returns the analysis of the kept form. */
export async function freeChannels<Analysis extends { readonly free: FreeCounts }>(
  model: Model,
  analyze: (model: Model) => Analysis,
  context?: Context,
): Promise<Analysis> {
  const restoreOriginal = snapshot(model);
  const neededPasses = await applyUntilStable(model, passes, context);
  if (neededPasses === 0) return analyze(model);
  const restoreRewrite = snapshot(model);
  const rewritten = analyze(model);
  restoreOriginal();
  const original = analyze(model);
  if (compareFree(rewritten.free, original.free) <= 0) return original;
  for (const length of passCounts.filter((form) => form < neededPasses)) {
    if ((await applyUntilStable(model, passes.slice(0, length), context)) === 0) continue;
    const partial = analyze(model);
    if (compareFree(partial.free, rewritten.free) >= 0) return partial;
  }
  restoreRewrite();
  return rewritten;
}

/** Gives each node a copy of a shared bias or scale, so that different entries can be removed from each. */
export const partVectors = defineCleanUp(
  "part-vectors",
  "Store a separate copy of a shared vector for each node",
  ({ graph }) => {
    const changes: Change[] = [];
    for (const value of [...graph.values()]) {
      const { tensor, role } = value;
      if (tensor === undefined || role !== undefined || tensor.dims.length !== 1 || !isFloat(tensor.type)) continue;
      // Up to IR 3 a stored tensor is an input, which a caller can set.
      if (graph.inputs.includes(value) || graph.isOutput(value)) continue;
      const [, ...furtherUses] = value.uses;
      for (const { node, input } of furtherUses) {
        if (node.graph !== graph) continue;
        graph.setInput(node, input, graph.addTensor(value.name, tensor));
        changes.push(cleanUpChange(nodeText(node), `a separate vector for "${value.name}"`, "vector parted"));
      }
    }
    return changes;
  },
);

/**
 * Reads named sizes from the model's inputs: a value whose size is read cannot be pruned along its other axes.
 *   n = Gather(Shape(h), 0)    h: [batch, 2, 8]   →   n = Gather(Shape(x), [0])    x: [batch, 3]
 */
export const readSizes = defineCleanUp("read-sizes", "Read named sizes from the inputs", (model) => {
  const { graph } = model;
  const inference = infer(model);
  const inputs = new Set(graph.feeds);
  const places = new Map<string, InputAxis>();
  for (const input of graph.feeds)
    for (const [axis, dim] of (input.type?.dims ?? []).entries())
      if (isSymbolic(dim) && !places.has(dim.text)) places.set(dim.text, [input, axis]);
  const [first] = graph.nodes();
  const emit = emitInto(model, { before: first, by: "read-sizes" });
  const sizes = new Map<string, Value>();
  const writeSize = ({ text, factor, place: [input, axis] }: NamedSize): Value => {
    const writtenSize = sizes.get(text);
    if (writtenSize !== undefined) return writtenSize;
    const size = emit.Gather([emit.Shape([input]), [axis]]);
    const product = factor === 1 ? size : emit.Mul([size, [factor]]);
    sizes.set(text, product);
    return product;
  };
  const changes: Change[] = [];
  const visitedNodes = new Set<Node>();
  /** If only some elements of a size are named, such as batch and channels, rewrites the operands of the size. */
  const readInputSizes = (node: Node): void => {
    if (visitedNodes.has(node)) return;
    visitedNodes.add(node);
    for (const [index, value] of node.inputs.entries()) {
      if (value === undefined || !isNamedSize(value, inference) || readsOnly(value, inputs, inference)) continue;
      const parts = inference.operand(value)?.elements?.map((dim) => (isSymbolic(dim) ? nameSize(dim, places) : [dim]));
      if (parts?.every((part) => part !== undefined) !== true) {
        if (value.producer?.graph === graph) readInputSizes(value.producer);
        continue;
      }
      const vector = emit.Concat(
        parts.map((part) => ("text" in part ? writeSize(part) : part)),
        { axis: 0 },
      );
      graph.setInput(node, index, value.type?.dims?.length === 0 ? emit.Reshape([vector, []]) : vector);
      changes.push(cleanUpChange(nodeText(node), `reads "${value.name}" from the inputs`));
    }
  };
  for (const node of [...graph.nodes()]) {
    if (node.outputs.every((output) => output === undefined || inference.operand(output)?.elements !== undefined))
      continue;
    readInputSizes(node);
  }
  if (changes.length > 0) removeUnusedEverywhere(model);
  return changes;
});

type InputAxis = readonly [input: Value, axis: number];

interface NamedSize {
  readonly text: string;
  readonly factor: number;
  readonly place: InputAxis;
}

function nameSize(dim: Symbolic, places: ReadonlyMap<string, InputAxis>): NamedSize | undefined {
  const [factor, name] = productParts(dim) ?? [1, dim.text];
  const place = places.get(name);
  return place === undefined ? undefined : { text: dim.text, factor, place };
}

/** Returns whether a value is a computed scalar or vector whose elements are known, some of them symbolic. */
function isNamedSize(value: Value, inference: Inference): boolean {
  const { type, dims, elements } = inference.operand(value) ?? {};
  if (value.producer === undefined || value.role !== undefined || type !== "int64" || dims === undefined) return false;
  return dims.length <= 1 && elements?.some(isSymbolic) === true;
}

function readsOnly({ producer }: Value, inputs: ReadonlySet<Value>, inference: Inference): boolean {
  return (producer?.inputs ?? []).every(
    (input) =>
      input === undefined ||
      inputs.has(input) ||
      (inference.operand(input)?.elements !== undefined && readsOnly(input, inputs, inference)),
  );
}

const fuseBetweenLayers = defineCleanUp(
  fuseNodes.id,
  fuseNodes.summary,
  async (model, context) => (await fuseNodes(model, { skip: [...parameterRules] }, context)).changes,
);

/** In order: sizes, shared vectors, places where sizes are read, axes that are split and merged again. */
const passes = [foldShapes, partVectors, readSizes, removeIdentities, fuseBetweenLayers, dropUnused];
const passCounts = [1, 2, 3, passes.length];

/** Repeats passes until none changes anything. @returns the number of passes up to the last one that changed the model. */
async function applyUntilStable(model: Model, sequence: typeof passes, context?: Context): Promise<number> {
  for (let neededPasses = 0; ; ) {
    let isChanged = false;
    for (const [index, pass] of sequence.entries()) {
      if ((await pass(model, {}, context)).changes.length === 0) continue;
      isChanged = true;
      neededPasses = Math.max(neededPasses, index + 1);
    }
    if (!isChanged) return neededPasses;
  }
}
