import { execFileSync } from "node:child_process";
import { link, mkdir, readdir, readFile, readlink, symlink, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { join, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { temporaryFolder } from "../../../test/temporary.ts";
import type { StoredBytes } from "../tensor/types.ts";
import * as browser from "./browser.ts";
import * as node from "./node.ts";

let folder = "";
beforeEach(async () => {
  folder = temporaryFolder();
});

test("Node and browser export the same names", () => {
  expect(Object.keys(browser).sort()).toEqual(Object.keys(node).sort());
});

describe("openFile", () => {
  test("reads existing ranges and rejects others", async () => {
    const path = join(folder, "file");
    await writeFile(
      path,
      Uint8Array.from({ length: 1000 }, (_, index) => index % 256),
    );
    const source = await node.openFile(path);
    expect([source.size, source.name]).toEqual([1000, path]);
    expect([...(await source.read(254, 258))]).toEqual([254, 255, 0, 1]);
    expect((await source.read(1000, 1000)).byteLength).toBe(0);
    await expect(source.read(990, 1001)).rejects.toMatchObject({ code: "E_FILE" });
    await expect(source.read(-1, 3)).rejects.toMatchObject({ code: "E_FILE" });
  });

  test("keeps reading a replaced file, whose path pathOf no longer returns", async () => {
    const path = join(folder, "file");
    await writeFile(path, "old");
    const source = await node.openFile(path);
    expect(await node.pathOf(source)).toBe(path);
    await node.writeFileAtomically(path, [new TextEncoder().encode("new file")]);
    expect(new TextDecoder().decode(await source.read(0, 3))).toBe("old");
    expect(await node.pathOf(source)).toBeUndefined();
    expect(await node.pathOf(node.bytesSource(new Uint8Array(3)))).toBeUndefined();
  });

  test("rejects a file that was changed in place", async () => {
    const path = join(folder, "file");
    await writeFile(path, "1234567890");
    const source = await node.openFile(path);
    await writeFile(path, "123");
    await expect(source.read(0, 3)).rejects.toMatchObject({ code: "E_SOURCE_CHANGED" });
    await expect(source.read(5, 10)).rejects.toMatchObject({ code: "E_SOURCE_CHANGED" });
  });

  test("rejects a named pipe without waiting", async () => {
    const path = join(folder, "pipe");
    execFileSync("sh", ["-c", 'mkfifo "$0"', path]);
    await expect(node.openFile(path)).rejects.toMatchObject({ code: "E_FILE" });
  });
});

describe("readRanges", () => {
  const ranges = [
    { start: 6, end: 8 },
    { start: 0, end: 3 },
    { start: 4, end: 4 },
    { start: 7, end: 10 },
  ];

  test("returns ranges in order, from files and other sources, in Node and in browsers", async () => {
    const path = join(folder, "ten.bin");
    const bytes = Uint8Array.from({ length: 10 }, (_, at) => at);
    await writeFile(path, bytes);
    for (const source of [await node.openFile(path), node.bytesSource(bytes)])
      for (const { readRanges } of [node, browser]) {
        expect([...(await readRanges(source, ranges))]).toEqual([6, 7, 0, 1, 2, 7, 8, 9]);
        expect(await readRanges(source, [])).toHaveLength(0);
        await expect(readRanges(source, [...ranges, { start: 9, end: 11 }])).rejects.toMatchObject({ code: "E_FILE" });
      }
  });

  test("rejects a file that was changed", async () => {
    const path = join(folder, "changed.bin");
    await writeFile(path, new Uint8Array(10));
    const source = await node.openFile(path);
    await writeFile(path, new Uint8Array(11));
    await expect(node.readRanges(source, ranges)).rejects.toMatchObject({ code: "E_SOURCE_CHANGED" });
  });
});

describe("openBeside", () => {
  const owner = (): string => join(folder, "models", "model.onnx");
  beforeEach(async () => {
    await mkdir(join(folder, "models", "weights"), { recursive: true });
    await writeFile(join(folder, "models", "weights", "a.bin"), "inside");
    await writeFile(join(folder, "secret"), "outside");
  });

  test("opens files in the folder, through links that stay inside", async () => {
    await symlink("weights/a.bin", join(folder, "models", "link.bin"));
    for (const location of ["weights/a.bin", "./weights/a.bin", "link.bin"]) {
      expect((await node.openBeside(owner(), location)).size).toBe(6);
    }
  });

  test("opens files if the folder itself is reached through a link", async () => {
    await symlink(join(folder, "models"), join(folder, "alias"));
    expect((await node.openBeside(join(folder, "alias", "model.onnx"), "weights/a.bin")).size).toBe(6);
  });

  test.each([
    ["../secret", /leaves/],
    ["weights/../../secret", /leaves/],
    ["/etc/hostname", /absolute/],
    ["C:\\secret", /absolute/],
    ["..\\secret", /leaves/],
    ["", /not a file name/],
    ["a\0b", /not a file name/],
  ])("rejects %j", async (location, sentence) => {
    await expect(node.openBeside(owner(), location)).rejects.toMatchObject({
      code: "E_MODEL",
      message: expect.stringMatching(sentence),
    });
  });

  test("rejects symbolic links that lead outside, and hard links", async () => {
    await symlink("../secret", join(folder, "models", "soft"));
    await symlink("..", join(folder, "models", "up"));
    await link(join(folder, "secret"), join(folder, "models", "hard"));
    for (const location of ["soft", "up/secret", "hard"]) {
      await expect(node.openBeside(owner(), location)).rejects.toMatchObject({ code: "E_MODEL" });
    }
  });

  test.each(["weights", "weights/.", "."])("reports that %j is a folder", async (location) => {
    await expect(node.openBeside(owner(), location)).rejects.toMatchObject({
      code: "E_MODEL",
      message: `"${owner()}" refers to "${location}": a folder.`,
    });
  });

  test("accepts links to the folder of the model's own file, as download caches use", async () => {
    const [blobs, snapshot] = [join(folder, "blobs"), join(folder, "snapshots", "1")];
    await mkdir(blobs);
    await mkdir(snapshot, { recursive: true });
    for (const name of ["aaaa", "bbbb"]) await writeFile(join(blobs, name), name);
    await symlink("../../blobs/aaaa", join(snapshot, "model.onnx"));
    await symlink("../../blobs/bbbb", join(snapshot, "model.onnx_data"));
    await symlink("../../secret", join(snapshot, "out"));
    expect((await node.openBeside(join(snapshot, "model.onnx"), "model.onnx_data")).size).toBe(4);
    await expect(node.openBeside(join(snapshot, "model.onnx"), "out")).rejects.toMatchObject({
      code: "E_MODEL",
      message: expect.stringContaining("neither into the model's folder nor to the folder of the model's own file"),
      hint: expect.stringContaining("the folder of the file that the model itself is a link to"),
    });
  });

  test("reports a missing file", async () => {
    await expect(node.openBeside(owner(), "none.bin")).rejects.toMatchObject({ code: "E_FILE" });
  });
});

describe("writeFilesAtomically", () => {
  test("writes parts of any length from memory and other sources in order", async () => {
    const content = Uint8Array.from({ length: 200_000 }, (_, index) => (index * index) % 251);
    const from = join(folder, "from");
    await writeFile(from, content);
    const sources = [await node.openFile(from), node.blobSource(new Blob([content])), node.bytesSource(content)];
    const parts: (Uint8Array | StoredBytes)[] = [];
    const expected: Uint8Array[] = [];
    for (const [index, length] of [0, 1, 32_767, 5, 32_768, 65_536, 7, 100_000, 0, 3].entries()) {
      for (const [turn, source] of [undefined, ...sources].entries()) {
        const [start, end] = [100 * index + turn, 100 * index + turn + length];
        parts.push(source === undefined ? content.subarray(start, end) : { source, start, end });
        expected.push(content.subarray(start, end));
      }
    }
    const to = join(folder, "to");
    await node.writeFileAtomically(to, parts);
    expect(Buffer.concat(expected).equals(await readFile(to))).toBe(true);
  });

  test("rejects a source that changes meanwhile, and keeps the old file", async () => {
    const [from, to] = [join(folder, "from"), join(folder, "to")];
    for (const change of [() => writeFile(from, new Uint8Array(10)), () => writeFile(from, new Uint8Array(90_000))]) {
      await writeFile(from, new Uint8Array(90_000).fill(1));
      await writeFile(to, "old");
      const source = await node.openFile(from);
      const parts = async function* (): AsyncGenerator<Uint8Array | StoredBytes> {
        yield { source, start: 0, end: 50_000 };
        await change();
        yield { source, start: 50_000, end: 90_000 };
      };
      await expect(node.writeFileAtomically(to, parts())).rejects.toMatchObject({ code: "E_SOURCE_CHANGED" });
      expect(await readFile(to, "utf8")).toBe("old");
      expect(await readdir(folder)).toEqual(["from", "to"]);
    }
  });

  test("yields to other tasks while it copies", async () => {
    const from = join(folder, "from");
    await writeFile(from, new Uint8Array(2 ** 25));
    const source = await node.openFile(from);
    let turns = 0;
    const count = (): NodeJS.Immediate =>
      setImmediate(() => {
        turns++;
        next = count();
      });
    let next = count();
    const seen: number[] = [];
    const parts = function* (): Generator<StoredBytes> {
      seen.push(turns);
      yield { source, start: 0, end: 2 ** 25 };
      seen.push(turns);
    };
    await node.writeFileAtomically(join(folder, "to"), parts());
    clearImmediate(next);
    const [before = 0, after = 0] = seen;
    expect(after - before).toBeGreaterThanOrEqual(3);
  });

  test("writes all files or none", async () => {
    const [a, b] = [join(folder, "a"), join(folder, "b")];
    await writeFile(a, "old a");
    const failing = async function* (): AsyncGenerator<Uint8Array> {
      yield new Uint8Array(3);
      throw new Error("interrupted");
    };
    await expect(
      node.writeFilesAtomically([
        [a, [new Uint8Array(5)]],
        [b, failing()],
      ]),
    ).rejects.toThrow("interrupted");
    expect(await readFile(a, "utf8")).toBe("old a");
    expect(await readdir(folder)).toEqual(["a"]);
    await node.writeFilesAtomically([
      [a, [new Uint8Array(5)]],
      [b, [new Uint8Array(2), new Uint8Array(1)]],
    ]);
    expect([(await readFile(a)).length, (await readFile(b)).length]).toEqual([5, 3]);
  });

  test("restores earlier files if a later file cannot be renamed", async () => {
    const [a, b] = [join(folder, "a"), join(folder, "b")];
    await writeFile(a, "old a");
    await mkdir(b);
    await expect(
      node.writeFilesAtomically([
        [a, [new Uint8Array(5)]],
        [b, [new Uint8Array(5)]],
      ]),
    ).rejects.toMatchObject({ code: "E_FILE", message: expect.stringMatching(/it is a folder/) });
    expect(await readFile(a, "utf8")).toBe("old a");
    expect(await readdir(folder)).toEqual(["a", "b"]);
  });

  test("removes stale files only if all files are complete, restores them after an error, and follows no link there", async () => {
    const [file, copy, target] = [join(folder, "a"), join(folder, "a.gz"), join(folder, "target")];
    await writeFile(file, "old");
    await writeFile(target, "other");
    await symlink("target", copy);
    const content = new TextEncoder().encode("new");
    const failing = async function* (): AsyncGenerator<Uint8Array> {
      expect(await readFile(copy, "utf8")).toBe("other");
      await mkdir(join(folder, "b"));
      yield content;
    };
    const files = [file, copy].map((path) => [path, [content]] as const);
    const write = node.writeFilesAtomically([...files, [join(folder, "b"), failing()]], "followed", [copy]);
    await expect(write).rejects.toMatchObject({ code: "E_FILE" });
    expect([await readFile(file, "utf8"), await readlink(copy)]).toEqual(["old", "target"]);
    expect(await readdir(folder)).toEqual(["a", "a.gz", "b", "target"]);
    await node.writeFilesAtomically(files, "followed", [copy]);
    for (const path of [file, copy]) expect(await readFile(path, "utf8")).toBe("new");
    expect(await readFile(target, "utf8")).toBe("other");
  });

  test("rejects a target that is not a regular file", async () => {
    const path = join(folder, "pipe");
    execFileSync("sh", ["-c", 'mkfifo "$0"', path]);
    await expect(node.writeFileAtomically(path, [])).rejects.toMatchObject({ code: "E_FILE" });
  });

  test("keeps a link and the permissions of the file", async () => {
    const target = join(folder, "target");
    await writeFile(target, "old", { mode: 0o600 });
    await symlink("target", join(folder, "link"));
    await node.writeFileAtomically(join(folder, "link"), [new TextEncoder().encode("new")]);
    expect(await readFile(target, "utf8")).toBe("new");
    expect((await node.openFile(target)).size).toBe(3);
    const { mode } = await import("node:fs/promises").then(({ stat }) => stat(target));
    expect(mode & 0o777).toBe(0o600);
  });
});

describe("other platform functions", () => {
  test("listFolder sorts names, fileKind detects kinds, and path functions split paths", async () => {
    await node.makeFolder(join(folder, "x", "y"));
    await node.makeFolder(join(folder, "x", "y"));
    await writeFile(join(folder, "b.TXT"), "text");
    expect(await node.listFolder(folder)).toEqual(["b.TXT", "x"]);
    expect(await node.fileKind(join(folder, "x"))).toBe("folder");
    expect(await node.fileKind(join(folder, "b.TXT"))).toBe("file");
    expect(await node.fileKind(join(folder, "none"))).toBeUndefined();
    expect(await node.readText(join(folder, "b.TXT"))).toBe("text");
    for (const platform of [node, browser]) {
      expect(platform.joinPath("a", "b/c.onnx")).toBe("a/b/c.onnx");
      expect([platform.folderOf("a/b.Onnx"), platform.fileNameOf("a/b.Onnx")]).toEqual(["a", "b.Onnx"]);
      expect([platform.extensionOf("a/b.Onnx"), platform.extensionOf(".hidden")]).toEqual([".onnx", ""]);
    }
    await expect(node.makeFolder(join(folder, "b.TXT", "in", "it"))).rejects.toMatchObject({
      code: "E_FILE",
      message: expect.stringContaining("a file of this name exists"),
    });
    await node.removeFile(join(folder, "b.TXT"));
    await node.removeFile(join(folder, "b.TXT"));
    await expect(node.listFolder(join(folder, "none"))).rejects.toMatchObject({ code: "E_FILE" });
    await expect(node.readFile(join(folder, "none"))).rejects.toMatchObject({ code: "E_FILE" });
  });

  test("compressedSize shrinks repetitive data", async () => {
    const chunks = Array.from({ length: 8 }, () => new Uint8Array(2 ** 16));
    expect(await node.compressedSize(() => chunks, "br")).toBeLessThan(100);
  });

  test("the size after gzip is that of gzip -9", async () => {
    const bytes = Uint8Array.from({ length: 2 ** 16 }, (_, index) => (index * index) % 7);
    expect(await node.compressedSize(() => [bytes], "gzip")).toBe(gzipSync(bytes, { level: 9 }).length);
  });

  test("importModule imports by path and explains failures", async () => {
    await writeFile(join(folder, "data.mjs"), "export const answer = 42;");
    expect((await node.importModule(join(folder, "data.mjs"), "E_DATA")).answer).toBe(42);
    const none = node.importModule(join(folder, "none.mjs"), "E_DATA");
    await expect(none).rejects.toMatchObject({ code: "E_FILE", hint: undefined });
    await expect(node.importModule("none.mjs", "E_DATA")).rejects.toMatchObject({
      hint: `It was looked for as ${resolve("none.mjs")}.`,
    });
    await writeFile(join(folder, "broken.mts"), "throw new Error('no luck.');");
    await expect(node.importModule(join(folder, "broken.mts"), "E_DATA")).rejects.toMatchObject({
      code: "E_DATA",
      message: expect.stringMatching(/broken\.mts cannot be imported: .*[^.]\.$/),
      hint: expect.stringContaining("TypeScript"),
    });
  });

  test("writeFileAtomically in a browser fails with a hint", async () => {
    await expect(browser.writeFileAtomically("out.onnx")).rejects.toMatchObject({
      code: "E_UNSUPPORTED",
      hint: expect.stringMatching(/encode/),
    });
  });
});

describe("openFile over HTTP", () => {
  let server: Server;
  let base = "";
  let content = Uint8Array.from({ length: 5000 }, (_, index) => index % 251);
  let etag = '"1"';
  let ranges = true;
  const requested: (string | undefined)[] = [];

  beforeEach(async () => {
    content = Uint8Array.from({ length: 5000 }, (_, index) => index % 251);
    [etag, ranges] = ['"1"', true];
    requested.length = 0;
    server = createServer((request, response) => {
      if (!request.url?.startsWith("/models/")) return response.writeHead(404).end();
      requested.push(request.headers.range);
      const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
      if (request.url.endsWith("/lost.onnx")) return response.writeHead(range === null ? 503 : 416).end();
      if (!ranges || range === null) return response.writeHead(200, { etag }).end(content);
      const [start, end] = [Number(range[1]), Number(range[2])];
      if (start >= content.length) return response.writeHead(416).end();
      return response
        .writeHead(206, { etag, "content-range": `bytes ${start}-${end}/${content.length}` })
        .end(content.subarray(start, end + 1));
    });
    await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
    const address = server.address();
    base = `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}`;
  });
  afterEach(() => new Promise((closed) => server.close(closed)));

  test("reads ranges", async () => {
    const source = await node.openFile(`${base}/models/a.onnx`);
    expect(source.size).toBe(5000);
    expect(await source.read(100, 200)).toEqual(content.slice(100, 200));
    expect(requested).toEqual(["bytes=0-0", "bytes=100-199"]);
  });

  test("downloads the file if the server does not support ranges", async () => {
    ranges = false;
    const source = await node.openFile(new URL(`${base}/models/a.onnx`));
    expect(await source.read(100, 200)).toEqual(content.slice(100, 200));
    expect(requested.length).toBe(1);
  });

  test("reads an empty file, of which servers send no range", async () => {
    content = new Uint8Array(0);
    expect((await node.openFile(`${base}/models/a.onnx`)).size).toBe(0);
    expect(requested).toEqual(["bytes=0-0", undefined]);
  });

  test("reports a file that the server sends neither in ranges nor as a whole", async () => {
    await expect(node.openFile(`${base}/models/lost.onnx`)).rejects.toMatchObject({
      code: "E_FILE",
      message: expect.stringMatching(/503/),
    });
  });

  test("rejects a file that changed", async () => {
    const source = await node.openFile(`${base}/models/a.onnx`);
    etag = '"2"';
    await expect(source.read(100, 200)).rejects.toMatchObject({ code: "E_SOURCE_CHANGED" });
  });

  test("reports a missing file or server", async () => {
    await expect(node.openFile(`${base}/none.onnx`)).rejects.toMatchObject({
      code: "E_FILE",
      message: expect.stringMatching(/404/),
    });
    await expect(node.openFile("http://127.0.0.1:1/a.onnx")).rejects.toMatchObject({ code: "E_FILE" });
  });

  test("resolves only references below the folder of the model", async () => {
    const owner = `${base}/models/a.onnx`;
    expect((await node.openBeside(owner, "weights/a.bin")).size).toBe(5000);
    for (const location of ["../secret", "/secret", "http://example.com/x", "//example.com/x", "a\\b", ""]) {
      await expect(node.openBeside(owner, location)).rejects.toMatchObject({ code: "E_MODEL" });
    }
  });
});
