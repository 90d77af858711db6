import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { save } from "pith";
import { parseModel } from "pith/extend";
import { linear, network } from "pith/nn";
import { beforeAll, expect, test } from "vitest";
import { temporaryFolder } from "../../../test/temporary.ts";
import type { MakeRequest } from "../backend/backend.ts";
import { type CallContext, createSession } from "./session.ts";

const folder = temporaryFolder();
const [small, large] = [join(folder, "small.onnx"), join(folder, "large.onnx")];
const context: CallContext = {
  signal: new AbortController().signal,
  report: () => {},
  whenIdle: async () => new AbortController().signal,
};
const request: MakeRequest = {
  id: "float16",
  name: "float16",
  made: { version: 1, steps: [{ quantize: { scheme: "float16" } }] },
  maxDrop: 0.01,
};

beforeAll(async () => {
  await save(network([linear(4, 8)], { input: ["batch", 4], seed: 1 }), small);
  await save(network([linear(4, 64)], { input: ["batch", 4], seed: 1 }), large);
});

test("makes a candidate of the model that the call names, and not of the model that was opened last", async () => {
  const session = createSession();
  const { inspection } = await session.openModel(small, context);
  await session.openModel(large, context);
  const candidate = await session.make({ model: small, samples: undefined }, request, context);
  expect(candidate.inspection.parameters).toBe(inspection.parameters);
});

test("opens the model of a call in a session that has none", async () => {
  const { inspection } = await createSession().openModel(small, context);
  const candidate = await createSession().make({ model: small, samples: undefined }, request, context);
  expect(candidate.inspection.parameters).toBe(inspection.parameters);
});

test("times a candidate again, on the model of the call", async () => {
  const session = createSession();
  const subject = { model: small, samples: undefined };
  const { file } = await session.make(subject, request, context);
  const timing = await session.time(subject, file, context);
  expect(timing?.candidate.speedup.median).toBeGreaterThan(0);
  expect(timing?.isUnsteady).toEqual(expect.any(Boolean));
});

test("gives the precision fallback the goal that the page shows, as a stated one", async () => {
  const [samples, difference] = [join(folder, "difference.csv"), join(folder, "difference.onnx")];
  const rows = Array.from({ length: 60 }, (_, row) => (row % 2 === 0 ? "1,0,0" : "0,1,1"));
  writeFileSync(samples, `a,b,label\n${rows.join("\n")}\n`);
  const text = `opset 21
graph (x: float32[batch, 2]) -> (logits: float32[batch, 2]) {
  w: float32[2, 2] parameter = [1, 0, 0, 1]
  logits = MatMul (x, w)
}
`;
  await save(parseModel(text), difference);
  const candidate = await createSession().make({ model: difference, samples: { data: samples } }, request, context);
  expect(candidate.run?.goal).toMatchObject({ maxDrop: 0.01, stated: true });
});

test("makes no candidate of a recipe that changes nothing, and gives the reason", async () => {
  const [samples, wide] = [join(folder, "wide.csv"), join(folder, "wide.onnx")];
  const rows = Array.from({ length: 60 }, (_, row) => (row % 2 === 0 ? "1,0,0" : "0,1,1"));
  writeFileSync(samples, `a,b,label\n${rows.join("\n")}\n`);
  const pair = (index: number): string => (index % 2 === 0 ? "[1, 0]" : "[0, 1]");
  const pairs = `[${Array.from({ length: 16 }, (_, index) => pair(index)).join(", ")}]`;
  const text = `opset 21
graph (x: float32[batch, 2]) -> (logits: float32[batch, 2]) {
  fc1.weight: float32[16, 2] parameter = ${pairs}
  fc2.weight: float32[16, 2] parameter = ${pairs}
  h = Gemm "fc1" (x, fc1.weight) {transB=1}
  logits = MatMul "fc2" (h, fc2.weight)
}
`;
  await save(parseModel(text), wide);
  const pruning: MakeRequest = { ...request, made: { version: 1, steps: [{ prune: { structured: 0.1 } }] } };
  const candidate = createSession().make({ model: wide, samples: { data: samples } }, pruning, context);
  await expect(candidate).rejects.toThrow(
    "prune changed nothing: fc1: 10 % of its 16 channels is less than half of a block of 4 channels.",
  );
});
