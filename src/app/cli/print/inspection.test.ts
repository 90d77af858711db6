import { describe, expect, test } from "vitest";
import { blockLines, tableLine } from "./inspection.ts";
import { mergeRows } from "./table.ts";

describe("mergeRows", () => {
  const row = (name: string, ...cells: readonly string[]) => ({ name, cells });

  test("merges rows that differ only in their block number", () => {
    const rows = [0, 1, 2, 5].flatMap((n) => [row(`h.${n}.attn.q`, "64"), row(`h.${n}.mlp`, "256")]);
    expect(mergeRows(rows).map(({ name }) => name)).toEqual(["h.0…2,5.attn.q", "h.0…2,5.mlp"]);
  });

  test("does not merge rows whose cells differ, or whose number belongs to the name", () => {
    const rows = [row("h.0.q", "64"), row("h.1.q", "32"), row("conv1", "9"), row("conv2", "9"), row("fc", "9")];
    expect(mergeRows(rows)).toEqual(rows);
  });

  test("keeps the name of a single block", () => {
    expect(mergeRows([row("layer1.0.conv1", "9")])).toEqual([row("layer1.0.conv1", "9")]);
  });
});

describe("blockLines", () => {
  const block = (name: string) => ({
    name,
    kind: 0,
    nodes: 4,
    layers: [`${name}.up`, `${name}.down`],
    parameters: 64,
    inputs: [],
    sides: [],
    outputs: [],
  });
  const all = ["layers.0", "layers.1", "layers.2"].map(block);

  test("prints repeated blocks in one line", () => {
    const lines = [
      "3 blocks of one kind: layers.0 … layers.2 (2 layers, 64 parameters each; --drop-layers of pith prune removes some)",
    ];
    expect(blockLines({ all, repeats: [{ first: 0, count: 3 }] })).toEqual(lines);
  });

  test("prints nothing if no block repeats", () => {
    expect(blockLines({ all, repeats: [] })).toEqual([]);
  });
});

test("prints a table's share of the file, and the weights that share its quantized values", () => {
  const table = { layer: "embed", tied: [], bytes: 25_600, int8: 6900, int4: undefined };
  expect(tableLine(table, 51_200)).toBe("embedding table embed: 25.6 kB, 50.0 % of the file; 6.90 kB in 8 bits");
  expect(tableLine({ ...table, tied: ['MatMul "head"'], int4: 4100 }, 51_200)).toBe(
    'embedding table embed, also the weight of MatMul "head", which shares its quantized values: 25.6 kB, 50.0 % of the file; 6.90 kB in 8 bits, 4.10 kB in 4 (quantize --scheme weights --bits 4)',
  );
});
