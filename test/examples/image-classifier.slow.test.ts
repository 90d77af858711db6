/** Classifies an image file on the example page in a real browser, with a quantized model. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { expect, test } from "vitest";
import { open, save } from "../../src/core/onnx/index.ts";
import { firstBatch } from "../../src/data/batches/select.ts";
import { presets } from "../../src/data/index.ts";
import { openDataset } from "../../src/data/sources/open.ts";
import { quantize } from "../../src/techniques/quantize/index.ts";
import { browser, inPage, root } from "../page.ts";
import { shared } from "../shared.ts";
import { temporaryFolder } from "../temporary.ts";

const [source, cifar10] = [shared("data/models/resnet20.onnx"), shared("data/cifar10")];
const names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

test.skipIf(source === undefined || cifar10 === undefined || browser === undefined)(
  "shows the class of a chosen image, and uses the preprocessing of the preset",
  async () => {
    const folder = temporaryFolder();
    const model = await open(source ?? "");
    await quantize(model, { scheme: "weights" });
    await save(model, join(folder, "model.onnx"));
    const { image, label } = await firstBatch(await openDataset(cifar10 ?? "", { part: "test" }), 1);
    const area = 32 * 32;
    const pixels = Uint8Array.from({ length: 3 * area }, (_, index) =>
      Number(image?.data[(index % 3) * area + Math.floor(index / 3)]),
    );
    const raw = { width: 32, height: 32, channels: 3 } as const;
    await writeFile(join(folder, "image.png"), await sharp(pixels, { raw }).png().toBuffer());
    const page = `export default async () => {
      const frame = document.createElement("iframe");
      frame.src = "/examples/image-classifier/index.html";
      document.body.append(frame);
      await new Promise((loaded) => frame.addEventListener("load", loaded));
      const { document: inner, DataTransfer, File, Event } = frame.contentWindow;
      const chosen = new DataTransfer();
      chosen.items.add(new File([await (await fetch("/models/image.png")).blob()], "image.png"));
      inner.querySelector("input").files = chosen.files;
      inner.querySelector("input").dispatchEvent(new Event("change"));
      for (let tries = 0; tries < 300; tries++) {
        const { value } = inner.querySelector("output");
        if (/ms\\)$|Error/.test(value)) return value;
        await new Promise((later) => setTimeout(later, 200));
      }
      return inner.body.textContent;
    };`;
    const shown = await inPage(page, { modules: root, models: folder, temporary: temporaryFolder() });
    expect(shown).toMatch(new RegExp(`^${names[Number(label?.data[0])]} \\d+\\.\\d % \\(\\d+ ms\\)$`));
    const text = await readFile(join(root, "examples/image-classifier/index.html"), "utf8");
    expect(text).toContain(`mean = [${presets.cifar10.mean.join(", ")}]`);
    expect(text).toContain(`std = [${presets.cifar10.std.join(", ")}]`);
  },
);
