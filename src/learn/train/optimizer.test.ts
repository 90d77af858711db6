import { describe, expect, it, test } from "vitest";
import { type GoldenTensor, golden, goldenNumbers } from "../../../test/shared.ts";
import { clipByNorm, type OptimizedParameter, type Optimizer } from "./optimizer.ts";
import { adam, adamW, sgd } from "./optimizers.ts";

interface Run {
  readonly problem: string;
  readonly optimizer: string;
  readonly options: Readonly<Record<string, number | boolean | readonly number[]>>;
  readonly clip_grad_norm: number | null;
  readonly lr_factor: readonly number[] | null;
  readonly gradient_norm: readonly number[];
  readonly after: readonly { readonly step: number; readonly x: GoldenTensor }[];
}

interface Quadratic {
  readonly constants: { readonly A: GoldenTensor; readonly b: GoldenTensor };
  readonly start: { readonly x: GoldenTensor };
}

interface Clipped {
  readonly gradients: readonly GoldenTensor[];
  readonly cases: readonly {
    readonly max_norm: number;
    readonly norm_type: string;
    readonly total_norm: number;
    readonly after: readonly GoldenTensor[];
  }[];
}

const oracle = golden("optimizers") as
  | { runs: Run[]; problems: { quadratic: Quadratic }; clip_grad_norm: Clipped }
  | undefined;

/** Options of PyTorch optimizers that are not implemented. */
const unsupportedKeys = new Set(["dampening", "nesterov", "amsgrad"]);

const runs = (oracle?.runs ?? []).filter(
  (run) =>
    run.problem === "quadratic" &&
    run.optimizer !== "Lion" &&
    !Object.keys(run.options).some((option) => unsupportedKeys.has(option)),
);

function build({ optimizer, options }: Run): Optimizer {
  const { momentum = 0, weight_decay, betas, eps = 1e-8 } = options;
  const weightDecay = weight_decay === undefined ? {} : { weightDecay: Number(weight_decay) };
  const [beta1, beta2] = Array.isArray(betas) ? (betas as number[]) : [];
  const moments = beta1 === undefined || beta2 === undefined ? {} : { beta1, beta2 };
  if (optimizer === "SGD") return sgd({ momentum: Number(momentum), ...weightDecay });
  return (optimizer === "AdamW" ? adamW : adam)({ ...moments, epsilon: Number(eps), ...weightDecay });
}

function trained(
  name: string,
  values: OptimizedParameter["values"],
  gradient: OptimizedParameter["gradient"],
  more: Partial<OptimizedParameter> = {},
) {
  return { name, values, gradient, carried: false, decays: true, ...more };
}

describe.skipIf(oracle === undefined)("optimizers take PyTorch's steps in float64", () => {
  it("has reference runs for every optimizer", () => {
    expect(new Set(runs.map(({ optimizer }) => optimizer))).toEqual(new Set(["SGD", "Adam", "AdamW"]));
  });

  it.each(
    runs.map((run) => {
      const clipped = run.clip_grad_norm === null ? "" : `, clipped at ${run.clip_grad_norm}`;
      return [
        `${run.optimizer} ${JSON.stringify(run.options)}${clipped}${run.lr_factor === null ? "" : ", with a schedule"}`,
        run,
      ] as const;
    }),
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
      const norm = clipByNorm([{ gradient }], run.clip_grad_norm ?? Number.POSITIVE_INFINITY);
      expect(norm).toBeCloseTo(run.gradient_norm[step] ?? Number.NaN, 10);
      optimizer.update([trained("x", values, gradient)], Number(run.options.lr) * (run.lr_factor?.[step] ?? 1));
      const expected = run.after.find((entry) => entry.step === step + 1);
      if (expected === undefined) continue;
      goldenNumbers(expected.x).forEach((value, index) => {
        expect(values[index]).toBeCloseTo(value, 10);
      });
    }
  });

  it("clips the joint norm of several gradients", () => {
    const { gradients, cases } = oracle?.clip_grad_norm ?? { gradients: [], cases: [] };
    const euclidean = cases.filter(({ norm_type }) => Number(norm_type) === 2);
    expect(euclidean.length).toBeGreaterThan(0);
    for (const { max_norm, total_norm, after } of euclidean) {
      const parameters = gradients.map((gradient) => ({ gradient: goldenNumbers(gradient) }));
      expect(clipByNorm(parameters, max_norm)).toBeCloseTo(total_norm, 10);
      after.forEach((expected, position) => {
        goldenNumbers(expected).forEach((value, index) => {
          expect(parameters[position]?.gradient[index]).toBeCloseTo(value, 10);
        });
      });
    }
  });
});

