/** Commands on `hf:owner/name`: which files they download, how a download continues and is checked, and what they say if the Hub refuses. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { mkdir, readdir, readFile, rename, rm, truncate, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { save } from "../../../src/core/onnx/index.ts";
import { temporaryFolder } from "../../temporary.ts";
import { type HubServer, isHubInstalled, sha, startHub } from "./hub-server.ts";
import { pith, run, runJob } from "./run.ts";

const network = parseModel(`opset 17
graph (x: float32[batch, 64]) -> (y: float32[batch, 64]) {
  a.weight: float32[64, 64] = random(seed 1)
  y = MatMul "a" (x, a.weight)
}`);

test.skipIf(isHubInstalled)("names the package to install if it is missing", async () => {
  const { code, err } = await pith("inspect", "hf:owner/tiny");
  expect({ code, err }).toEqual({ code: 1, err: expect.stringContaining("hint: npm install @huggingface/hub\n") });
});

describe.skipIf(!isHubInstalled)("a model of the Hub", () => {
  let hub: HubServer;
  let cache: string;
  const config = Buffer.from('{"hidden_size": 64}');
  /** A model that stores its weights in "weights.bin_data", and the same with its weights. */
  let graph: Buffer;
  let weights: Buffer;
  let selfContained: Buffer;

  beforeAll(async () => {
    const folder = temporaryFolder();
    await save(network, join(folder, "whole.onnx"));
    await save(network, join(folder, "weights.bin"), { externalData: true });
    [graph, weights, selfContained] = await Promise.all([
      readFile(join(folder, "weights.bin")),
      readFile(join(folder, "weights.bin_data")),
      readFile(join(folder, "whole.onnx")),
    ]);
    hub = await startHub("owner/tiny");
  });
  afterAll(() => hub.close());

  beforeEach(() => {
    cache = temporaryFolder();
    vi.stubEnv("HF_ENDPOINT", `${hub.url}/`);
    vi.stubEnv("HF_HUB_CACHE", cache);
    vi.stubEnv("HF_TOKEN", "hf_secret");
    hub.files.clear();
    for (const [path, content] of [
      ["onnx/model.onnx", graph],
      ["onnx/weights.bin_data", weights],
      ["onnx/model_q4.onnx", selfContained],
      ["config.json", config],
      ["model.safetensors", weights],
      ["README.md", Buffer.from("# Tiny")],
      ["onnx\\..\\..\\config.json", Buffer.from("{ }")],
      ["../config.json", Buffer.from("{  }")],
    ] as const)
      hub.files.set(path, content);
    Object.assign(hub, { refused: undefined, isDamaged: false });
    hub.requests.length = hub.breaks.length = 0;
  });
  afterEach(() => vi.unstubAllEnvs());

  const snapshot = (): string => join(cache, "models--owner--tiny", "snapshots", sha);
  const downloads = () => hub.requests.filter(({ server }) => server === "files");

  test("is downloaded without variants and other formats, and the result is in the current folder", async () => {
    const folder = temporaryFolder();
    const home = process.cwd();
    process.chdir(folder);
    const { err } = await pith("quantize", "hf:owner/tiny", "--dtype", "q8").finally(() => process.chdir(home));
    const size = graph.length + weights.length + config.length;
    expect(err).toContain(`hf:owner/tiny: downloaded ${(size / 1000).toFixed(1)} kB to `);
    expect(await readdir(folder)).toEqual(["tiny.quantized"]);
    expect(await readdir(join(folder, "tiny.quantized", "onnx"))).toEqual(["model.onnx", "model_quantized.onnx"]);
    expect(readFileSync(join(folder, "tiny.quantized", "config.json"), "utf8")).toContain('"hidden_size": 64');
    expect((await readdir(cache, { recursive: true })).toSorted()).toEqual(
      [
        "models--owner--tiny",
        ...["blobs", "refs", "refs/main", "snapshots", `snapshots/${sha}`].map((path) => `models--owner--tiny/${path}`),
        ...["config.json", "onnx", "onnx/model.onnx", "onnx/weights.bin_data"].map(
          (path) => `models--owner--tiny/snapshots/${sha}/${path}`,
        ),
        "models--owner--tiny/.pith",
        ...readdirSync(join(cache, "models--owner--tiny/blobs")).flatMap((name) =>
          [".pith", "blobs"].map((folder) => `models--owner--tiny/${folder}/${name}`),
        ),
      ].toSorted(),
    );
    // The token goes to the Hub, and not to the server of large files.
    const tokens = (server: string) =>
      new Set(hub.requests.flatMap((request) => (request.server === server ? [request.authorization] : [])));
    expect([tokens("hub"), tokens("files")]).toEqual([new Set(["Bearer hf_secret"]), new Set([undefined])]);

    hub.requests.length = 0;
    expect(await pith("inspect", "hf:owner/tiny/")).toMatchObject({
      code: 0,
      err: expect.not.stringContaining("downloaded"),
    });
    expect(hub.requests.filter(({ path }) => !path.startsWith("/api/"))).toEqual([]);
  });

  test("can be a single file of a revision, under a former name", async () => {
    const { code, out, err } = await pith("inspect", "hf:former/tiny@refs/pr/1/onnx/model_q4.onnx");
    expect({ code, out }, err).toEqual({ code: 0, out: expect.stringContaining("MatMul") });
    expect(readFileSync(join(cache, "models--former--tiny/refs/refs/pr/1"), "utf8")).toBe(sha);
    expect(hub.requests[0]?.path).toMatch("/api/models/former/tiny/revision/refs%2Fpr%2F1?");
    const files = await readdir(join(cache, "models--former--tiny/snapshots", sha), { recursive: true });
    expect(files.toSorted()).toEqual(["config.json", "onnx", "onnx/model_q4.onnx"]);
  });

  test("is the only ONNX file, whatever its name is", async () => {
    hub.files.clear();
    hub.files.set("net-1.0.onnx", selfContained);
    expect(await pith("inspect", "hf:owner/tiny")).toMatchObject({ code: 0, out: expect.stringContaining("MatMul") });
  });

  test("continues after an interruption, within a command and in the next", async () => {
    hub.files.set("onnx/model.onnx", selfContained);
    hub.breaks.push(5000, 3000, 0);
    const { code, err } = await pith("inspect", "hf:owner/tiny");
    expect({ code, err }).toEqual({
      code: 1,
      err: expect.stringMatching(
        `^E_FILE: hf:owner/tiny: onnx/model.onnx ends at byte 8000 of ${selfContained.length}: .*\nhint: Run the same command again`,
      ),
    });
    expect(await pith("inspect", "hf:owner/tiny")).toMatchObject({ code: 0 });
    const ranges = downloads().flatMap(({ range }) => (range === "bytes=0-0" ? [] : [range]));
    const last = selfContained.length - 1;
    expect(ranges).toEqual([undefined, `bytes=5000-${last}`, `bytes=8000-${last}`, `bytes=8000-${last}`]);
    expect(readFileSync(join(snapshot(), "onnx/model.onnx"))).toEqual(selfContained);
  });

  test("is not downloaded in two decoders beside their merged one", async () => {
    for (const name of ["encoder_model", "decoder_model", "decoder_with_past_model", "decoder_model_merged"])
      hub.files.set(`onnx/${name}.onnx`, selfContained);
    hub.files.delete("onnx/model.onnx");
    expect(await pith("debug", "net.onnx", "hf:owner/tiny")).toMatchObject({ code: 1 });
    expect((await readdir(join(snapshot(), "onnx"))).toSorted()).toEqual([
      "decoder_model_merged.onnx",
      "encoder_model.onnx",
    ]);
  });

  test("continues after a stop", async () => {
    hub.files.set("onnx/model.onnx", selfContained);
    hub.breaks.push(...Array.from({ length: 16 }, () => 1000));
    const stop = new AbortController();
    const stopped = run(["inspect", "hf:owner/tiny"], { runJob, signal: stop.signal });
    await vi.waitFor(() => expect(downloads().length).toBeGreaterThan(2), { interval: 1 });
    stop.abort();
    expect((await stopped).err).toMatch(
      /^E_STOPPED: The download of hf:owner\/tiny was stopped; the same command continues it\.$/m,
    );
    hub.requests.length = hub.breaks.length = 0;
    expect(await pith("inspect", "hf:owner/tiny")).toMatchObject({ code: 0 });
    expect(downloads().at(-1)?.range).toMatch(/^bytes=[1-9]\d+-/);
  });

  test("is rejected if its bytes do not have the listed hash, and is downloaded again by the next command", async () => {
    hub.isDamaged = true;
    const { code, err } = await pith("inspect", "hf:owner/tiny");
    expect({ code, err }).toEqual({
      code: 1,
      err: expect.stringMatching(
        /E_FILE: hf:owner\/tiny: onnx\/model.onnx does not have the listed hash [0-9a-f]{64}\.\n/,
      ),
    });
    expect(await readdir(join(snapshot(), "onnx"))).toEqual([]);
    hub.isDamaged = false;
    expect(await pith("inspect", "hf:owner/tiny")).toMatchObject({ code: 0 });
  });

  test("is downloaded again if the file in the cache has another size", async () => {
    hub.files.set("onnx/model.onnx", selfContained);
    expect(await pith("inspect", "hf:owner/tiny")).toMatchObject({ code: 0 });
    const blob = join(cache, "models--owner--tiny/blobs", createHash("sha256").update(selfContained).digest("hex"));
    await truncate(blob, 100);
    expect(await pith("inspect", "hf:owner/tiny")).toMatchObject({ code: 0 });
    expect(readFileSync(blob)).toEqual(selfContained);
  });

  describe("in the cache", () => {
    const blobOf = (content: Buffer): string =>
      join(cache, "models--owner--tiny/blobs", createHash("sha256").update(content).digest("hex"));
    const damaged = (): Buffer => {
      const bytes = Buffer.from(selfContained);
      bytes[0] = (bytes[0] ?? 0) ^ 1;
      return bytes;
    };
    beforeEach(async () => {
      hub.files.set("onnx/model.onnx", selfContained);
      await pith("inspect", "hf:owner/tiny");
      hub.requests.length = 0;
    });

    test("is downloaded again if another tool has stored other bytes", async () => {
      const records = join(cache, "models--owner--tiny/.pith");
      for (const name of await readdir(records)) await rm(join(records, name));
      await writeFile(blobOf(selfContained), damaged());
      expect(await pith("inspect", "hf:owner/tiny")).toMatchObject({ code: 0 });
      expect(readFileSync(blobOf(selfContained))).toEqual(selfContained);
      expect(downloads()).not.toEqual([]);
    });

    test("is checked again only after its time of modification changes", async () => {
      const [before, after] = [new Date("2026-01-01"), new Date("2026-01-02")];
      await utimes(blobOf(selfContained), before, before);
      await pith("inspect", "hf:owner/tiny");
      await writeFile(blobOf(selfContained), damaged());
      await utimes(blobOf(selfContained), before, before);
      await pith("inspect", "hf:owner/tiny");
      expect(downloads()).toEqual([]);
      await utimes(blobOf(selfContained), after, after);
      expect(await pith("inspect", "hf:owner/tiny")).toMatchObject({ code: 0 });
      expect(downloads()).not.toEqual([]);
    });

    describe("with HF_HUB_OFFLINE", () => {
      const online = "hint: Run the same command without HF_HUB_OFFLINE";
      beforeEach(() => vi.stubEnv("HF_HUB_OFFLINE", "1"));
      afterEach(() => expect(hub.requests).toEqual([]));

      test.each(["hf:owner/tiny", `hf:owner/tiny@${sha}`, "hf:owner/tiny/onnx/model.onnx"])(
        "is read without a request by %s",
        async (word) => {
          expect(await pith("inspect", word)).toMatchObject({ code: 0, out: expect.stringContaining("MatMul") });
        },
      );

      test("is read if the cache has files instead of links", async () => {
        for (const file of ["onnx/model.onnx", "config.json"]) {
          const content = await readFile(join(snapshot(), file));
          await rm(join(snapshot(), file));
          await writeFile(join(snapshot(), file), content);
        }
        expect(await pith("inspect", "hf:owner/tiny")).toMatchObject({ code: 0 });
      });

      test.each(["hf:owner/other", "hf:owner/tiny@v2"])("cannot be %s, which the cache lacks", async (word) => {
        const { code, err } = await pith("inspect", word);
        expect({ code, err }).toEqual({
          code: 1,
          err: expect.stringContaining(`E_FILE: ${word} is not in the cache.\n${online}`),
        });
      });

      test("names a part of the cache that cannot be read", async () => {
        await rename(snapshot(), join(cache, "moved"));
        await writeFile(snapshot(), "");
        const { code, err } = await pith("inspect", "hf:owner/tiny");
        expect({ code, err }).toEqual({
          code: 1,
          err: expect.stringContaining(`E_FILE: "${snapshot()}" cannot be read: a part of the path is not a folder.`),
        });
      });

      test("is rejected if its bytes have another hash", async () => {
        await writeFile(blobOf(selfContained), damaged());
        const { code, err } = await pith("inspect", "hf:owner/tiny");
        expect({ code, err }).toEqual({
          code: 1,
          err: expect.stringContaining(
            `E_FILE: hf:owner/tiny: onnx/model.onnx in the cache does not have its hash.\n${online}`,
          ),
        });
        expect(readFileSync(blobOf(selfContained))).toEqual(damaged());
      });
    });
  });

  describe("is requested with the token", () => {
    const token = async (): Promise<string | undefined> => {
      await pith("inspect", "hf:owner/tiny");
      return hub.requests[0]?.authorization;
    };
    beforeEach(async () => {
      vi.stubEnv("HF_TOKEN", "");
      vi.stubEnv("HF_TOKEN_PATH", undefined);
      vi.stubEnv("HF_HOME", cache);
      await mkdir(cache, { recursive: true });
      await writeFile(join(cache, "token"), "hf_home\n");
      await writeFile(join(cache, "other-token"), "hf_path\n");
    });

    test("of hf auth login", async () => expect(await token()).toBe("Bearer hf_home"));
    test("in the file of HF_TOKEN_PATH", async () => {
      vi.stubEnv("HF_TOKEN_PATH", join(cache, "other-token"));
      expect(await token()).toBe("Bearer hf_path");
    });
    test("in HF_TOKEN, if there are both", async () => {
      vi.stubEnv("HF_TOKEN", "hf_secret");
      expect(await token()).toBe("Bearer hf_secret");
    });
    test("that does not exist, without an error", async () => {
      await rm(join(cache, "token"));
      expect(await token()).toBeUndefined();
    });
  });

  const gated =
    "The model is gated or private, or its name is wrong. Accept the license on URL/owner/tiny, and run hf auth login, or set HF_TOKEN";
  test.each([
    [401, /^\/api/, "denies access (401).", gated],
    [403, /resolve/, "denies access (403).", gated],
    [404, /^\/api/, "has no such model or revision.", "See URL/owner/tiny"],
    [503, /tree/, "responds with status 503.", "Try again later"],
  ])("is refused with status %i", async (status, path, message, hint) => {
    hub.refused = { status, path };
    const { code, err } = await pith("inspect", "hf:owner/tiny");
    const host = new URL(hub.url).host;
    expect({ code, err }).toEqual({
      code: 1,
      err: expect.stringContaining(`E_FILE: hf:owner/tiny: ${host} ${message}\nhint: ${hint.replace("URL", hub.url)}`),
    });
    expect(err).not.toContain("hf_secret");
  });

  test.each([
    ["hf:tiny", 2, "E_USAGE: hf:tiny is not the name of a model on the Hugging Face Hub."],
    ["hf:owner/../x", 2, "E_USAGE: hf:owner/../x is not the name"],
    ["hf:owner/tiny/other", 1, "E_FILE: hf:owner/tiny/other has no ONNX model."],
    [
      "hf:owner/tiny",
      1,
      "E_FILE: hf:owner/tiny has several models: a.onnx, b.onnx.\nhint: Name one of them: hf:owner/tiny/a.onnx\n",
    ],
  ])("must be named by %s", async (word, code, message) => {
    hub.files.clear();
    for (const name of ["a.onnx", "b.onnx"]) hub.files.set(name, selfContained);
    expect(await pith("inspect", word)).toMatchObject({ code, err: expect.stringContaining(message) });
  });

  test("needs a server that can be reached", async () => {
    const closed = await startHub("owner/tiny");
    closed.close();
    vi.stubEnv("HF_ENDPOINT", closed.url);
    const { code, err } = await pith("inspect", "hf:owner/tiny");
    expect({ code, err }).toEqual({
      code: 1,
      err: expect.stringContaining(`${new URL(closed.url).host} cannot be reached: connect ECONNREFUSED`),
    });
  });
});
