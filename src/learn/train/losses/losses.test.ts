import { describe, expect, test } from "vitest";
import { type GoldenTensor, golden, goldenNumbers } from "../../../../test/shared.ts";
import { parseModel } from "../../../core/graph/text.ts";
import { float32, int64 } from "../../../core/tensor/dense.ts";
import type { Batch, Dense } from "../../../core/tensor/types.ts";
import type { Loss } from "../loss.ts";
import { createStep } from "../step.ts";
import { binaryCrossEntropy, crossEntropy } from "./cross-entropy.ts";
import { cosineDistance, huber, meanAbsoluteError, meanSquaredError } from "./numbers.ts";
import { parseLoss } from "./parse.ts";
import { sumOfLosses } from "./weighted-sum.ts";

interface Operand {
  readonly name: string;
  readonly value: GoldenTensor;
  readonly grad: GoldenTensor | null;
}

interface Case {
  readonly name: string;
  readonly inputs: readonly Operand[];
  readonly outputs: readonly { readonly value: GoldenTensor; readonly upstream: GoldenTensor }[];
}

const cases = (golden("gradients") as { cases: readonly Case[] } | undefined)?.cases;

/** Returns loss and gradient of a model that outputs a stored tensor, or the result of `last` on it. */
async function lossOf(
  loss: Loss,
  rows: number,
  columns: number,
  values: ArrayLike<number>,
  more: Batch,
  last = "y = Add(x, nothing)",
) {
  const model = parseModel(`opset 18
graph (nothing: float32[batch, ${columns}]) -> (y: float32[batch, ${columns}], twice: float32[batch, ${columns}]) {
  x: float32[${rows}, ${columns}] parameter = zeros
  ${last}
  twice = Add(y, y)
}
`);
  const stored = model.graph.value("x");
  if (stored === undefined) throw new Error("the model has no x");
  const batch = { nothing: float32([rows, columns], new Float32Array(rows * columns)), ...more };
  const step = await createStep(model, batch, { loss, parameters: ["x"] });
  try {
    step.parameters[0]?.values.set(Float32Array.from(values));
    return { value: await step.run(batch), gradient: [...(step.parameters[0]?.gradient ?? [])] };
  } finally {
    await step.release();
  }
}

const table: Readonly<Record<string, Loss>> = {
  "cross-entropy mean": crossEntropy(),
  "cross-entropy ignore_index": crossEntropy(),
  "cross-entropy label smoothing": crossEntropy({ smoothing: 0.1 }),
  "cross-entropy label smoothing and ignore_index": crossEntropy({ smoothing: 0.1 }),
  "cross-entropy against probabilities": crossEntropy(),
  "binary cross-entropy with logits": binaryCrossEntropy(),
  mse: meanSquaredError(),
  l1: meanAbsoluteError(),
  "l1 at equality": meanAbsoluteError(),
  "huber delta 1.0": huber(),
  "huber delta 0.5": huber({ delta: 0.5 }),
  "cosine: 1 - cos, mean over rows": cosineDistance(),
};

describe.skipIf(cases === undefined)("losses and their gradients are PyTorch's", () => {
  test.each(Object.entries(table))("%s", async (name, loss) => {
    const goldenCase = cases?.find((each) => each.name === name);
    const [x, t] = goldenCase?.inputs ?? [];
    const [output] = goldenCase?.outputs ?? [];
    if (x?.grad == null || t === undefined || output === undefined) throw new Error(`there is no case "${name}"`);
    const [columns = 0, rows = 1] = x.value.shape.toReversed();
    const numbers = goldenNumbers(t.value);
    const label: Dense =
      t.value.dtype === "int64"
        ? int64([...t.value.shape], [...numbers])
        : float32([...t.value.shape], Float32Array.from(numbers));
    const { value, gradient } = await lossOf(loss, rows, columns, goldenNumbers(x.value), { label });
    const [upstream = 1] = goldenNumbers(output.upstream);
    expect(value).toBeCloseTo(goldenNumbers(output.value)[0] ?? Number.NaN, 5);
    expect(gradient).toHaveLength(rows * columns);
    goldenNumbers(x.grad).forEach((entry, index) => {
      expect(gradient[index]).toBeCloseTo(entry / upstream, 5);
    });
  });
});

const vectors = [3, 0, 4, 0, 5, 0];
const label = float32([2, 3], Float32Array.of(3, 0, 4, 0, 0, 1));

