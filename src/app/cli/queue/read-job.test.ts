/** Jobs of a queue as a worker reads them: any program can put anything into a queue. */
import { expect, test } from "vitest";
import { dataAt } from "../../../../test/app/cli/data-request.ts";
import { readJob } from "../commands/worker.ts";
import { ownVersion } from "./queue.ts";

const shared = {
  model: "inputs/x/net.onnx",
  resumeFolder: "runs/x",
  data: dataAt("inputs/x/points.csv"),
  seed: 0,
  metric: "accuracy",
};
const search = {
  ...shared,
  targets: ["node"],
  goal: { maxDrop: 0.01, strict: false },
  force: false,
  search: { steps: 3, purpose: "size", techniques: ["prune"], front: false },
};
const inputs = {
  combination: { ...search, combination: "int8" },
  recipe: { ...search, recipe: "steps:\n  - quantize: {}\n" },
};
const job = (kind: string, input: unknown) => ({ version: ownVersion, kind, name: "int8", input });
/** A job as it arrives: JSON has no undefined fields. */
const received = (data: unknown): unknown => JSON.parse(JSON.stringify(data));

test.each(Object.entries(inputs))("returns a job of the kind %s as the command made it", (kind, input) => {
  const { version: _, ...work } = job(kind, input);
  expect(readJob(received(job(kind, input)))).toEqual(received(work));
});

test("leaves out fields that Pith does not put into jobs", () => {
  const input = { ...inputs.combination, store: "/", resumeBytes: 0 };
  expect(Object.keys(readJob(job("combination", input)).input)).toEqual(Object.keys(inputs.combination));
});

test.each(["pass", "eval", "../../../evil", "constructor", "__proto__", ""])("rejects the kind %j", (kind) => {
  expect(() => readJob(job(kind, {}))).toThrow(`The queue asks for "${kind}", which is not a supported job.`);
});

test("rejects a job of another version before it reads the other fields", () => {
  expect(() => readJob({ ...job("later", {}), version: "99" })).toThrow(
    `The job is of Pith 99, this is ${ownVersion}.`,
  );
});

test.each([
  [null, "job: expected an object, got null"],
  ["text", 'job: expected an object, got "text"'],
  [{ version: ownVersion }, 'job: "kind" is missing'],
  [{ ...job("recipe", {}), version: [] }, "job.version: expected a text, got []"],
  [{ ...job("recipe", {}), name: 3 }, "job.name: expected a text, got 3"],
  [{ ...job("recipe", {}), name: "x".repeat(20_000) }, "job.name: expected at most 10000"],
  [{ ...job("recipe", {}), version: "x".repeat(300) }, "job.version: expected at most 200"],
  [job("recipe", undefined), "input: expected an object, got undefined"],
  [job("recipe", "text"), 'input: expected an object, got "text"'],
  [job("recipe", search), 'input: "recipe" is missing'],
  [job("recipe", { ...inputs.recipe, model: ["x"] }), 'input.model: expected a text, got ["x"]'],
  [job("recipe", { ...inputs.recipe, data: null }), "input.data: expected an object, got null"],
  [job("recipe", { ...inputs.recipe, data: {} }), 'input.data: "path" is missing'],
  [job("recipe", { ...inputs.recipe, data: { ...shared.data, set: { x: "1" } } }), "input.data.set.x: expected"],
  [job("recipe", { ...inputs.recipe, targets: "node" }), 'input.targets: expected a list, got "node"'],
  [job("recipe", { ...inputs.recipe, metric: "toString" }), "input.metric: expected"],
  [job("recipe", { ...inputs.recipe, seed: -1 }), "input.seed: expected at least 0, got -1"],
])("reports what is wrong with a job that Pith did not write: %#", (data, sentence) => {
  expect(() => readJob(data)).toThrow(`The queue has a job that Pith did not put there: ${sentence}`);
});
