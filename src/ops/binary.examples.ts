/** Element by element, two operands: equal shapes, broadcasting both ways, a scalar, shape arithmetic on stored integers. */
import { between, type Example, example, table } from "./define.examples.ts";

const positive = { feeds: { a: between(0.5, 2), b: between(0.5, 2) } };
const whole = { feeds: { a: [1, 2, 3, 1, 2, 3], b: [1, 3, 3, 2, 2, 2] } };

const dimensions = { channels: "is computed from the dimensions that would change" };

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

const apart = { a: [7.5, -7.5, 7.5, -7.5, 3.3, 0.4], b: [2, 2, -2, -2, 1.5, 1] };

const modulo: readonly Example[] = [
  example("Mod of floats", "(a: float32[6], b: float32[6]) y = Mod(a, b) {fmod=1}", {
    feeds: apart,
  }),
  ...table({ feeds: { a: [7, -7, 7, -7], b: [3, 3, -3, -3] } })`
    Mod of integers with the sign of the divisor | (a: int64[4], b: int64[4]) y = Mod(a, b)
    Mod of integers with the sign of the dividend | (a: int32[4], b: int32[4]) y = Mod(a, b) {fmod=1}
  `,
  example("Mod broadcasting", "(a: int64[batch, 3], b: int64[]) y = Mod(a, b)", { feeds: { b: [3] } }),
  example("Mod of stored shapes", "() a: int64[3] = [5, 6, 7]; b: int64[] = 4; y = Mod(a, b)"),
  example("Mod of a dimension", "(x: float32[batch, 3]) n: int64[] = 4; s = Shape(x); y = Mod(s, n)", {
    sizes: { batch: 6 },
    except: dimensions,
  }),
];

const anywhere = { x: between(-2, 2) };
const slopes: readonly Example[] = [
  ...table({ feeds: anywhere })`
    PRelu with a slope for each channel | (x: float32[batch, 3, 2]) s: float32[3, 1] = random(seed 1); y = PRelu(x, s)
    PRelu with one slope | (x: float32[batch, 3], s: float32[1]) y = PRelu(x, s)
  `,
  example("PRelu of a scalar", "(x: float32[], s: float32[]) y = PRelu(x, s)", { feeds: { x: [-0.7] } }),
  example("PRelu of opset 7", "(x: float32[batch, 3], s: float32[3]) y = PRelu(x, s)", { opset: 7, feeds: anywhere }),
];

export const binaryExamples: readonly Example[] = [
  ...arithmetic("Add"),
  ...arithmetic("Sub"),
  ...arithmetic("Mul"),
  ...arithmetic("Div", positive),
  ...arithmetic("Pow", positive),
  ...["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"].flatMap(comparison),
  ...modulo,
  ...slopes,
  example("Add of a stored bias", "(x: float32[batch, 3]) b: float32[3] = random(seed 1); y = Add(x, b)"),
  example("Add of a named and a numbered size", "(a: float32[batch, 3], b: float32[2, 1]) y = Add(a, b)"),
  example("Add of two named sizes", "(a: float32[batch, 3], b: float32[rows, 1]) y = Add(a, b)", {
    sizes: { rows: 2 },
  }),
  example("Add of nothing", "(a: float32[0, 3], b: float32[3]) y = Add(a, b)"),
  example("Add of opset 7", "(a: float32[batch, 3], b: float32[3]) y = Add(a, b)", { opset: 7 }),
  example("Add of opset 6 with its axis", "(a: float32[2, 3], b: float32[2]) y = Add(a, b) {axis=0, broadcast=1}", {
    opset: 6,
    misses: { read: "broadcasts along inner axes" },
  }),
  ...table({ except: { run: "ONNX Runtime has no kernels for what was superseded before opset 7" } })`
    Add of opset 6 along its last axes |
      opset 6 (a: float32[2, 3], b: float32[3]) y: float32[2, 3] = Add(a, b) {axis=1, broadcast=1}
  `,
  ...table()`
    Mul of one value with itself | (x: float32[batch, 3]) y = Mul(x, x)
    Add of stored shapes | () a: int64[2] = [2, 3]; b: int64[1] = [-1]; y = Add(a, b)
    Sub of stored shapes | () a: int64[2] = [2, 3]; b: int64[] = 5; y = Sub(a, b)
    Mul of stored shapes | () a: int64[1] = [4]; b: int64[2] = [-2, 0]; y = Mul(a, b)
    Div of stored shapes truncates | () a: int64[3] = [-7, 7, 8]; b: int64[] = 2; y = Div(a, b)
    Mul of stored integers that wraps around | () a: int32[1] = [1664525]; y = Mul(a, a)
    Add of stored integers that wraps around | () a: int32[1] = [2147483647]; b: int32[] = 1; y = Add(a, b)
    Equal of stored integers beyond 2^53 | () a: int64[] = 9007199254740993; b: int64[] = 9007199254740992; y = Equal(a, b)
    Equal of stored shapes | () a: int64[3] = [2, -1, 3]; b: int64[] = -1; y = Equal(a, b)
  `,
  example("Div by negative numbers", "(a: float32[4], b: float32[4]) y = Div(a, b)", { feeds: { b: between(-2, -1) } }),
  example("Pow with an integer exponent", "(a: float32[batch, 3]) b: int64[] = 2; y = Pow(a, b)"),
  ...table({
    feeds: { a: [0, 0.5, 2], b: [2, 3, 1] },
    except: {
      gradient: "a negative base has no derivative by the exponent, so differences across zero are not defined",
    },
  })`
    Pow at zero | (a: float32[3], b: float32[3]) y = Pow(a, b)
  `,
  example("Pow of negative numbers to a stored exponent", "(a: float32[4]) b: float32[] = 3; y = Pow(a, b)", {
    feeds: { a: [-1.5, -0.5, 0.5, 1] },
    except: { gradient: "a negative base has no derivative by the exponent" },
  }),
  example("Div of a dimension rounds down", "(x: float32[batch, 3]) n: int64[] = 4; s = Shape(x); y = Div(s, n)", {
    sizes: { batch: 6 },
    except: dimensions,
  }),
  example("Less of dimensions", "(x: float32[batch, 3]) n: int64[] = 0; s = Shape(x); y = Less(s, n)", {
    except: dimensions,
  }),
  example("GreaterOrEqual of stored shapes", "() a: int64[2] = [2, 3]; b: int64[] = 3; y = GreaterOrEqual(a, b)"),
];
