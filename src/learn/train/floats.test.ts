import { describe, expect, it, test } from "vitest";
import { random } from "../../core/tensor/random.ts";
import { type Floats, floatMemory, run, zerosLike } from "./floats.ts";
import { accumulator, clipByNorm, movingAverage, type OptimizedParameter, type Optimizer } from "./optimizer.ts";
import { adam, adamW, lion, sgd } from "./optimizers.ts";

const optimizers: readonly (readonly [string, () => Optimizer])[] = [
  ["sgd", () => sgd({ weightDecay: 0.1 })],
  ["sgd with momentum", () => sgd({ momentum: 0.9, weightDecay: 0.1 })],
  ["adam", () => adam({ weightDecay: 0.1 })],
  ["adamw", () => adamW()],
  ["lion", () => lion({ weightDecay: 0.1 })],
];

function trained(values: Floats, gradient: Floats): OptimizedParameter {
  return { name: "x", values, gradient, carried: false, decays: true };
}

describe("common and scratch memory yield the same bits", () => {
  // This length does not fill the last SIMD vector and needs two blocks of scratch memory.
  const length = 70_003;
  const numbers = random(1, "floats");
  const drawValues = (): Float32Array => {
    const values = Float32Array.from({ length }, () => numbers.normal() * 10 ** (numbers.integer(40) - 35));
    values.set([0, -0, 1e-45, -1e-40, 1e-31, 1e30, Number.NaN, Number.POSITIVE_INFINITY], 65_530);
    return values;
  };
  const start = drawValues();
  const gradients = [drawValues(), drawValues(), drawValues()];

  const everywhere = (work: (parameter: OptimizedParameter) => readonly unknown[]): void => {
    const inMemory = floatMemory([start.byteLength])(start);
    expect(work(trained(start.slice(), new Float32Array(length)))).toEqual(
      work(trained(inMemory, zerosLike(inMemory))),
    );
  };

  test.each(optimizers)("%s", (_, make) => {
    everywhere((parameter) => {
      const optimizer = make();
      for (const gradient of gradients) {
        parameter.gradient.set(gradient);
        optimizer.update([parameter], 0.01);
      }
      return [parameter.values.slice(), optimizer.state([parameter])];
    });
  });

  test("accumulation, clipping and averages", () => {
    everywhere((parameter) => {
      const [sums, average] = [accumulator([parameter], 3), movingAverage([parameter.values], 0.9)];
      for (const gradient of gradients) {
        parameter.gradient.set(gradient.map((value) => (Number.isFinite(value) ? value : 0)));
        sums.add();
      }
      const norm = clipByNorm([parameter], 1);
      parameter.values.fill(3);
      average.update();
      return [norm, parameter.gradient.slice(), average.values[0]?.slice()];
    });
  });
});

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

describe("movingAverage", () => {
  it("does not move if the weights do not move", () => {
    const average = movingAverage([Float32Array.of(0.1, -3)], 0.9999);
    for (let step = 0; step < 10_000; step++) average.update();
    expect(average.values).toEqual([Float32Array.of(0.1, -3)]);
  });
});

describe("floatMemory", () => {
  it("stores parameters and further arrays", () => {
    const place = floatMemory([12, 16]);
    const [first, second] = [place(Float32Array.of(1, 2, 3)), place(Float64Array.of(4, 5))];
    expect([first, second]).toEqual([Float32Array.of(1, 2, 3), Float64Array.of(4, 5)]);
    expect(zerosLike(first).buffer).toBe(first.buffer);
    expect(second.buffer).toBe(first.buffer);
  });

  it("falls back to ordinary arrays without room", () => {
    const place = floatMemory([4]);
    const first = place(Float32Array.of(1));
    const more = place(new Float32Array(100_000).fill(2));
    expect(more.every((value) => value === 2)).toBe(true);
    let last = zerosLike(first);
    while (last.buffer === first.buffer) last = zerosLike(first);
    run("move", [first], [last.fill(2)], 0.5, 0);
    expect(first).toEqual(Float32Array.of(0));
  });
});
