import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { encode } from "fast-png";
import { describe, expect, it } from "vitest";
import { temporaryFolder } from "../../../test/temporary.ts";
import { symbol } from "../../core/tensor/dims.ts";
import type { Batch, Dense } from "../../core/tensor/types.ts";
import { type Dataset, images, openDataset, parsePreprocessing, preprocess, presets } from "../index.ts";
import { openParts } from "../sources/parts.ts";
import type { ImageInput } from "./preprocess.ts";
import { withStoredImages } from "./preprocess.ts";

const n = symbol("N");
const root = temporaryFolder();

/** Encodes an image of one color. */
function png(red: number, green: number, blue: number, width = 4, height = 4): Uint8Array {
  const data = Uint8Array.from({ length: 3 * width * height }, (_, at) => [red, green, blue][at % 3] ?? 0);
  return encode({ width, height, data, channels: 3 });
}

async function folder(name: string, files: Readonly<Record<string, Uint8Array | string>>): Promise<string> {
  for (const [file, content] of Object.entries(files)) {
    await mkdir(dirname(join(root, name, file)), { recursive: true });
    await writeFile(join(root, name, file), content);
  }
  return join(root, name);
}

function input(...dims: readonly (number | typeof n)[]): ImageInput {
  return { name: "x", type: { type: "float32", dims } };
}

async function whole(dataset: Dataset): Promise<Batch> {
  for await (const batch of dataset.batches({ size: 100 })) return batch;
  return {};
}

function floats(dense: Dense | undefined): number[] {
  return dense?.type === "float32" ? Array.from(dense.data) : [];
}

async function labels(dataset: Dataset): Promise<number[]> {
  return Array.from((await whole(dataset)).label?.data as BigInt64Array, Number);
}

describe("images", () => {
  it("gives class names of folders or lists, also after openParts and preprocess", async () => {
    const named = await folder("named", { "cat/a.png": png(1, 2, 3), "dog/b.png": png(4, 5, 6) });
    const numbered = await folder("numbered", { "0/a.png": png(1, 2, 3), "1/b.png": png(4, 5, 6) });
    const listed = await folder("listed", {
      "a.png": png(1, 2, 3),
      "labels.csv": "file,label\na.png,1\n",
      "names.txt": "dog\ncat\n",
    });
    expect((await images(named)).classes).toEqual(["cat", "dog"]);
    expect((await images(named, { classes: ["dog", "cat"] })).classes).toEqual(["dog", "cat"]);
    expect((await images(numbered)).classes).toBeUndefined();
    expect((await images(listed)).classes).toEqual(["dog", "cat"]);
    const { test } = await openParts(named, { test: 1 });
    expect(preprocess(test, input(n, 3, 4, 4), presets.unit).classes).toEqual(["cat", "dog"]);
  });

  it("numbers class folders by name, names.txt, the model's classes, or numeric names", async () => {
    const path = await folder("classes", {
      "cat/a.png": png(1, 2, 3),
      "dog/b.png": png(4, 5, 6),
      "dog/c.jpeg.txt": "no image",
      "ant/d.png": png(7, 8, 9),
    });
    expect(await labels(await images(path))).toEqual([0, 1, 2]);
    expect(await labels(await images(path, { classes: ["Dog", "CAT", "ant"] }))).toEqual([2, 1, 0]);
    await expect(images(path, { classes: ["dog", "cat"] })).rejects.toThrow('class "ant" is not one of the 2 classes');
    await writeFile(join(path, "names.txt"), "dog\nant\ncat\n");
    expect(await labels(await openDataset(path))).toEqual([1, 2, 0]);
    const numbers = await folder("numbers", { "10/a.png": png(1, 1, 1), "9/b.png": png(1, 1, 1) });
    expect(await labels(await images(numbers))).toEqual([10, 9]);
  });

  it("reads labels.csv with numbers or names, with or without a header, and unlabeled files", async () => {
    const files = { "a.png": png(1, 2, 3), "b.png": png(4, 5, 6), "unlisted.png": png(0, 0, 0) };
    const titled = await folder("titled", { ...files, "labels.csv": "file,label,more\na.png,7,x\nb.png,3,y\n" });
    expect(await labels(await openDataset(titled))).toEqual([7, 3]);
    const bare = await folder("bare", { ...files, "labels.csv": "b.png,tree\na.png,bird\n" });
    expect(await labels(await openDataset(bare))).toEqual([1, 0]);
    const none = await openDataset(await folder("none", files));
    expect([none.count, (await whole(none)).label]).toEqual([3, undefined]);
    expect((await openDataset(join(titled, "a.png"))).count).toBe(1);
  });

  it.each([
    ["file,label\nmissing.png,1\n", 'line 2: the file "missing.png" does not exist'],
    ["photo,kind\na.png,1\n", "the columns photo, kind: expected file and label"],
    ["file,label\na.png\n", 'line 2: expected a file and a label, got "a.png"'],
    ["", "has no rows"],
  ])("rejects the table %j", async (table, message) => {
    const path = await folder(`table-${message.length}`, { "a.png": png(1, 2, 3), "labels.csv": table });
    await expect(openDataset(path)).rejects.toThrow(message);
  });

  it("suggests a similar file name for a missing file", async () => {
    const path = await folder("misspelled", { "photo1.png": png(1, 2, 3), "labels.csv": "file,label\nphoto2.png,1\n" });
    await expect(openDataset(path)).rejects.toMatchObject({ hint: 'Did you mean "photo1.png"?' });
    const other = await folder("other", { "a.png": png(1, 2, 3), "labels.csv": "file,label\nunrelated.png,1\n" });
    await expect(openDataset(other)).rejects.toMatchObject({ hint: expect.stringMatching(/^Add the file, or remove/) });
  });

  it("logs the classes if only folder names list them", async () => {
    const pixel = png(1, 1, 1);
    const path = await folder("accident", { "dogs/a.png": pixel, "photos/b.png": pixel, "photos/c.png": pixel });
    const notes: string[] = [];
    const note = (text: string): void => void notes.push(text);
    await images(path, { note });
    expect(notes).toEqual(["classes by folder: dogs (1) and photos (2)"]);
    await images(path, { note, classes: ["dogs", "photos"] });
    await images(await folder("flat", { "a.png": pixel }), { note });
    expect(notes).toHaveLength(1);
  });

  it("advises conversion of unsupported image formats", async () => {
    const path = await folder("phone", { "a.heic": "", "b.HEIC": "", "c.avif": "" });
    await expect(openDataset(path)).rejects.toMatchObject({
      code: "E_DATA",
      hint: "Convert the .avif, .heic files to .jpg or .png.",
    });
  });

  it("uses train/ and val/ as splits, and other folders as test samples", async () => {
    const pixel = png(1, 1, 1);
    const path = await folder("parted", { "train/a/1.png": pixel, "train/b/2.png": pixel, "val/b/3.png": pixel });
    const parts = await openParts(path);
    expect([parts.train?.count, parts.test.count]).toEqual([2, 1]);
    const single = await openParts(await folder("single", { "a/1.png": pixel, "b/2.png": pixel }));
    expect([single.train, single.test.count]).toEqual([undefined, 2]);
  });
});

