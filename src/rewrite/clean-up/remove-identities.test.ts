import { expect, test } from "vitest";
import { parseModel } from "../../core/graph/text.ts";
import { removeIdentities } from "./remove-identities.ts";

const countRemoved = async (type: string, node: string, dims = "n") => {
  const { changes } = await removeIdentities(
    parseModel(`opset 21
graph (x: ${type}[${dims}]) -> (y) {
  one: int64[1] = [1]
  h = ${node}
  y = Neg(h)
}`),
  );
  return changes.length;
};

test("a Clip without bounds is removed for integers, and kept for floats, whose infinities it makes finite", async () => {
  expect(await countRemoved("int32", "Clip(x)")).toBe(1);
  expect(await countRemoved("float32", "Clip(x)")).toBe(0);
});

test("a Slice that selects nothing of an axis of length 1 is kept", async () => {
  expect(await countRemoved("float32", "Slice(x, one, one)", "1")).toBe(0);
});
