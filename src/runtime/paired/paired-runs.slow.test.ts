import { describe, expect, it } from "vitest";
import { createEngine, type Engine } from "../../core/engine/index.ts";
import { Miss, PithError } from "../../core/errors.ts";
import type { Model } from "../../core/graph/model.ts";
import { parseModel } from "../../core/graph/text.ts";
import { zeros } from "../../core/tensor/dense.ts";
import { pairedRuns } from "./paired-runs.ts";

const model = (text: string, opsets = "opset 21") => parseModel(`${opsets}\ngraph ${text}`);
const options = { sizes: "one", seed: 1 } as const;

describe("the cost of a comparison", () => {
  /** Returns an engine that outputs zeros and records fed shapes and loaded models. */
  const pretending = (rejects: (dims: readonly number[]) => boolean = () => false) => {
    const runs: (readonly number[])[] = [];
    const loaded: (Model | "released")[] = [];
    const engine: Engine = {
      load: async (given) => {
        loaded.push(given);
        return {
          run: async (feeds) => {
            const dims = feeds.x?.dims ?? [];
            if (rejects(dims)) throw new PithError("E_ENGINE", "It does not fit.");
            runs.push(dims);
            return { y: zeros("float32", [dims[0] ?? 1, 1]) };
          },
          release: async () => {
            loaded.push("released");
          },
        };
      },
    };
    return { engine, runs, loaded };
  };
  /** Returns a model with about 64·64·27 multiply-accumulates for each of side³ positions. */
  const volume = (side: number, batch = "n") =>
    model(`(x: float32[${batch}, 1, ${side}, ${side}, ${side}]) -> (y: float32[...]) {
  v: float32[64, 1, 3, 3, 3] = random(seed 1)
  w: float32[64, 64, 3, 3, 3] = random(seed 2)
  a = Conv(x, v) {pads=[1,1,1,1,1,1]}
  y = Conv(a, w) {pads=[1,1,1,1,1,1]}
}`);

  it("runs expensive models on four single samples of smaller sides", async () => {
    const { engine, runs } = pretending();
    const result = await pairedRuns({ engine, original: volume(256), result: volume(256) }, options);
    expect(result).not.toBeInstanceOf(Miss);
    expect(runs).toHaveLength(8);
    for (const dims of runs) expect(dims).toEqual([1, 1, 64, 64, 64]);
  });

  it("runs expensive models at full size if smaller sides fail", async () => {
    const { engine, runs } = pretending((dims) => dims[2] !== 128);
    const result = await pairedRuns({ engine, original: volume(128), result: volume(128) }, options);
    expect(result).not.toBeInstanceOf(Miss);
    expect(new Set(runs.map(String))).toEqual(new Set(["1,1,128,128,128"]));
    expect(runs).toHaveLength(8);
  });

  it("runs models with large values sample by sample", async () => {
    const { engine, runs } = pretending();
    const large =
      "(x: float32[n, 1, 64]) -> (y: float32[...]) {\n  s: int64[3] = [1, 8388608, 64]\n  y = Expand(x, s)\n}";
    await pairedRuns({ engine, original: model(large), result: model(large) }, options);
    expect(runs.map(([batch]) => batch)).toEqual(new Array(18).fill(1));
  });

  it("runs small models on 32 samples in batches of eight", async () => {
    const { engine, runs } = pretending();
    const small = "(x: float32[n, 4]) -> (y: float32[...]) {\n  y = Relu(x)\n}";
    await pairedRuns({ engine, original: model(small), result: model(small) }, options);
    expect(runs.map(([batch]) => batch)).toEqual(new Array(8).fill(8));
  });

  it("loads one model at a time and counts the runs of both as progress", async () => {
    const { engine, loaded } = pretending();
    const [original, result] = [volume(64), volume(64)];
    const progressCalls: (readonly number[])[] = [];
    const progress = (done: number, total: number): void => void progressCalls.push([done, total, loaded.length]);
    await pairedRuns({ engine, original, result }, { ...options, progress });
    expect(loaded).toEqual([original, "released", result, "released"]);
    expect(progressCalls[0]).toEqual([0, 8, 0]);
    expect(progressCalls.map(([done]) => done)).toEqual(progressCalls.map((_, index) => index));
    expect(progressCalls.at(-1)?.[0]).toBe(progressCalls.at(-1)?.[1]);
  });
});

