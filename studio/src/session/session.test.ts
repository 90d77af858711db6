import { join } from "node:path";
import { save } from "pith";
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
