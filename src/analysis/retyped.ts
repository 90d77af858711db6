/**
 * Numbers that stay what they are and become of another type: floats of another width, codes of floats, floats of codes. That is told by
 * types, and by what else goes in: stored numbers, or nothing.
 *
 *     y = Conv(x, w);  q = QuantizeLinear(y, s, z);  seen = DequantizeLinear(q, s, z)
 */
import type { Node, Value } from "../graph/graph.ts";
import { isFloat } from "../tensor/convert.ts";
import { bitsOf, type DataType } from "../tensor/types.ts";
import type { Inference } from "./infer.ts";

/** Whether a node hands its first input on in another type. */
export function retypes({ inputs, outputs }: Node, inference: Inference): boolean {
  const [input, ...rest] = inputs;
  const [output] = outputs;
  if (input === undefined || output === undefined) return false;
  const [from, to] = [input, output].map((value) => inference.operand(value)?.type);
  if (!isNumber(from) || !isNumber(to) || from === to || !(isFloat(from) || isFloat(to))) return false;
  return rest.every((value) => value === undefined || inference.operand(value)?.stored === true);
}

/**
 * What the consumers of a value see of it: where all of them read codes of it, made by stored scales, and floats of these again, the floats. A
 * value beyond the interval of the codes ends there, and an activation that did the same may have been left out. Undefined where they compute
 * on the codes themselves.
 */
export function asSeen(value: Value, inference: Inference): Value | undefined {
  const codes = [...value.uses].map(({ node }) => (makesCodes(node, inference) ? node.outputs[0] : undefined));
  if (codes.length === 0 || value.graph.isOutput(value) || codes.includes(undefined)) return value;
  const readers = codes.flatMap((code) => [...(code?.uses ?? [])].map(({ node }) => node));
  const floats = readers.filter((node) => retypes(node, inference) && isFloatValue(node.outputs[0], inference));
  return floats.length === readers.length ? floats[0]?.outputs[0] : undefined;
}

function makesCodes(node: Node, inference: Inference): boolean {
  return retypes(node, inference) && node.outputs.length === 1 && !isFloatValue(node.outputs[0], inference);
}

function isFloatValue(value: Value | undefined, inference: Inference): boolean {
  const type = value === undefined ? undefined : inference.operand(value)?.type;
  return type !== undefined && isFloat(type);
}

/** A float or a code. Wider integers count or point at something. */
function isNumber(type: DataType | undefined): type is DataType {
  if (type === undefined || type === "string" || type === "bool") return false;
  return isFloat(type) || bitsOf[type] <= 16;
}
