import { blocks, extractBlock } from "../../../core/analysis/blocks.ts";
import type { Inference } from "../../../core/analysis/infer.ts";
import type { Value } from "../../../core/graph/graph.ts";
import type { Model } from "../../../core/graph/model.ts";

/** A part of the network with one value as input and one as output. */
export interface InspectedBlock {
  readonly name: string;
  /** Equal for blocks that differ only in their weights. */
  readonly kind: number;
  readonly nodes: number;
  readonly layers: readonly string[];
  readonly parameters: number;
  /** Names of values: read from earlier blocks or the data, other inputs, and values that are read later. */
  readonly inputs: readonly string[];
  readonly sides: readonly string[];
  readonly outputs: readonly string[];
}

/** All blocks in order, and runs of equal ones. */
export interface Blocks {
  readonly all: readonly InspectedBlock[];
  /** Runs of equal blocks: index in `all`, and length. */
  readonly repeats: readonly { readonly first: number; readonly count: number }[];
}

export function describeBlocks(model: Model, inference: Inference, learned: ReadonlyMap<Value, number>): Blocks {
  const found = blocks(model, inference);
  const counts = new Map(Array.from(learned, ([{ name }, count]) => [name, count]));
  const sum = (numbers: readonly number[]): number => numbers.reduce((so, number) => so + number, 0);
  const names = (values: readonly Value[]): readonly string[] => values.map(({ name }) => name);
  return {
    all: found.blocks.map((block) => ({
      name: block.name,
      kind: block.kind,
      nodes: block.nodes.length,
      layers: block.layers,
      parameters: sum([...extractBlock(model, block).graph.values()].map(({ name }) => counts.get(name) ?? 0)),
      inputs: names(block.inputs),
      sides: names(block.sides),
      outputs: names(block.outputs),
    })),
    repeats: found.repeats.flatMap(([block, ...others]) =>
      block === undefined ? [] : [{ first: found.blocks.indexOf(block), count: 1 + others.length }],
    ),
  };
}
