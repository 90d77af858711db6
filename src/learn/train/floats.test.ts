import { describe, expect, it } from "vitest";
import { random } from "../../core/tensor/random.ts";
import { type Floats, zerosLike } from "./floats.ts";
import type { OptimizedParameter, Optimizer } from "./optimizer.ts";
import { adam, adamW, sgd } from "./optimizers.ts";

const optimizers: readonly (readonly [string, () => Optimizer])[] = [
  ["sgd", () => sgd({ weightDecay: 0.1 })],
  ["sgd with momentum", () => sgd({ momentum: 0.9, weightDecay: 0.1 })],
  ["adam", () => adam({ weightDecay: 0.1 })],
  ["adamw", () => adamW()],
];

function trained(values: Floats, gradient: Floats): OptimizedParameter {
  return { name: "x", values, gradient, carried: false, decays: true };
}

describe.each(optimizers)("%s", (_, make) => {
  it("differs in float32 from float64 by a few roundings only", () => {
    const slopes = random(2, "slopes");
    const start = Array.from({ length: 30 }, () => slopes.normal());
    const [narrow, wide] = [Float32Array.from(start), Float64Array.from(start)].map((values) =>
      trained(values, zerosLike(values)),
    );
    if (narrow === undefined || wide === undefined) throw new Error("two parameters were made");
    const [first, second] = [make(), make()];
    for (let step = 0; step < 100; step++) {
      narrow.gradient.set(start.map(() => slopes.normal()));
      wide.gradient.set(narrow.gradient);
      first.update([narrow], 0.01);
      second.update([wide], 0.01);
    }
    // Each step rounds the weight once, with a relative error of at most 2⁻²⁴.
    narrow.values.forEach((value, index) => {
      expect(Math.abs(value - (wide.values[index] ?? 0))).toBeLessThan(100 * 2 ** -24 * 4);
    });
  });

  it("flushes denormal numbers of a vanished gradient", () => {
    const parameter = trained(Float32Array.of(1), Float32Array.of(1e-3));
    const optimizer = make();
    for (let step = 0; step < 30_000; step++) {
      optimizer.update([parameter], 1e-6);
      parameter.gradient.fill(0);
    }
    const { steps: _, ...kept } = optimizer.state([parameter]);
    for (const { data } of Object.values(kept))
      for (const value of data as Float32Array) expect(value === 0 || Math.abs(value) > 1e-37).toBe(true);
  });

  it("propagates a gradient of NaN", () => {
    const parameter = trained(Float32Array.of(1, 2), Float32Array.of(Number.NaN, 0.5));
    make().update([parameter], 0.1);
    expect([...parameter.values].map(Number.isNaN)).toEqual([true, false]);
  });

  it("rejects a gradient of another length", () => {
    expect(() => make().update([trained(new Float32Array(3), new Float32Array(2))], 0.1)).toThrow(
      "3 parameters have as many gradients, got 2.",
    );
  });
});
