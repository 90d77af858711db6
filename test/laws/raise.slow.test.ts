/**
 * Law: a node of any older version of its operator, raised to a newer opset, computes the same outputs, whether the ranks of its inputs are known or not.
 * Every refusal has an expected reason.
 */
import { describe, expect, test } from "vitest";
import { Miss, PithError } from "../../src/core/errors.ts";
import type { Attribute } from "../../src/core/graph/graph.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { checkForm, inputsFor, schemasOf } from "../../src/core/graph/schema.ts";
import { verify } from "../../src/core/graph/verify.ts";
import { toNumbers } from "../../src/core/tensor/convert.ts";
import type { Dense } from "../../src/core/tensor/types.ts";
import { raiseOpset } from "../../src/rewrite/edit/raise-opset.ts";
import type { Example } from "../core/ops/define.examples.ts";
import { difference, examplesFor, feedsOf, fixedModel, lastNode, run } from "./harness.ts";

/** The oldest opset that ONNX Runtime has kernels for. */
const oldest = 7;
const newest = [13, 21];

/** Reasons for refusals: newer versions of these operators cannot express an older form, or only with a known rank. */
const refused: Readonly<Record<string, RegExp>> = {
  Add: /broadcasts along inner axes/,
  BatchNormalization: /expected 1 to 3 outputs/,
  DFT: /defaults changed/,
  Resize: /defaults changed/,
  Scan: /defaults changed|input 0 is required/,
  Upsample: /removed in opset 10/,
};

/** Returns the example in an older opset, with later inputs as attributes. Undefined if that version cannot express the example. */
function inOpset(example: Example, version: number): Model | undefined {
  const model = fixedModel(example);
  const { op, graph } = lastNode(model);
  const node = lastNode(model);
  const schema = schemasOf("", op).findLast(({ since }) => since <= version);
  for (const [name, input] of inputsFor(op)) {
    const kind = schema?.attributes.get(name);
    const value = node.inputs[input];
    if (kind === undefined || value === undefined) continue;
    if (value.tensor?.small === undefined) return undefined;
    graph.setAttribute(node, name, asAttribute(kind, value.tensor.small));
    graph.setInput(node, input, undefined);
  }
  const attributes = node.attributes.keys();
  const isLegal = [...graph.nodes()].every(
    (each) =>
      each.domain !== "" ||
      !(
        checkForm(
          "",
          each.op,
          version,
          each === node ? { ...node, attributes } : { ...each, attributes: each.attributes.keys() },
        ) instanceof Miss
      ),
  );
  if (!isLegal) return undefined;
  model.header.opsets.set("", version);
  return model;
}

function asAttribute(kind: Attribute["kind"], { type, dims, data }: Dense): Attribute {
  if (type === "int64" && kind === "ints") return { kind, value: Array.from(data, (item) => item) };
  const numbers = toNumbers({ type, dims, data } as Dense);
  const [first = 0] = numbers;
  if (kind === "int" || kind === "float") return { kind, value: first };
  return kind === "floats" ? { kind, value: numbers } : { kind: "ints", value: numbers };
}

const versionsOf = (example: Example): readonly number[] => {
  const { op, domain } = lastNode(fixedModel(example));
  if (domain !== "") return [];
  const since = schemasOf("", op).map((schema) => Math.max(oldest, schema.since));
  return [...new Set(since)].filter((version) => version < Math.max(...newest));
};

const cases = examplesFor("file").flatMap(([title, example]) =>
  versionsOf(example).map((version) => [title, version, example] as const),
);

describe.each([
  ["known", false],
  ["unknown", true],
])("raised nodes with inputs of %s rank", (_, isUnknown) => {
  test.each(cases)("%s, from opset %i", async (_, version, example) => {
    const model = inOpset(example, version);
    if (model === undefined) return;
    const feeds = feedsOf(model, example);
    const expected = await run(model, feeds).catch(() => undefined);
    // Forms without a kernel in the runtime are skipped.
    if (expected === undefined) return;
    if (isUnknown)
      for (const value of model.graph.inputs)
        if (value.type !== undefined) value.type = { type: value.type.type, dims: undefined };
    for (const to of newest.filter((other) => other > version)) {
      const raised = model.clone();
      try {
        raiseOpset(raised, to);
      } catch (error) {
        if (!(error instanceof PithError)) throw error;
        expect(error.message).toMatch(refused[lastNode(model).op] ?? /^$/);
        continue;
      }
      expect(verify(raised)).toEqual([]);
      const raisedOutputs = await run(raised, feeds);
      for (const [name, dense] of Object.entries(expected)) {
        const now = raisedOutputs[name];
        if (dense.type === "string") expect(now).toEqual(dense);
        else
          expect(now === undefined ? Number.NaN : difference(now, dense), `${name} in opset ${to}`).toBeLessThan(1e-5);
      }
    }
  });
});
