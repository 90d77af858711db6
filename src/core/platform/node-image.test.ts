/** Tests that every decoder rejects JPEG files with damaged bytes and names the file. */
import sharp from "sharp";
import { expect, test } from "vitest";
import { random } from "../tensor/random.ts";
import { decodePlainly } from "./image-plain.ts";
import { decodeImage } from "./node-image.ts";

const numbers = random(1, "noise");
const pixels = Uint8Array.from({ length: 64 * 64 * 3 }, () => numbers.integer(256));
const file = await sharp(pixels, { raw: { width: 64, height: 64, channels: 3 } })
  .jpeg()
  .toBuffer();

/** Replaces bytes in the middle of the file, which are pixels. */
function withBytes(count: number, byte: (index: number) => number): Buffer {
  const copy = Buffer.from(file);
  for (let index = 0; index < count; index++) copy[Math.floor(file.length / 2) + index] = byte(index);
  return copy;
}

const decoders = [
  ["natively", decodeImage],
  ["in JavaScript", async (bytes: Uint8Array, name: string) => decodePlainly(bytes, name)],
] as const;

test.each(decoders)("an intact JPEG is decoded %s, also with extra bytes at the end", async (_, decode) => {
  expect((await decode(file, "a.jpg")).data).toHaveLength(pixels.length);
  expect((await decode(Buffer.concat([file, Buffer.from([1, 2, 3])]), "a.jpg")).data).toHaveLength(pixels.length);
});

test.each(decoders)("a JPEG with damaged pixels is rejected with its name: %s", async (_, decode) => {
  for (const damaged of [
    withBytes(40, (index) => (index * 37 + 11) % 256),
    withBytes(20, () => 0xff),
    file.subarray(0, file.length / 2),
  ])
    await expect(decode(damaged, "a.jpg")).rejects.toMatchObject({
      code: "E_DATA",
      message: expect.stringMatching(/^a\.jpg: the JPEG image is damaged or cut off \(/),
    });
});
