/** Tests files whose contents contradict the declared sizes: sizes are checked before anything is decompressed or allocated. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { crc32, deflateRawSync, deflateSync, gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { bytesSource } from "#platform";
import { decodePlainly } from "../../src/core/platform/image-plain.ts";
import { decodeImage } from "../../src/core/platform/node-image.ts";
import { random } from "../../src/core/tensor/random.ts";
import { archiveMemory, readAll, unpackGzip } from "../../src/data/files/bytes.ts";
import { idxColumn } from "../../src/data/files/idx.ts";
import { npzColumns } from "../../src/data/files/npy.ts";
import { openWav } from "../../src/data/files/wav.ts";
import { csv, jsonl, openDataset } from "../../src/data/index.ts";
import { readSettings } from "../../src/data/text/tokenizer.ts";
import { counting } from "../counting.ts";
import { temporaryFolder } from "../temporary.ts";

const folder = temporaryFolder();
const mebibyte = 2 ** 20;

/** Returns bytes that compression does not shrink: they repeat at a distance beyond DEFLATE's window. */
function noise(size: number): Uint8Array {
  const numbers = random(1, "noise");
  const block = Uint8Array.from({ length: Math.min(size, 2 ** 16) }, () => numbers.uniform(0, 256));
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size; at += block.length) bytes.set(block.subarray(0, size - at), at);
  return bytes;
}

function npy(type: string, dims: string, data: Uint8Array = new Uint8Array(), order = "False"): Buffer {
  const text = `{'descr': '${type}', 'fortran_order': ${order}, 'shape': (${dims}), }\n`;
  const start = Buffer.from([0x93, ...Buffer.from("NUMPY"), 1, 0, text.length & 255, text.length >> 8]);
  return Buffer.concat([start, Buffer.from(text), data]);
}

interface Entry {
  readonly name: string;
  readonly content: Uint8Array;
  /** Uncompressed size in bytes that the directory states. */
  readonly size?: number;
  readonly stored?: boolean;
}

/** Writes a zip archive with sizes and offsets in fields of 32 bits, or of 64 bits if `wide` is set. */
function zip(entries: readonly Entry[], wide = false): Uint8Array {
  const files: Buffer[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  for (const { name, content, size = content.length, stored = false } of entries) {
    const packed = stored ? Buffer.from(content) : deflateRawSync(content, { level: 1 });
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50, 0);
    local.writeUInt16LE(name.length, 26);
    files.push(local, Buffer.from(name), packed);
    const entry = Buffer.alloc(46);
    entry.writeUInt32LE(0x02014b50, 0);
    entry.writeUInt16LE(stored ? 0 : 8, 10);
    entry.writeUInt32LE(crc32(content), 16);
    [packed.length, size].forEach((value, place) => {
      entry.writeUInt32LE(wide ? 0xffffffff : value, 20 + 4 * place);
    });
    entry.writeUInt16LE(name.length, 28);
    entry.writeUInt32LE(wide ? 0xffffffff : at, 42);
    const extra = Buffer.alloc(wide ? 28 : 0);
    if (wide) {
      entry.writeUInt16LE(28, 30);
      extra.writeUInt16LE(1, 0);
      extra.writeUInt16LE(24, 2);
      [size, packed.length, at].forEach((value, place) => {
        extra.writeBigUInt64LE(BigInt(value), 4 + 8 * place);
      });
    }
    directory.push(entry, Buffer.from(name), extra);
    at += 30 + name.length + packed.length;
  }
  const listed = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt32LE(wide ? 0xffffffff : listed.length, 12);
  end.writeUInt32LE(wide ? 0xffffffff : at, 16);
  if (!wide) return Buffer.concat([...files, listed, end]);
  const record = Buffer.alloc(56);
  record.writeUInt32LE(0x06064b50, 0);
  record.writeBigUInt64LE(BigInt(listed.length), 40);
  record.writeBigUInt64LE(BigInt(at), 48);
  const locator = Buffer.alloc(20);
  locator.writeUInt32LE(0x07064b50, 0);
  locator.writeBigUInt64LE(BigInt(at + listed.length), 8);
  return Buffer.concat([...files, listed, record, locator, end]);
}