describe("losses", () => {
  test("a sum weights each loss on its named output", async () => {
    const parts = [meanSquaredError(), meanAbsoluteError({ output: "twice" })] as const;
    const [first, second] = [
      await lossOf(parts[0], 2, 3, vectors, { label }),
      await lossOf(parts[1], 2, 3, vectors, { label }),
    ];
    const both = await lossOf(sumOfLosses([{ loss: parts[0] }, { loss: parts[1], weight: 0.5 }]), 2, 3, vectors, {
      label,
    });
    expect(both.value).toBeCloseTo(first.value + 0.5 * second.value, 5);
    both.gradient.forEach((entry, index) => {
      expect(entry).toBeCloseTo((first.gradient[index] ?? 0) + 0.5 * (second.gradient[index] ?? 0), 5);
    });
  });

  test("text and functions build the same losses", async () => {
    const text = parseLoss(" mse(label=box) + 0.5 * huber(output=twice, label=box, delta=0.25)");
    expect(text.name).toBe("mse + 0.5 * huber");
    const functions = sumOfLosses([
      { loss: meanSquaredError({ label: "box" }) },
      { loss: huber({ output: "twice", label: "box", delta: 0.25 }), weight: 0.5 },
    ]);
    const batch = { box: label };
    expect(await lossOf(text, 2, 3, vectors, batch)).toEqual(await lossOf(functions, 2, 3, vectors, batch));
  });

  test("a label can be another output", async () => {
    const { value } = await lossOf(meanSquaredError({ output: "twice", label: "y" }), 2, 3, vectors, {});
    expect(value).toBeCloseTo((9 + 16 + 25) / 6, 5);
  });

  test.each([
    ["hinge", '"hinge" is not a loss; the losses are cross-entropy, binary, mse, mae, huber, cosine.'],
    ["mse(margin=1)", 'The loss mse has no setting "margin": it has output, label.'],
    ["huber(delta=0)", "Huber's delta must be above 0, got 0."],
    ["huber(delta=much)", /^The loss "huber\(delta=much\)": delta /],
    ["cross-entropy(smoothing=1)", "The smoothing must be at least 0 and below 1, got 1."],
    ["cross-entropy(from=scores)", /^The loss "cross-entropy\(from=scores\)": from /],
    ["1.2.3 * mse", 'The weight of "1.2.3 * mse" is not a number.'],
    ["", "A loss is missing beside a +."],
    ["mse + ", "A loss is missing beside a +."],
    ["0.5 * huber(delta=1", '"0.5 * huber(delta=1" lacks a closing bracket.'],
  ])("%s is rejected", (text, message) => {
    expect(() => parseLoss(text)).toThrow(message);
  });

  test("missing columns and outputs, and columns of another size, are rejected by name", async () => {
    const wrong = { label: float32([2, 2], new Float32Array(4)) };
    const data = lossOf(meanSquaredError(), 2, 3, vectors, wrong);
    await expect(data).rejects.toThrow('"label" is float32[2, 2], expected the 6 numbers of [2, 3].');
    await expect(lossOf(meanSquaredError(), 2, 3, vectors, {})).rejects.toThrow(
      'The training samples have no "label".',
    );
    const output = lossOf(meanSquaredError({ output: "z" }), 2, 3, vectors, { label });
    await expect(output).rejects.toThrow('The loss reads the output "z"; the model has "y", "twice".');
  });
});

describe("a model that ends in a softmax", () => {
  const scores = [3, 0, -4, 0.5, 5, 1];
  const classes = { label: int64([2], [0, 2]) };
  const endings = [
    ["Softmax", "s = Add(x, nothing)\n  p = Softmax(s)\n  y = Identity(p)"],
    ["LogSoftmax", "s = Add(x, nothing)\n  p = LogSoftmax(s)\n  y = Identity(p)"],
  ] as const;
  const losses = [
    ["cross-entropy", crossEntropy(), classes],
    ["cross-entropy, smoothed", crossEntropy({ smoothing: 0.1 }), classes],
  ] as const;

  test.each(
    endings.flatMap(([ending, last]) =>
      losses.map(([name, loss, batch]) => [ending, name, last, loss, batch] as const),
    ),
  )(
    "(%s) gets no second one: %s and its gradient are those of the scores behind it",
    async (_, __, last, loss, batch) => {
      const expected = await lossOf(loss, 2, 3, scores, batch);
      const actual = await lossOf(loss, 2, 3, scores, batch, last);
      expect(actual.value).toBeCloseTo(expected.value, 5);
      for (const [index, entry] of expected.gradient.entries()) expect(actual.gradient[index]).toBeCloseTo(entry, 5);
    },
  );

  test("has a gradient if it is wrong with probability near 1", async () => {
    // The probability of the correct class is e^-40. The gradient by the scores is 1 and -1.
    const [, last] = endings[0];
    const { value, gradient } = await lossOf(crossEntropy(), 1, 2, [40, 0], { label: int64([1], [1]) }, last);
    expect(value).toBeCloseTo(40, 3);
    expect(gradient[0]).toBeCloseTo(1, 4);
    expect(gradient[1]).toBeCloseTo(-1, 4);
  });

  test("treats scores as probabilities if `from` declares them", async () => {
    const values = [0.5, 0.25, 0.25, 0.1, 0.1, 0.8];
    const { value } = await lossOf(crossEntropy({ from: "probabilities" }), 2, 3, values, classes);
    expect(value).toBeCloseTo((-Math.log(0.5) - Math.log(0.8)) / 2, 5);
  });
});
