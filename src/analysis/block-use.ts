/** What is done with blocks: several taken as one, and one taken out. */
import { Miss } from "../errors.ts";
import type { Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { dimsText } from "../tensor/dims.ts";
import { type Block, commonName } from "./blocks.ts";

export interface Passage {
  readonly input: Value;
  readonly output: Value;
}

/**
 * What a block changes, and what it becomes: a layer is taken out of a network by giving the readers of the output the input. Of several inputs
 * of the output's type and dimensions it is the one that was made last: what lives longer (an encoder's output) is only looked at.
 * @returns A Miss where there is no such input, or more outputs than one.
 * @example
 * const [layer] = blocks(model, infer(model)).repeats.flat();
 * const way = layer === undefined ? undefined : passageOf(layer);
 * if (way !== undefined && "output" in way) console.log(`${way.output.name} could be ${way.input.name}`);
 */
export function passageOf({ inputs, outputs, name }: Omit<Block, "kind">): Passage | Miss {
  const [output, ...others] = outputs;
  if (output === undefined || others.length > 0) return new Miss(`it has ${outputs.length} outputs`, name);
  const alike = new Set(
    inputs.filter(
      ({ type }) => type?.type === output.type?.type && dimsText(type?.dims) === dimsText(output.type?.dims),
    ),
  );
  const made = [...output.graph.nodes()].flatMap((node) => node.outputs).filter((value) => value && alike.has(value));
  const input = made.at(-1) ?? [...alike].at(-1);
  return input === undefined ? new Miss("none of its inputs has the size of its output", name) : { input, output };
}

/**
 * Blocks that follow each other as one block: it reads what they read of others, and answers with what others, or the callers of the model, read of
 * them.
 * @param all The blocks of the model, in their order.
 * @example
 * const all = blocks(model, infer(model)).blocks;
 * const firstHalf = extractBlock(model, joinBlocks(model, all.slice(0, all.length / 2), all));
 */
export function joinBlocks(model: Model, run: readonly Block[], all: readonly Block[]): Omit<Block, "kind"> {
  const own = new Set(run);
  const readElsewhere = new Set(all.flatMap((block) => (own.has(block) ? [] : block.inputs)));
  const made = new Set(run.flatMap(({ nodes }) => nodes.flatMap(({ outputs }) => outputs)));
  const unique = (values: readonly Value[]): readonly Value[] => [...new Set(values)];
  const named = run.flatMap(({ layers: names }) => names);
  const outputs = run
    .flatMap((block) => block.outputs)
    .filter((value) => readElsewhere.has(value) || model.graph.isOutput(value));
  return {
    name: commonName(named) ?? fromTo(named) ?? run[0]?.name ?? "",
    nodes: run.flatMap(({ nodes }) => nodes),
    inputs: unique(run.flatMap(({ inputs }) => inputs.filter((value) => !made.has(value)))),
    sides: unique(run.flatMap(({ sides }) => sides)),
    outputs,
    layers: named,
  };
}

function fromTo(names: readonly string[]): string | undefined {
  const [first, last] = [names[0], names.at(-1)];
  return first === undefined || last === undefined ? undefined : `${first} … ${last}`;
}