describe("reading .npz archives", () => {
  const body = noise(2 * mebibyte);
  const rows = 2 * 1024;
  /** Small archives are read into memory; this entry makes the archive large. */
  const other = { name: "pad.npy", content: npy("|u1", "34603008", new Uint8Array(33 * mebibyte)), stored: true };

  test("rejects contradictory sizes in header and directory after the first bytes", async () => {
    const source = counting(zip([{ name: "x.npy", content: npy("|u1", "10, 2", body) }]), "a.npz");
    await expect(npzColumns(source)).rejects.toMatchObject({
      code: "E_DATA",
      message: `a.npz: x.npy: uint8[10, 2] takes 20 bytes, the file has ${body.length}.`,
    });
    expect(source.total).toBeLessThan(mebibyte);
  });

  test.each([true, false])(
    "reads only as much of a large array as the requested rows need: stored %s",
    async (stored) => {
      const x8 = { name: "x.npy", content: npy("|u1", `${rows}, 1024`, body), stored };
      const source = counting(zip([x8, other], stored));
      const { x } = await npzColumns(source);
      expect([x?.type, x?.dims]).toEqual(["uint8", [rows, 1024]]);
      expect((await x?.rows(Uint32Array.of(1)))?.data).toEqual(body.subarray(1024, 2048));
      expect(source.total).toBeLessThan(mebibyte);
      expect((await x?.rows(Uint32Array.of(rows - 1, 0)))?.data).toEqual(
        Uint8Array.from([...body.subarray(-1024), ...body.subarray(0, 1024)]),
      );
    },
  );

  test("reads rows of a large array of complex numbers in both byte orders", async () => {
    const numbers = Float32Array.of(1, 2, 3, 4);
    const swapped = Buffer.from(numbers.buffer.slice(0)).swap32();
    const entries = [
      { name: "x.npy", content: npy("<c8", "2", new Uint8Array(numbers.buffer)) },
      { name: "y.npy", content: npy(">c8", "2", swapped) },
    ];
    const columns = await npzColumns(bytesSource(zip([...entries, other]), "a.npz"));
    const expected = { type: "complex64", dims: [1], data: Float32Array.of(3, 4) };
    expect(await columns.x?.rows(Uint32Array.of(1))).toEqual(expected);
    expect(await columns.y?.rows(Uint32Array.of(1))).toEqual(expected);
  });

  test.each([
    [{ size: 30 }, "contains more than the declared 30 bytes"],
    [{ size: 1e6 }, /^f: x\.npy: the compressed data is damaged or truncated\.$/],
  ])("rejects an array whose size differs from the directory: %o", async (said, message) => {
    const file = zip([{ name: "x.npy", content: npy("|u1", "10", noise(10)), ...said }]);
    await expect(npzColumns(bytesSource(file, "f"))).rejects.toThrow(message);
  });

  test("reads rows before a wrong checksum, and rejects the last row", async () => {
    const content = npy("|u1", `${rows}, 1024`, body);
    // Deflated noise is stored uncompressed, so a byte can change without a change of sizes.
    const file = zip([{ name: "x.npy", content }, other]);
    const place = Buffer.from(file).indexOf(body.subarray(5000, 5016));
    expect(place).toBeGreaterThan(0);
    file[place] = (file[place] ?? 0) ^ 1;
    const { x } = await npzColumns(bytesSource(file, "f"));
    expect((await x?.rows(Uint32Array.of(0)))?.data).toEqual(body.subarray(0, 1024));
    await expect(x?.rows(Uint32Array.of(rows - 1))).rejects.toMatchObject({
      code: "E_DATA",
      message: "f: x.npy: the compressed data is damaged or truncated.",
    });
  });

  test("rejects a truncated archive", async () => {
    const content = npy("|u1", "1000", noise(1000));
    await expect(
      npzColumns(bytesSource(zip([{ name: "x.npy", content: content.subarray(0, 500), size: content.length }]), "f")),
    )
      .rejects // The deflated data ends early.
      .toThrow(/^f: x\.npy: the compressed data is damaged or truncated\.$/);
    const archive = zip([{ name: "x.npy", content }]);
    for (const length of [0, 10, archive.length - 30, archive.length - 1])
      await expect(npzColumns(bytesSource(archive.subarray(0, length), "f"))).rejects.toMatchObject({ code: "E_DATA" });
  });

  test.each([
    ["False", "1, 1000000000", "a sample float32[1000000000] takes 4000000000 bytes"],
    ["True", "1000000, 1000", "is stored in column-major order, which is supported up to 1 GiB"],
  ])("rejects by its header an array that cannot be read by row: order %s, [%s]", async (order, dims, text) => {
    const start = npy("<f4", dims, new Uint8Array(), order);
    const content = Buffer.concat([start, noise(70_000)]);
    const file = zip([{ name: "x.npy", content, size: start.length + 4_000_000_000 }]);
    await expect(npzColumns(bytesSource(file, "f"))).rejects.toThrow(text);
  });
});

