import { describe, expect, it } from "vitest";
import { type GoldenTensor, golden, goldenNumbers } from "../../test/shared.ts";
import { adam, type Optimizer, sgd } from "./optimizer.ts";

interface Run {
  readonly problem: string;
  readonly optimizer: string;
  readonly options: Readonly<Record<string, number | boolean | readonly number[]>>;
  readonly clip_grad_norm: number | null;
  readonly lr_factor: readonly number[] | null;
  readonly after: readonly { readonly step: number; readonly x: GoldenTensor }[];
}

interface Quadratic {
  readonly constants: { readonly A: GoldenTensor; readonly b: GoldenTensor };
  readonly start: { readonly x: GoldenTensor };
}

const oracle = golden("optimizers") as { runs: Run[]; problems: { quadratic: Quadratic } } | undefined;

/** Options that these optimizers have; runs with others (Nesterov, dampening, AMSGrad) are about other rules. */
const known = new Set(["lr", "momentum", "weight_decay", "betas", "eps"]);

const runs = (oracle?.runs ?? []).filter(
  (run) =>
    run.problem === "quadratic" &&
    (run.optimizer === "SGD" || run.optimizer === "Adam") &&
    run.clip_grad_norm === null &&
    Object.keys(run.options).every((option) => known.has(option)),
);

function build(run: Run): Optimizer {
  const { momentum = 0, weight_decay = 0, betas, eps = 1e-8 } = run.options;
  const weightDecay = Number(weight_decay);
  if (run.optimizer === "SGD") return sgd({ momentum: Number(momentum), weightDecay });
  const [beta1 = 0.9, beta2 = 0.999] = Array.isArray(betas) ? (betas as number[]) : [];
  return adam({ beta1, beta2, epsilon: Number(eps), weightDecay });
}

describe.skipIf(oracle === undefined)("optimizers take PyTorch's steps in float64", () => {
  it("there are runs to compare with", () => {
    expect(runs.length).toBeGreaterThan(4);
  });

  it.each(
    runs.map(
      (run) =>
        [
          `${run.optimizer} ${JSON.stringify(run.options)} ${run.lr_factor === null ? "" : "with a schedule"}`,
          run,
        ] as const,
    ),
  )("%s", (_, run) => {
    const { quadratic } = oracle?.problems ?? {};
    if (quadratic === undefined) throw new Error("the problem is missing");
    const [A, b] = [goldenNumbers(quadratic.constants.A), goldenNumbers(quadratic.constants.b)];
    const values = goldenNumbers(quadratic.start.x);
    const gradient = new Float64Array(b.length);
    const optimizer = build(run);
    for (let step = 0; step < 20; step++) {
      for (let row = 0; row < b.length; row++) {
        let sum = -(b[row] ?? 0);
        for (let column = 0; column < b.length; column++)
          sum += (A[row * b.length + column] ?? 0) * (values[column] ?? 0);
        gradient[row] = sum;
      }
      optimizer.update(
        [{ name: "x", values, gradient, carried: false }],
        Number(run.options.lr) * (run.lr_factor?.[step] ?? 1),
      );
      const expected = run.after.find((entry) => entry.step === step + 1);
      if (expected === undefined) continue;
      goldenNumbers(expected.x).forEach((value, index) => {
        expect(values[index]).toBeCloseTo(value, 10);
      });
    }
  });
});

describe("optimizers", () => {
  it("keep state per parameter", () => {
    const optimizer = sgd({ momentum: 0.9 });
    const make = (name: string, gradient: number) => ({
      name,
      values: Float64Array.of(0),
      gradient: Float64Array.of(gradient),
      carried: false,
    });
    const [a, b] = [make("a", 1), make("b", 0)];
    optimizer.update([a, b], 1);
    optimizer.update([a, b], 1);
    expect([...a.values, ...b.values]).toEqual([-2.9, 0]);
  });

  it("store what they computed in the parameter's own precision", () => {
    const values = Float32Array.of(1);
    adam().update([{ name: "x", values, gradient: Float32Array.of(3), carried: false }], 0.1);
    expect(values[0]).toBe(Math.fround(0.9));
  });
});
