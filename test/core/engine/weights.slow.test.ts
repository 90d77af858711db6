/** Tests models whose weights exceed the limit of protobuf and are not in a file that the runtime can open. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openFile } from "#platform";
import { createEngine } from "../../../src/core/engine/index.ts";
import { open } from "../../../src/core/onnx/index.ts";
import type { ByteSource } from "../../../src/core/tensor/types.ts";
import { temporaryFolder } from "../../temporary.ts";
import { columns, rows, writeHuge } from "./huge.ts";

test("runs a model of 3 GiB without a file from a temporary file, then removes it", async () => {
  const folder = temporaryFolder();
  const before = process.env.TMPDIR;
  try {
    const path = await writeHuge(folder);
    // This source has the same bytes, but is not known to be a file.
    const external = async (location: string): Promise<ByteSource> => {
      const source = await openFile(join(folder, location));
      return { name: "bytes from somewhere", size: source.size, read: (start, end) => source.read(start, end) };
    };
    const model = await open(path, { external });
    process.env.TMPDIR = folder;
    const session = await createEngine().load(model, { optimize: false });
    const names = async (): Promise<string[]> => (await readdir(folder)).filter((name) => name.startsWith("pith-"));
    expect(await names()).toHaveLength(1);
    const { y } = await session.run({ row: { type: "int64", dims: [1], data: BigInt64Array.of(BigInt(rows - 1)) } });
    await session.release();
    expect(y?.dims).toEqual([1, columns]);
    expect(y?.data.slice(0, 3)).toEqual(Float32Array.of(7, 0, 0));
    expect(await names()).toEqual([]);
  } finally {
    if (before === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = before;
  }
}, 300_000);
