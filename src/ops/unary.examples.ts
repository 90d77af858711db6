/** Element by element, one operand: a batch, a scalar and an empty tensor each, at places where nothing is clipped or has a corner. */
import { between, type Example, example } from "./define.examples.ts";

const anywhere = between(-2, 2);
const positive = between(0.5, 2);

const dimensions = { channels: "is computed from the dimensions that would change" };

function cases(op: string, range = anywhere, attributes = ""): readonly Example[] {
  const feeds = { x: range };
  return [
    example(`${op} of a batch`, `(x: float32[batch, 3]) y = ${op}(x)${attributes}`, { feeds }),
    example(`${op} of a scalar`, `(x: float32[]) y = ${op}(x)${attributes}`, { feeds }),
    example(`${op} of nothing`, `(x: float32[0, 3]) y = ${op}(x)${attributes}`, { feeds }),
  ];
}

const atTwoAndAHalf = { feeds: { x: [-2.5, -0.5, 0.5, 1.5, 2.5, 2.6] } };

export const unaryExamples: readonly Example[] = [
  ...["Relu", "Neg", "Exp", "Abs", "Sigmoid", "Tanh", "Erf", "Softplus", "Softsign", "Identity"].flatMap((op) =>
    cases(op),
  ),
  ...cases("Sign"),
  ...["Floor", "Ceil"].flatMap((op) => cases(op, between(-1.9, -1.1))),
  ...cases("Round", between(-1.4, -0.6)),
  ...["Log", "Sqrt", "Reciprocal"].flatMap((op) => cases(op, positive)),
  ...cases("LeakyRelu"),
  ...cases("Elu"),
  ...["Mish", "Gelu", "Selu"].flatMap((op) => cases(op)),
  ...cases("HardSigmoid"),
  ...cases("HardSwish", between(-5, 5)),
  example("Gelu by tanh", '(x: float32[batch, 3]) y = Gelu(x) {approximate="tanh"}', { feeds: { x: anywhere } }),
  example("HardSigmoid as PyTorch has it", "(x: float32[batch, 3]) y = HardSigmoid(x) {alpha=0.16666667, beta=0.5}", {
    feeds: { x: anywhere },
  }),
  example("HardSigmoid at its flat ends", "(x: float32[4]) y = HardSigmoid(x)", { feeds: { x: [-9, -3, 3, 9] } }),
  example("Selu with a floor of its own", "(x: float32[batch, 3]) y = Selu(x) {alpha=1.5, gamma=1.2}", {
    feeds: { x: anywhere },
  }),
  example("Relu of opset 6", "(x: float32[batch, 3]) y = Relu(x)", { opset: 6 }),
  example("Relu of a picture", "(x: float32[batch, 3, 2, 2]) y = Relu(x)"),
  example("Reciprocal of negative numbers", "(x: float32[4]) y = Reciprocal(x)", { feeds: { x: between(-2, -0.5) } }),
  example("LeakyRelu with a slope", "(x: float32[batch, 3]) y = LeakyRelu(x) {alpha=0.3}", { feeds: { x: anywhere } }),
  example("LeakyRelu with a negative slope", "(x: float32[5]) y = LeakyRelu(x) {alpha=-0.5}", {
    feeds: { x: anywhere },
  }),
  example("Elu with another floor", "(x: float32[batch, 3]) y = Elu(x) {alpha=0.4}", { feeds: { x: anywhere } }),
  example("HardSwish at its flat ends", "(x: float32[4]) y = HardSwish(x)", { feeds: { x: [-4, -3.5, 3.5, 4] } }),
  example("Round half to even", "(x: float32[6]) y = Round(x)", {
    ...atTwoAndAHalf,
    except: { gradient: "jumps at halves" },
  }),
  example("Floor below zero", "(x: float32[6]) y = Floor(x)", atTwoAndAHalf),
  example("Ceil below zero", "(x: float32[6]) y = Ceil(x)", atTwoAndAHalf),
  example("Sign of zero", "(x: float32[3]) y = Sign(x)", {
    feeds: { x: [-1, 0, 2] },
    except: { gradient: "jumps at 0" },
  }),
  example("Neg of integers", "(x: int32[3]) y = Neg(x)"),
  example("Neg of a stored shape", "() s: int64[3] = [-1, 2, 3]; y = Neg(s)"),
  example("Identity of a stored shape", "() s: int64[3] = [-1, 2, 3]; y = Identity(s)"),
  example("Abs of a stored shape", "() s: int64[3] = [-1, 2, 0]; y = Abs(s)"),
  example("Abs of a dimension", "(x: float32[batch, 3]) s = Shape(x); y = Abs(s)", { except: dimensions }),
  example("Sign of a stored shape", "() s: int64[3] = [-4, 2, 0]; y = Sign(s)"),
  ...cases("Celu"),
  example("Celu with another floor", "(x: float32[batch, 3]) y = Celu(x) {alpha=0.4}", { feeds: { x: anywhere } }),
  ...["", " {alpha=1.7}"].map((attributes) =>
    example(`Swish${attributes}`, `(x: float32[batch, 3]) y = Swish(x)${attributes}`, { opset: 24 }),
  ),
  example("Swish of a scalar", "(x: float32[]) y = Swish(x)", { opset: 24 }),
  ...cases("Shrink"),
  example("Shrink by its threshold", "(x: float32[batch, 3]) y = Shrink(x) {bias=0.3, lambd=0.3}", {
    feeds: { x: anywhere },
  }),
  ...cases("ThresholdedRelu"),
  example("ThresholdedRelu with a lower threshold", "(x: float32[batch, 3]) y = ThresholdedRelu(x) {alpha=0.2}", {
    feeds: { x: anywhere },
  }),
];
