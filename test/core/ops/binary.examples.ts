import { between, type Example, table } from "./define.examples.ts";

const positive = { feeds: { a: between(0.5, 2), b: between(0.5, 2) } };

const dimensions = "is computed from the dimensions that would change";

function arithmetic(op: string, more: Parameters<typeof table>[0] = {}): readonly Example[] {
  return table(more)`
    ${op} of equal shapes | (a: float32[batch, 3], b: float32[batch, 3]) y = ${op}(a, b)
    ${op} broadcasting both ways | (a: float32[batch, 1, 3], b: float32[2, 1]) y = ${op}(a, b)
    ${op} with a scalar | (a: float32[], b: float32[batch, 2]) y = ${op}(a, b)
  `;
}

function comparison(op: string): readonly Example[] {
  return table()`
    ${op} of equal shapes |
      (a: float32[2, 3], b: float32[2, 3]) y = ${op}(a, b) | feeds a: 1, 2, 3, 1, 2, 3 | feeds b: 1, 3, 3, 2, 2, 2
    ${op} with a scalar | (a: float32[batch, 3], b: float32[]) y = ${op}(a, b) | feeds b: 0.1
    ${op} of integers, broadcasting | (a: int64[batch, 1], b: int64[3]) y = ${op}(a, b)
  `;
}

const modulo: readonly Example[] = table()`
  Mod of floats |
    (a: float32[6], b: float32[6]) y = Mod(a, b) {fmod=1} | feeds a: 7.5, -7.5, 7.5, -7.5, 3.3, 0.4
    | feeds b: 2, 2, -2, -2, 1.5, 1
  Mod of integers with the sign of the divisor | (a: int64[4], b: int64[4]) y = Mod(a, b)
    | feeds a: 7, -7, 7, -7 | feeds b: 3, 3, -3, -3
  Mod of integers with the sign of the dividend | (a: int32[4], b: int32[4]) y = Mod(a, b) {fmod=1}
    | feeds a: 7, -7, 7, -7 | feeds b: 3, 3, -3, -3
  Mod broadcasting | (a: int64[batch, 3], b: int64[]) y = Mod(a, b) | feeds b: 3
  Mod of stored shapes | () a: int64[3] = [5, 6, 7]; b: int64[] = 4; y = Mod(a, b)
  Mod of a dimension |
    (x: float32[batch, 3]) n: int64[] = 4; s = Shape(x); y = Mod(s, n) | sizes batch: 6
    | except channels: ${dimensions}
`;

const slopes: readonly Example[] = table()`
  PRelu with a slope for each channel | (x: float32[batch, 3, 2]) s: float32[3, 1] = random(seed 1); y = PRelu(x, s)
    | feeds x: from -2 to 2
  PRelu with one slope | (x: float32[batch, 3], s: float32[1]) y = PRelu(x, s) | feeds x: from -2 to 2
  PRelu of a scalar | (x: float32[], s: float32[]) y = PRelu(x, s) | feeds x: -0.7
  PRelu of opset 7 | opset 7 (x: float32[batch, 3], s: float32[3]) y = PRelu(x, s) | feeds x: from -2 to 2
  PRelu of opset 6 with a slope for each channel |
    opset 6 (x: float32[batch, 3, 3], s: float32[3]) y = PRelu(x, s) | no read: broadcasts along inner axes
  PRelu of opset 6 with one slope | opset 6 (x: float32[batch, 3, 3], s: float32[1]) y: float32[batch, 3, 3] = PRelu(x, s)
    | except run: ONNX Runtime has no kernels for what was superseded before opset 7
`;

const cases = (op: string): readonly Example[] => table()`
  ${op} of equal shapes | (a: float32[batch, 3], b: float32[batch, 3]) y = ${op}(a, b)
  ${op} broadcasting | (a: float32[batch, 1, 3], b: float32[2, 1]) y = ${op}(a, b)
  ${op} of one operand | (a: float32[batch, 3]) y = ${op}(a)
  ${op} of three operands | (a: float32[batch, 3], b: float32[3], c: float32[]) y = ${op}(a, b, c)
  ${op} of one tensor with itself | (a: float32[batch, 3]) y = ${op}(a, a)
  ${op} of opset 7 | opset 7 (a: float32[batch, 3], b: float32[batch, 3]) y = ${op}(a, b)
`;

