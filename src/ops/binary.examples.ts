/** Element by element, two operands or more: equal shapes, broadcasting both ways, a scalar, shape arithmetic on stored integers. */
import { between, type Example, example } from "./define.examples.ts";

const positive = { feeds: { a: between(0.5, 2), b: between(0.5, 2) } };
const whole = { feeds: { a: [1, 2, 3, 1, 2, 3], b: [1, 3, 3, 2, 2, 2] } };

function arithmetic(op: string, more: Parameters<typeof example>[2] = {}): readonly Example[] {
  return [
    example(`${op} of equal shapes`, `(a: float32[batch, 3], b: float32[batch, 3]) y = ${op}(a, b)`, more),
    example(`${op} broadcasting both ways`, `(a: float32[batch, 1, 3], b: float32[2, 1]) y = ${op}(a, b)`, more),
    example(`${op} with a scalar`, `(a: float32[], b: float32[batch, 2]) y = ${op}(a, b)`, more),
  ];
}

function comparison(op: string): readonly Example[] {
  return [
    example(`${op} of equal shapes`, `(a: float32[2, 3], b: float32[2, 3]) y = ${op}(a, b)`, whole),
    example(`${op} with a scalar`, `(a: float32[batch, 3], b: float32[]) y = ${op}(a, b)`, { feeds: { b: [0.1] } }),
    example(`${op} of integers, broadcasting`, `(a: int64[batch, 1], b: int64[3]) y = ${op}(a, b)`),
  ];
}

function logic(op: string): readonly Example[] {
  return [
    example(`${op} of equal shapes`, `(a: bool[batch, 3], b: bool[batch, 3]) y = ${op}(a, b)`),
    example(`${op} broadcasting`, `(a: bool[batch, 1], b: bool[3]) y = ${op}(a, b)`),
    example(`${op} of scalars`, `(a: bool[], b: bool[]) y = ${op}(a, b)`),
  ];
}

function extremum(op: string): readonly Example[] {
  return [
    example(`${op} of equal shapes`, `(a: float32[batch, 3], b: float32[batch, 3]) y = ${op}(a, b)`),
    example(`${op} broadcasting`, `(a: float32[batch, 1, 3], b: float32[2, 1]) y = ${op}(a, b)`),
    example(`${op} of one operand`, `(a: float32[batch, 3]) y = ${op}(a)`),
    example(`${op} of three operands`, `(a: float32[batch, 3], b: float32[3], c: float32[]) y = ${op}(a, b, c)`),
    example(`${op} of one tensor with itself`, `(a: float32[batch, 3]) y = ${op}(a, a)`),
    example(`${op} of opset 7`, `(a: float32[batch, 3], b: float32[batch, 3]) y = ${op}(a, b)`, {
      opset: 7,
      misses: { read: "does not broadcast before opset 8" },
    }),
  ];
}

export const binaryExamples: readonly Example[] = [
  ...arithmetic("Add"),
  ...arithmetic("Sub"),
  ...arithmetic("Mul"),
  ...arithmetic("Div", positive),
  ...arithmetic("Pow", positive),
  ...["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"].flatMap(comparison),
  ...["And", "Or"].flatMap(logic),
  ...["Max", "Min"].flatMap(extremum),
  example("Add of a stored bias", "(x: float32[batch, 3]) b: float32[3] = random(seed 1); y = Add(x, b)"),
  example("Add of a named and a numbered size", "(a: float32[batch, 3], b: float32[2, 1]) y = Add(a, b)"),
  example("Add of two named sizes", "(a: float32[batch, 3], b: float32[rows, 1]) y = Add(a, b)", {
    sizes: { rows: 2 },
  }),
  example("Add of nothing", "(a: float32[0, 3], b: float32[3]) y = Add(a, b)"),
  example("Add of opset 7", "(a: float32[batch, 3], b: float32[3]) y = Add(a, b)", { opset: 7 }),
  example("Add of opset 6 with its axis", "(a: float32[2, 3], b: float32[2]) y = Add(a, b) {axis=0, broadcast=1}", {
    opset: 6,
    misses: { read: "before opset 7" },
  }),
  example("Mul of one value with itself", "(x: float32[batch, 3]) y = Mul(x, x)"),
  example("Add of stored shapes", "() a: int64[2] = [2, 3]; b: int64[1] = [-1]; y = Add(a, b)"),
  example("Sub of stored shapes", "() a: int64[2] = [2, 3]; b: int64[] = 5; y = Sub(a, b)"),
  example("Mul of stored shapes", "() a: int64[1] = [4]; b: int64[2] = [-2, 0]; y = Mul(a, b)"),
  example("Div of stored shapes truncates", "() a: int64[3] = [-7, 7, 8]; b: int64[] = 2; y = Div(a, b)"),
  example("Equal of stored shapes", "() a: int64[3] = [2, -1, 3]; b: int64[] = -1; y = Equal(a, b)"),
  example("Max of stored shapes", "() a: int64[2] = [2, 7]; b: int64[2] = [3, 5]; y = Max(a, b)", { opset: 12 }),
  example("Min of stored shapes", "() a: int64[2] = [2, 7]; b: int64[2] = [3, 5]; y = Min(a, b)", { opset: 12 }),
  example("Div by negative numbers", "(a: float32[4], b: float32[4]) y = Div(a, b)", { feeds: { b: between(-2, -1) } }),
  example("Pow with an integer exponent", "(a: float32[batch, 3]) b: int64[] = 2; y = Pow(a, b)"),
  example("Pow at zero", "(a: float32[3], b: float32[3]) y = Pow(a, b)", {
    feeds: { a: [0, 0.5, 2], b: [2, 3, 1] },
    except: {
      gradient: "a negative base has no derivative by the exponent, so differences across zero are not defined",
    },
  }),
  example("Pow of negative numbers to a stored exponent", "(a: float32[4]) b: float32[] = 3; y = Pow(a, b)", {
    feeds: { a: [-1.5, -0.5, 0.5, 1] },
    except: { gradient: "a negative base has no derivative by the exponent" },
  }),
];
