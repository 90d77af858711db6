/** Law: an output that an operator definition declares as a distribution sums to one along the named axes, or its exponentials do. */
import { expect, test } from "vitest";
import { infer } from "../../src/core/analysis/infer.ts";
import { Miss } from "../../src/core/errors.ts";
import { toFloat64 } from "../../src/core/tensor/convert.ts";
import { examples } from "./examples.ts";
import { fixedModel, lastNode, outputsOf } from "./harness.ts";

const cases = examples.flatMap((example) => {
  const model = fixedModel(example);
  const node = lastNode(model);
  const bound = infer(model).at(node);
  const distribution = bound instanceof Miss ? undefined : bound.distribution();
  return distribution === undefined ? [] : [[example.title, { example, node, distribution }] as const];
});

test("the examples contain probabilities and log-probabilities", () => {
  expect(new Set(cases.map(([, { distribution }]) => distribution.form))).toEqual(
    new Set(["probabilities", "logarithms"]),
  );
});

test.each(cases)("%s", async (_, { example, node, distribution: { form, axes } }) => {
  const [output] = node.outputs;
  const dense = (await outputsOf(example))[output?.name ?? ""];
  if (dense === undefined || axes === undefined) throw new Error("there is no such output, or its axes are not known");
  const values = toFloat64(dense).map((value) => (form === "logarithms" ? Math.exp(value) : value));
  // Each key is the position along all other axes.
  const sums = new Map<string, number>();
  values.forEach((value, at) => {
    let rest = at;
    const place = dense.dims.map((_size, axis) => {
      const inner = dense.dims.slice(axis + 1).reduce((product, dim) => product * dim, 1);
      const index = Math.floor(rest / inner);
      rest %= inner;
      return axes.includes(axis) ? 0 : index;
    });
    sums.set(place.join(), (sums.get(place.join()) ?? 0) + value);
  });
  for (const sum of sums.values()) expect(sum).toBeCloseTo(1, 5);
});
