import { describe, expect, test } from "vitest";
import { hex, joined, message } from "../../../test/core/onnx/messages.ts";
import { bytesSource } from "../platform/sources.ts";
import { sizeOf, streamChunks, Writer } from "./writer.ts";

describe("Writer", () => {
  test("sorts copied fields by number and omits those that are written again", async () => {
    const carried = await message((writer) => {
      writer.integer(9, 9);
      writer.integer(2, 2);
      writer.text(4, "old");
    });
    const bytes = await message((writer) => {
      writer.integer(1, 1);
      writer.integer(3, 3);
      writer.text(4, "new");
      writer.text(4, "newer");
    }, carried);
    const expected = await message((writer) => {
      for (const number of [1, 2, 3]) writer.integer(number, number);
      writer.text(4, "new");
      writer.text(4, "newer");
      writer.integer(9, 9);
    });
    expect(hex(bytes)).toBe(hex(expected));
  });

  test("computes the size of pieces that are read later", async () => {
    const source = bytesSource(Uint8Array.from({ length: 5000 }, (_, index) => index % 251));
    const writer = new Writer();
    writer.message(1, (inner) => {
      inner.text(1, "before");
      inner.piece(2, { source, start: 100, end: 4900 });
      inner.piece(3, { size: 3000, produce: () => Promise.resolve(new Uint8Array(3000).fill(7)) });
      inner.text(4, "after");
    });
    const pieces = writer.finish();
    const size = pieces.reduce((sum, piece) => sum + sizeOf(piece), 0);
    const bytes = await joined(pieces);
    expect(bytes.byteLength).toBe(size);
    expect(writer.size).toBe(size);
    expect(size).toBe(3 + 8 + (3 + 4800) + (3 + 3000) + 7);
  });

  test("throws an internal error if a block has another size than announced", async () => {
    const writer = new Writer();
    writer.piece(1, { size: 4, produce: () => Promise.resolve(new Uint8Array(3)) });
    await expect(joined(writer.finish())).rejects.toThrow(/internal: 3 bytes/);
  });
});

test("stream reads a long range in chunks of 1 MiB", async () => {
  const reads: number[] = [];
  const size = 10 * 2 ** 20 + 17;
  const source = {
    name: "large",
    size,
    read: (start: number, end: number) => {
      reads.push(end - start);
      return Promise.resolve(new Uint8Array(end - start));
    },
  };
  let total = 0;
  for await (const chunk of streamChunks([new Uint8Array(3), { source, start: 0, end: size }, new Uint8Array(5)])) {
    expect(chunk.byteLength).toBeLessThanOrEqual(2 ** 20);
    total += chunk.byteLength;
  }
  expect(total).toBe(size + 8);
  expect(Math.max(...reads)).toBe(2 ** 20);
});
