/** Tests which images of a folder are read, and the warnings for the others. */
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import sharp from "sharp";
import { expect, test } from "vitest";
import { imageHeader } from "../../src/core/platform/image.ts";
import { decodePlainly } from "../../src/core/platform/image-plain.ts";
import { firstBatch } from "../../src/data/batches/select.ts";
import { openDataset, preprocess, presets } from "../../src/data/index.ts";
import { temporaryFolder } from "../temporary.ts";

const root = temporaryFolder();

async function folder(name: string, files: Readonly<Record<string, Uint8Array | string>>): Promise<string> {
  for (const [file, content] of Object.entries(files)) {
    await mkdir(dirname(join(root, name, file)), { recursive: true });
    await writeFile(join(root, name, file), content);
  }
  return join(root, name);
}

test("openDataset reads WebP and names skipped images by type, also in class folders", async () => {
  const pixels = { width: 4, height: 2, channels: 3, background: "#ff3300" } as const;
  const webp = await sharp({ create: pixels }).webp({ lossless: true }).toBuffer();
  const png = await sharp({ create: pixels }).png().toBuffer();
  const warnings: string[] = [];
  const warn = (text: string): void => void warnings.push(text);
  const flat = await folder("kinds", { "a.png": png, "b.webp": webp, "c.heic": "", "d.gif": "", "notes.txt": "" });
  const data = await openDataset(flat, { warn });
  expect(data.count).toBe(2);
  expect(warnings).toEqual([
    `2 images are skipped in ${flat}, because .gif, .heic are not read: convert c.heic and d.gif to .jpg or .png`,
  ]);
  const { x } = await firstBatch(
    preprocess(data, { name: "x", type: { type: "float32", dims: [2, 3, 2, 4] } }, presets.raw),
    2,
  );
  const planes = [255, 51, 0].flatMap((value) => new Array<number>(8).fill(value));
  expect(x?.data).toEqual(Float32Array.from([...planes, ...planes]));
  warnings.length = 0;
  const classes = await folder("class-kinds", { "cat/a.png": png, "dog/b.png": png, "dog/c.avif": "" });
  expect((await openDataset(classes, { warn })).count).toBe(2);
  expect(warnings).toEqual([
    `1 image is skipped in ${classes}, because .avif is not read: convert dog/c.avif to .jpg or .png`,
  ]);
});

test("imageHeader reads WebP sizes, and decodePlainly rejects WebP with a message", async () => {
  const create = { width: 33, height: 17, channels: 4, background: { r: 9, g: 99, b: 199, alpha: 0.5 } } as const;
  for (const options of [{ lossless: true }, { lossless: false }]) {
    const withAlpha = await sharp({ create }).webp(options).toBuffer();
    const opaque = await sharp({ create }).removeAlpha().webp(options).toBuffer();
    for (const bytes of [withAlpha, opaque])
      expect(imageHeader(bytes, "a.webp")).toMatchObject({ format: "WebP", width: 33, height: 17 });
    expect(() => decodePlainly(opaque, "a.webp")).toThrow(
      "a.webp is a WebP image, which is read where sharp is installed.",
    );
  }
});

test("openDataset counts and names unused images", async () => {
  const png = await sharp({ create: { width: 1, height: 1, channels: 3, background: "#fff" } })
    .png()
    .toBuffer();
  const collectWarnings = async (
    name: string,
    files: readonly string[],
    table?: string,
  ): Promise<readonly string[]> => {
    const contents = Object.fromEntries(files.map((file) => [file, png]));
    const path = await folder(name, table === undefined ? contents : { ...contents, "labels.csv": table });
    const warnings: string[] = [];
    await openDataset(path, { warn: (text) => void warnings.push(text.replace(path, "photos")) });
    return warnings;
  };
  expect(await collectWarnings("mixed", ["a.png", "cat/b.png", "cat/c.png", "dog/d.png"])).toEqual([
    "3 images of photos are not used, because they are in folders beside images without classes: cat/b.png, cat/c.png and dog/d.png",
  ]);
  const files = ["a", "b", "c", "d", "e", "f", "g"].map((name) => `${name}.png`);
  expect(await collectWarnings("partly", files, "file,label\na.png,0\n./b.png,1\n")).toEqual([
    "5 images of photos are not used, because labels.csv does not name them: c.png, d.png, e.png and 2 more",
  ]);
  expect(await collectWarnings("listed", ["cat/a.png", "dog/b.png"], "file,label\ncat/a.png,0\n")).toEqual([
    "1 image of photos is not used, because labels.csv does not name them: dog/b.png",
  ]);
  expect(await collectWarnings("deep", ["cat/a.png", "dog/b.png", "dog/more/c.png"])).toEqual([
    "1 image of photos is not used, because they are in subfolders of class folders: dog/more/c.png",
  ]);
  expect(await collectWarnings("all", ["a.png", "b.png"], "file,label\na.png,0\nb.png,1\n")).toEqual([]);
  expect(await collectWarnings("classes", ["cat/a.png", "dog/b.png", ".cache/c.png"])).toEqual([]);
});