describe("preprocess of images in files", () => {
  it("decodes, resizes, crops and normalizes to the model's layout and channels", async () => {
    const path = await folder("colours", { "a.png": png(255, 0, 51, 20, 10), "b.png": png(0, 102, 0, 4, 4) });
    const data = await openDataset(path);
    const planes = (await whole(preprocess(data, input(n, 3, 8, 8), presets.unit))).x as Dense<"float32">;
    expect(planes.dims).toEqual([2, 3, 8, 8]);
    expect([planes.data[0], planes.data[64], planes.data[128]]).toEqual([1, 0, Math.fround(0.2)]);
    const pixels = (await whole(preprocess(data, input(n, 8, 8, 3), { ...presets.raw, channels: "BGR" }))).x;
    expect(pixels?.dims).toEqual([2, 8, 8, 3]);
    expect(floats(pixels).slice(0, 3)).toEqual([51, 0, 255]);
    const grey = (await whole(preprocess(data, input(1, 1, 8, 8), presets.raw))).x;
    expect([grey?.dims, grey?.data[0], grey?.data[64]]).toEqual([[2, 1, 8, 8], 82, 60]);
    expect((await whole(preprocess(data, input(n, 64), presets.raw))).x?.dims).toEqual([2, 64]);
  });

  it("keeps proportions by cropping the center, and pads a larger crop", async () => {
    // The left half is black and the right half white: the central 4×4 of 12×4 has two columns of each.
    const data = Uint8Array.from({ length: 3 * 48 }, (_, at) => (Math.floor(at / 3) % 12 < 6 ? 0 : 255));
    const path = await folder("halves", { "a.png": encode({ width: 12, height: 4, data, channels: 3 }) });
    const cut = await whole(preprocess(await openDataset(path), input(n, 3, 4, 4), presets.raw));
    expect(floats(cut.x).slice(0, 4)).toEqual([0, 0, 255, 255]);
    const squeezed = parsePreprocessing("raw resize=4x4");
    const all = await whole(preprocess(await openDataset(path), input(n, 3, 4, 4), squeezed));
    expect(
      floats(all.x)
        .slice(0, 4)
        .map((value) => value > 128),
    ).toEqual([false, false, true, true]);
    const larger = parsePreprocessing("raw crop=6x4");
    const padded = await whole(preprocess(await openDataset(path), input(n, 3, 6, 4), larger));
    expect(floats(padded.x).slice(0, 8)).toEqual([0, 0, 0, 0, 0, 0, 255, 255]);
    // torchvision pads the smaller half first: no row before and one after, or one before and two after.
    for (const [height, before] of [
      [5, 0],
      [7, 1],
    ] as const) {
      const odd = parsePreprocessing(`raw crop=${height}x4`);
      const { x } = await whole(preprocess(await openDataset(path), input(n, 3, height, 4), odd));
      const lit = Array.from({ length: height }, (_, row) =>
        floats(x)
          .slice(4 * row, 4 * row + 4)
          .includes(255),
      );
      expect(lit).toEqual(Array.from({ length: height }, (_, row) => row >= before && row < before + 4));
    }
  });

  it("rejects images of different sizes unless the model or the user sets a size", async () => {
    const path = await folder("sizes", { "a.png": png(1, 1, 1, 4, 4), "b.png": png(1, 1, 1, 5, 4) });
    const free = preprocess(await openDataset(path), input(n, 3, n, n), presets.unit);
    await expect(whole(free)).rejects.toThrow(/b\.png is 4×5, the images before it are 4×4/);
    const stated = preprocess(await openDataset(path), input(n, 3, n, n), parsePreprocessing("resize=6 crop=6"));
    expect((await whole(stated)).x?.dims).toEqual([2, 3, 6, 6]);
    const wrong = preprocess(await openDataset(path), input(n, 3, 8, 8), parsePreprocessing("resize=6 crop=6"));
    await expect(whole(wrong)).rejects.toThrow('Input "x" takes [N, 3, 8, 8], the images are 6×6');
  });

  it.each([
    ["caffe crop=6", 8, "caffe crop=8"],
    ["caffe crop=6 resize=7", 8, "caffe resize=8 crop=8"],
    ["raw resize=9 crop=6", 8, "raw resize=9 crop=8"],
    ["imagenet resize=6x6 channels=BGR", 8, "imagenet channels=BGR resize=8x8"],
  ])("suggests for %j a preprocessing that gives images of size %d", async (stated, side, suggested) => {
    const path = await folder("wrong size", { "a.png": png(1, 1, 1, 12, 10) });
    const read = async (how: string) =>
      (await whole(preprocess(await openDataset(path), input(n, 3, side, side), parsePreprocessing(how)))).x?.dims;
    const refused = await read(stated).catch((error: unknown) => error);
    expect(refused).toMatchObject({ hint: expect.stringContaining(`\`preprocess: "${suggested}"\``) });
    expect(await read(suggested)).toEqual([1, 3, side, side]);
  });

  it("suggests a preprocessing with the stated preset if only the name states a size", async () => {
    const path = await folder("wrong size", { "a.png": png(1, 1, 1, 12, 10) });
    const how = parsePreprocessing("caffe crop=6");
    const { crop: _, ...values } = how;
    const stored = withStoredImages(await openDataset(path), input(n, 3, 8, 8), how);
    const read = whole(preprocess(stored, input(n, 3, 8, 8), values));
    await expect(read).rejects.toMatchObject({ hint: expect.stringContaining('"caffe crop=8"') });
  });

  it("names a damaged file for any kind of damage", async () => {
    const large = png(9, 8, 7, 64, 64);
    const bomb = Uint8Array.from(large);
    new DataView(bomb.buffer).setUint32(16, 2 ** 30);
    const cases: Readonly<Record<string, Uint8Array>> = {
      "cut.png": large.slice(0, 60),
      "empty.png": new Uint8Array(),
      "text.jpg": new TextEncoder().encode("<html>404</html>"),
      "torn.jpg": Uint8Array.of(0xff, 0xd8, 0xff, 0xe0, 0, 4, 1, 2, 0xff),
      "bomb.png": bomb,
    };
    for (const [name, bytes] of Object.entries(cases)) {
      const path = await folder(`broken-${name}`, { [name]: bytes });
      const failed = whole(preprocess(await openDataset(path), input(n, 3, 8, 8), presets.unit));
      await expect(failed).rejects.toMatchObject({ code: "E_DATA", message: expect.stringContaining(name) });
    }
  });

  it("reads geometry settings and rejects invalid ones", () => {
    expect(parsePreprocessing("imagenet resize=256 crop=224 filter=bicubic")).toMatchObject({
      resize: 256,
      crop: { height: 224, width: 224 },
      filter: "bicubic",
    });
    expect(parsePreprocessing("resize=240x320")).toMatchObject({ resize: { height: 240, width: 320 } });
    for (const word of ["crop=0", "resize=1x2x3", "crop=-4", "resize=99999", "filter=soft", "crop="]) {
      expect(() => parsePreprocessing(word)).toThrow(`"${word}" is not understood`);
      const misspelled = expect.objectContaining({ hint: expect.stringMatching(/^Did you mean imagenet\? Presets: /) });
      expect(() => parsePreprocessing("imagnet")).toThrow(misspelled);
    }
    const misplaced = expect.objectContaining({
      hint: expect.stringMatching(/^Did you mean the preset before the set/),
    });
    expect(() => parsePreprocessing("crop=224 imagenet")).toThrow(misplaced);
  });
});
