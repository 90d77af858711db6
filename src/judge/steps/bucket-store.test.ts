import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../../test/temporary.ts";
import { parseModel } from "../../core/graph/text.ts";
import { encodeToBytes } from "../../core/onnx/encode.ts";
import { type Bucket, bucketStore } from "./bucket-store.ts";

const model = () =>
  parseModel(`opset 17
graph (x: float32[batch, 4]) -> (y: float32[batch, 4]) {
  weight: float32[4, 4] = random(seed 1)
  y = MatMul (x, weight)
}`);

interface InMemory extends Bucket {
  readonly objects: Map<string, Uint8Array>;
  readonly asked: string[];
}

function inMemory(): InMemory {
  const objects = new Map<string, Uint8Array>();
  const asked: string[] = [];
  return {
    objects,
    asked,
    async has(name) {
      asked.push(`has ${name}`);
      return objects.has(name);
    },
    async read(name) {
      asked.push(`read ${name}`);
      const bytes = objects.get(name);
      return (
        bytes &&
        (async function* () {
          yield bytes;
        })()
      );
    },
    async write(name, bytes) {
      asked.push(`write ${name}`);
      const parts: Uint8Array[] = [];
      for await (const part of bytes) parts.push(part);
      objects.set(name, Buffer.concat(parts));
    },
  };
}

test("finds models and records of another machine, and requests each once", async () => {
  const bucket = inMemory();
  const store = bucketStore(temporaryFolder(), bucket);
  const digest = await store.keep(model());
  await store.records.write({ step: 1 }, { output: digest, drop: Number.NaN });
  const other = bucketStore(temporaryFolder(), bucket);
  expect(await other.records.read({ step: 1 })).toEqual({ output: digest, drop: Number.NaN });
  expect(await other.has(digest)).toBe(true);
  expect(await encodeToBytes(await other.open(digest))).toEqual(await encodeToBytes(model()));
  bucket.asked.length = 0;
  await other.records.read({ step: 1 });
  expect((await other.file(digest)).size).toBe((await encodeToBytes(model())).length);
  expect(bucket.asked).toEqual([]);
});

test("does not download a model before it is opened, and does not upload it twice", async () => {
  const bucket = inMemory();
  const digest = await bucketStore(temporaryFolder(), bucket).keep(model());
  const folder = temporaryFolder();
  const other = bucketStore(folder, bucket);
  expect(await other.has(digest)).toBe(true);
  expect(readdirSync(folder)).toEqual([]);
  expect(await other.keep(model())).toBe(digest);
  expect(bucket.asked.filter((text) => text.startsWith("write"))).toEqual([`write ${digest}.onnx`]);
});

test("writes no record of a model or step if the bucket fails", async () => {
  const bucket = inMemory();
  const broken: Bucket = {
    ...bucket,
    write: async () => {
      throw new Error("no space");
    },
  };
  const folder = temporaryFolder();
  const store = bucketStore(folder, broken);
  await expect(store.keep(model())).rejects.toThrow("no space");
  await expect(store.records.write("step", 1)).rejects.toThrow("no space");
  const again = bucketStore(folder, bucket);
  expect(await again.records.read("step")).toBeUndefined();
  const digest = await again.keep(model());
  expect([...bucket.objects.keys()]).toEqual([`${digest}.onnx`]);
});

test("rejects a damaged or missing model, and replaces a damaged file of the folder", async () => {
  const bucket = inMemory();
  const digest = await bucketStore(temporaryFolder(), bucket).keep(model());
  bucket.objects.set(`${digest}.onnx`, Uint8Array.of(1, 2, 3));
  await expect(bucketStore(temporaryFolder(), bucket).open(digest)).rejects.toThrow("is damaged");
  bucket.objects.clear();
  const folder = temporaryFolder();
  const store = bucketStore(folder, bucket);
  await expect(store.file(digest)).rejects.toThrow("is no longer there");
  expect(await store.has(digest)).toBe(false);
  // A file that was damaged in the folder is downloaded again.
  const good = inMemory();
  expect(await bucketStore(folder, good).keep(model())).toBe(digest);
  rmSync(join(folder, `${digest}.onnx`));
  writeFileSync(join(folder, `${digest}.onnx`), "damaged");
  expect(await encodeToBytes(await bucketStore(folder, good).open(digest))).toEqual(await encodeToBytes(model()));
});
