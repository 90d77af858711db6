import { describe, expect, it } from "vitest";
import { createEngine } from "../../core/engine/index.ts";
import { structureHash } from "../../core/graph/hash.ts";
import { parseModel } from "../../core/graph/text.ts";
import { verify } from "../../core/graph/verify.ts";
import { float32 } from "../../core/tensor/dense.ts";
import { random } from "../../core/tensor/random.ts";
import type { Batch } from "../../core/tensor/types.ts";
import { type DifferentiateOptions, differentiate } from "./differentiate.ts";
import { minimizeMemory } from "./recompute.ts";

/** Returns residual layers that scale by a statistic of the batch and share a mask. */
function network(depth: number): string {
  const numbers = Array.from({ length: depth }, (_, n) => n);
  return `opset 18
graph (x: float32[8, 16], mask: float32[8, 16]) -> (loss) {
  head: float32[16, 2] = random(seed 99)
  unused: float32[16] = random(seed 98)
  shown = Neg (mask)
${numbers.map((n) => `  w${n}: float32[16, 16] = random(seed ${n})`).join("\n")}
${numbers
  .map(
    (n) => `  a${n} = MatMul (${n === 0 ? "x" : `c${n - 1}`}, w${n})
  m${n} = Add (a${n}, shown)
  b${n} = Tanh (m${n})
  d${n} = Mul (b${n}, b${n})
  c${n} = Add (d${n}, ${n === 0 ? "x" : `c${n - 1}`})`,
  )
  .join("\n")}
  logits = MatMul (c${depth - 1}, head)
  loss = ReduceSum (logits) {keepdims=0}
}`;
}

const model = parseModel(network(9));
const wrt = ({ tensor }: { readonly tensor: unknown }): boolean => tensor !== undefined;
const noise = (count: number, seed: number): Float32Array => {
  const draw = random(seed);
  return Float32Array.from({ length: count }, () => draw.uniform() - 0.5);
};

async function gradients(checkpoint: DifferentiateOptions["checkpoint"]) {
  const { step, gradients: names } = differentiate(model, { loss: "loss", wrt, checkpoint: checkpoint ?? false });
  expect(verify(step)).toEqual([]);
  const feeds: Record<string, Batch[string]> = {
    x: float32([8, 16], noise(128, 1)),
    mask: float32([8, 16], noise(128, 2)),
  };
  for (const { name, tensor } of model.graph.values()) if (tensor !== undefined) feeds[name] = await tensor.read();
  const feedNames = new Set(step.graph.feeds.map(({ name }) => name));
  const session = await createEngine().load(step, { optimize: false });
  const outputs = await session.run(Object.fromEntries(Object.entries(feeds).filter(([name]) => feedNames.has(name))));
  await session.release();
  const recomputed = [...step.graph.values()].flatMap(({ name }) => (name.includes(".again") ? [name] : []));
  return { step, names, values: [...names.values(), "loss"].map((name) => outputs[name]), again: recomputed };
}

describe("checkpointing", () => {
  it("computes the same bits with fewer kept values", async () => {
    const [plain, chosen] = [await gradients(false), await gradients(true)];
    expect(chosen.values).toEqual(plain.values);
    expect([...chosen.names.keys()]).toEqual([...plain.names.keys()]);
    expect(plain.again).toEqual([]);
    expect(chosen.again.length).toBeGreaterThan(10);
  });

  it("keeps the named values and everything after the last of them", async () => {
    const plain = await gradients(false);
    const some = await gradients(["c2", "c5"]);
    expect(some.values).toEqual(plain.values);
    for (const name of ["b0", "b1", "b2", "b3", "b5", "c0", "c4"]) expect(some.again, name).toContain(`${name}.again`);
    for (const name of ["c2", "c5", "a6", "b6", "b8", "shown"]) expect(some.again, name).not.toContain(`${name}.again`);
  });

  it("reads only kept values of the forward pass in the backward pass", async () => {
    const { step } = await gradients(["c3"]);
    const readers = (name: string): readonly string[] =>
      [...(step.graph.value(name)?.uses ?? [])].map(({ node }) => node.outputs[0]?.name ?? "");
    for (const n of [0, 1, 2, 3]) {
      expect(readers(`b${n}`)).toEqual([`d${n}`, `d${n}`]);
      expect(readers(`m${n}`)).toEqual([`b${n}`]);
    }
  });

  it("keeps everything without boundaries", async () => {
    const [plain, none] = [await gradients(false), await gradients([])];
    expect(none.values).toEqual(plain.values);
    expect(none.again).toEqual([]);
  });

  it("rejects a boundary that is not between parameters and loss", () => {
    for (const name of ["nothing", "x", "w0"])
      expect(() => differentiate(model, { loss: "loss", wrt, checkpoint: [name] })).toThrow(
        `There is no value "${name}" between the parameters and the loss to keep.`,
      );
  });

  it("does not change the model", () => {
    const before = structureHash(model);
    differentiate(model, { loss: "loss", wrt, checkpoint: true });
    expect(structureHash(model)).toBe(before);
  });
});

describe("checkpointing with random values", () => {
  it("keeps them instead of drawing them again", () => {
    const withRandomValues = parseModel(`opset 18
graph (x: float32[4, 4]) -> (loss) {
  w: float32[4, 4] = random(seed 1)
  v: float32[4, 4] = random(seed 2)
  a = MatMul (x, w)
  noise = RandomNormalLike (a)
  b = Mul (a, noise)
  c = Tanh (b)
  d = MatMul (c, v)
  loss = ReduceSum (d) {keepdims=0}
}`);
    const { step } = differentiate(withRandomValues, { loss: "loss", wrt, checkpoint: ["d"] });
    const copied = [...step.graph.values()].flatMap(({ name }) => (name.endsWith(".again") ? [name] : []));
    expect(copied).toContain("c.again");
    expect(copied.filter((name) => name.startsWith("noise"))).toEqual([]);
  });
});

describe("runInOrder", () => {
  it("moves unread nodes to the end: gradients of the first layer first, the loss last", async () => {
    const { step, names } = await gradients(false);
    const last = [...step.graph.nodes()].slice(-names.size - 1).map(({ outputs }) => outputs[0]?.name);
    expect(last.at(-1)).toBe("loss");
    expect(last.at(-2)).toBe("gradient(head)");
    expect(last[0]).toBe("gradient(w0)");
  });
});

describe("minimizeMemory", () => {
  it("keeps about the square root of the number of equal layers", () => {
    const count = 100;
    const chosen = minimizeMemory(
      Array.from({ length: count - 1 }, () => 1),
      Array.from({ length: count + 1 }, (_, index) => index),
    );
    expect(chosen.length).toBeGreaterThanOrEqual(8);
    expect(chosen.length).toBeLessThanOrEqual(12);
  });

  it("prefers small cut points", () => {
    expect(minimizeMemory([60, 1, 60], [0, 50, 100, 150, 200])).toEqual([1]);
  });

  it("keeps everything if cut points are as large as the values between them", () => {
    expect(minimizeMemory([100, 100, 100], [0, 50, 100, 150, 200])).toEqual([]);
    expect(minimizeMemory([], [0, 10])).toEqual([]);
  });
});