describe(".npz archives made to fill memory", () => {
  const member = { name: "x.npy", content: npy("|u1", "1, 1000000", new Uint8Array(1e6)) };

  /** Writes directory entries that all refer to the same bytes. */
  function overlapping(copies: number, shift = 0): Uint8Array {
    const [archive, end] = [Buffer.from(zip([member])), 22];
    const start = archive.readUInt32LE(archive.length - end + 16);
    const entry = archive.subarray(start, archive.length - end);
    const entries = Array.from({ length: copies }, (_, copy) => {
      const changed = Buffer.from(entry);
      changed.write(String.fromCharCode(97 + copy), 46);
      changed.writeUInt32LE(copy * shift, 42);
      return changed;
    });
    const tail = Buffer.from(archive.subarray(archive.length - end));
    tail.writeUInt32LE(copies * entry.length, 12);
    return Buffer.concat([archive.subarray(0, start), ...entries, tail]);
  }

  test("are accepted with one entry for each range of bytes", async () => {
    expect(Object.keys(await npzColumns(bytesSource(overlapping(1), "f")))).toEqual(["a"]);
  });

  test.each([0, 1])("are rejected if entries overlap, shifted by %d bytes", async (shift) => {
    await expect(npzColumns(bytesSource(overlapping(20, shift), "f"))).rejects.toMatchObject({
      code: "E_DATA",
      message: 'f: "a.npy" and "b.npy" overlap in the zip archive.',
    });
  });

  test("are rejected if an entry reaches into the directory", async () => {
    const file = Buffer.from(zip([member]));
    const start = file.readUInt32LE(file.length - 22 + 16);
    file.writeUInt32LE(file.readUInt32LE(start + 20) + 40, start + 20);
    await expect(npzColumns(bytesSource(file, "f"))).rejects.toThrow('"x.npy" and the directory overlap');
  });

  test("are rejected once their arrays need more than 2 GiB", () => {
    const keep = archiveMemory("a.npz", Number.POSITIVE_INFINITY);
    for (let array = 0; array < 4; array++) keep(2 ** 29);
    keep(-(2 ** 29));
    expect(() => keep(2 ** 29)).not.toThrow();
    expect(() => keep(1)).toThrow("a.npz exceeds 2 GiB of compressed arrays.");
    expect(() => archiveMemory("a.npz", 2 ** 30)(2 ** 29 + 1)).toThrow("exceeds half of the free memory (512 MiB)");
  });

  test("are unpacked into memory of their size, without a larger copy", async () => {
    const usedBytes: number[] = [];
    const size = 40 * mebibyte;
    const content = deflateRawSync(new Uint8Array(size));
    const source = unpackGzip(
      bytesSource(content, "f"),
      size,
      (bytes) => usedBytes.push(bytes),
      crc32(new Uint8Array(size)),
    );
    await source.read(0, 100);
    expect(usedBytes.reduce((sum, bytes) => sum + bytes, 0)).toBeLessThan(2 * mebibyte);
    await source.read(size - 1, size);
    expect(Math.max(...usedBytes)).toBeLessThan(size);
    expect(usedBytes.reduce((sum, bytes) => sum + bytes, 0)).toBe(size);
  });
});