export const binaryExamples: readonly Example[] = [
  ...arithmetic("Add"),
  ...arithmetic("Sub"),
  ...arithmetic("Mul"),
  ...arithmetic("Div", positive),
  ...arithmetic("Pow", positive),
  ...["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"].flatMap(comparison),
  ...modulo,
  ...slopes,
  ...table()`
    Add of a stored bias | (x: float32[batch, 3]) b: float32[3] = random(seed 1); y = Add(x, b)
    Add of a named and a numbered size | (a: float32[batch, 3], b: float32[2, 1]) y = Add(a, b)
    Add of two named sizes | (a: float32[batch, 3], b: float32[rows, 1]) y = Add(a, b) | sizes rows: 2
    Add of nothing | (a: float32[0, 3], b: float32[3]) y = Add(a, b)
    Add of opset 7 | opset 7 (a: float32[batch, 3], b: float32[3]) y = Add(a, b)
    Add of opset 6 with its axis |
      opset 6 (a: float32[2, 3], b: float32[2]) y = Add(a, b) {axis=0, broadcast=1} | no read: broadcasts along inner axes
    Add of opset 6 along its last axes |
      opset 6 (a: float32[2, 3], b: float32[3]) y: float32[2, 3] = Add(a, b) {axis=1, broadcast=1}
      | except run: ONNX Runtime has no kernels for what was superseded before opset 7
    Mul of one value with itself | (x: float32[batch, 3]) y = Mul(x, x)
    Add of stored shapes | () a: int64[2] = [2, 3]; b: int64[1] = [-1]; y = Add(a, b)
    Sub of stored shapes | () a: int64[2] = [2, 3]; b: int64[] = 5; y = Sub(a, b)
    Mul of stored shapes | () a: int64[1] = [4]; b: int64[2] = [-2, 0]; y = Mul(a, b)
    Div of stored shapes truncates | () a: int64[3] = [-7, 7, 8]; b: int64[] = 2; y = Div(a, b)
    Mul of stored integers that wraps around | () a: int32[1] = [1664525]; y = Mul(a, a)
    Add of stored integers that wraps around | () a: int32[1] = [2147483647]; b: int32[] = 1; y = Add(a, b)
    Equal of stored integers beyond 2^53 | () a: int64[] = 9007199254740993; b: int64[] = 9007199254740992; y = Equal(a, b)
    Equal of stored shapes | () a: int64[3] = [2, -1, 3]; b: int64[] = -1; y = Equal(a, b)
    Div by negative numbers | (a: float32[4], b: float32[4]) y = Div(a, b) | feeds b: from -2 to -1
    Pow with an integer exponent | (a: float32[batch, 3]) b: int64[] = 2; y = Pow(a, b)
    Pow of negative numbers to a stored exponent |
      (a: float32[4]) b: float32[] = 3; y = Pow(a, b) | feeds a: -1.5, -0.5, 0.5, 1
      | except gradient: a negative base has no derivative by the exponent
    Div of a dimension rounds down |
      (x: float32[batch, 3]) n: int64[] = 4; s = Shape(x); y = Div(s, n) | sizes batch: 6
      | except channels: ${dimensions}
    Less of dimensions |
      (x: float32[batch, 3]) n: int64[] = 0; s = Shape(x); y = Less(s, n)
      | except channels: ${dimensions}
    GreaterOrEqual of stored shapes | () a: int64[2] = [2, 3]; b: int64[] = 3; y = GreaterOrEqual(a, b)
    Sum of a stored bias | (x: float32[batch, 3]) b: float32[3] = random(seed 1); y = Sum(x, b)
    Max of stored shapes | opset 12 () a: int64[2] = [2, 7]; b: int64[2] = [3, 5]; y = Max(a, b)
    Min of stored shapes | opset 12 () a: int64[2] = [2, 7]; b: int64[2] = [3, 5]; y = Min(a, b)
      | no quantize: no quantized kernel
    Min of a bound for each channel | (x: float32[batch, 3, 4]) b: float32[3, 1] = [0.25, 0.5, 1]; y = Min(x, b)
    Max of a dimension and a number | (x: float32[batch, 3]) n: int64[] = 5; s = Shape(x); y = Max(s, n)
      | except channels: is computed from the dimensions that would change
    Min of a dimension and a number | (x: float32[batch, 3]) n: int64[] = 1; s = Shape(x); y = Min(s, n)
      | except channels: is computed from the dimensions that would change | no quantize: no quantized kernel
  `,
  ...table({
    feeds: { a: [0, 0.5, 2], b: [2, 3, 1] },
    except: {
      gradient: "a negative base has no derivative by the exponent, so differences across zero are not defined",
    },
  })`
    Pow at zero | (a: float32[3], b: float32[3]) y = Pow(a, b)
  `,
  ...["Max", "Sum", "Mean"].flatMap(cases),
  ...cases("Min").map((own) => ({ ...own, misses: { ...own.misses, quantize: "no quantized kernel" } })),
];
