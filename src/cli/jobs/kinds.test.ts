/** What a worker refuses to do, whatever a queue says. */
import { describe, expect, test } from "vitest";
import { dataAt } from "../../../test/cli/data-request.ts";
import { requirePlainWork } from "./kinds.ts";

const data = dataAt("inputs/x/points.csv");
const input = { model: "inputs/x/net.onnx", resumeFolder: "runs/x", data, seed: 0 };
const recipe = (step: string) => ({ kind: "recipe", input: { ...input, recipe: `steps:\n  - ${step}\n` } });

test.each(["combination", "measurements"])("a worker does a job of the kind %s", (kind) => {
  expect(() => requirePlainWork({ kind, input })).not.toThrow();
});

test.each(["pass", "eval", "../../../evil", "constructor", ""])("a worker refuses the kind %j", (kind) => {
  expect(() => requirePlainWork({ kind, input })).toThrow(
    `The queue asks for "${kind}", which is no job that a worker does.`,
  );
});

test("a data set that is a module is refused for every kind", () => {
  const code = { ...input, data: { ...data, path: "inputs/x/points.mjs" }, recipe: "steps:\n  - remove: {}\n" };
  for (const kind of ["combination", "measurements", "recipe"])
    expect(() => requirePlainWork({ kind, input: code })).toThrow("is code, which workers of a queue do not run");
});

describe("a recipe", () => {
  test.each([
    "prune: { amount: 30% }",
    "distill: { teacher: original, epochs: 1 }",
    "train: { epochs: 1, validation: 10% }",
    'quantize: { scheme: dynamic, layers: ["/layer1/conv1.weight", "a.js/Conv"] }',
  ])("with techniques by their names is taken: %s", (step) => {
    expect(() => requirePlainWork(recipe(step))).not.toThrow();
  });

  test.each([
    ["prune: { amount: 30%, importance: ./mine.mjs }", "./mine.mjs"],
    ["distill: { teacher: big.onnx, epochs: 1 }", "big.onnx"],
    ["distill: { teacher: original, otherTeachers: [a.onnx], epochs: 1 }", "a.onnx"],
    ["train: { epochs: 1, log: run.csv }", "run.csv"],
    ["lora: { merge: true, save: adapters.onnx }", "adapters.onnx"],
    ["repeat: 2\n    steps: [{ prune: { amount: { from: 0, to: 0.5, curve: ./slowly.mjs } } }]", "./slowly.mjs"],
  ])("that names a file is refused: %s", (step, file) => {
    expect(() => requirePlainWork(recipe(step))).toThrow(`"${file}" is a file of this machine`);
  });

  test("that is none is refused", () => {
    expect(() => requirePlainWork({ kind: "recipe", input })).toThrow("has none");
    expect(() => requirePlainWork(recipe("shrink: {}"))).toThrow("shrink");
  });
});
