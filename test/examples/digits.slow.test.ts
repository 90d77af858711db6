/** Tests all digits of the examples. */
import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { digitsOfMirror, digitsOfPackage } from "../../examples/digits.ts";
import { shared } from "../shared.ts";
import { temporaryFolder } from "../temporary.ts";

test("the npm package has 10,000 images of ten classes, split into 8,000 and 2,000", async () => {
  const { train, test: rest } = await digitsOfPackage();
  expect([train.count, rest.count]).toEqual([8000, 2000]);
  for await (const { image, label } of train.batches({ size: 8000 })) {
    expect(image?.dims).toEqual([8000, 1, 28, 28]);
    expect(Math.max(...new Set(image?.data as Uint8Array))).toBe(255);
    expect(new Set(label?.data as BigInt64Array).size).toBe(10);
  }
});

describe("the mirror", () => {
  let folder = "";
  beforeEach(async () => {
    folder = temporaryFolder();
  });

  const real = shared("data/mnist");
  test.skipIf(real === undefined)("has the files of MNIST, and downloads each once", async () => {
    const asked: string[] = [];
    const get = (url: string): Promise<Uint8Array> => {
      asked.push(basename(url));
      return readFile(join(real ?? "", basename(url)));
    };
    for (const _ of [1, 2]) {
      const digits = await digitsOfMirror(folder, get);
      expect([digits?.train.count, digits?.test.count]).toEqual([60_000, 10_000]);
    }
    expect(asked).toHaveLength(4);
  });
});
