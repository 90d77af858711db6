/** Element by element, one operand: a batch, a scalar and an empty tensor each, at places where nothing is clipped or has a corner. */
import { between, type Example, example, table } from "./define.examples.ts";

const anywhere = between(-2, 2);
const positive = between(0.5, 2);

const cases = (op: string, range = anywhere): readonly Example[] => table({ feeds: { x: range } })`
  ${op} of a batch | (x: float32[batch, 3]) y = ${op}(x)
  ${op} of a scalar | (x: float32[]) y = ${op}(x)
  ${op} of nothing | (x: float32[0, 3]) y = ${op}(x)
`;
const circular = (op: string, range = anywhere): readonly Example[] => [
  ...cases(op, range),
  example(`${op} of opset 9`, `(x: float32[3]) y = ${op}(x)`, { opset: 9, feeds: { x: range } }),
];

export const unaryExamples: readonly Example[] = [
  ...["Relu", "Neg", "Exp", "Abs", "Sigmoid", "Tanh", "Erf", "Softplus", "Softsign", "Identity", "Sign"].flatMap((op) =>
    cases(op),
  ),
  ...["LeakyRelu", "Elu", "Mish", "Gelu", "Selu", "HardSigmoid", "Celu", "Shrink", "ThresholdedRelu"].flatMap((op) =>
    cases(op),
  ),
  ...["Floor", "Ceil"].flatMap((op) => cases(op, between(-1.9, -1.1))),
  ...cases("Round", between(-1.4, -0.6)),
  ...["Log", "Sqrt", "Reciprocal"].flatMap((op) => cases(op, positive)),
  ...cases("HardSwish", between(-5, 5)),
  ...table()`
    Gelu by tanh | (x: float32[batch, 3]) y = Gelu(x) {approximate="tanh"} | feeds x: from -2 to 2
    HardSigmoid as PyTorch has it |
      (x: float32[batch, 3]) y = HardSigmoid(x) {alpha=0.16666667, beta=0.5} | feeds x: from -2 to 2
    HardSigmoid at its flat ends | (x: float32[4]) y = HardSigmoid(x) | feeds x: -9, -3, 3, 9
    Selu with a floor of its own | (x: float32[batch, 3]) y = Selu(x) {alpha=1.5, gamma=1.2} | feeds x: from -2 to 2
    Relu of opset 6 | opset 6 (x: float32[batch, 3]) y = Relu(x)
    Relu of an image | (x: float32[batch, 3, 2, 2]) y = Relu(x)
    Reciprocal of negative numbers | (x: float32[4]) y = Reciprocal(x) | feeds x: from -2 to -0.5
    LeakyRelu with a slope | (x: float32[batch, 3]) y = LeakyRelu(x) {alpha=0.3} | feeds x: from -2 to 2
    LeakyRelu with a negative slope | (x: float32[5]) y = LeakyRelu(x) {alpha=-0.5} | feeds x: from -2 to 2
    Elu with another floor | (x: float32[batch, 3]) y = Elu(x) {alpha=0.4} | feeds x: from -2 to 2
    HardSwish at its flat ends | (x: float32[4]) y = HardSwish(x) | feeds x: -4, -3.5, 3.5, 4
    Round half to even |
      (x: float32[6]) y = Round(x) | feeds x: -2.5, -0.5, 0.5, 1.5, 2.5, 2.6 | except gradient: jumps at halves
    Floor below zero | (x: float32[6]) y = Floor(x) | feeds x: -2.5, -0.5, 0.5, 1.5, 2.5, 2.6
    Ceil below zero | (x: float32[6]) y = Ceil(x) | feeds x: -2.5, -0.5, 0.5, 1.5, 2.5, 2.6
    Sign of zero | (x: float32[3]) y = Sign(x) | feeds x: -1, 0, 2 | except gradient: jumps at 0
    Neg of integers | (x: int32[3]) y = Neg(x)
    Neg of a stored shape | () s: int64[3] = [-1, 2, 3]; y = Neg(s)
    Identity of a stored shape | () s: int64[3] = [-1, 2, 3]; y = Identity(s)
    Abs of a stored shape | () s: int64[3] = [-1, 2, 0]; y = Abs(s)
    Abs of a dimension |
      (x: float32[batch, 3]) s = Shape(x); y = Abs(s) | except channels: is computed from the dimensions that would change
    Sign of a stored shape | () s: int64[3] = [-4, 2, 0]; y = Sign(s)
    Celu with another floor | (x: float32[batch, 3]) y = Celu(x) {alpha=0.4} | feeds x: from -2 to 2
    Swish | opset 24 (x: float32[batch, 3]) y = Swish(x)
    Swish {alpha=1.7} | opset 24 (x: float32[batch, 3]) y = Swish(x) {alpha=1.7}
    Swish of a scalar | opset 24 (x: float32[]) y = Swish(x)
    Shrink by its threshold | (x: float32[batch, 3]) y = Shrink(x) {bias=0.3, lambd=0.3} | feeds x: from -2 to 2
    ThresholdedRelu with a lower threshold | (x: float32[batch, 3]) y = ThresholdedRelu(x) {alpha=0.2} | feeds x: from -2 to 2
  `,
  ...["Sin", "Cos", "Atan", "Sinh", "Cosh", "Asinh"].flatMap((op) => circular(op)),
  ...circular("Tan", between(-1, 1)),
  ...["Asin", "Acos", "Atanh"].flatMap((op) => circular(op, between(-0.8, 0.8))),
  ...circular("Acosh", between(1.3, 3)),
];