describe("arrays without elements", () => {
  const open = async (dims: string) => {
    const path = join(folder, "empty.npy");
    writeFileSync(path, npy("<f4", dims));
    return openDataset(path);
  };

  test("are rejected at once if they declare a huge number of samples", async () => {
    await expect(open("1000000000, 0")).rejects.toMatchObject({
      code: "E_DATA",
      message: expect.stringContaining('"data" has 1000000000 samples without elements.'),
    });
    expect((await open("100, 0, 8")).count).toBe(100);
  });
});

describe("gzip", () => {
  const idxBytes = (count: number, data: Uint8Array): Uint8Array => {
    const header = Buffer.alloc(8);
    header.writeUInt32BE(0x0801, 0);
    header.writeUInt32BE(count, 4);
    return Buffer.concat([header, data]);
  };

  test("checks idx files against the length in the header", async () => {
    const packed = (count: number, data: Uint8Array) => bytesSource(gzipSync(idxBytes(count, data)), "labels.gz");
    expect((await (await idxColumn(packed(3, noise(3)))).rows(Uint32Array.of(2))).data).toEqual(noise(3).subarray(2));
    await expect(idxColumn(packed(3, new Uint8Array(8 * mebibyte)))).rejects.toThrow(
      "contains more than the declared 11 bytes",
    );
    await expect(idxColumn(packed(30, noise(3)))).rejects.toThrow("is truncated: expected 38 bytes, got 11.");
    // Data is not decompressed before it is requested.
    const large = await idxColumn(packed(2 ** 31, noise(70_000)));
    expect((await large.rows(Uint32Array.of(1))).data).toEqual(noise(2).subarray(1));
    await expect(large.rows(Uint32Array.of(2 ** 30))).rejects.toThrow("is truncated");
  });

  test("rejects text that declares more than 512 MiB before it is decompressed", async () => {
    const packed = gzipSync(Buffer.from("a,label\n1,0\n"));
    expect((await readAll(bytesSource(packed, "t.csv.gz"))).length).toBe(12);
    packed.writeUInt32LE(2 ** 29 + 1, packed.length - 4);
    await expect(readAll(bytesSource(packed, "t.csv.gz"))).rejects.toThrow(
      "t.csv.gz exceeds 512 MiB of text or records.",
    );
  });

  test("reads text of several gzip members completely", async () => {
    const packed = Buffer.concat([gzipSync("a,label\n"), gzipSync("1,0\n")]);
    expect(Buffer.from(await readAll(bytesSource(packed, "t"))).toString()).toBe("a,label\n1,0\n");
  });
});

describe("large tables", () => {
  test.each([
    [`${"[".repeat(1e5)}${"]".repeat(1e5)}`, 't.jsonl, line 1, "x": the array is nested deeper than 32 arrays.'],
    [`${'{"a":'.repeat(1e5)}1${"}".repeat(1e5)}`, 't.jsonl, line 1, "x": expected numbers or text, got {a}.'],
  ])("reject values that are nested too deeply", (value, message) => {
    expect(() => jsonl("t.jsonl", `{"x": ${value}}\n`)).toThrow(message);
  });
});

test("settings that are nested too deeply are rejected", async () => {
  const write = (levels: number): string => {
    const path = join(folder, `${levels}.json`);
    writeFileSync(path, `${'{"a":'.repeat(levels)}1${"}".repeat(levels)}`);
    return path;
  };
  await expect(readSettings(write(100))).resolves.toHaveProperty("a");
  for (const levels of [101, 300_000]) {
    const message = `${write(levels)}: expected at most 100 levels of arrays and objects, got more.`;
    await expect(readSettings(write(levels))).rejects.toMatchObject({ code: "E_DATA", message });
  }
});

describe("lines that are too long", () => {
  const long = `[${"1,".repeat(2 ** 24)}1]`;

  test.each([
    ["a JSONL file", () => jsonl("t", `{"x": [1]}\n{"x": ${long}}\n`)],
    ["a table", () => csv("t", `a,b\n${long}\n`)],
  ])("are rejected in %s before they are parsed", (_, read) => {
    expect(read).toThrow("t, line 2: the line is longer than 32 MiB.");
  });

  test("are not parsed if an earlier line differs from the first one", () => {
    expect(() => jsonl("t", '{"x": [1, 2]}\n{"x": [1]}\nnot JSON')).toThrow("of the first line, got [1]");
  });
});

