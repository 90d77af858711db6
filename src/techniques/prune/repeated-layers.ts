/**
 * Removes repeated layers (`core/analysis/blocks.ts`: transformer or residual blocks): nodes that read the layer's output read its input.
 *
 *     h1 = layers.0(h0)
 *     h2 = layers.1(h1)     →     h1 = layers.0(h0)
 *     y = head(h2)                y = head(h1)
 *
 * Model inputs and outputs of a removed layer, such as its cache, are removed. Remaining caches are renumbered; weights keep their names.
 */
import { type Block, findBlocks, infer, outermostNode } from "#analysis";
import type { Graph, Model, Use, Value } from "#ir";
import { dimsText, Miss, removeReplaced, replaceReads, replaceUses, unsupportedError, usedTensors } from "#ir";
import { type Change, type Context, removedPortKind } from "#pass";
import { storeWeights } from "../../rewrite/clean-up/store-constants.ts";

/** Returns the stacks of repeated layers. @throws PithError E_UNSUPPORTED if no layers repeat. */
export function repeatedLayers(model: Model): readonly (readonly Block[])[] {
  storeWeights(model);
  const stacks = findBlocks(model, infer(model)).repeats;
  if (stacks.length > 0) return stacks;
  throw unsupportedError("The network has no repeated layers to remove.", {
    hint: "Repeated layers are transformer layers and residual blocks. Remove channels instead: `prune structured`, `distill shrink`.",
  });
}

/** Returns a block's output and its replacement: the latest of the inputs with the same type and shape. */
export function replacementOf({ inputs, outputs, name }: Omit<Block, "structureId">) {
  const [output] = outputs;
  if (output === undefined || outputs.length > 1) return new Miss(`it has ${outputs.length} outputs`, name);
  const candidates = new Set(inputs.filter((input) => isSameType(input, output)));
  const computedValues = [...output.graph.nodes()]
    .flatMap((node) => node.outputs)
    .filter((value) => value && candidates.has(value));
  const input = computedValues.at(-1) ?? [...candidates].at(-1);
  return input === undefined ? new Miss("none of its inputs has the shape of its output", name) : { input, output };
}

const isSameType = (a: Value, b: Value): boolean =>
  a.type?.type === b.type?.type && dimsText(a.type?.dims) === dimsText(b.type?.dims);

export interface Bypass {
  readonly block: Block;
  readonly input: Value;
  readonly output: Value;
  /** Outputs of the block that no other node reads, such as its cache. They are removed with the block. */
  readonly leftOver: readonly Value[];
}

export function bypassOf({ graph }: Model, block: Block): Bypass | Miss {
  const nodes = new Set(block.nodes);
  const isRead = ({ uses }: Value): boolean => [...uses].some((use) => !nodes.has(outermostNode(use.node, graph)));
  const readOutputs = block.outputs.filter(isRead);
  const outputs = readOutputs.length > 0 ? readOutputs : block.outputs;
  const replacement = replacementOf({ ...block, outputs });
  if (replacement instanceof Miss) return replacement;
  return { block, ...replacement, leftOver: block.outputs.filter((output) => !outputs.includes(output)) };
}

/** Exporters read common sizes from the cache of one layer. If that layer is removed, a remaining input of the same shape replaces its cache. */
function readSizesFromOtherInputs(model: Model, removedBlocks: readonly Block[]): void {
  const inference = infer(model);
  const nodes = new Set(removedBlocks.flatMap((block) => block.nodes));
  const isRemoved = ({ node }: Use): boolean => nodes.has(outermostNode(node, model.graph));
  const readsSize = ({ node }: Use): boolean =>
    node.outputs.every((output) => output !== undefined && inference.operand(output)?.elements !== undefined);
  const remaining = model.graph.feeds.filter(({ uses }) => [...uses].some((use) => !isRemoved(use) && !readsSize(use)));
  for (const input of model.graph.feeds) {
    if (remaining.includes(input) || ![...input.uses].some(isRemoved)) continue;
    const similar = remaining.find((other) => isSameType(other, input));
    if (similar !== undefined) replaceReads(input, similar);
  }
}

/** @param describeRemoval returns the text of the change for a removed layer. */
export function removeLayers(
  model: Model,
  bypasses: readonly Bypass[],
  { log }: Pick<Context, "log">,
  describeRemoval: (block: Block) => string = () => "removed",
): readonly Change[] {
  const { graph } = model;
  const blocks = bypasses.map(({ block }) => block);
  const oldTensors = usedTensors(model);
  const usedInputs = graph.inputs.filter(({ uses }) => uses.size > 0);
  readSizesFromOtherInputs(model, blocks);
  // If other nodes read a removed layer's output, it was a model output only for inspection.
  const outputs = new Set(
    bypasses.flatMap(({ leftOver, output }) => (output.uses.size > 0 ? [...leftOver, output] : leftOver)),
  );
  const removedOutputs = graph.outputs.filter((output) => outputs.has(output));
  graph.setOutputs(graph.outputs.filter((output) => !outputs.has(output)));
  const inputOf = new Map(bypasses.map(({ input, output }) => [output, input]));
  for (const { output } of bypasses) {
    let input = output;
    for (let next = inputOf.get(input); next !== undefined; next = inputOf.get(input)) input = next;
    replaceUses(output, input);
  }
  removeReplaced(model, oldTensors);
  const unusedInputs = new Set(usedInputs.filter((input) => input.uses.size === 0 && !graph.isOutput(input)));
  graph.setInputs(graph.inputs.filter((input) => !unusedInputs.has(input)));
  for (const input of unusedInputs) graph.removeValue(input);
  const renames = renumber(graph, [...unusedInputs, ...removedOutputs]);
  if (unusedInputs.size + removedOutputs.length + renames.length > 0) {
    const text =
      "inputs and outputs of removed layers were removed: set num_hidden_layers in config.json to the number of remaining layers";
    log({ id: "layers", text, level: "warning" });
  }
  const portChange = (at: string, what: string) => ({ at, what, kind: removedPortKind, decidedBy: "global" }) as const;
  return [
    ...blocks.map((block) => ({ at: block.name, what: describeRemoval(block), decidedBy: "global" }) as const),
    ...[...unusedInputs, ...removedOutputs].map(({ name }) =>
      portChange(name, "removed from the model's inputs and outputs"),
    ),
    ...renames.map(([from, to]) => portChange(from, `renamed to "${to}"`)),
  ];
}

/** Renames `past_key_values.3.key` to `past_key_values.1.key` if two earlier layers are removed. @returns Old and new names. */
function renumber(graph: Graph, removedValues: readonly Value[]): readonly (readonly [from: string, to: string])[] {
  const parse = (value: Value) => ({
    value,
    number: Number(/\d+/.exec(value.name)?.[0]),
    family: value.name.replace(/\d+/, "#"),
  });
  // The lowest free number of each family of names.
  const freeNumbers = new Map<string, number>();
  for (const { number, family } of removedValues.map(parse))
    freeNumbers.set(family, Math.min(number, freeNumbers.get(family) ?? number));
  const renames: [string, string][] = [];
  const numberedValues = [...graph.feeds, ...graph.outputs].map(parse);
  for (const { value, number, family } of numberedValues.sort((a, b) => a.number - b.number)) {
    const freeNumber = freeNumbers.get(family);
    if (freeNumber === undefined || !(number > freeNumber)) continue;
    const name = family.replace("#", String(freeNumber));
    if (graph.value(name) !== undefined) continue;
    renames.push([value.name, name]);
    graph.rename(value, name);
    freeNumbers.set(family, freeNumber + 1);
  }
  return renames;
}
