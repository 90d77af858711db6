/** A file of 1 GB is inspected in the tab without being in its memory. */
import { join } from "node:path";
import { expect, test } from "vitest";
import { writeLarge } from "../../bench/files/large.ts";
import { temporaryFolder } from "../temporary.ts";
import { browser, buildStudio, openStudio } from "./studio.ts";
import { isMemoryKnown, openLargeFile } from "./tab-memory.ts";

test.skipIf(browser === undefined || !isMemoryKnown)(
  "a file of 1 GB is opened in the tab, and its bytes by layer are shown, in less than 300 MB",
  async () => {
    const path = join(temporaryFolder(), "large.onnx");
    await writeLarge(path, 960, false);
    const { page, errors, close } = await openStudio(await buildStudio());
    try {
      page.setDefaultTimeout(300_000);
      const { heading, cells, measured } = await openLargeFile(page, path);
      expect(heading).toMatch(/^1\.0\d\sGB/);
      // A cell for each weight, and one for the graph.
      expect(cells).toBe(61);
      expect(measured.own).toBeLessThan(300e6);
      expect(errors).toEqual([]);
    } finally {
      await close();
    }
  },
);
