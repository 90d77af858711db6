/**
 * Finds attention: a product of two activations, a distribution over keys, and a product with a third activation.
 *      products = MatMul(q, kᵀ);  scores = Add(Div(products, √d), mask);  shares = Softmax(scores);  y = MatMul(shares, v)
 * The axis links of the products tell which axes are samples, heads, tokens and width.
 */
import { Miss } from "../errors.ts";
import type { Node, Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { type AxisLink, entryOf } from "../ops/index.ts";
import type { Inference } from "./infer.ts";

/** An operand, and the permutation of its axes to [samples, heads, tokens, width] or [samples · heads, tokens, width]. */
export interface Heads {
  readonly value: Value;
  readonly order: readonly number[];
}

export interface Attention {
  /** The softmax input, [samples, heads, queries, keys] or [samples · heads, queries, keys]: scaled and masked. */
  readonly scores: Value;
  readonly queries: Heads;
  readonly keys: Heads;
  readonly values: Heads;
}

/**
 * Returns the attentions of the main graph in order, except fused operators.
 * @example
 * for (const { scores } of attentions(model, infer(model))) console.log(scores.name);
 */
export function attentions(model: Model, inference: Inference): readonly Attention[] {
  return [...model.graph.nodes()].flatMap((node) => attentionAt(node, inference) ?? []);
}

function attentionAt(node: Node, inference: Inference): Attention | undefined {
  const bound = inference.at(node);
  const distribution = bound instanceof Miss ? undefined : bound.distribution();
  const [scores] = node.inputs;
  const [shares] = node.outputs;
  const rank = scores && inference.operand(scores)?.dims?.length;
  if (scores === undefined || shares === undefined || rank === undefined || rank < 3 || rank > 4) return undefined;
  if (distribution?.form !== "probabilities" || distribution.axes?.join() !== `${rank - 1}`) return undefined;
  const made = nearestProduct(scores, inference, "producers");
  const used = nearestProduct(shares, inference, "readers");
  if (made === undefined || used === undefined) return undefined;
  const [queries, keys] = [rank - 2, rank - 1].map((axis) => {
    const input = made.inputs.find((at) => made.links.some((link) => joins(link, `in${at}`, axis)));
    const heads = input === undefined ? undefined : headsOf(made, input, axis);
    return heads && { ...heads, value: unscaled(heads.value, inference) };
  });
  const values = headsOf(used, used.inputs.find((at) => at !== used.through) ?? 0, rank - 1, "width");
  if (queries === undefined || keys === undefined || values === undefined) return undefined;
  return { scores, queries, keys, values };
}

interface Product {
  readonly node: Node;
  readonly links: readonly AxisLink[];
  readonly inputs: readonly [number, number];
  readonly through: number | undefined;
}

/** A product of two activations: a sum over an axis of both. */
function productAt(node: Node, inference: Inference, through?: Value): Product | undefined {
  const bound = inference.at(node);
  const rule = bound instanceof Miss ? bound : bound.axes();
  if (rule instanceof Miss) return undefined;
  const computed = node.inputs.flatMap((value, at) =>
    value !== undefined && inference.operand(value)?.stored !== true ? [at] : [],
  );
  const [first, second, ...more] = computed;
  if (first === undefined || second === undefined || more.length > 0 || node.inputs.length > 2) return undefined;
  const sums = rule.links.some((link) => contracts(link));
  const at = computed.find((input) => node.inputs[input] === through);
  return sums ? { node, links: rule.links, inputs: [first, second], through: at } : undefined;
}

const contracts = (link: AxisLink): boolean =>
  "from" in link && link.from[0].startsWith("in") && link.to[0].startsWith("in");

const joins = (link: AxisLink, port: string, axis: number): boolean =>
  "from" in link && link.from[0] === port && link.to[0] === "out0" && link.to[1] === axis;

/** @param of The product axis that is the operand's token axis, or its width if `what` is "width". */
function headsOf({ node, links, inputs }: Product, input: number, of: number, what = "tokens"): Heads | undefined {
  const value = node.inputs[input];
  const port = `in${input}`;
  const kept = links.flatMap((link) => (joins(link, port, of) && "from" in link ? [link.from[1]] : []))[0];
  const summed = links.flatMap((link) => {
    if (!("from" in link) || !contracts(link)) return [];
    return link.from[0] === port ? [link.from[1]] : link.to[0] === port ? [link.to[1]] : [];
  })[0];
  const rank = value?.type?.dims?.length;
  if (
    value === undefined ||
    kept === undefined ||
    summed === undefined ||
    rank === undefined ||
    !inputs.includes(input)
  )
    return undefined;
  const [tokens, width] = what === "tokens" ? [kept, summed] : [summed, kept];
  const place = (axis: number): number => {
    const link = links.find((each) => "from" in each && each.from[0] === port && each.from[1] === axis);
    return link !== undefined && "to" in link ? link.to[1] : axis;
  };
  const stacks = Array.from({ length: rank }, (_, axis) => axis).filter((axis) => axis !== tokens && axis !== width);
  return { value, order: [...stacks.sort((a, b) => place(a) - place(b)), tokens, width] };
}

/** Returns a value before scaling by a scalar: some exporters scale queries and keys each by the root of 1/√d. */
function unscaled(value: Value, inference: Inference): Value {
  const { producer } = value;
  if (producer === undefined || entryOf(producer)?.byElement !== true) return value;
  const [computed, ...others] = producer.inputs.filter(
    (input) => input !== undefined && (inference.operand(input)?.dims?.length ?? 1) > 0,
  );
  return computed === undefined || others.length > 0 || producer.inputs.length < 2
    ? value
    : unscaled(computed, inference);
}

/** The maximum number of nodes that scale, cap and mask scores. */
const most = 24;

function inPlace(node: Node, inference: Inference): boolean {
  const bound = inference.at(node);
  return entryOf(node)?.byElement === true || (!(bound instanceof Miss) && bound.unchanged() !== undefined);
}

/** Finds the nearest product before or after a value through nodes that keep element positions. */
function nearestProduct(value: Value, inference: Inference, side: "producers" | "readers"): Product | undefined {
  const open: Value[] = [value];
  for (let at = 0; at < Math.min(open.length, most); at++) {
    const one = open[at];
    const nodes = side === "producers" ? [one?.producer] : Array.from(one?.uses ?? [], ({ node }) => node);
    for (const node of nodes) {
      if (node === undefined) continue;
      const found = productAt(node, inference, side === "producers" ? undefined : one);
      if (found !== undefined) return found;
      const next = side === "producers" ? node.inputs : node.outputs.slice(0, 1);
      if (inPlace(node, inference)) open.push(...next.filter((each) => each !== undefined));
    }
  }
  return undefined;
}