const all: readonly (readonly [string, () => Optimizer])[] = [
  ["sgd", () => sgd({ weightDecay: 0.1 })],
  ["sgd with momentum", () => sgd({ momentum: 0.9, weightDecay: 0.1 })],
  ["adam", () => adam({ weightDecay: 0.1 })],
  ["adamw", () => adamW({ weightDecay: 0.1 })],
];

describe.each(all)("%s", (_, make) => {
  const gradientAt = (step: number): number[] => [Math.sin(step), Math.cos(2 * step), 0.1 * step];
  const run = (optimizer: Optimizer, parameter: OptimizedParameter, from: number, to: number): void => {
    for (let step = from; step < to; step++) {
      parameter.gradient.set(gradientAt(step));
      optimizer.update([parameter], 0.1);
    }
  };
  const fresh = (more: Partial<OptimizedParameter> = {}) =>
    trained("x", Float32Array.of(1, -2, 3), new Float32Array(3), more);

  test("resumes with the same bits", () => {
    const [uninterrupted, first] = [fresh(), fresh()];
    run(make(), uninterrupted, 0, 7);
    const before = make();
    run(before, first, 0, 4);
    const state = before.state([first]);
    const second = fresh();
    second.values.set(first.values);
    const after = make();
    after.restore([second], state);
    run(after, second, 4, 7);
    expect(second.values).toEqual(uninterrupted.values);
  });

  test("returns a state that the next step does not change", () => {
    const [optimizer, parameter] = [make(), fresh()];
    run(optimizer, parameter, 0, 2);
    const state = optimizer.state([parameter]);
    const before = structuredClone(state);
    run(optimizer, parameter, 2, 3);
    expect(state).toEqual(before);
  });

  test("applies weight decay only to parameters that decay", () => {
    const parameter = fresh({ decays: false });
    make().update([parameter], 0.1);
    expect([...parameter.values]).toEqual([1, -2, 3]);
  });

  test("rejects the state of another parameter by name", () => {
    const [optimizer, parameter] = [make(), fresh()];
    run(optimizer, parameter, 0, 1);
    const state = optimizer.state([parameter]);
    const other = { ...fresh(), name: "y" };
    const refusal = /^The state of \w+ needs "y\/\w+" of 3 floats, got nothing\.$/;
    const restored = expect(() => make().restore([other], state));
    // An optimizer whose only state is the step count accepts any parameters.
    if (Object.keys(state).length === 1) restored.not.toThrow();
    else restored.toThrow(refusal);
  });
});

describe("optimizers", () => {
  it("keep state per parameter", () => {
    const optimizer = sgd({ momentum: 0.9 });
    const make = (name: string, gradient: number) => trained(name, Float64Array.of(0), Float64Array.of(gradient));
    const [a, b] = [make("a", 1), make("b", 0)];
    optimizer.update([a, b], 1);
    optimizer.update([a, b], 1);
    expect([...a.values, ...b.values]).toEqual([-2.9, 0]);
  });

  it("compute in the precision of the parameter", () => {
    const values = Float32Array.of(1);
    adam().update([trained("x", values, Float32Array.of(3))], 0.1);
    expect(values[0]).toBe(Math.fround(0.9));
  });

  it("store and restore a carried gradient as momentum", () => {
    const optimizer = sgd({ momentum: 0.9 });
    const parameter = trained("x", Float32Array.of(1), Float32Array.of(3), { carried: true });
    optimizer.update([parameter], 0.1);
    const state = optimizer.state([parameter]);
    parameter.gradient.fill(0);
    sgd({ momentum: 0.9 }).restore([parameter], state);
    expect([...parameter.gradient]).toEqual([3]);
  });
});
