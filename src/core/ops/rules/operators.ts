/** Rules that remove the first of two operators: a negated condition, and a dequantization before an equal quantization. */
import { sameDims } from "#graph";
import type { Operand } from "../define.ts";
import { readInteger } from "../shared/attributes.ts";
import { largestOf, numbersOf } from "./constants.ts";
import type { Pair } from "./rule.ts";

/** Swaps the branches of a negated condition: Where(¬c, a, b) = Where(c, b, a). */
const negatedCondition: Pair = {
  id: "negated-condition",
  description: "Where takes a negated condition without the Not, with its values swapped",
  first: ["Not"],
  second: ["Where"],
  fuse({ first, second, input, canChange }) {
    const [condition, whenTrue, whenFalse] = [first.inputs[0], second.inputs[1], second.inputs[2]];
    const [negated] = first.outputs;
    if (input !== 0 || condition === undefined || negated === undefined || !canChange(negated)) return undefined;
    // The Not can be removed only if all its readers use it as a condition.
    const isCondition = [...negated.uses].every((use) => use.node.op === "Where" && use.input === 0);
    return isCondition ? { inputs: [condition, whenFalse, whenTrue] } : undefined;
  },
};

/** Types of at most 16 bits. For their values, (q - z) · s / s in float32 rounds to q - z. */
const codeTypes: readonly string[] = ["int8", "uint8", "int16", "uint16", "int4", "uint4"];

/** Scales s for which (q - z) · s neither overflows nor loses digits in float32. */
const [minScale, maxScale] = [2 ** -100, 2 ** 100];

const requantized: Pair = {
  id: "requantized",
  description: "a dequantized value that is quantized with the same scale and zero point is the quantized value",
  first: ["DequantizeLinear"],
  second: ["QuantizeLinear"],
  fuse({ first, second, firstSite, secondSite, input, operand }) {
    const [codes] = first.inputs;
    const [output] = second.outputs;
    const type = firstSite.inputs[0]?.type;
    if (codes === undefined || output === undefined || input !== 0 || type === undefined) return undefined;
    if (!codeTypes.includes(type) || operand(output)?.type !== type) return undefined;
    if (firstSite.inputs[1]?.type !== "float32" || secondSite.inputs[1]?.type !== "float32") return undefined;
    const scales = numbersOf(firstSite.inputs[1]);
    if (scales === undefined || largestOf(scales) > maxScale) return undefined;
    if (!scales.values.every((scale) => scale >= minScale)) return undefined;
    const isSameOperand = (index: number): boolean =>
      first.inputs[index] === second.inputs[index] ||
      haveEqualNumbers(firstSite.inputs[index], secondSite.inputs[index]);
    if (!isSameOperand(1) || !isSameOperand(2)) return undefined;
    // A single scale has no axis.
    const isSame = (name: string, byDefault: number): boolean =>
      readInteger(firstSite, name, byDefault) === readInteger(secondSite, name, byDefault);
    if (scales.values.length > 1 && !(isSame("axis", 1) && isSame("block_size", 0))) return undefined;
    return { value: codes };
  },
};

function haveEqualNumbers(a: Operand | undefined, b: Operand | undefined): boolean {
  const [first, second] = [numbersOf(a), numbersOf(b)];
  if (first === undefined || second === undefined || a?.type !== b?.type) return false;
  return sameDims(first.dims, second.dims) && first.values.every((value, index) => value === second.values[index]);
}

export const operatorPairs: readonly Pair[] = [negatedCondition, requantized];
