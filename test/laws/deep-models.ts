/** Models with deeply nested subgraphs, and every walk over them. */
import { expect } from "vitest";
import { drawGraph } from "../../src/app/report/graph/draw-graph.ts";
import { inspect } from "../../src/app/report/inspect/inspect.ts";
import { cost } from "../../src/core/analysis/cost.ts";
import { infer } from "../../src/core/analysis/infer.ts";
import { allLayers } from "../../src/core/analysis/layers.ts";
import { Miss, PithError } from "../../src/core/errors.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { snapshot } from "../../src/core/graph/snapshot.ts";
import { structureHash } from "../../src/core/graph/structure-hash.ts";
import { parseModel, printModel } from "../../src/core/graph/text.ts";
import { verify } from "../../src/core/graph/verify.ts";
import { encodeToBytes } from "../../src/core/onnx/encode.ts";
import { open } from "../../src/core/onnx/index.ts";
import { defineOp } from "../../src/core/ops/define.ts";
import { addOperators } from "../../src/core/ops/index.ts";
import { differentiate } from "../../src/learn/train/differentiate.ts";
import { simplify } from "../../src/rewrite/clean-up/simplify.ts";
import { factorize } from "../../src/techniques/factorize/index.ts";
import { prune } from "../../src/techniques/prune/index.ts";
import { quantize } from "../../src/techniques/quantize/index.ts";

/** Text of each nesting level: the nodes before the subgraph, which read `h<level - 1>`, and the node that contains the subgraph. */
export interface Nesting {
  readonly before: (level: number) => string;
  readonly node: (level: number, inside: string) => string;
}

export const branches: Nesting = {
  before: (n) => `w${n}: float32[4, 4] parameter = random(seed ${n})\n h${n} = MatMul "fc${n}" (h${n - 1}, w${n})`,
  node: (n, inside) =>
    `z${n} = If(flag) {then_branch=graph () -> (o${n}) { ${inside}\n o${n} = Identity(z${n + 1}) },
 else_branch=graph () -> (e${n}) { e${n} = Neg(h${n}) }}`,
};

/** Nodes with subgraphs whose outputs and cost are unknown. */
export const unknown: Nesting = { ...branches, before: (n) => `u${n} = my.Odd(h${n - 1})\n h${n} = Tanh(u${n})` };

/** Loops whose counter starts at 0, and is unknown after the first iteration. */
export const loops: Nesting = {
  before: (n) => `h${n} = Tanh(h${n - 1})\n j${n}: int64[] = 0`,
  node: (n, inside) =>
    `z${n}, last${n} = Loop(turns, _, h${n}, j${n}) {body=graph (i${n}: int64[], c${n}: bool[], s${n}: float32[batch, 4],
 n${n}: int64[]) -> (k${n}, o${n}, m${n}) { k${n} = Identity(c${n})
 one${n}: int64[] = 1
 m${n} = Add(n${n}, one${n})
 ${inside}
 p${n} = my.Counted(s${n})
 o${n} = Add(z${n + 1}, p${n}) }}`,
};

function nested({ before, node }: Nesting, depth: number): Model {
  const level = (n: number): string =>
    n > depth ? `z${n} = my.Counted(h${n - 1})` : `${before(n)}\n ${node(n, level(n + 1))}`;
  return parseModel(`opset 21, my 1
graph (h0: float32[batch, 4], flag: bool[], turns: int64[], a: float32[1], b: float32[2], c: float32[3]) -> (y: float32[batch, 4]) {
  parts = SequenceConstruct(a, b, c)
  first: float32[4, 8] parameter = random(seed 1)
  second: float32[8, 4] parameter = random(seed 2)
  ${level(1)}
  t = MatMul "first" (z1, first)
  y = MatMul "second" (t, second)
}`);
}

/** Returns how often types are inferred for the operator \`my.Counted\`. */
export function visits(nesting: Nesting, depth: number): number {
  let count = 0;
  const model = nested(nesting, depth);
  const counted = defineOp({
    domain: "my",
    name: "Counted",
    infer: (_, { inputs: [x] }) => {
      count++;
      return [x];
    },
    axes: new Miss("stays whole"),
    lower: (_, emit, [x]) => [emit.Identity([x])],
  });
  addOperators(model, counted);
  infer(model);
  return count;
}

export const deep = 40;

export async function expectWalksEnd(nesting: Nesting): Promise<void> {
  const read = async (): Promise<Model> => open(await encodeToBytes(nested(nesting, deep)));
  const model = await read();
  const inference = infer(model);
  cost(model, inference);
  expect(verify(model)).toEqual([]);
  expect(allLayers(model, inference).length).toBeGreaterThan(1);
  expect(printModel(model.clone())).toBe(printModel(model));
  const before = structureHash(model);
  const restore = snapshot(model);
  await simplify(model);
  restore();
  expect(structureHash(model)).toBe(before);
  await inspect(model);
  drawGraph(model);
  await prune(await read(), { amount: 0.5 });
  await prune(await read(), { amount: 0.5, structured: true });
  for (const scheme of ["weights", "dynamic", "float16"] as const) await quantize(await read(), { scheme });
  await quantize(await read(), { dtype: "fp16" });
  await factorize(await read(), { rank: 1 });
  const trained = new Set(["first", "second"]);
  const differentiable = await read();
  try {
    differentiate(differentiable, { loss: "y", wrt: ({ name }) => trained.has(name) });
  } catch (error) {
    expect(error).toBeInstanceOf(PithError);
  }
}
