/** Tests that every operator has enough examples, and every exception a reason. */
import { describe, expect, test } from "vitest";
import { operators } from "../../src/core/ops/index.ts";
import { examples } from "./examples.ts";
import { operatorOf, symbolicModel } from "./harness.ts";

describe("operator examples", () => {
  const owners = examples.map(operatorOf);

  test.each([...operators].map((op) => [op.name, op] as const))("%s has at least three examples", (_, op) => {
    expect(owners.filter((owner) => owner === op).length).toBeGreaterThanOrEqual(3);
  });

  test("titles are unique", () => {
    const titles = examples.map((example) => example.title);
    expect(titles.filter((title, index) => titles.indexOf(title) !== index)).toEqual([]);
  });

  test("nodes before the tested node only compute shapes or create sequences", () => {
    const before = examples.flatMap((example) => [...symbolicModel(example).graph.nodes()].slice(0, -1));
    const allowed = /^(Cast|Shape|Size|Equal|Optional|Sequence\w+|SplitToSequence)$/;
    expect([...new Set(before.map((node) => node.op))].filter((op) => !allowed.test(op))).toEqual([]);
  });

  test("every exception has a reason", () => {
    const empty = examples.filter((example) =>
      [...Object.values(example.except), ...Object.values(example.misses)].some((reason) => reason.trim() === ""),
    );
    expect(empty.map((example) => example.title)).toEqual([]);
  });
});
