/** Rules that replace the arithmetic of activation functions by one operator. */
import { type Emit, structureMatcher, type Value } from "#graph";
import { isNear } from "./constants.ts";
import { emitNamed, type StructureRule } from "./rule.ts";

type GeluOperand = "x" | "root" | "one" | "half";

/** Writes 0.5 · x · sum in three orders of multiplication that exporters use. */
const writeProducts = (emit: Emit, x: Value, half: Value, sum: Value): readonly Value[] => [
  emit.Mul([emit.Mul([x, sum]), half]),
  emit.Mul([emit.Mul([x, half]), sum]),
  emit.Mul([emit.Mul([half, sum]), x]),
];

/** 0.5 · x · (1 + erf(x / √2)), or with x · √½. */
const erfPatterns = ([0, 1, 2] as const).flatMap((order) =>
  (["Div", "Mul"] as const).map((op) => (emit: Emit, { x, root, one, half }: Readonly<Record<GeluOperand, Value>>) => {
    const scaled = emit[op]([x, root]);
    const sum = emit.Add([emit.Erf([scaled]), one]);
    const last = writeProducts(emit, x, half, sum)[order] ?? sum;
    return { last, parts: { scaled } };
  }),
);

const findGelu = structureMatcher(["x", "root", "one", "half"], ...erfPatterns);

/** Gelu: y = x · Φ(x) = 0.5 · x · (1 + erf(x / √2)) (Hendrycks and Gimpel 2016); an operator since opset 20. */
const gelu: StructureRule = {
  id: "gelu",
  description: "the arithmetic of Gelu becomes one operator",
  last: ["Mul"],
  reorders: true,
  fuse(scope) {
    const { last, site, operand, match } = scope;
    if (site(last).version < 20) return undefined;
    const result = match(findGelu);
    if (result === undefined) return undefined;
    const { x, root, one, half } = result.operands;
    const factor = result.parts.scaled.op === "Div" ? Math.SQRT2 : Math.SQRT1_2;
    if (!isNear(operand(root), factor) || !isNear(operand(one), 1) || !isNear(operand(half), 0.5)) return undefined;
    return { value: emitNamed(scope).Gelu([x]) };
  },
};

type TanhOperand = "x" | "exponent" | "cubic" | "root" | "one" | "half";

const tanhPatterns = ([0, 1, 2] as const).map(
  (order) =>
    (emit: Emit, { x, exponent, cubic, root, one, half }: Readonly<Record<TanhOperand, Value>>) => {
      const inner = emit.Add([x, emit.Mul([emit.Pow([x, exponent]), cubic])]);
      const sum = emit.Add([emit.Tanh([emit.Mul([inner, root])]), one]);
      return { last: writeProducts(emit, x, half, sum)[order] ?? sum, parts: {} };
    },
);

const findTanhGelu = structureMatcher(["x", "exponent", "cubic", "root", "one", "half"], ...tanhPatterns);

/** Gelu with the approximation 0.5 · x · (1 + tanh(√(2/π) · (x + 0.044715 · x³))); an operator since opset 20. */
const tanhGelu: StructureRule = {
  id: "gelu-tanh",
  description: "the arithmetic of Gelu with tanh becomes one operator",
  last: ["Mul"],
  reorders: true,
  fuse(scope) {
    const { last, site, operand, match } = scope;
    if (site(last).version < 20) return undefined;
    const result = match(findTanhGelu);
    if (result === undefined) return undefined;
    const { x, exponent, cubic, root, one, half } = result.operands;
    const isFormula =
      isNear(operand(exponent), 3) &&
      isNear(operand(cubic), 0.044715) &&
      isNear(operand(root), Math.sqrt(2 / Math.PI)) &&
      isNear(operand(one), 1) &&
      isNear(operand(half), 0.5);
    if (!isFormula) return undefined;
    return { value: emitNamed(scope).Gelu([x], { approximate: "tanh" }) };
  },
};

const findHardSwish = structureMatcher(["x"], (emit, { x }) => {
  const sigmoid = emit.HardSigmoid([x]);
  return { last: emit.Mul([sigmoid, x]), parts: { sigmoid } };
});

/** HardSwish: y = x · max(0, min(1, x / 6 + 0.5)) (Howard et al. 2019); an operator since opset 14. */
const hardSwish: StructureRule = {
  id: "hard-swish",
  description: "a product of x and its HardSigmoid becomes HardSwish",
  last: ["Mul"],
  fuse(scope) {
    const { last, site, match } = scope;
    if (site(last).version < 14) return undefined;
    const result = match(findHardSwish);
    if (result === undefined) return undefined;
    const { sigmoid } = result.parts;
    const read = (name: string, defaultValue: number): number => {
      const attribute = sigmoid.attributes.get(name);
      return attribute?.kind === "float" ? attribute.value : defaultValue;
    };
    if (Math.abs(read("alpha", 0.2) - 1 / 6) > 1e-7 || read("beta", 0.5) !== 0.5) return undefined;
    return { value: emitNamed(scope).HardSwish([result.operands.x]) };
  },
};

export const activationStructures: readonly StructureRule[] = [gelu, tanhGelu, hardSwish];
