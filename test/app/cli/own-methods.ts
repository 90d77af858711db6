/** Custom methods as modules. */
import { writeFileSync } from "node:fs";
import { beforeAll, expect } from "vitest";
import { open } from "../../../src/core/onnx/index.ts";
import { toNumbers } from "../../../src/core/tensor/convert.ts";
import { smallModels } from "./small-models.ts";

/** Scores a weight by |w| · ‖x‖ of its input. */
const wanda = `export default {
  id: "wanda",
  evidence: {
    begin() {
      const squares = [];
      return {
        add(batch) {
          const { columns, data } = batch.matrix();
          data.forEach((x, i) => { squares[i % columns] = (squares[i % columns] ?? 0) + x * x; });
        },
        end: () => squares.map(Math.sqrt),
      };
    },
  },
  scores: ({ matrices, evidence }) =>
    matrices().map(({ rows, columns, data }) => ({ rows, columns, data: data.map((w, i) => w * evidence[i % columns]) })),
};
`;

/** Keeps the first input of each output. */
const first = `export default {
  id: "first",
  share: 0.5,
  choose: (scores, kept) => kept.map((mask, g) => mask.map((_, i) => (i % scores[g].columns === 0 ? 1 : 0))),
};
`;

/** Uses scales of nine tenths of the largest value. */
export const clipped = `export default {
  id: "clipped",
  scales: ({ slices, numbers }, grid) =>
    Array.from({ length: slices }, (_, slice) => ({ scale: (0.9 * Math.max(...numbers(slice).map(Math.abs))) / grid.high, zeroPoint: 0 })),
};
`;

export async function weight(path: string, name = "fc.weight"): Promise<number[]> {
  const { tensor } = (await open(path)).graph.value(name) ?? {};
  return toNumbers((await tensor?.read()) ?? expect.fail("there is no weight"));
}

// [[1, 0], [0.1, 0.9]]: 1 / 0.9 and 0.9 / 0.81 exceed the largest quantized value, 0.1 / 0.81 · 127 = 15.7.
export const codes = [127, 0, 16, 127];

/** Writes the modules into a folder of the test file. */
export function ownMethods() {
  const { at } = smallModels();
  const words = (rounder: string) => ["quantize", at("mixed.onnx"), "--scheme", "weights", "--rounder", rounder];

  beforeAll(() => {
    writeFileSync(at("wanda.mjs"), wanda);
    writeFileSync(at("first.mjs"), first);
    writeFileSync(at("clipped.mjs"), clipped);
    // The first feature is a hundredth of the second, so scores with inputs differ from magnitudes.
    const rows = Array.from({ length: 60 }, (_, row) => `${(row % 7) / 100 + 0.01},${1 + (row % 5)},${row % 2}`);
    writeFileSync(at("uneven.csv"), `a,b,label\n${rows.join("\n")}\n`);
  });
  return { at, words };
}
