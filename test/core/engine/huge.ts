/** Writes a model of 3 GiB that takes no space on disk: its weights are holes in a file, except one number. */
import { open, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseModel } from "../../../src/core/graph/text.ts";
import { encodeToBytes } from "../../../src/core/onnx/encode.ts";
import type { Tensor } from "../../../src/core/tensor/types.ts";

export const rows = 2 ** 18;
export const columns = 1024;
const tables = ["a", "b", "c"];
const bytes = 4 * rows * columns;

/** Writes `huge.onnx` and `huge.data`: y = a[row] + b[row] + c[row] + bias, all zero but the first number of c's last row, 7. */
export async function writeHuge(folder: string): Promise<string> {
  const data = await open(join(folder, "huge.data"), "w");
  await data.truncate(tables.length * bytes);
  await data.write(new Uint8Array(Float32Array.of(7).buffer), 0, 4, tables.length * bytes - 4 * columns);
  await data.close();
  const model = parseModel(`opset 21
graph (row: int64[1]) -> (y: float32[1, ${columns}]) {
  bias: float32[${columns}] = zeros
${tables.map((name) => `  ${name}: float32[1, ${columns}] = zeros\n  ${name}.row = Gather(${name}, row)`).join("\n")}
  y = Sum(${tables.map((name) => `${name}.row`).join(", ")}, bias)
}
`);
  const offsets = new Map<Tensor, number>();
  for (const [index, name] of tables.entries()) {
    const value = model.graph.value(name);
    if (value?.tensor === undefined) throw new Error(`no ${name}`);
    const table: Tensor = { ...value.tensor, dims: [rows, columns], bytes, small: undefined, stored: undefined };
    value.tensor = table;
    offsets.set(table, index * bytes);
  }
  const place = (_: unknown, tensor: Tensor) => {
    const offset = offsets.get(tensor);
    return offset === undefined ? undefined : { location: "huge.data", offset, length: bytes };
  };
  const path = join(folder, "huge.onnx");
  await writeFile(path, await encodeToBytes(model, { place }));
  return path;
}
