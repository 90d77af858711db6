import { gzipSync } from "node:zlib";
import { afterEach, expect, test, vi } from "vitest";
import { inflateChunks, threadCount, writeFileAtomically } from "./browser.ts";
import * as node from "./node.ts";

afterEach(() => vi.unstubAllGlobals());

test("writeFileAtomically in a browser fails with a hint to encodeToBytes", async () => {
  await expect(async () => writeFileAtomically("a.onnx")).rejects.toMatchObject({
    code: "E_UNSUPPORTED",
    hint: expect.stringContaining("encodeToBytes(model)"),
  });
});

test.each([
  [true, 8],
  [false, 1],
  [undefined, 1],
] as const)("threadCount of a page with crossOriginIsolated %s is %d", (isolated, threads) => {
  vi.stubGlobal("navigator", { hardwareConcurrency: 8 });
  vi.stubGlobal("crossOriginIsolated", isolated);
  expect(threadCount()).toBe(threads);
});

test.each([
  ["in a browser", inflateChunks],
  ["in Node", node.inflateChunks],
])("inflateChunks %s decompresses as far as requested and rejects truncated data", async (_, unpack) => {
  async function* pieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < bytes.length; at += 1000) yield bytes.subarray(at, at + 1000);
  }
  const text = "so much text ".repeat(50_000);
  const read = async (packed: AsyncIterable<Uint8Array>): Promise<string> => {
    const parts: Uint8Array[] = [];
    for await (const part of packed) parts.push(part);
    return Buffer.concat(parts).toString();
  };
  expect(await read(unpack(pieces(gzipSync(text))))).toBe(text);
  for await (const part of unpack(pieces(gzipSync(text)))) {
    expect(text.startsWith(Buffer.from(part).toString())).toBe(true);
    break;
  }
  await expect(read(unpack(pieces(gzipSync(text).subarray(0, 500))))).rejects.toThrow();
});
