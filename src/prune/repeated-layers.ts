/**
 * Repeated layers (blocks, `analysis/blocks.ts`: those of a transformer, the residual blocks of a stage), and how one is removed: what reads its output
 * reads its input.
 *
 *     h1 = layers.0(h0)
 *     h2 = layers.1(h1)     →     h1 = layers.0(h0)
 *     y = head(h2)                y = head(h1)
 *
 * Inputs and outputs of the model that only such a layer has, as its part of a cache, go with it, and caches that stay are numbered anew, as
 * programs count them. Names of weights and layers stay.
 */
import { type Block, blocks, outermost } from "../analysis/blocks.ts";
import { infer } from "../analysis/infer.ts";
import { Miss, PithError } from "../errors.ts";
import type { Graph, Use, Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { replaceReads, replaceUses } from "../graph/replace.ts";
import { type Change, type Context, noLongerThere } from "../passes/pass.ts";
import { removeReplaced, usedTensors } from "../passes/remove-unused.ts";
import { storeWeights } from "../passes/store-constants.ts";
import { dimsText } from "../tensor/dims.ts";

/** The layers that repeat, stack by stack. @throws PithError E_UNSUPPORTED where none do */
export function repeatedLayers(model: Model): readonly (readonly Block[])[] {
  storeWeights(model);
  const stacks = blocks(model, infer(model)).repeats;
  if (stacks.length > 0) return stacks;
  throw new PithError("E_UNSUPPORTED", "The network has no repeated layers to remove.", {
    hint: "Repeated layers are transformer layers and residual blocks. Remove channels instead: `pith prune --structured`, `pith distill --shrink`.",
  });
}

/**
 * The output of a block, and the input that takes its place where the block is removed: of the inputs of its type and dimensions the one that
 * was computed last. Inputs that were computed earlier (an encoder's output) are only read.
 */
export function skipOf({ inputs, outputs, name }: Omit<Block, "kind">) {
  const [output, ...others] = outputs;
  if (output === undefined || others.length > 0) return new Miss(`it has ${outputs.length} outputs`, name);
  const alike = new Set(
    inputs.filter(
      ({ type }) => type?.type === output.type?.type && dimsText(type?.dims) === dimsText(output.type?.dims),
    ),
  );
  const made = [...output.graph.nodes()].flatMap((node) => node.outputs).filter((value) => value && alike.has(value));
  const input = made.at(-1) ?? [...alike].at(-1);
  return input === undefined ? new Miss("none of its inputs has the shape of its output", name) : { input, output };
}

/** How to get past a layer. */
export interface Bypass {
  readonly block: Block;
  readonly input: Value;
  readonly output: Value;
  /** Outputs that only callers read are removed with it. */
  readonly leftOver: readonly Value[];
}

export function bypassOf({ graph }: Model, block: Block): Bypass | Miss {
  const own = new Set(block.nodes);
  const isRead = ({ uses }: Value): boolean => [...uses].some((use) => !own.has(outermost(use.node, graph)));
  const read = block.outputs.filter(isRead);
  const through = read.length > 0 ? read : block.outputs;
  const way = skipOf({ ...block, outputs: through });
  if (way instanceof Miss) return way;
  return { block, ...way, leftOver: block.outputs.filter((output) => !through.includes(output)) };
}

/**
 * Exporters read sizes that all layers share off the cache of one of them: where that one goes, an input of the same dimensions that stays says
 * them as well.
 */
function readSizesFromOtherInputs(model: Model, gone: readonly Block[]): void {
  const inference = infer(model);
  const theirs = new Set(gone.flatMap(({ nodes }) => nodes));
  const goes = ({ node }: Use): boolean => theirs.has(outermost(node, model.graph));
  const readsSize = ({ node }: Use): boolean =>
    node.outputs.every((output) => output !== undefined && inference.operand(output)?.elements !== undefined);
  const staying = model.graph.feeds.filter(({ uses }) => [...uses].some((use) => !goes(use) && !readsSize(use)));
  for (const input of model.graph.feeds) {
    if (staying.includes(input) || ![...input.uses].some(goes)) continue;
    const { type } = input;
    const alike = staying.find(
      (other) => other.type?.type === type?.type && dimsText(other.type?.dims) === dimsText(type?.dims),
    );
    if (alike !== undefined) replaceReads(input, alike);
  }
}

/** @param whatOf the text of the change for a removed layer. */
export function removeLayers(
  model: Model,
  bypasses: readonly Bypass[],
  { log }: Pick<Context, "log">,
  whatOf: (block: Block) => string = () => "removed",
): readonly Change[] {
  const { graph } = model;
  const gone = bypasses.map(({ block }) => block);
  const stored = usedTensors(model);
  const fed = graph.inputs.filter(({ uses }) => uses.size > 0);
  readSizesFromOtherInputs(model, gone);
  // What callers read of a removed layer's output while others read it too was a look inside.
  const outputs = new Set(
    bypasses.flatMap(({ leftOver, output }) => (output.uses.size > 0 ? [...leftOver, output] : leftOver)),
  );
  const lost = graph.outputs.filter((output) => outputs.has(output));
  graph.setOutputs(graph.outputs.filter((output) => !outputs.has(output)));
  const before = new Map(bypasses.map(({ input, output }) => [output, input]));
  for (const { output } of bypasses) {
    let input = output;
    for (let next = before.get(input); next !== undefined; next = before.get(input)) input = next;
    replaceUses(output, input);
  }
  removeReplaced(model, stored);
  const idle = new Set(fed.filter((input) => input.uses.size === 0 && !graph.isOutput(input)));
  graph.setInputs(graph.inputs.filter((input) => !idle.has(input)));
  for (const input of idle) graph.removeValue(input);
  const renamed = renumber(graph, [...idle, ...lost]);
  if (idle.size + lost.length + renamed.length > 0) {
    const text =
      "inputs and outputs of removed layers were removed: set num_hidden_layers in config.json to the number of remaining layers";
    log({ id: "layers", text, level: "warning" });
  }
  return [
    ...gone.map((block) => ({ at: block.name, what: whatOf(block), decidedBy: "global" }) as const),
    ...[...idle, ...lost].map(
      ({ name }) =>
        ({
          at: name,
          what: "removed from the model's inputs and outputs",
          kind: noLongerThere,
          decidedBy: "global",
        }) as const,
    ),
    ...renamed.map(
      ([at, name]) => ({ at, what: `renamed to "${name}"`, kind: noLongerThere, decidedBy: "global" }) as const,
    ),
  ];
}

/** `past_key_values.3.key` becomes `past_key_values.1.key` where those of two layers before it are gone. @returns Old and new names. */
function renumber(graph: Graph, gone: readonly Value[]): readonly (readonly [from: string, to: string])[] {
  // The least number that is free, of each family of names.
  const places = new Map<string, number>();
  for (const { name } of gone) {
    const number = Number(/\d+/.exec(name)?.[0]);
    const family = name.replace(/\d+/, "#");
    places.set(family, Math.min(number, places.get(family) ?? number));
  }
  const renamed: [string, string][] = [];
  const numbered = [...graph.feeds, ...graph.outputs].map((value) => ({
    value,
    number: Number(/\d+/.exec(value.name)?.[0]),
    family: value.name.replace(/\d+/, "#"),
  }));
  for (const { value, number, family } of numbered.sort((a, b) => a.number - b.number)) {
    const free = places.get(family);
    if (free === undefined || !(number > free)) continue;
    const name = family.replace("#", String(free));
    if (graph.value(name) !== undefined) continue;
    renamed.push([value.name, name]);
    graph.rename(value, name);
    places.set(family, free + 1);
  }
  return renamed;
}
