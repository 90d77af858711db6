/** Tests buckets of a server with the S3 protocol as stores of a queue. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { bucketPlace, openBucket, testBucket, textOf } from "../../src/app/cli/queue/bucket.ts";
import { type HashedFile, listText, receiveFolder, sendFolder } from "../../src/app/cli/queue/shared-store.ts";
import { bytesHash, textHash } from "../../src/core/files/hash.ts";
import { temporaryFolder } from "../temporary.ts";
import { asking, type S3Server, startS3 } from "./s3-server.ts";

let server: S3Server;
const as = (env: Readonly<Record<string, string>>): void => {
  for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
};
beforeEach(async () => {
  server = await startS3("models");
  as(asking(server.url));
});
afterEach(() => {
  vi.unstubAllEnvs();
  server.close();
});

const bytesOf = async (parts: AsyncIterable<Uint8Array> | undefined): Promise<Buffer> => {
  const all: Uint8Array[] = [];
  for await (const part of parts ?? []) all.push(part);
  return Buffer.concat(all);
};
const numbers = (length: number): Buffer => Buffer.from(Uint32Array.from({ length }, (_, at) => at).buffer);
const folderOf = async (contents: Readonly<Record<string, string>>) => {
  const folder = temporaryFolder();
  const files: HashedFile[] = [];
  for (const [name, text] of Object.entries(contents)) {
    mkdirSync(join(folder, name, ".."), { recursive: true });
    writeFileSync(join(folder, name), text);
    files.push([name, await bytesHash(Buffer.from(text))]);
  }
  const paths = files.map(([name]) => join(folder, name));
  return { files, paths, place: `inputs/${await textHash(listText(files))}` };
};

test("reads objects as they were written: empty, small, and in several parts", async () => {
  const bucket = await openBucket("s3://models/deep/er");
  for (const bytes of [Buffer.of(), Buffer.from("some"), numbers(5 * 2 ** 20)]) {
    await bucket.write("one", [bytes]);
    expect((await bytesOf(await bucket.read("one"))).equals(bytes)).toBe(true);
  }
  expect([...server.objects.keys()]).toEqual(["models/deep/er/one"]);
  expect(await bucket.has("one")).toBe(true);
  expect(await bucket.has("two")).toBe(false);
  expect(await bucket.read("two")).toBeUndefined();
});

test("resumes an interrupted download, and fails if it is always interrupted", async () => {
  const bucket = await openBucket("s3://models");
  const bytes = numbers(2 ** 18);
  await bucket.write("one", [bytes]);
  server.breaks.push(100_000, 0, 500_000);
  expect((await bytesOf(await bucket.read("one"))).equals(bytes)).toBe(true);
  server.breaks.push(...Array.from({ length: 20 }, () => 10));
  await expect(bucket.read("one").then(bytesOf)).rejects.toThrow(`No server answers at ${server.url} (ECONNRESET).`);
});

test("identifies an emptied bucket as a new one", async () => {
  const bucket = await openBucket("s3://models/a");
  const mark = await testBucket(bucket);
  expect(await testBucket(bucket)).toBe(mark);
  server.objects.clear();
  expect(await testBucket(bucket)).not.toBe(mark);
  server.objects.set("models/a/store", Buffer.from("../../elsewhere"));
  await expect(testBucket(bucket)).rejects.toThrow("is not one that Pith wrote");
});

test("distinguishes a missing bucket, denied access and missing keys, without printing secrets", async () => {
  const failure = async (address: string): Promise<string> => {
    try {
      return await testBucket(await openBucket(address));
    } catch (error) {
      const { message, hint, cause } = error as { message: string; hint?: string; cause?: unknown };
      expect(cause).toBeUndefined();
      return `${message} ${hint}`;
    }
  };
  const failures = [await failure("s3://other/a")];
  as(asking(server.url, "reader"));
  failures.push(await failure("s3://models/a"));
  as(asking(server.url, "stranger"));
  failures.push(await failure("s3://models/a"));
  as(asking("http://name:hidden-from-all@127.0.0.1:1"));
  failures.push(await failure("s3://models/a"));
  as({ ...asking(server.url, ""), AWS_SECRET_ACCESS_KEY: "", AWS_EC2_METADATA_DISABLED: "true", HOME: "/nowhere" });
  failures.push(await failure("s3://models/a"));
  expect(failures).toEqual([
    expect.stringMatching(/^There is no bucket "other" at http:.* Create it first/),
    expect.stringMatching(/^The bucket "models" denies access: AccessDenied, said in words\. .*s3:PutObject/),
    expect.stringMatching(/^The bucket "models" denies access\. Set AWS_ACCESS_KEY_ID/),
    expect.stringMatching(/^No server answers at http:\/\/127\.0\.0\.1:1 \(ECONNREFUSED\)\. Set AWS_ENDPOINT_URL/),
    expect.stringMatching(/^The bucket "models" denies access: Could not load credentials.* AWS_ACCESS_KEY_ID/),
  ]);
  expect(failures.join()).not.toContain("hidden-from-all");
});

test("accepts addresses with a bucket and a path, and rejects other schemes", async () => {
  expect(bucketPlace("s3://models/a/b c/")).toEqual({ bucket: "models", prefix: "a/b c/" });
  expect(bucketPlace("s3://models")).toEqual({ bucket: "models", prefix: "" });
  for (const folder of ["/mnt/shared", "store", "C:\\store", "s3:store"]) expect(bucketPlace(folder)).toBeUndefined();
  for (const wrong of ["s3://", "s3://A", "s3://models/../b", "s3://models//b", "gs://models/a", "s3://models/a?b"])
    expect(() => bucketPlace(wrong)).toThrow("is not the address of a store");
  vi.stubEnv("AWS_ENDPOINT_URL", "localhost:9000");
  await expect(openBucket("s3://models")).rejects.toThrow("is not the address of a server");
});

test("transfers a folder with names and contents, and later only new files", async () => {
  const bucket = await openBucket("s3://models/a");
  const data = await folderOf({ "cat/1.txt": "one", "dog/2.txt": "two", "dog/3.txt": "one" });
  await sendFolder(bucket, data.place, data.files, data.paths);
  const here = temporaryFolder();
  await receiveFolder(bucket, here, data.place);
  for (const [at, [name]] of data.files.entries())
    expect(readFileSync(join(here, data.place, name))).toEqual(readFileSync(data.paths[at] ?? ""));
  const before = server.objects.size;
  const more = await folderOf({ "cat/1.txt": "one", "dog/2.txt": "three" });
  await sendFolder(bucket, more.place, more.files, more.paths);
  expect(server.objects.size).toBe(before + 2);
  server.requests.length = 0;
  await receiveFolder(bucket, here, data.place);
  expect(server.requests).toEqual([]);
});

test("rejects files that differ from their hash, are missing, or leave the folder", async () => {
  const bucket = await openBucket("s3://models/a");
  const here = temporaryFolder();
  const receive = (place: string) => receiveFolder(bucket, here, place);
  const { place, files, paths } = await folderOf({ "1.txt": "one" });
  await expect(receive(place)).rejects.toThrow("is not in the bucket");
  await sendFolder(bucket, place, files, paths);
  const name = `models/a/files/${files[0]?.[1]}`;
  server.objects.set(name, Buffer.from("other"));
  await expect(receive(place)).rejects.toThrow("is not what its hash says");
  server.objects.delete(name);
  await expect(receive(place)).rejects.toThrow("is not in the bucket");
  server.objects.set(`models/a/${place}.json`, Buffer.from("[]"));
  await expect(receive(place)).rejects.toThrow("is not what its hash says");
  expect(existsSync(join(here, place))).toBe(false);
  const outside: HashedFile[] = [["../../../left.txt", await bytesHash(Buffer.from("one"))]];
  const bad = `inputs/${await textHash(listText(outside))}`;
  await sendFolder(bucket, bad, outside, paths);
  expect(await textOf(bucket, `${bad}.json`)).toContain("left.txt");
  await expect(receive(bad)).rejects.toThrow("leaves its folder");
});
