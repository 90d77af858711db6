/** The elements that Pith takes for a slice are those that ONNX Runtime selects. */
import { expect, test } from "vitest";
import { createEngine } from "../../src/core/engine/index.ts";
import { parseModel } from "../../src/core/graph/text.ts";
import { int64 } from "../../src/core/tensor/dense.ts";
import { sliceRange } from "../../src/core/tensor/slice-range.ts";

const bounds = [0, 1, 2, 9, -1, -2, -9, 2 ** 31 - 1, 2 ** 31, 1e9, -(2 ** 31), -1e9];

test("slices select the elements of ONNX Runtime, for bounds inside and outside of the axis", async () => {
  const model = parseModel(`opset 21
graph (x: int64[n], start: int64[1], end: int64[1], step: int64[1]) -> (y) {
  axis: int64[1] = [0]
  y = Slice(x, start, end, axis, step)
}`);
  const session = await createEngine().load(model, { threads: 1 });
  for (const size of [1, 3])
    for (const start of bounds)
      for (const end of bounds)
        for (const step of [1, 2, -1, -2]) {
          const x = int64(
            [size],
            Array.from({ length: size }, (_, index) => index),
          );
          const { y } = await session.run({
            ...{ x, start: int64([1], [start]), end: int64([1], [end]), step: int64([1], [step]) },
          });
          const { first, count } = sliceRange(size, start, end, step);
          const selected = Array.from({ length: count }, (_, index) => first + index * step);
          expect(Array.from(y?.data ?? [], Number), `${size}, ${start}:${end}:${step}`).toEqual(selected);
        }
  await session.release();
});
