/** Blocks that repeat in a network, as data and in a line each. */
import { blocks, extractBlock } from "../../analysis/blocks.ts";
import type { Inference } from "../../analysis/infer.ts";
import { elementsIn } from "../../analysis/learned.ts";
import type { Value } from "../../graph/graph.ts";
import type { Model } from "../../graph/model.ts";
import { count, integer } from "../numbers.ts";

export interface BlockRow {
  readonly name: string;
  /** Equal for blocks that do the same with other numbers. */
  readonly kind: number;
  readonly nodes: number;
  readonly layers: readonly string[];
  /** Learned numbers that it reads. */
  readonly parameters: number;
  /** What it reads of the blocks before it or of the data, what else it reads, and what is read of it: names of values. */
  readonly inputs: readonly string[];
  readonly sides: readonly string[];
  readonly outputs: readonly string[];
}

export interface BlocksFound {
  readonly all: readonly BlockRow[];
  /** Blocks of one kind that follow each other: where they begin in the list of all, and how many they are. */
  readonly repeats: readonly { readonly first: number; readonly count: number }[];
}

export function describeBlocks(model: Model, inference: Inference, learned: ReadonlySet<Value>): BlocksFound {
  const found = blocks(model, inference);
  const counted = new Set([...learned].map(({ name }) => name));
  const names = (values: readonly Value[]): readonly string[] => values.map(({ name }) => name);
  return {
    all: found.blocks.map((block) => ({
      name: block.name,
      kind: block.kind,
      nodes: block.nodes.length,
      layers: block.layers,
      parameters: elementsIn([...extractBlock(model, block).graph.values()].filter(({ name }) => counted.has(name))),
      inputs: names(block.inputs),
      sides: names(block.sides),
      outputs: names(block.outputs),
    })),
    repeats: found.repeats.flatMap(([block, ...others]) =>
      block === undefined ? [] : [{ first: found.blocks.indexOf(block), count: 1 + others.length }],
    ),
  };
}

/** "12 blocks of one kind: encoder.layer.0 … 11 (6 layers, 7.1 M parameters each)", for each stretch that holds layers. */
export function blockLines({ all, repeats }: BlocksFound): readonly string[] {
  return repeats.flatMap(({ first, count: blocks }) => {
    const [row, last] = [all[first], all[first + blocks - 1]];
    if (row === undefined || last === undefined || row.layers.length === 0) return [];
    const layers = `${integer(row.layers.length)} ${row.layers.length === 1 ? "layer" : "layers"}`;
    const names = `${row.name} … ${endOf(last.name, row.name)}`;
    return [`${integer(blocks)} blocks of one kind: ${names} (${layers}, ${count(row.parameters)} parameters each)`];
  });
}

/** A name without the parts in front that another begins with too: "11" of "encoder.layer.11" beside "encoder.layer.0". */
function endOf(name: string, other: string): string {
  const [parts, others] = [name.split("."), other.split(".")];
  const at = parts.findIndex((part, index) => part !== others[index]);
  return at < 0 ? name : parts.slice(at).join(".");
}
