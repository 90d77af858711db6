import { between, type Example, example, table } from "./define.examples.ts";

type More = Parameters<typeof example>[2];

const classes = { feeds: { t: between(0, 3) } };
const both = (title: string, inputs: string, operands: string, settings = "", more: More = {}): readonly Example[] =>
  ["NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"].map((name) =>
    example(`${name} ${title}`, `(${inputs}) y = ${name}(${operands}) {${settings}}`, { ...classes, ...more }),
  );
const weighed = "x: float32[4, 3], t: int64[4], w: float32[3]";
const positive = { x: between(-1, 1), t: between(0, 3), w: between(0.5, 1.5) };

export const lossExamples: readonly Example[] = [
  ...both("in the mean", "x: float32[batch, 3], t: int64[batch]", "x, t"),
  ...both("for each sample", "x: float32[batch, 3], t: int64[batch]", "x, t", 'reduction="none"'),
  ...both("summed over places", "x: float32[2, 3, 2], t: int64[2, 2]", "x, t", 'reduction="sum"'),
  ...both("with weights, in the mean", weighed, "x, t, w", "", { feeds: positive }),
  ...both("with a class that does not count", "x: float32[4, 3], t: int64[4]", "x, t", "ignore_index=-1", {
    feeds: { t: [0, -1, 2, 1] },
  }),
  ...both(
    "with weights and a class that does not count, for each place",
    "x: float32[2, 3, 2], t: int32[2, 2], w: float32[3]",
    "x, t, w",
    'ignore_index=1, reduction="none"',
    { feeds: { t: [0, 1, 2, 1] } },
  ),
  ...table()`
    SoftmaxCrossEntropyLoss with its logarithms |
      (x: float32[2, 3, 2], t: int64[2, 2]) y, log = SoftmaxCrossEntropyLoss(x, t) {reduction="none"} | feeds t: from 0 to 3
    SoftmaxCrossEntropyLoss of opset 12 |
      opset 12 (x: float32[2, 3], t: int64[2]) y = SoftmaxCrossEntropyLoss(x, t) | feeds t: from 0 to 3
  `,
];
