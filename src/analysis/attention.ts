/**
 * Finds attention: a product of two activations, a distribution over keys, and a product with a third activation.
 *      products = MatMul(q, kᵀ);  scores = Add(Div(products, √d), mask);  shares = Softmax(scores);  y = MatMul(shares, v)
 */
import { Miss } from "../errors.ts";
import type { Node, Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { type AxisLink, entryOf } from "../ops/index.ts";
import type { Inference } from "./infer.ts";

/**
 * Returns the scores of the attentions of the main graph in order, except fused operators. Scores are the input of the softmax, scaled and
 * masked: [samples, heads, queries, keys] or [samples · heads, queries, keys].
 * @example
 * for (const scores of attentionScores(model, infer(model))) console.log(scores.name);
 */
export function attentionScores(model: Model, inference: Inference): readonly Value[] {
  return [...model.graph.nodes()].flatMap((node) => scoresAt(node, inference) ?? []);
}

function scoresAt(node: Node, inference: Inference): Value | undefined {
  const bound = inference.at(node);
  const distribution = bound instanceof Miss ? undefined : bound.distribution();
  const [scores] = node.inputs;
  const [shares] = node.outputs;
  const rank = scores && inference.operand(scores)?.dims?.length;
  if (scores === undefined || shares === undefined || rank === undefined || rank < 3 || rank > 4) return undefined;
  if (distribution?.form !== "probabilities" || distribution.axes?.join() !== `${rank - 1}`) return undefined;
  const products = nearestProduct(scores, inference, "producers");
  if (products === undefined || nearestProduct(shares, inference, "readers") === undefined) return undefined;
  const isOfBoth = [rank - 2, rank - 1].every((axis) => products.some((link) => leadsTo(link, axis)));
  return isOfBoth ? scores : undefined;
}

/** Returns the axis links of a product of two activations: a sum over an axis of both. */
function productAt(node: Node, inference: Inference): readonly AxisLink[] | undefined {
  const bound = inference.at(node);
  const rule = bound instanceof Miss ? bound : bound.axes();
  if (rule instanceof Miss || node.inputs.length > 2) return undefined;
  const computed = node.inputs.filter((value) => value !== undefined && inference.operand(value)?.stored !== true);
  return computed.length === 2 && rule.links.some(contracts) ? rule.links : undefined;
}

const contracts = (link: AxisLink): boolean =>
  "from" in link && link.from[0].startsWith("in") && link.to[0].startsWith("in");

const leadsTo = (link: AxisLink, axis: number): boolean =>
  "from" in link && link.from[0].startsWith("in") && link.to[0] === "out0" && link.to[1] === axis;

/** The maximum number of nodes that scale, cap and mask scores. */
const most = 24;

function inPlace(node: Node, inference: Inference): boolean {
  const bound = inference.at(node);
  return entryOf(node)?.byElement === true || (!(bound instanceof Miss) && bound.unchanged() !== undefined);
}

/** Finds the nearest product before or after a value through nodes that keep element positions. */
function nearestProduct(value: Value, inference: Inference, side: "producers" | "readers") {
  const open: Value[] = [value];
  for (let at = 0; at < Math.min(open.length, most); at++) {
    const one = open[at];
    const nodes = side === "producers" ? [one?.producer] : Array.from(one?.uses ?? [], ({ node }) => node);
    for (const node of nodes) {
      if (node === undefined) continue;
      const found = productAt(node, inference);
      if (found !== undefined) return found;
      const next = side === "producers" ? node.inputs : node.outputs.slice(0, 1);
      if (inPlace(node, inference)) open.push(...next.filter((each) => each !== undefined));
    }
  }
  return undefined;
}