test("openWav reads only the necessary bytes of a large format chunk", async () => {
  const head = Buffer.alloc(60);
  head.write("RIFF", 0);
  head.write("WAVEfmt ", 8);
  head.writeUInt32LE(3 * mebibyte, 16);
  const file = counting(Buffer.concat([head, noise(4 * mebibyte)]));
  await expect(openWav(file)).rejects.toMatchObject({ code: "E_DATA" });
  expect(file.total).toBeLessThan(1000);
});

describe("images with false sizes", () => {
  const chunk = (type: string, content: Uint8Array): Buffer => {
    const named = Buffer.concat([Buffer.from(type), content]);
    const frame = Buffer.alloc(8);
    frame.writeUInt32BE(content.length, 0);
    frame.writeUInt32BE(crc32(named), 4);
    return Buffer.concat([frame.subarray(0, 4), named, frame.subarray(4)]);
  };
  const png = (width: number, height: number, pixels: Uint8Array, extra: readonly Buffer[] = []): Buffer => {
    const header = Buffer.alloc(13);
    header.writeUInt32BE(width, 0);
    header.writeUInt32BE(height, 4);
    header.set([8, 0, 0, 0, 0], 8);
    const signature = Buffer.from([0x89, ...Buffer.from("PNG"), 13, 10, 26, 10]);
    const chunks = [
      chunk("IHDR", header),
      ...extra,
      chunk("IDAT", deflateSync(pixels)),
      chunk("IEND", Buffer.alloc(0)),
    ];
    return Buffer.concat([signature, ...chunks]);
  };
  const jpeg = (width: number, height: number): Buffer => {
    const frame = Buffer.from([0xff, 0xd8, 0xff, 0xc0, 0, 17, 8, 0, 0, 0, 0, 3, ...new Array<number>(9).fill(1)]);
    frame.writeUInt16BE(height, 7);
    frame.writeUInt16BE(width, 9);
    return frame;
  };
  const decoders = {
    decodeImage,
    decodePlainly: async (bytes: Uint8Array, name: string) => decodePlainly(bytes, name),
  };

  test.each(Object.entries(decoders))(
    "are rejected by their header if they cannot have the declared size: %s",
    async (_, decode) => {
      const refused = async (bytes: Uint8Array, message: string | RegExp) =>
        expect(decode(bytes, "a")).rejects.toMatchObject({ code: "E_DATA", message: expect.stringMatching(message) });
      for (const [width, height] of [
        [60_000, 60_000],
        [65_535, 65_535],
      ] as const) {
        const claim = `a claims to be ${width}×${height} pixels: larger images than 256 megapixels are not read.`;
        await refused(png(width, height, Buffer.alloc(9)), claim);
        await refused(jpeg(width, height), claim);
      }
      await refused(png(16_000, 16_000, Buffer.alloc(9)), /^a claims to be 16000×16000 pixels, and has \d+ bytes\.$/);
      await refused(jpeg(1000, 1000), /^a claims to be 1000×1000 pixels, and has \d+ bytes\.$/);
    },
  );

  test("are rejected in JavaScript for excess data, and decoded with a broken profile", () => {
    const small = png(2, 1, Uint8Array.of(0, 10, 200));
    expect([...decodePlainly(small, "a").data]).toEqual([10, 10, 10, 200, 200, 200]);
    const bomb = png(2, 1, Buffer.concat([Uint8Array.of(0, 10, 200), new Uint8Array(64 * mebibyte)]));
    expect(() => decodePlainly(bomb, "a")).toThrow("damaged or cut off (it holds more than its pixels)");
    const profile = chunk("iCCP", Buffer.concat([Buffer.from("p\0\0"), Buffer.from("no profile")]));
    expect([...decodePlainly(png(2, 1, Uint8Array.of(0, 10, 200), [profile]), "a").data].slice(0, 3)).toEqual([
      10, 10, 10,
    ]);
  });
});