describe("the number of samples", () => {
  it("is at least four: rejected inputs are drawn again", async () => {
    // About every third run fails.
    let runs = 0;
    const real = createEngine();
    const picky = (share: number): Engine => ({
      load: async (given, load) => {
        const session = await real.load(given, load);
        return {
          ...session,
          run: (feeds, fetch) => {
            if (++runs % share !== 0) return Promise.reject(new PithError("E_ENGINE", "Not this one."));
            return session.run(feeds, fetch as readonly string[]);
          },
        };
      },
    });
    const fixed = "(x: float32[1, 4]) -> (y: float32[...]) {\n  y = Relu(x)\n}";
    const result = await pairedRuns({ engine: picky(50), original: model(fixed), result: model(fixed) }, options);
    expect(result).toBeInstanceOf(Miss);
    runs = 0;
    const some = await pairedRuns({ engine: picky(1), original: model(fixed), result: model(fixed) }, options);
    expect(some instanceof Miss ? some.reason : some.pairs.length).toBe(32);
  });

  it("is not reduced by an input with one row", async () => {
    const roberta = `(ids: int64[batch, s], types: int64[batch, s]) -> (y: float32[...]) {
  words: float32[100, 8] = random(seed 1)
  kinds: float32[1, 8] = random(seed 2)
  a = Gather(words, ids)
  b = Gather(kinds, types)
  y = Add(a, b)
}`;
    const runs = await pairedRuns(
      { engine: createEngine(), original: model(roberta), result: model(roberta) },
      options,
    );
    if (runs instanceof Miss) throw new Error(runs.reason);
    expect(runs.pairs.map(({ expected }) => expected.y?.dims)).toEqual(new Array(4).fill([8, 16, 8]));
  });
});

describe("operators that the runtime lacks", () => {
  const around = (weight: number, type = ": float32[n, 8]") =>
    model(
      `(x: float32[n, 4]) -> (y: float32[n, 2]) {
  a: float32[4, 8] = random(seed 1)
  b: float32[8, 2] = random(seed ${weight})
  h = MatMul(x, a)
  m${type} = custom.MyAct(h)
  r = Relu(m)
  y = MatMul(r, b)
}`,
      "opset 21, custom 1",
    );

  it("are removed, and their inputs and the rest are compared", async () => {
    const runs = await pairedRuns({ engine: createEngine(), original: around(2), result: around(3) }, options);
    if (runs instanceof Miss) throw new Error(runs.reason);
    expect(runs.without).toEqual(["custom.MyAct"]);
    const [pair] = runs.pairs;
    expect(Object.keys(pair?.feeds ?? {}).sort()).toEqual(["m", "x"]);
    expect(pair?.actual.h).toEqual(pair?.expected.h);
    expect(pair?.actual.y).not.toEqual(pair?.expected.y);
  });

  it.each([
    ["of the default domain", "opset 21", "RequantShift"],
    ["of a domain of the runtime's", "opset 21, com.microsoft 1", "com.microsoft.NoSuchThing"],
  ])("%s are removed, too", async (_, opsets, name) => {
    const text = `(x: float32[n, 4]) -> (y: float32[n, 4]) {\n  h = Relu(x)\n  m: float32[n, 4] = ${name}(h)\n  y = Add(m, m)\n}`;
    const runs = await pairedRuns(
      { engine: createEngine(), original: model(text, opsets), result: model(text, opsets) },
      options,
    );
    expect(runs).toMatchObject({ without: [name] });
  });

  it("fails if nothing is comparable: outputs of such an operator have no known rank", async () => {
    await expect(
      pairedRuns({ engine: createEngine(), original: around(2, ""), result: around(3, "") }, options),
    ).rejects.toThrow("This runtime has no custom.MyAct, and without it there is nothing to compare.");
  });
});
