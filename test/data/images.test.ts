/** Tests that images are decoded and resized like in Pillow. The reference values come from pillow.py. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { Pixels } from "../../src/core/platform/image.ts";
import { decodePlainly } from "../../src/core/platform/image-plain.ts";
import { decodeImage } from "../../src/core/platform/node-image.ts";
import { resample } from "../../src/data/images/resample.ts";

interface Image {
  readonly name: string;
  readonly file: string;
  readonly width: number;
  readonly height: number;
  readonly rgb: readonly number[];
  readonly tolerance: number;
  readonly plain: number;
}

interface Golden {
  readonly source: Omit<Image, "name" | "file"> & { readonly grey: readonly number[] };
  readonly resized: readonly (Omit<Image, "name" | "file"> & { readonly filter: "bilinear" | "bicubic" })[];
  readonly images: readonly Image[];
}

const golden = JSON.parse(readFileSync(new URL("pillow.json", import.meta.url), "utf8")) as Golden;

function greatestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  return Array.from(a).reduce((most, value, index) => Math.max(most, Math.abs(value - (b[index] ?? Number.NaN))), 0);
}

function bytesOf({ file }: Image): Uint8Array {
  return Uint8Array.from(Buffer.from(file, "base64"));
}

test.each(golden.resized)(
  "resample of 17×11 to $width×$height, $filter, equals Pillow bit for bit",
  ({ width, height, filter, rgb }) => {
    const source = Uint8Array.from(golden.source.rgb);
    const resized = resample(source, { width: 17, height: 11 }, { width, height }, filter);
    expect(greatestDifference(resized, rgb)).toBe(0);
  },
);

describe.each(golden.images)("decoding $name", (image) => {
  const check = (found: Pixels, allowed: number): void => {
    expect([found.height, found.width]).toEqual([image.height, image.width]);
    expect(greatestDifference(found.data, image.rgb)).toBeLessThanOrEqual(allowed);
  };
  test("decodeImage returns Pillow's pixels", async () => {
    check(await decodeImage(bytesOf(image), image.name), image.tolerance);
  });
  test("decodePlainly in JavaScript returns nearly Pillow's pixels", () => {
    check(decodePlainly(bytesOf(image), image.name), image.plain);
  });
});
